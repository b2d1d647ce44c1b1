"""Features: known bodies, the IBSI phantom, and what must not change them."""

import csv
import gzip

import nibabel
import numpy as np
import pytest

from algorithms import terminology
from algorithms.chest_ct.features import intensity_features, measure, shape_features
from algorithms.protocol import Segment, Volume

IBSI = {code.value: name for name, (code, _) in terminology.SHAPE_FEATURES.items()}


def ellipsoid(semi_axes, spacing):
    """Mask with axes (slice, row, column) of an ellipsoid, and its affine."""
    reach = [int(np.ceil(r / s)) + 1 for r, s in zip(semi_axes, spacing, strict=True)]
    index = np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij")
    squared = sum((i * s / r) ** 2 for i, s, r in zip(index, spacing, semi_axes, strict=True))
    return squared <= 1, np.diag([*spacing, 1.0])


@pytest.mark.parametrize(("spacing", "sphericity"), [((1, 1, 1), 0.918), ((2.5, 0.977, 0.977), 0.871)])
def test_ball_has_the_numbers_of_a_digital_ball(spacing, sphericity):
    radius = 40.0
    values = shape_features(*ellipsoid((radius,) * 3, spacing))
    volume = 4 / 3 * np.pi * radius**3
    assert values["MeshVolume"] == pytest.approx(volume, rel=3e-3)
    assert values["VoxelVolume"] == pytest.approx(volume, rel=3e-3)
    assert values["Sphericity"] == pytest.approx(sphericity, abs=0.005)
    assert 2 * radius < values["Maximum3DDiameter"] <= 2 * radius + spacing[0] + 0.1
    for axis in ("MajorAxisLength", "MinorAxisLength", "LeastAxisLength"):
        assert values[axis] == pytest.approx(4 * radius / np.sqrt(5), rel=2e-3)


def test_ellipsoid_has_its_axes_elongation_and_flatness():
    values = shape_features(*ellipsoid((15.0, 25.0, 40.0), (1, 1, 1)))
    assert values["LeastAxisLength"] == pytest.approx(26.74, abs=0.1)
    assert values["MinorAxisLength"] == pytest.approx(44.69, abs=0.1)
    assert values["MajorAxisLength"] == pytest.approx(71.63, abs=0.1)
    assert values["Elongation"] == pytest.approx(0.624, abs=0.001)
    assert values["Flatness"] == pytest.approx(0.373, abs=0.001)


def test_derived_shape_features_follow_from_area_and_volume():
    values = shape_features(*ellipsoid((15.0, 25.0, 40.0), (2, 1, 1)))
    area, volume = values["SurfaceArea"], values["MeshVolume"]
    assert values["SurfaceVolumeRatio"] == pytest.approx(area / volume)
    assert values["Sphericity"] == pytest.approx((36 * np.pi * volume**2) ** (1 / 3) / area)
    assert values["SphericalDisproportion"] == pytest.approx(1 / values["Sphericity"])
    assert values["Compactness1"] == pytest.approx(volume / (area**1.5 * np.sqrt(np.pi)))
    assert values["Compactness2"] == pytest.approx(values["Sphericity"] ** 3)


def test_turning_the_patient_changes_no_shape_feature():
    mask, affine = ellipsoid((10.0, 18.0, 30.0), (3.0, 1.0, 1.5))
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turned = np.eye(4)
    turned[:3, :3] = turn
    assert shape_features(mask, turned @ affine) == pytest.approx(shape_features(mask, affine), rel=1e-9)


def test_ibsi_digital_phantom_agrees_with_the_consensus(shared_data):
    folder = shared_data / "radiomics-ibsi"
    image = nibabel.load(folder / "ibsi_1_digital_phantom/mask/mask.nii.gz")
    mask = np.asarray(image.dataobj) > 0
    values = shape_features(mask, image.affine)
    for axis in ("MajorAxisLength", "MinorAxisLength", "LeastAxisLength"):
        values[axis] *= np.sqrt(mask.sum() / (mask.sum() - 1))  # the IBSI divides by N - 1, pyradiomics by N
    with (folder / "ibsi_1_digital_phantom_reference_values.csv").open() as lines:
        reference = {row["ibsi_code"]: row for row in csv.DictReader(lines)}
    assert set(IBSI) <= set(reference)
    for code, name in IBSI.items():
        tolerance = float(reference[code]["tolerance"])
        assert values[name] == pytest.approx(float(reference[code]["reference_value"]), abs=tolerance), name


def read_nrrd(path):
    header, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert fields["encoding"] == "gzip"
    kind = {"short": "<i2", "unsigned char": "u1", "int": "<i4"}[fields["type"]]
    shape = [int(n) for n in fields["sizes"].split()]
    vectors = [[float(x) for x in v.strip("()").split(",")] for v in fields["space directions"].split()]
    affine = np.eye(4)
    affine[:3, :3] = np.transpose(vectors)
    return np.frombuffer(gzip.decompress(data), kind).reshape(shape, order="F"), affine


@pytest.mark.parametrize(("case", "tolerance"), [("breast1", 1e-8), ("brain1", 6e-3)])
def test_real_lesions_have_the_shape_that_pyradiomics_measured(shared_data, case, tolerance):
    """In brain1 some faces of the two meshes turn the other way; axes and diameter are identical."""
    folder = shared_data / "radiomics-pyradiomics"
    labels, affine = read_nrrd(folder / f"{case}_label.nrrd")
    values = shape_features(labels == 1, affine)
    with (folder / "baseline/baseline_shape.csv").open() as lines:
        baseline = {
            name.split("_")[-1]: row[case] for row in csv.DictReader(lines) if (name := row["featureName"])
        }
    compared = set(values) & set(baseline)
    assert len(compared) >= 11
    for name in compared:
        assert values[name] == pytest.approx(float(baseline[name]), rel=tolerance), name


def test_intensity_features_are_those_of_the_values():
    values = intensity_features(np.array([-900, -800, -800, 100], dtype=np.float32))
    assert values == pytest.approx(
        {"Mean": -600, "Median": -800, "Minimum": -900, "Maximum": 100, "StandardDeviation": 406.2019}
    )


def cube_volume():
    voxels = np.full((6, 7, 8), -1000, dtype=np.float32)
    voxels[1:4, 2:5, 3:6] = 40
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    segment = Segment.from_mask(
        voxels > 0,
        label="Cube",
        category=terminology.ANATOMICAL_STRUCTURE,
        type=terminology.LUNG,
        rgb=(1, 2, 3),
    )
    return segment, Volume(voxels, affine, "HU", "CT", tuple("123456"))


def test_measurements_carry_code_unit_and_derivation():
    segment, image = cube_volume()
    measurements = {m.name: m for m in measure(segment, image, shape=True)}
    assert len(measurements) == 14 + 5
    assert all(m.segment == "Cube" for m in measurements.values())
    assert measurements["VoxelVolume"].value == pytest.approx(54)
    assert measurements["VoxelVolume"].unit == terminology.CUBIC_MILLIMETER
    assert measurements["Mean"].code == terminology.ATTENUATION_COEFFICIENT
    assert measurements["Mean"].derivation == terminology.DERIVATIONS["Mean"]
    assert measurements["Mean"].value == 40


def test_without_shape_only_the_volume_is_measured():
    segment, image = cube_volume()
    names = [m.name for m in measure(segment, image, shape=False)]
    assert names == ["VoxelVolume", "Mean", "Median", "Minimum", "Maximum", "StandardDeviation"]


def test_one_voxel_has_no_elongation():
    segment, image = cube_volume()
    one = Segment.from_mask(
        np.eye(1, dtype=bool)[None],
        label="Dot",
        category=segment.category,
        type=segment.type,
        rgb=segment.rgb,
    )
    names = {m.name for m in measure(one, image, shape=True)}
    assert "Elongation" not in names
    assert "MeshVolume" in names
