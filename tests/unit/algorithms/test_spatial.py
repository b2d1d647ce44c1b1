"""Geometry: every orientation there is, and the way back from it."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.protocol import Volume
from algorithms.spatial import (
    CoarseImage,
    Orientation,
    enlarge,
    evened,
    is_even,
    lean_degrees,
    obliquity_degrees,
    onto_slices,
    patient_grid,
    resample,
    shrink,
    spacing_of,
)

ORIENTATIONS = [
    Orientation(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)
]
SHAPES = st.tuples(*[st.integers(1, 6)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 8.0)] * 3)


def stored_affine(orientation, spacing, origin=(12.5, -40.0, 300.0)):
    """The affine of an array that `orientation` makes canonical."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for canonical, stored in enumerate(orientation.axes):
        sign = -1 if orientation.flips[canonical] else 1
        affine[2 - canonical, stored] = sign * spacing[stored]
    affine[:3, 3] = origin
    return affine


def turned(affine, degrees):
    angle = np.radians(degrees)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation @ affine


def volume_of(voxels, affine):
    return Volume(voxels.astype(np.float32), affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels))))


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@given(shape=SHAPES, spacing=SPACINGS)
def test_every_orientation_is_recognised_and_undone_voxel_for_voxel(orientation, shape, spacing):
    stored = np.arange(np.prod(shape)).reshape(shape)
    found = Orientation.closest(stored_affine(orientation, spacing))
    assert found == orientation
    assert np.array_equal(found.revert(found.apply(stored)), stored)
    canonical = found.apply(stored)
    assert np.array_equal(found.apply(found.revert(canonical)), canonical)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@given(shape=SHAPES, spacing=SPACINGS, data=st.data())
def test_a_voxel_keeps_its_patient_position(orientation, shape, spacing, data):
    affine = stored_affine(orientation, spacing)
    stored = np.arange(np.prod(shape)).reshape(shape)
    index = data.draw(st.tuples(*[st.integers(0, n - 1) for n in shape]))
    canonical = orientation.apply(stored)
    there = np.argwhere(canonical == stored[index])[0]
    canonical_affine = orientation.affine(affine, shape)
    assert np.allclose(canonical_affine @ [*there, 1], affine @ [*index, 1])
    assert np.allclose(canonical_affine[[2, 1, 0], [0, 1, 2]], spacing_of(canonical_affine))


@given(shape=SHAPES, factors=st.tuples(*[st.integers(1, 4)] * 3))
def test_enlarging_undoes_shrinking_of_whole_blocks(shape, factors):
    small = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    large = enlarge(small, factors, tuple(n * f for n, f in zip(shape, factors, strict=True)))
    assert np.allclose(shrink(large, factors), small, atol=1e-6)


def test_a_block_cut_off_by_the_end_repeats_the_last_voxel():
    assert shrink(np.array([[[1, 3, 8]]], dtype=np.float32), (1, 1, 2)).tolist() == [[[2, 8]]]


def test_obliquity_is_the_angle_of_the_turn():
    affine = turned(stored_affine(ORIENTATIONS[0], (5, 1, 1)), 20)
    assert obliquity_degrees(affine) == pytest.approx(20)


def test_resampling_onto_the_same_grid_changes_nothing():
    voxels = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    affine = turned(stored_affine(ORIENTATIONS[7], (2, 1, 1)), 33)
    assert np.allclose(resample(voxels, affine, voxels.shape, affine, order=1, outside=0), voxels, atol=1e-4)


@given(orientation=st.sampled_from(ORIENTATIONS), spacing=SPACINGS, degrees=st.floats(-44, 44))
def test_the_patient_grid_holds_every_voxel(orientation, spacing, degrees):
    shape = (3, 4, 5)
    affine = turned(stored_affine(orientation, spacing), degrees)
    grid_shape, grid = patient_grid(shape, affine, (2.0, 2.0, 2.0))
    corners = np.array(list(product(*[(0, n - 1) for n in shape], (1,))))
    there = (np.linalg.inv(grid) @ affine @ corners.T)[:3].T
    assert (there > -1e-6).all()
    assert (there < np.array(grid_shape) - 1 + 1e-6).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS[::5])
def test_labels_of_an_aligned_coarse_image_return_to_the_voxels_they_came_from(orientation):
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 5, (4, 3, 5)).astype(np.float32)
    canonical = enlarge(blocks, (1, 2, 2), (4, 6, 10))
    stored = orientation.revert(canonical)
    spacing = tuple(float(s) for s in orientation.revert(np.zeros((1, 1, 1))).shape)
    wanted = {0: 3.0, 1: 1.0, 2: 1.0}
    spacing = [0.0, 0.0, 0.0]
    for axis, source in enumerate(orientation.axes):
        spacing[source] = wanted[axis]
    image = volume_of(stored, stored_affine(orientation, spacing))
    coarse = CoarseImage.of(image, 2.0, outside=-1024)
    assert coarse.voxels.shape == (4, 3, 5)
    assert np.array_equal(coarse.to_source(coarse.voxels.astype(np.uint8)), stored)


def test_labels_of_an_oblique_image_return_within_a_voxel():
    affine = turned(stored_affine(ORIENTATIONS[0], (3.0, 2.0, 2.0)), 30)
    index = np.indices((20, 40, 40)).reshape(3, -1)
    position = (affine @ np.vstack([index, np.ones(index.shape[1])]))[:3].T
    ball = (np.linalg.norm(position - position.mean(axis=0), axis=1) < 22).reshape(20, 40, 40)
    coarse = CoarseImage.of(volume_of(np.where(ball, 0, -1000), affine), 2.0, outside=-1000)
    back = coarse.to_source((coarse.voxels > -500).astype(np.uint8)) > 0
    assert 2 * np.count_nonzero(back & ball) / (back.sum() + ball.sum()) > 0.95


def leaning(shape, spacing=(4.0, 0.5, 0.4), degrees=18.5, places=None, orientation=ORIENTATIONS[0]):
    """A stack whose values are a linear function of the place in the patient, and that function."""
    affine = stored_affine(orientation, spacing)
    _, rows, _ = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in range(3))
    affine[:3, 0] += rows * spacing[0] * np.tan(np.radians(degrees))
    at = np.arange(shape[0], dtype=float) if places is None else np.asarray(places, dtype=float)
    index = np.stack([*np.meshgrid(at, *map(np.arange, shape[1:]), indexing="ij"), np.ones(shape)])
    volume = replace(volume_of(ramp(np.einsum("ij,jsrc->isrc", affine, index)), affine), slice_places=places)
    return volume, index


def ramp(points):
    """Hounsfield units that rise along every patient axis."""
    return 2.0 * points[0] - 3.0 * points[1] + 0.5 * points[2]


PLACES = st.lists(st.floats(0.7, 1.4), min_size=2, max_size=9).map(lambda gaps: np.cumsum([0.0, *gaps]))
LEANS = st.floats(-30, 30)


def test_an_even_upright_stack_is_left_as_it_is():
    volume = volume_of(np.zeros((3, 4, 5)), turned(stored_affine(ORIENTATIONS[9], (3, 1, 1)), 12))
    assert is_even(volume)
    assert evened(volume) is volume
    labels = np.ones((3, 4, 5), dtype=np.uint8)
    assert onto_slices(labels, volume, volume) is labels


@given(degrees=LEANS, orientation=st.sampled_from(ORIENTATIONS))
def test_the_lean_is_the_tilt_of_the_gantry(degrees, orientation):
    volume, _ = leaning((2, 2, 2), (2.0, 2.0, 2.0), degrees, orientation=orientation)
    assert lean_degrees(volume.affine_mm) == pytest.approx(abs(degrees), abs=1e-6)


@given(degrees=LEANS, places=PLACES, orientation=st.sampled_from(ORIENTATIONS))
def test_an_evened_stack_stands_upright_and_shows_every_place_as_the_slices_do(degrees, places, orientation):
    volume, _ = leaning((len(places), 6, 5), degrees=degrees, places=places, orientation=orientation)
    even = evened(volume)
    assert is_even(even)
    index = np.stack([*np.indices(even.voxels.shape), np.ones(even.voxels.shape)])
    points = np.einsum("ij,jsrc->isrc", even.affine_mm, index)
    source = np.einsum("ij,jsrc->isrc", np.linalg.inv(volume.affine_mm), points)
    inside = (source[1] >= 0) & (source[1] <= 5) & (source[2] >= 0) & (source[2] <= 4)
    inside &= (source[0] > -1e-6) & (source[0] < places[-1] + 1e-6)
    assert inside.any(axis=(1, 2)).all()
    assert np.allclose(even.voxels[inside], ramp(points)[inside], atol=0.01)
    assert (even.voxels[(source[1] < -1) | (source[1] > 6)] == -1000).all()


@given(degrees=LEANS, places=PLACES)
def test_every_voxel_of_the_slices_lies_within_the_evened_stack(degrees, places):
    volume, index = leaning((len(places), 6, 5), degrees=degrees, places=places)
    even = evened(volume)
    there = np.einsum("ij,jsrc->isrc", np.linalg.inv(even.affine_mm) @ volume.affine_mm, index)[:3]
    bounds = np.array(even.voxels.shape)[:, None, None, None] - 1
    assert (there > -1e-5).all()
    assert (there < bounds + 1e-5).all()


@given(degrees=LEANS, places=PLACES)
def test_labels_return_to_the_slice_and_pixel_they_lie_nearest_to(degrees, places):
    volume, index = leaning((len(places), 6, 5), degrees=degrees, places=places)
    even = evened(volume)
    labels = np.arange(even.voxels.size).reshape(even.voxels.shape)
    back = onto_slices(labels, even, volume)
    assert back.shape == volume.voxels.shape
    found = np.stack(np.unravel_index(back, labels.shape))
    there = np.einsum("ij,jsrc->isrc", np.linalg.inv(even.affine_mm) @ volume.affine_mm, index)[:3]
    assert np.abs(found - there).max() <= 0.5 + 1e-5


def test_the_planes_of_an_evened_stack_are_the_median_apart_and_name_the_nearest_slices():
    places = np.array([0.0, 1.0, 2.0, 3.0, 3.4, 5.1])
    volume, _ = leaning((6, 4, 4), places=places)
    even = evened(volume)
    assert even.spacing_mm == pytest.approx((4.0 * 5.1 / 5, 0.5, 0.4))
    assert [volume.sop_instance_uids.index(uid) for uid in even.sop_instance_uids] == [0, 1, 2, 3, 4, 5]


def test_a_ball_in_a_leaning_uneven_stack_keeps_place_and_volume():
    places = np.concatenate([np.arange(14.0), 13 + 0.27 + 1.75 * np.arange(10)])
    affine = leaning((len(places), 2, 2), (4.2, 1.0, 1.0))[0].affine_mm
    at = np.stack(
        [*np.meshgrid(places, np.arange(120), np.arange(120), indexing="ij"), np.ones((24, 120, 120))]
    )
    points = np.einsum("ij,jsrc->isrc", affine, at)[:3]
    centre = points.reshape(3, -1).mean(axis=1)
    ball = np.linalg.norm(points - centre[:, None, None, None], axis=0) < 25
    volume = replace(volume_of(np.where(ball, 60, 0), affine), slice_places=places)
    even = evened(volume)
    found = even.voxels > 30
    truth_ml = 4 / 3 * np.pi * 25**3 / 1000
    assert np.count_nonzero(found) * even.voxel_volume_ml == pytest.approx(truth_ml, rel=0.04)
    middle = (even.affine_mm @ [*np.argwhere(found).mean(axis=0), 1])[:3]
    assert middle == pytest.approx(centre, abs=0.7)
    back = onto_slices(found, even, volume)
    assert 2 * np.count_nonzero(back & ball) / (back.sum() + ball.sum()) > 0.93
