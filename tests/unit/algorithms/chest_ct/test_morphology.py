"""Morphology: the same as by distances, on grids of any spacing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from algorithms.chest_ct.morphology import box_around, closed, dilate, erode, opened

SPACINGS = st.tuples(*[st.sampled_from([0.7, 1.0, 2.0, 5.0])] * 3)
SEEDS = st.integers(0, 10_000)


def blob(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(9, 14, 17)), 1.5) > 0.02
    mask.flat[rng.integers(mask.size)] = True
    return mask


@settings(deadline=None)
@given(seed=SEEDS, radius=st.floats(0.1, 9), spacing=SPACINGS)
def test_dilation_reaches_exactly_the_radius(seed, radius, spacing):
    mask = blob(seed)
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    unsure = np.isclose(distance, radius, atol=1e-6)
    assert np.array_equal(dilate(mask, radius, spacing)[~unsure], (distance <= radius)[~unsure])


@settings(deadline=None)
@given(seed=SEEDS, radius=st.floats(0.1, 6), spacing=SPACINGS)
def test_opening_only_removes_and_closing_only_adds(seed, radius, spacing):
    mask = blob(seed)
    assert not (opened(mask, radius, spacing) & ~mask).any()
    assert not (mask & ~closed(mask, radius, spacing)).any()


def test_the_end_of_the_array_is_no_edge():
    assert erode(np.ones((3, 4, 5), dtype=bool), 2.0, (1.0, 1.0, 1.0)).all()


def test_closing_fills_a_thin_gap_and_leaves_a_wide_one():
    mask = np.ones((5, 20, 40), dtype=bool)
    mask[:, :, 10:12] = False
    mask[:, :, 20:30] = False
    result = closed(mask, 2.0, (1.0, 1.0, 1.0))
    assert result[:, :, 10:12].all()
    assert not result[:, :, 23:27].any()


def test_the_box_ends_at_the_array():
    mask = np.zeros((4, 6, 8), dtype=bool)
    mask[0, 3, 7] = True
    box = box_around(mask, 2.0, (5.0, 1.0, 1.0))
    assert np.zeros((4, 6, 8))[box].shape == (2, 5, 3)
