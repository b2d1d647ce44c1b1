"""What counts as covered, with scores that are known and with the bundled weights."""

from dataclasses import replace

import numpy as np
import pytest

from algorithms.body_part.coverage import coverage, judge
from algorithms.body_part.scores import Reference, ScoreCurve
from algorithms.protocol import Volume

REFERENCE = Reference(raw_ends=(0.0, 100.0))
SPACING_MM = 5.0


def scan(low, high):
    return ScoreCurve(np.arange(low, high, 0.59), SPACING_MM, 0.118, 1.0, False, True)


def body(curve, *, lung):
    """A disc of soft tissue in air on every slice, with a lung in it if asked for."""
    y, x = np.mgrid[:64, :64] - 31.5
    slice_hu = np.where(x**2 + y**2 < 26**2, 40.0, -1000.0)
    if lung:
        slice_hu[x**2 + y**2 < 14**2] = -800.0
    voxels = np.repeat(slice_hu[None].astype(np.float32), len(curve.values), axis=0)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = SPACING_MM, 7.0, 7.0, 1.0
    return Volume(voxels, affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels))))


@pytest.mark.parametrize(
    ("low", "high", "parts"),
    [
        (42, 80, {"chest"}),
        (-5, 40, {"pelvis"}),
        (20, 56, {"abdomen"}),
        (20, 80, {"chest", "abdomen"}),
        (88, 108, {"head"}),
        (-5, 47, {"pelvis", "abdomen"}),
        (70, 108, {"shoulder-neck", "head"}),
        (60, 68, set()),
        (-40, 12, {"legs"}),
    ],
)
def test_a_part_is_covered_if_enough_of_it_is_in_view(low, high, parts):
    curve = scan(low, high)
    verdict = judge(body(curve, lung=True), curve, REFERENCE)
    assert verdict.plausible
    assert verdict.parts == parts
    for part in parts:
        assert part in verdict.sentence


def test_a_few_slices_of_the_chest_have_its_tag_but_do_not_cover_it():
    curve = scan(60, 68)
    verdict = judge(body(curve, lung=True), curve, REFERENCE)
    assert verdict.tag == "CHEST"
    assert "chest" not in verdict.parts


def test_a_chest_without_lung_is_not_believed():
    curve = scan(42, 80)
    verdict = judge(body(curve, lung=False), curve, REFERENCE)
    assert not verdict.plausible
    assert verdict.parts == frozenset()
    assert "no lung" in verdict.sentence


def test_lung_is_looked_for_on_the_slices_called_chest(linear_regressor):
    curve = scan(20, 80)
    volume = body(curve, lung=False)
    upper = np.arange(len(curve.values)) > len(curve.values) * 0.4
    volume.voxels[upper] = body(curve, lung=True).voxels[upper]
    assert "chest" in judge(volume, curve, REFERENCE).parts
    flipped = volume.affine_mm.copy()
    flipped[2, 0] *= -1
    assert not judge(replace(volume, affine_mm=flipped), curve, REFERENCE).plausible


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": "MR", "unit": "arbitrary"}, "modality MR"),
        ({"unit": "arbitrary"}, "unit arbitrary"),
    ],
)
def test_what_is_no_ct_covers_nothing_and_says_why(linear_regressor, linear_volume, change, reason):
    verdict = coverage(replace(linear_volume(), **change), linear_regressor)
    assert verdict.parts == frozenset()
    assert verdict.tag == "NONE"
    assert not verdict.plausible
    assert reason in verdict.sentence


def test_slices_that_are_not_axial_cover_nothing(linear_regressor, linear_volume):
    volume = linear_volume()
    sagittal = replace(volume, affine_mm=volume.affine_mm[:, [2, 0, 1, 3]])
    assert coverage(sagittal, linear_regressor).sentence == "the slices are not axial"


def test_an_empty_volume_covers_nothing(linear_regressor, linear_volume):
    volume = linear_volume()
    empty = np.full_like(volume.voxels, -1000.0)
    empty[0, 0, 0] = 0.0
    verdict = coverage(replace(volume, voxels=empty), linear_regressor)
    assert not verdict.plausible
