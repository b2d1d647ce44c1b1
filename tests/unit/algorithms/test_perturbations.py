"""What a perturbation leaves where it is in patient space, and what it changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.perturbations import cropped, noisy, other_kernel, resampled, shifted
from algorithms.protocol import Volume

GRADIENT = np.array([3.0, -2.0, 5.0])
STEPS = st.floats(-2.0, 2.0)


def ramp(places=None, shape=(12, 14, 16)):
    """A leaning, anisotropic volume whose values are linear in patient space."""
    affine = np.array([[0, 0.1, 0.8, -20], [0.9, 0.7, 0, 5], [4, 0.2, -0.1, 100], [0, 0, 0, 1]], dtype=float)
    along = np.arange(shape[0]) if places is None else places
    s, r, c = np.meshgrid(along, np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    position = np.stack([s, r, c, np.ones_like(s)], axis=-1) @ affine.T
    voxels = (position[..., :3] @ GRADIENT).astype(np.float32)
    return Volume(voxels, affine, "HU", "CT", tuple(map(str, range(shape[0]))), places)


def departure(volume, trim):
    """How far the values are from what their places in patient space ask, the outermost voxels left out."""
    along = np.arange(len(volume.voxels)) if volume.slice_places is None else volume.slice_places
    s, r, c = np.meshgrid(
        along, np.arange(volume.voxels.shape[1]), np.arange(volume.voxels.shape[2]), indexing="ij"
    )
    position = np.stack([s, r, c, np.ones_like(s)], axis=-1) @ volume.affine_mm.T
    inner = (slice(trim, -trim),) * 3
    return float(np.abs(position[..., :3] @ GRADIENT - volume.voxels)[inner].max())


@settings(deadline=None, max_examples=30)
@given(steps=st.tuples(STEPS, STEPS, STEPS))
def test_a_moved_grid_shows_the_same_values_at_the_same_places(steps):
    assert departure(shifted(ramp(), steps), 3) < 1e-3


def test_the_grid_of_an_uneven_stack_moves_too():
    places = np.array([0, 1, 2.5, 3, 4, 6, 7, 8, 9.5, 10, 11, 12])
    moved = shifted(ramp(places), (0.4, 0.0, -0.7))
    assert departure(moved, 2) < 1e-3
    assert np.array_equal(moved.slice_places, places)


@settings(deadline=None, max_examples=30)
@given(spacing=st.tuples(st.floats(2, 9), st.floats(0.5, 2.5), st.floats(0.4, 2.0)))
def test_resampling_keeps_values_in_place_and_takes_the_spacing_asked_for(spacing):
    changed = resampled(ramp(shape=(30, 40, 40)), spacing)
    assert changed.spacing_mm == pytest.approx(spacing)
    inner = 3 if min(changed.voxels.shape) > 8 else 2
    assert departure(changed, inner) < 0.25 * GRADIENT[0]
    assert len(changed.sop_instance_uids) == len(changed.voxels)


def test_an_uneven_stack_becomes_even():
    places = np.array([0, 1, 2.5, 3, 4, 6, 7, 8, 9.5, 10, 11, 12])
    volume = ramp(places)
    even = resampled(volume, volume.spacing_mm)
    assert even.slice_places is None
    assert departure(even, 1) < 1e-3
    assert even.sop_instance_uids[2] == "2"  # place 2 is two thirds of the way from slice 1 to slice 2


def test_a_crop_takes_slices_from_both_ends_and_moves_nothing():
    volume = ramp()
    less = cropped(volume, 3, 2)
    assert less.sop_instance_uids == volume.sop_instance_uids[3:-2]
    assert departure(less, 1) < 1e-3


def test_a_crop_of_an_uneven_stack_keeps_its_gaps():
    places = np.array([0, 1, 2.5, 3, 4, 6, 7, 8, 9.5, 10, 11, 12])
    less = cropped(ramp(places), 2, 1)
    assert np.array_equal(np.diff(less.slice_places), np.diff(places)[2:-1])
    assert departure(less, 1) < 1e-3


def test_a_crop_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        cropped(ramp(), 6, 6)


def test_noise_has_the_strength_asked_for_and_follows_its_seed():
    volume = ramp(shape=(20, 40, 40))
    grain = noisy(volume, 25.0, 1).voxels - volume.voxels
    assert grain.std() == pytest.approx(25.0, rel=0.05)
    assert np.array_equal(noisy(volume, 25.0, 1).voxels, noisy(volume, 25.0, 1).voxels)
    assert not np.array_equal(noisy(volume, 25.0, 1).voxels, noisy(volume, 25.0, 2).voxels)


@pytest.mark.parametrize(("sharpness", "lower", "upper"), [(-1.5, 0.0, 0.4), (0.8, 1.3, 2.0)])
def test_a_kernel_changes_detail_and_keeps_the_mean(sharpness, lower, upper):
    rng = np.random.default_rng(0)
    volume = replace(ramp(), voxels=rng.standard_normal((12, 14, 16), dtype=np.float32))
    changed = other_kernel(volume, sharpness).voxels
    assert lower < changed.std() / volume.voxels.std() < upper
    assert changed.mean() == pytest.approx(volume.voxels.mean(), abs=0.02)
