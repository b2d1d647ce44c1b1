"""What the encoder sees of a CT, and where it lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.ct_fm.patches import PUBLISHED, Grid, Sampling
from algorithms.protocol import Unsuitable, Volume

GRADIENT = np.array([2.0, -3.0, 1.5])


def ramp(direction=1.0, unit="HU"):
    """A CT whose values are linear in patient space, stored from the feet or from the head."""
    affine = np.array([[0, 0, 0.9, -20], [0, 0.9, 0, 5], [3 * direction, 0, 0, 60], [0, 0, 0, 1]])
    s, r, c = np.meshgrid(np.arange(20), np.arange(40), np.arange(44), indexing="ij")
    position = np.stack([s, r, c, np.ones_like(s)], axis=-1) @ affine.T
    voxels = (position[..., :3] @ GRADIENT).astype(np.float32)
    return Volume(voxels, affine, unit, "CT", tuple(map(str, range(20))))


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (4.0, 4.0, 4.0), (8.0, 2.0, 1.8)])
def test_values_stay_where_they_are_in_patient_space(direction, spacing):
    grid = Grid.of(ramp(direction), spacing)
    inner = np.argwhere(np.ones(grid.voxels.shape))
    inner = inner[((inner > 0) & (inner < np.array(grid.voxels.shape) - 1)).all(axis=1)]
    wanted = (grid.position_mm(inner) @ GRADIENT + 1024) / 3072
    assert grid.voxels[tuple(inner.T)] == pytest.approx(wanted, abs=1e-4)
    assert np.linalg.norm(grid.affine_mm[:3, :3], axis=0) == pytest.approx(spacing)
    assert grid.affine_mm[2, 0] > 0  # towards the head


def test_positions_and_indices_are_inverse():
    grid = Grid.of(ramp(), (4.0, 4.0, 4.0))
    places = np.array([[0.0, 1.5, 2.0], [3.0, 0.0, 7.25]])
    assert grid.index(grid.position_mm(places)) == pytest.approx(places)


def test_a_crop_keeps_what_is_denser_than_water_and_its_place():
    volume = ramp()
    volume.voxels[:] = -1000.0
    volume.voxels[5:9, 10:20, 30:33] = 40.0
    grid = Grid.of(volume, (3.0, 0.9, 0.9)).cropped()
    assert grid.voxels.shape == (4, 10, 3)
    assert grid.position_mm(np.zeros(3)) == pytest.approx(volume.affine_mm[:3] @ [5, 10, 30, 1])


def test_padding_is_air_around_the_image():
    grid = Grid.of(ramp(), (3.0, 0.9, 0.9))
    padded = grid.padded((32, 48, 32))
    assert padded.voxels.shape == (32, 48, 44)
    assert padded.voxels[6:26, 4:44].shape == grid.voxels.shape
    assert np.array_equal(padded.voxels[6:26, 4:44], grid.voxels)
    assert padded.voxels[:6].max() == 0
    assert padded.position_mm(np.array([6, 4, 0])) == pytest.approx(grid.position_mm(np.zeros(3)))


def test_values_without_a_scale_are_refused():
    with pytest.raises(Unsuitable, match="Hounsfield"):
        Grid.of(ramp(unit="arbitrary"), (3.0, 1.0, 1.0))


def test_air_alone_is_refused():
    volume = ramp()
    volume.voxels[:] = -1000.0
    with pytest.raises(Unsuitable, match="dense"):
        Grid.of(volume, (3.0, 1.0, 1.0)).cropped()


@settings(deadline=None)
@given(
    shape=st.tuples(*[st.integers(8, 70)] * 3),
    overlap=st.floats(0, 0.9),
)
def test_patches_cover_every_voxel_and_leave_the_image_nowhere(shape, overlap):
    sampling = Sampling((1.0, 1.0, 1.0), (8, 8, 8), overlap)
    covered = np.zeros(shape, dtype=bool)
    for box in sampling.boxes(shape):
        assert covered[box].shape == (8, 8, 8)
        covered[box] = True
    assert covered.all()


def test_a_checkpoint_that_says_nothing_is_looked_at_as_published():
    assert Sampling.of({}, "embedding") == PUBLISHED["embedding"]
    own = Sampling.of({"search": {"spacing_mm": [8, 8, 8], "patch": [24, 24, 24]}}, "search")
    assert own == Sampling((8.0, 8.0, 8.0), (24, 24, 24), 0.625)


@pytest.mark.parametrize(("patch", "overlap", "mm"), [(20, 0.5, 1.0), (16, 1.0, 1.0), (16, 0.5, 0.0)])
def test_a_sampling_that_no_encoder_can_use_is_refused(patch, overlap, mm):
    with pytest.raises(ValueError, match="sampling"):
        Sampling((mm, 1.0, 1.0), (patch, 16, 16), overlap)
