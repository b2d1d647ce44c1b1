import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from node.outbound.rtstruct_reading import Contour, filled

PLANE = np.diag([1.0, 1.0, 0.0])
"""A plane whose row and column are x and y in millimetres, through the origin."""


def contour(corners: npt.ArrayLike) -> Contour:
    points = np.array(corners, dtype=float)
    return Contour(1, "2.25.1", np.column_stack([points, np.zeros(len(points))]))


@given(st.integers(0, 10_000))
def test_any_polygon_is_filled_as_others_fill_it(seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-4, 24, (12, 2))
    expected = polygon2mask((20, 20), corners)
    assert np.array_equal(filled([contour(corners)], PLANE, (20, 20)), expected)


def test_what_two_contours_enclose_is_outside() -> None:
    outer = contour([(-0.5, -0.5), (-0.5, 8.5), (8.5, 8.5), (8.5, -0.5)])
    inner = contour([(2.5, 2.5), (2.5, 5.5), (5.5, 5.5), (5.5, 2.5)])
    mask = filled([outer, inner], PLANE, (9, 9))
    assert mask.sum() == 81 - 9
    assert not mask[3:6, 3:6].any()


def test_what_lies_beyond_the_image_is_left_out() -> None:
    assert filled([contour([(-9, -9), (-9, 30), (30, 30), (30, -9)])], PLANE, (4, 5)).all()


def test_a_contour_beside_the_plane_is_refused() -> None:
    lifted = Contour(7, "2.25.1", np.array([[0, 0, 0.05], [0, 2, 0.05], [2, 2, 0.05]]))
    with pytest.raises(ValueError, match=r"contour 7 lies 0\.05 mm off its image"):
        filled([lifted], PLANE, (4, 4))
