"""Hyperdense tissue in the skull: the truth of phantoms, silence where there is no blood."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from algorithms.ct_fm.hyperdense import hyperdense
from algorithms.phantoms import Bleed, chest_ct, head_ct
from algorithms.protocol import Unsuitable, Volume


@pytest.mark.parametrize(("kind", "seed"), [(Bleed.EPIDURAL, 8), (Bleed.INTRAVENTRICULAR, 11)])
def test_a_bleed_is_measured_within_ten_percent(kind, seed):
    phantom = head_ct(seed, bleed=kind)
    found = hyperdense(phantom.volume)
    assert found.ml == pytest.approx(phantom.bleed_ml, rel=0.1)
    overlap = np.count_nonzero(found.mask & phantom.truth["Bleed"])
    assert 2 * overlap > 0.8 * (np.count_nonzero(found.mask) + np.count_nonzero(phantom.truth["Bleed"]))


@pytest.mark.parametrize("seed", [6, 12])
def test_calcifications_falx_and_vessels_are_no_blood(seed):
    assert hyperdense(head_ct(seed, bleed=None).volume).ml < 2.0


def test_a_stack_from_head_to_feet_measures_the_same():
    volume = head_ct(9, bleed=Bleed.EPIDURAL, columns=256).volume
    affine = volume.affine_mm.copy()
    affine[:3, 3] += affine[:3, 0] * (len(volume.voxels) - 1)
    affine[:3, 0] *= -1
    upside_down = replace(volume, voxels=volume.voxels[::-1].copy(), affine_mm=affine)
    assert hyperdense(upside_down).ml == pytest.approx(hyperdense(volume).ml, rel=0.02)


def test_uneven_slices_count_as_much_as_they_stand_for():
    phantom = head_ct(9, bleed=Bleed.EPIDURAL, columns=256)
    volume = phantom.volume
    kept = np.setdiff1d(np.arange(len(volume.voxels)), np.arange(1, 8, 2))
    thinned = replace(
        volume,
        voxels=volume.voxels[kept],
        sop_instance_uids=tuple(volume.sop_instance_uids[k] for k in kept),
        slice_places=kept.astype(np.float64),
    )
    assert hyperdense(thinned).ml == pytest.approx(phantom.bleed_ml, rel=0.1)


def test_values_without_a_scale_are_refused():
    volume = replace(head_ct(0, columns=64).volume, unit="arbitrary")
    with pytest.raises(Unsuitable, match="no Hounsfield scale"):
        hyperdense(volume)


def test_a_chest_is_refused():
    with pytest.raises(Unsuitable, match="no skull"):
        hyperdense(chest_ct(1, slices=20, columns=128, slice_spacing_mm=10.0).volume)


def test_the_tilted_scan_of_a_person_without_a_bleed_has_less_than_2_ml(shared_data: Path):
    files = sorted((shared_data / "ct-head" / "ge-hispeed-tilted").glob("*.dcm"))
    slices = sorted((dcmread(file) for file in files), key=lambda s: float(s.ImagePositionPatient[2]))
    heights = np.array([float(s.ImagePositionPatient[2]) for s in slices])
    step = float(np.median(np.diff(heights)))
    affine = np.eye(4)
    row, column = np.reshape(np.array(slices[0].ImageOrientationPatient, float), (2, 3))
    affine[:3, 1], affine[:3, 2] = column * slices[0].PixelSpacing[0], row * slices[0].PixelSpacing[1]
    affine[:3, 0] = (0.0, 0.0, step)
    affine[:3, 3] = slices[0].ImagePositionPatient
    voxels = np.stack([s.pixel_array * s.RescaleSlope + s.RescaleIntercept for s in slices])
    uids = tuple(str(s.SOPInstanceUID) for s in slices)
    places = (heights - heights[0]) / step
    volume = Volume(voxels.astype(np.float32), affine, "HU", "CT", uids, places)
    found = hyperdense(volume)
    assert found.ml < 2.0
    assert 1200 < found.brain_ml < 1800
