"""From any stored orientation to the network's grid and back, without a shift."""

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from algorithms.ct_fm.network_grid import NetworkGrid
from algorithms.protocol import Unsuitable, Volume
from algorithms.spatial import spacing_of

CUBES = (1.5, 1.5, 1.5)
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BALL_MM = (12.0, -8.0, 20.0)
RADIUS_MM = 14.0


def turned(degrees: float) -> np.ndarray:
    """Columns to the left, rows to the back, slices to the head, turned about the patient's left."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[0.0, 0.0, 1.0], [-s, c, 0.0], [c, s, 0.0]])


def ball(
    directions: np.ndarray, spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]
) -> Volume:
    """A ball of tissue at `BALL_MM` in patient space, in an image centred on the origin."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(places - BALL_MM, axis=-1)
    voxels = np.clip(1000 * (RADIUS_MM - distance), -1000, 1000).astype(np.float32)
    return Volume(voxels, affine, "HU", "CT", tuple(map(str, range(shape[0]))))


def centre_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]


ORIENTATIONS = [
    np.eye(3)[:, list(axes)] * signs
    for axes in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("directions", [*ORIENTATIONS[::5], turned(10), turned(35)])
def test_a_ball_is_where_it_was_on_the_grid_and_back_on_the_source(directions: np.ndarray) -> None:
    image = ball(directions, (2.2, 1.1, 0.9), (40, 70, 84))
    grid = NetworkGrid.of(image, CUBES)
    corner = grid.affine_mm.copy()
    corner[:3, 3] += grid.affine_mm[:3, :3] @ [part.start for part in grid.box]
    found = grid.scaled > 1024 / 3072
    np.testing.assert_allclose(centre_mm(found, corner), BALL_MM, atol=0.5)
    np.testing.assert_allclose(spacing_of(grid.affine_mm), CUBES, rtol=0.02)
    assert np.argmax(np.abs(grid.affine_mm[:3, :3]), axis=0).tolist() == [2, 1, 0]
    assert (np.diagonal(grid.affine_mm[[2, 1, 0], :3]) > 0).all()

    back = grid.to_source(found.astype(np.uint8))
    truth = image.voxels > 0
    np.testing.assert_allclose(centre_mm(back == 1, image.affine_mm), BALL_MM, atol=0.5)
    assert 2 * np.count_nonzero(truth & (back == 1)) / (truth.sum() + back.sum()) > 0.93


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 6.0)] * 3),
    orientation=st.sampled_from(ORIENTATIONS),
)
@settings(max_examples=40, deadline=None)
def test_what_fills_the_grid_fills_the_source(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], orientation: np.ndarray
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = orientation * spacing
    image = Volume(np.full(shape, 40.0, np.float32), affine, "HU", "CT", tuple(map(str, range(shape[0]))))
    grid = NetworkGrid.of(image, CUBES)
    np.testing.assert_allclose(grid.scaled, 1064 / 3072, rtol=1e-5)
    assert (grid.to_source(np.full(grid.scaled.shape, 7, np.uint8)) == 7).all()


def test_the_grid_of_a_multiple_of_its_spacing_is_stored_voxels_in_blocks() -> None:
    labels = np.random.default_rng(1).integers(0, 118, (6, 8, 10)).astype(np.uint8)
    image = ball(turned(0), (3.0, 3.0, 3.0), (6, 8, 10))
    grid = NetworkGrid.of(image, CUBES)
    fine = labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(grid.to_source(fine[grid.box])[1:-1, 1:-1, 1:-1], labels[1:-1, 1:-1, 1:-1])


def test_air_around_the_patient_is_cropped_but_for_a_margin() -> None:
    image = ball(turned(0), (1.5, 1.5, 1.5), (80, 90, 100))
    image.voxels[image.voxels < -900] = -1024
    grid = NetworkGrid.of(image, CUBES)
    inside = np.argwhere(grid.scaled > 0)
    assert inside.min(axis=0).tolist() == [10, 10, 10]
    assert (np.array(grid.scaled.shape) - 1 - inside.max(axis=0)).tolist() == [10, 10, 10]
    assert grid.to_source(np.ones(grid.scaled.shape, np.uint8)).sum() == grid.scaled.size


def test_values_are_scaled_over_the_range_and_clipped() -> None:
    image = ball(turned(0), (1.5, 1.5, 1.5), (12, 12, 12))
    image.voxels[:, :, :6], image.voxels[:, :, 6:] = -2000, 3000
    scaled = NetworkGrid.of(image, CUBES).scaled
    assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    image.voxels[:] = 100
    np.testing.assert_allclose(NetworkGrid.of(image, CUBES, (-100.0, 300.0)).scaled, 0.5)


def test_the_real_abdomen_is_that_of_monai(shared_data: Path) -> None:
    path = shared_data / "ct-labelled-totalsegmentator" / "nifti" / "example_ct.nii.gz"
    stored = nibabel.load(path)
    voxels = np.asarray(stored.dataobj).astype(np.float32)
    image = Volume(voxels, TO_LPS @ stored.affine, "HU", "CT", tuple(map(str, range(len(voxels)))))
    grid = NetworkGrid.of(image, (3.0, 3.0, 3.0))
    theirs = Orientation("SPL", labels=(("L", "R"), ("P", "A"), ("I", "S")))(
        MetaTensor(voxels[None], affine=stored.affine)
    )
    theirs = Spacing((3.0, 3.0, 3.0), mode="bilinear")(theirs)[0].numpy()
    assert grid.shape == theirs.shape
    expected = np.clip((theirs + 1024) / 3072, 0, 1)[grid.box]
    np.testing.assert_allclose(grid.scaled, expected, atol=1e-3)


def test_what_is_no_ct_in_hounsfield_units_is_refused() -> None:
    image = ball(turned(0), (1.5, 1.5, 1.5), (6, 6, 6))
    mr = Volume(image.voxels, image.affine_mm, "arbitrary", "MR", image.sop_instance_uids)
    with pytest.raises(Unsuitable, match="modality MR, unit arbitrary"):
        NetworkGrid.of(mr, CUBES)
    air = Volume(np.full((6, 6, 6), -1024, np.float32), image.affine_mm, "HU", "CT", image.sop_instance_uids)
    with pytest.raises(Unsuitable, match="nothing in the image is denser than air"):
        NetworkGrid.of(air, CUBES)
