"""Coded measurements of segments: which, of what, with which code."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr.codedict import codes as dicom

from algorithms.protocol import Code, Segment, Volume
from algorithms.radiomics.codes import EXTENSIONS
from algorithms.radiomics.measurement import measure
from algorithms.radiomics.texture_codes import TEXTURE_FEATURES
from tests.unit.algorithms.radiomics.conftest import segment_of

BOTH = frozenset({"shape", "firstorder"})
GUIDE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "radiomics.md"


def image(unit: str = "HU", modality: str = "CT") -> Volume:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (12, 20, 20)).astype(np.float32)
    uids = tuple(f"2.25.{index + 1}" for index in range(12))
    return Volume(voxels, np.diag((2.0, 1.0, 1.0, 1.0)), unit, modality, uids)


def ball(label: str = "ROI", radius: int = 5, column: int = 10) -> Segment:
    grid = np.ogrid[-6:6, -10:10, -column : 20 - column]
    return segment_of(sum(g**2 for g in grid) <= radius**2, label)


def test_each_class_has_its_features() -> None:
    assert len(measure(image(), [ball()], frozenset({"shape"}))) == 17
    assert len(measure(image(), [ball()], frozenset({"firstorder"}))) == 19
    assert len(measure(image(), [ball()], BOTH)) == 36
    assert measure(image(), [ball()], frozenset()) == ()


def test_names_are_unique_over_all_classes() -> None:
    names = [m.name for m in measure(image(), [ball()], BOTH)] + [f.name for f in TEXTURE_FEATURES]
    assert len(set(names)) == len(names) == 17 + 19 + 76


def test_overlapping_segments_are_measured_each_for_itself() -> None:
    inner, outer = ball("inner", 3), ball("outer", 5)
    together = measure(image(), [outer, inner], BOTH)
    assert together == measure(image(), [outer], BOTH) + measure(image(), [inner], BOTH)
    assert {m.segment for m in together} == {"inner", "outer"}


def test_a_segment_is_measured_where_it_lies() -> None:
    here, there = ball(column=6), ball(column=13)
    values = [{m.name: m.value for m in measure(image(), [segment], BOTH)} for segment in (here, there)]
    assert values[0]["MeshVolume"] == values[1]["MeshVolume"]
    volume = image()
    for segment, found in zip((here, there), values, strict=True):
        inside = volume.voxels[segment.on_grid(volume.voxels.shape)].astype(np.float64)
        assert found["Mean"] == pytest.approx(inside.mean())


def test_a_segment_without_voxels_is_left_out() -> None:
    empty = replace(ball(), mask=np.zeros((2, 2, 2), dtype=np.bool_))
    assert measure(image(), [empty], BOTH) == ()


def test_intensity_of_ct_is_a_derived_attenuation_coefficient_in_hounsfield_units() -> None:
    found = {m.name: m for m in measure(image(), [ball()], BOTH)}
    assert found["Mean"].code == Code("112031", "DCM", "Attenuation Coefficient")
    assert found["Mean"].derivation == Code("373098007", "SCT", "Mean")
    assert found["Mean"].unit.value == "[hnsf'U]"
    assert found["Variance"].unit.value == "[hnsf'U]2"
    assert found["TotalEnergy"].unit.value == "[hnsf'U]2.mm3"
    assert found["Skewness"].unit.value == "1"
    assert found["InterquartileRange"].code == Code("SALO", "IBSI", "Intensity interquartile range")
    assert found["InterquartileRange"].derivation is None


def test_intensity_of_mr_is_a_signal_intensity_in_arbitrary_units() -> None:
    found = {m.name: m for m in measure(image("arbitrary", "MR"), [ball()], BOTH)}
    assert found["Mean"].code == Code("110852", "DCM", "MR signal intensity")
    assert found["Mean"].derivation == Code("373098007", "SCT", "Mean")
    assert found["Mean"].unit == Code("[arb'U]", "UCUM", "arbitrary unit")


def test_intensity_of_anything_else_has_the_code_of_the_ibsi() -> None:
    found = {m.name: m for m in measure(image("arbitrary", "PT"), [ball()], BOTH)}
    assert found["Mean"].code == Code("Q4LE", "IBSI", "Mean intensity")
    assert found["Mean"].derivation is None


@pytest.mark.parametrize(("unit", "modality"), [("HU", "CT"), ("arbitrary", "MR"), ("arbitrary", "PT")])
def test_every_code_is_in_dicom_or_listed_as_an_extension(unit: str, modality: str) -> None:
    listed = {(c.value, c.scheme_designator, c.meaning) for cid in (7477, 7478) for c in members(cid)}
    quantities = {(c.value, c.scheme_designator, c.meaning) for c in members(7180)}
    derivations = {(c.value, c.scheme_designator, c.meaning) for c in members(7464)}
    for measurement in measure(image(unit, modality), [ball()], BOTH):
        if measurement.derivation is None:
            assert measurement.code in listed | EXTENSIONS
        else:
            assert measurement.code in quantities
            assert measurement.derivation in derivations


def test_every_texture_code_is_in_its_context_group() -> None:
    listed = {
        (c.value, c.scheme_designator, c.meaning)
        for cid in (7467, 7475, 7476, 7500, 7501)
        for c in members(cid)
    }
    assert {feature.code for feature in TEXTURE_FEATURES} <= listed
    assert len({feature.code.value for feature in TEXTURE_FEATURES}) == 76


def test_the_guide_lists_every_extension_with_its_reason() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (\S+) \| ([^|]+) \| \S.* \|$", GUIDE.read_text(), re.MULTILINE)
    assert {Code(*(part.strip() for part in row)) for row in rows} == EXTENSIONS


def test_values_fit_a_decimal_string() -> None:
    for measurement in measure(image(), [ball()], BOTH):
        assert len(repr(measurement.value)) <= 16


def test_a_real_chest_is_measured_organ_by_organ(
    shared_data: Path, read_series: Callable[[Path], Volume]
) -> None:
    volume = read_series(shared_data / "ct-thorax-lungdx" / "Lung_Dx-A0001" / "series3")
    tissue = segment_of(volume.voxels > -200, "tissue")
    lung_like = segment_of((volume.voxels < -600) & (volume.voxels > -950), "lung-like")
    found = {(m.segment, m.name): m.value for m in measure(volume, [tissue, lung_like], BOTH)}
    for segment in (tissue, lung_like):
        inside = volume.voxels[segment.box][segment.mask].astype(np.float64)
        assert found[segment.label, "Mean"] == pytest.approx(inside.mean(), rel=1e-9)
        assert found[segment.label, "10Percentile"] == pytest.approx(np.percentile(inside, 10))
        expected = segment.voxel_count * volume.voxel_volume_ml * 1000
        assert found[segment.label, "VoxelVolume"] == pytest.approx(expected)
        assert found[segment.label, "MeshVolume"] == pytest.approx(expected, rel=0.05)


def members(cid: int) -> list[object]:
    return list(getattr(dicom, f"cid{cid}").concepts.values())
