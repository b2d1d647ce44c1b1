"""Every value that was published for the shared cases: pyradiomics' baseline and the IBSI's phantom."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from algorithms.radiomics.firstorder import Distribution, first_order_features
from algorithms.radiomics.measurement import measure
from tests.unit.algorithms.radiomics.conftest import Case

Cases = Callable[[str], Case]
Baseline = Callable[[str, str], dict[str, float]]

SHIFTED = {"Energy", "TotalEnergy", "RootMeanSquared"}
"""The plain cases of the baseline have 2000 added to the values for these; the default today is 0."""

FROM_ANOTHER_MESH = {"MeshVolume", "SurfaceArea", "SurfaceVolumeRatio", "Sphericity"}
"""Of the plain case brain1: it was made by a development version (2.0.1b1) that meshed otherwise."""


def measured(case: Case) -> dict[str, float]:
    found = measure(case.volume(), [case.segment()], frozenset({"shape", "firstorder"}))
    return {measurement.name: measurement.value for measurement in found}


def differing(found: dict[str, float], expected: dict[str, float]) -> set[str]:
    assert expected
    return {name for name, value in expected.items() if found[name] != pytest.approx(value, rel=1e-6)}


def resampled(case: Case) -> Case:
    """On a grid of 2 mm as pyradiomics makes it: cubic B-spline, cut to whole numbers; nearest label."""
    spacing = np.linalg.norm(case.affine_mm[:3, :3], axis=0)
    ratio = spacing / 2.0
    found = np.argwhere(case.mask)
    low, high = found.min(axis=0) - 0.5, found.max(axis=0) + 0.5
    first = np.maximum(np.floor(low * ratio - 5), 0)
    last = np.minimum(np.ceil(high * ratio + 5), np.ceil(case.mask.shape * ratio) - 1)
    axes = [
        (0.5 * (2.0 - step) / step) + np.arange(a, b + 1) / r
        for a, b, r, step in zip(first, last, ratio, spacing, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    voxels = np.trunc(map_coordinates(case.voxels.astype(np.float64), grid, order=3, mode="mirror"))
    nearest = np.floor(grid + 0.5).astype(int)
    sizes = np.reshape(case.mask.shape, (3, 1, 1, 1))
    inside = ((nearest >= 0) & (nearest < sizes)).all(axis=0)
    mask = np.zeros(inside.shape, dtype=np.bool_)
    mask[inside] = case.mask[tuple(nearest[:, inside])]
    return Case(voxels.astype(np.float32), mask, np.diag((2.0, 2.0, 2.0, 1.0)))


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_shape_is_that_of_the_baseline_of_pyradiomics(
    name: str, pyradiomics_case: Cases, baseline: Baseline
) -> None:
    case = pyradiomics_case(name)
    differ = differing(measured(case), baseline("shape", name))
    assert differ == (FROM_ANOTHER_MESH if name == "brain1" else set())
    assert not differing(measured(resampled(case)), baseline("shape", f"{name}_resampling"))


def test_the_mesh_of_brain1_is_that_of_pyradiomics_3_0_1(pyradiomics_case: Cases, baseline: Baseline) -> None:
    found = measured(pyradiomics_case("brain1"))
    assert found["MeshVolume"] == pytest.approx(16147.51180013, rel=1e-9)
    assert found["SurfaceArea"] == pytest.approx(6438.82160378, rel=1e-9)
    for name, value in baseline("shape", "brain1").items():
        assert found[name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_first_order_is_that_of_the_baseline_of_pyradiomics(
    name: str, pyradiomics_case: Cases, baseline: Baseline
) -> None:
    case = pyradiomics_case(name)
    expected = baseline("firstorder", name)
    assert differing(measured(case), expected) == SHIFTED
    shifted = measured(replace(case, voxels=case.voxels + 2000))
    assert not differing(shifted, {feature: expected[feature] for feature in SHIFTED})
    assert not differing(measured(resampled(case)), baseline("firstorder", f"{name}_resampling"))


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_first_order_of_a_normalised_image_is_that_of_the_baseline(
    name: str, pyradiomics_case: Cases, baseline: Baseline
) -> None:
    case = pyradiomics_case(name)
    values = case.voxels.astype(np.float64)
    normalised = 100 * (values - values.mean()) / values.std(ddof=1)
    levels, counts = np.unique(normalised[case.mask], return_counts=True)
    voxel = float(abs(np.linalg.det(case.affine_mm)))
    found = first_order_features(Distribution(levels, counts), voxel, bin_width=5.0)
    assert not differing(found, baseline("firstorder", f"{name}_normalization"))


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_first_order_without_outliers_is_that_of_the_baseline(
    name: str, pyradiomics_case: Cases, baseline: Baseline
) -> None:
    case = pyradiomics_case(name)
    inside = case.voxels[case.mask].astype(np.float64)
    kept = case.mask & (np.abs(case.voxels - inside.mean()) <= 3 * inside.std())
    assert not differing(measured(replace(case, mask=kept)), baseline("firstorder", f"{name}_resegmentation"))


def test_shape_and_first_order_are_within_the_tolerance_of_the_ibsi(
    ibsi_phantom: Case, ibsi_reference: dict[str, tuple[float, float]]
) -> None:
    found = measure(ibsi_phantom.volume(), [ibsi_phantom.segment()], frozenset({"shape", "firstorder"}))
    # Their bins have width 1; the histogram of the phantom is otherwise a single bin.
    values = {m.code.value: m.value for m in found if m.code.value not in {"TLU2", "BJ5W"}}
    distribution = Distribution.of(ibsi_phantom.voxels, ibsi_phantom.mask)
    histogram = first_order_features(distribution, 8.0, bin_width=1.0)
    values |= {"TLU2": histogram["Entropy"], "BJ5W": histogram["Uniformity"]}
    # The two that pyradiomics defines otherwise: kurtosis is not excess, and the covariance of the
    # voxel centres is divided by their number and not by one less.
    values["IPH6"] = histogram["Kurtosis"] - 3
    count = np.count_nonzero(ibsi_phantom.mask)
    for axis in ("TDIC", "P9VJ", "7J51"):
        values[axis] *= np.sqrt(count / (count - 1))
    checked = values.keys() & ibsi_reference.keys()
    assert len(checked) == 14 + 17
    for code in sorted(checked):
        reference, tolerance = ibsi_reference[code]
        assert values[code] == pytest.approx(reference, abs=tolerance * 1.000001), code
