"""Shape against formulas, against plain computation on small masks, and on what is hardly a shape."""

from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from skimage.measure import marching_cubes

from algorithms.protocol import Affine, BoolMask
from algorithms.radiomics.shape import shape_features

SPACINGS = ((1.0, 1.0, 1.0), (2.5, 0.977, 0.977), (1.25, 0.7, 0.7))

masks = arrays(np.bool_, st.tuples(*[st.integers(1, 6)] * 3)).filter(np.any)


def affine(spacing: tuple[float, float, float]) -> Affine:
    return np.diag((*spacing, 1.0))


def ellipsoid(half_axes_mm: tuple[float, float, float], spacing: tuple[float, float, float]) -> BoolMask:
    reach = [int(half / step) + 1 for half, step in zip(half_axes_mm, spacing, strict=True)]
    # A centre beside the grid is what a real body has.
    grid = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    parts = zip(grid, spacing, half_axes_mm, (0.3, 0.2, 0.4), strict=True)
    return sum(((g + shift) * step / half) ** 2 for g, step, half, shift in parts) <= 1


def vertices(mask: BoolMask) -> np.ndarray:
    """Middles of all grid edges with one end in the mask, as voxel indices."""
    padded = np.pad(mask, 1)
    return np.concatenate(
        [np.argwhere(np.diff(padded, axis=axis)) + 0.5 * np.eye(3)[axis] for axis in range(3)]
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("size", [(3, 4, 5), (12, 7, 20)])
def test_a_cuboid_has_the_values_of_its_formulas(
    size: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    n, step = np.array(size), np.array(spacing)
    features = shape_features(np.ones(size, dtype=np.bool_), affine(spacing))
    voxel = float(step.prod())
    assert features["VoxelVolume"] == pytest.approx(n.prod() * voxel)
    # The mesh cuts each edge (a triangle with legs of half a voxel) and each corner (a tetrahedron stays).
    assert features["MeshVolume"] == pytest.approx((n.prod() - (n - 1).sum() / 2 - 5 / 6) * voxel)
    sides, faces = (n - 1) * step, voxel / step
    area = 2 * (sides.prod() / sides).sum() + np.linalg.norm(faces)
    area += sum(2 * sides[a] * np.linalg.norm(np.delete(step, a)) for a in range(3))
    assert features["SurfaceArea"] == pytest.approx(area)
    axes = np.sort(4 * step * np.sqrt((n**2 - 1) / 12))
    for name, expected in zip(("LeastAxisLength", "MinorAxisLength", "MajorAxisLength"), axes, strict=True):
        assert features[name] == pytest.approx(expected)
    # Ends are half a voxel beyond the last centre along one axis; of two ends, along one or two axes.
    reaches = [np.eye(3)[a] / 2 + np.eye(3)[b] / 2 for a in range(3) for b in range(3)]
    assert features["Maximum3DDiameter"] == pytest.approx(
        max(np.linalg.norm((n - 1 + reach) * step) for reach in reaches)
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("half_axes", [(30.0, 30.0, 30.0), (15.0, 25.0, 40.0)])
def test_a_ball_and_an_ellipsoid_have_the_values_of_their_formulas(
    half_axes: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    features = shape_features(ellipsoid(half_axes, spacing), affine(spacing))
    volume = 4 / 3 * pi * np.prod(half_axes)
    assert features["VoxelVolume"] == pytest.approx(volume, rel=0.005)
    assert features["MeshVolume"] == pytest.approx(volume, rel=0.005)
    axes = np.sort(4 * np.array(half_axes) / sqrt(5))
    for name, expected in zip(("LeastAxisLength", "MinorAxisLength", "MajorAxisLength"), axes, strict=True):
        assert features[name] == pytest.approx(expected, rel=0.005)
    assert features["Elongation"] == pytest.approx(axes[1] / axes[2], rel=0.005)
    assert features["Flatness"] == pytest.approx(axes[0] / axes[2], rel=0.005)
    step = max(spacing)
    largest = 2 * max(half_axes)
    assert largest - step < features["Maximum3DDiameter"] < largest + step
    in_plane = {
        "Maximum2DDiameterSlice": 2 * max(half_axes[1], half_axes[2]),
        "Maximum2DDiameterColumn": 2 * max(half_axes[0], half_axes[2]),
        "Maximum2DDiameterRow": 2 * max(half_axes[0], half_axes[1]),
    }
    for name, expected in in_plane.items():
        assert expected - step < features[name] < expected + step


@pytest.mark.parametrize(("spacing", "excess"), list(zip(SPACINGS, (0.088, 0.148, 0.114), strict=True)))
def test_the_mesh_area_of_a_ball_is_too_large_by_what_the_voxels_add(
    spacing: tuple[float, float, float], excess: float
) -> None:
    features = shape_features(ellipsoid((30.0, 30.0, 30.0), spacing), affine(spacing))
    assert features["SurfaceArea"] / (4 * pi * 30**2) == pytest.approx(1 + excess, abs=0.005)
    assert features["Sphericity"] == pytest.approx(1 / (1 + excess), abs=0.005)


@given(masks)
def test_diameters_are_the_largest_distances_between_mesh_vertices(mask: BoolMask) -> None:
    spacing = (2.5, 0.7, 0.9)
    features = shape_features(mask, affine(spacing))
    points = vertices(mask)
    assert features["Maximum3DDiameter"] == pytest.approx(pdist(points * spacing).max())
    for axis, name in enumerate(("Slice", "Column", "Row")):
        planes = [points[points[:, axis] == at] for at in np.unique(points[:, axis])]
        largest = max((pdist(plane * spacing).max() for plane in planes if len(plane) > 1), default=0.0)
        assert features[f"Maximum2DDiameter{name}"] == pytest.approx(largest)


@given(masks)
def test_axes_are_those_of_the_covariance_of_the_voxel_centres(mask: BoolMask) -> None:
    spacing = (2.5, 0.7, 0.9)
    features = shape_features(mask, affine(spacing))
    covariance = np.cov((np.argwhere(mask) * spacing).T, bias=True)
    axes = 4 * np.sqrt(np.abs(np.linalg.eigvalsh(covariance)))
    found = [features[f"{name}AxisLength"] for name in ("Least", "Minor", "Major")]
    assert found == pytest.approx(axes, abs=1e-6)
    assert features["VoxelVolume"] == pytest.approx(np.count_nonzero(mask) * np.prod(spacing))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_area_and_volume_are_those_of_the_mesh_of_scikit_image_where_no_face_is_ambiguous(
    spacing: tuple[float, float, float],
) -> None:
    mask = ellipsoid((15.0, 25.0, 40.0), spacing)
    features = shape_features(mask, affine(spacing))
    points, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, method="lorensen")
    a, b, c = (points.astype(np.float64) * spacing)[faces].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    volume = abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6
    assert features["SurfaceArea"] == pytest.approx(area, rel=1e-6)
    assert features["MeshVolume"] == pytest.approx(volume, rel=1e-6)


@given(masks, st.integers(0, 1000))
def test_a_rotated_and_mirrored_grid_gives_the_same_shape(mask: BoolMask, seed: int) -> None:
    turned = affine((2.5, 0.7, 0.9))
    expected = shape_features(mask, turned)
    turned[:3, :3] = Rotation.random(random_state=seed).as_matrix() @ turned[:3, :3]
    turned[:3, 2] *= -1
    turned[:3, 3] = (100.0, -50.0, 3.0)
    assert shape_features(mask, turned) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (1, 4, 1), (4, 1, 1), (1, 3, 3)])
def test_a_segment_of_a_few_voxels_has_the_features_that_are_defined(shape: tuple[int, int, int]) -> None:
    features = shape_features(np.ones(shape, dtype=np.bool_), affine((2.0, 1.0, 1.0)))
    undefined = {"Elongation", "Flatness"} if shape == (1, 1, 1) else set()
    assert len(features) == 17 - len(undefined)
    assert not undefined & features.keys()
    assert np.isfinite(list(features.values())).all()
    assert features["LeastAxisLength"] == 0
    assert features["MeshVolume"] > 0


def test_a_body_as_wide_in_many_directions_keeps_its_largest_diameter() -> None:
    # Reuleaux's tetrahedron: what is within a distance of all its corners.
    corners = 35 * np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
    grid = np.ogrid[-60:61, -60:61, -60:61]
    reach = ((corners[0] - corners[1]) ** 2).sum()
    mask = np.all(
        [sum((g - c) ** 2 for g, c in zip(grid, at, strict=True)) <= reach for at in corners], axis=0
    )
    points = vertices(mask)
    expected = pdist(points[ConvexHull(points).vertices]).max()
    assert shape_features(mask, np.eye(4))["Maximum3DDiameter"] == pytest.approx(expected)
