from dataclasses import replace

import numpy as np
import pytest

from node.outbound.window import BRAIN, SOFT_TISSUE, Window, window_of
from tests.synthetic_series import series


def test_values_below_a_window_are_black_above_it_white_and_its_middle_grey():
    grey = Window(40.5, 81.0).grey(np.array([-100.0, 0.0, 40.0, 80.0, 900.0], dtype=np.float32))
    assert grey.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_the_first_window_that_a_slice_asks_for_is_taken():
    volume, sources = series(WindowCenter=[35, 600], WindowWidth=[85, 2000])
    assert window_of(volume, sources[0]) == (35.0, 85.0)


@pytest.mark.parametrize("width", [0, None])
def test_a_window_without_width_is_none(width):
    volume, sources = series(WindowCenter=35, WindowWidth=width)
    assert window_of(volume, sources[0]) == SOFT_TISSUE


def test_a_head_is_shown_as_brain():
    volume, sources = series(BodyPartExamined="HEAD")
    assert window_of(volume, sources[0]) == BRAIN


def test_values_without_a_scale_are_shown_but_for_a_hundredth_at_either_end():
    volume, sources = series(modality="MR")
    volume = replace(volume, unit="arbitrary")
    window = window_of(volume, sources[0])
    grey = window.grey(volume.voxels)
    assert 0.005 < np.mean(grey == 0) < 0.015
    assert 0.005 < np.mean(grey == 1) < 0.015
