"""The bundled weights on a body that was in no training, and on real CTs."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import spearmanr

from algorithms.body_part.annotation import BodyPartRegression
from algorithms.body_part.coverage import coverage
from algorithms.phantoms import torso
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.weights import BUNDLED, Store

CHEST = "ct-thorax-lungdx/Lung_Dx-A0001/series3"
ABDOMEN = "ct-labelled-totalsegmentator/nifti/example_ct.nii.gz"


@pytest.fixture(scope="module")
def algorithm():
    return BodyPartRegression.from_options({}, "cpu", Store((BUNDLED,)))


@pytest.fixture(scope="module")
def chest(read_series, shared_data):
    return read_series(shared_data / CHEST)


@pytest.fixture(scope="module")
def abdomen(read_nifti, shared_data):
    return read_nifti(shared_data / ABDOMEN)


@pytest.fixture(scope="module")
def read_nifti():
    import nibabel

    def read(path, modality="CT", unit="HU"):
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj).astype(np.float32).transpose(2, 1, 0)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine @ np.eye(4)[[2, 1, 0, 3]]
        uids = tuple(f"1.{i}" for i in range(len(voxels)))
        return Volume(np.ascontiguousarray(voxels), affine, unit, modality, uids)

    return read


@cache
def body(bottom_mm, top_mm):
    phantom = torso(2001, spacing_mm=3.5, bottom_mm=bottom_mm, top_mm=top_mm)
    uids = tuple(f"1.{i}" for i in range(len(phantom.hu)))
    return Volume(np.asarray(phantom.hu), phantom.affine_mm, "HU", "CT", uids), phantom.levels_mm


def order(algorithm, volume):
    scores = algorithm.regressor.scores(volume, silent)
    heights = np.arange(len(scores)) * volume.affine_mm[2, 0]
    return spearmanr(scores, heights, nan_policy="omit").statistic


def test_the_landmarks_of_a_body_are_near_their_places(algorithm):
    volume, levels_mm = body(-360.0, 580.0)
    found = {each.name: each.position_mm[2] for each in algorithm.run(volume, silent).landmarks}
    errors = [abs(found[name] - z) for name, z in levels_mm.items() if name in found]
    assert len(errors) >= 30
    assert np.mean(errors) < 20


@pytest.mark.parametrize(
    ("bottom_mm", "top_mm", "covered", "not_covered"),
    [(-60, 300, {"chest"}, {"head", "pelvis"}), (-300, 40, {"abdomen", "pelvis"}, {"chest", "head"})],
)
def test_a_part_of_the_body_is_recognised(algorithm, bottom_mm, top_mm, covered, not_covered):
    verdict = coverage(body(bottom_mm, top_mm)[0], algorithm.regressor)
    assert covered <= verdict.parts
    assert not not_covered & verdict.parts


def test_the_scores_of_a_chest_ct_rise_and_it_covers_the_chest(algorithm, chest):
    assert order(algorithm, chest) >= 0.98
    verdict = coverage(chest, algorithm.regressor)
    assert "chest" in verdict.parts
    assert not {"head", "pelvis", "legs"} & verdict.parts


def test_lungs_of_a_chest_ct_begin_and_end_near_where_they_are_seen(algorithm, chest):
    found = {each.name: each.position_mm[2] for each in algorithm.run(chest, silent).landmarks}
    assert found["lung_end"] == pytest.approx(-166, abs=25)
    assert found["liver_end"] == pytest.approx(-356, abs=35)


def test_the_same_chest_stored_from_the_head_down_gives_the_same(algorithm, chest):
    affine = chest.affine_mm.copy()
    affine[:3, 3] += (len(chest.voxels) - 1) * affine[:3, 0]
    affine[:3, 0] *= -1
    turned = Volume(chest.voxels[::-1], affine, "HU", "CT", chest.sop_instance_uids[::-1])
    assert algorithm.run(turned, silent).regions == algorithm.run(chest, silent).regions


def test_head_and_feet_exchanged_are_noticed_in_a_chest_ct(algorithm, chest):
    lying = replace(chest, voxels=np.ascontiguousarray(chest.voxels[::-1]))
    assert not coverage(lying, algorithm.regressor).plausible
    with pytest.raises(Unsuitable):
        algorithm.run(lying, silent)


def test_an_abdomen_with_lung_bases_in_view_does_not_cover_the_chest(algorithm, abdomen):
    assert order(algorithm, abdomen) >= 0.98
    verdict = coverage(abdomen, algorithm.regressor)
    assert "abdomen" in verdict.parts
    assert not {"chest", "shoulder-neck", "head"} & verdict.parts


def test_a_head_ct_does_not_cover_the_chest(algorithm, read_series, shared_data):
    head = read_series(shared_data / "ct-head/ge-hispeed-tilted")
    assert not {"chest", "abdomen", "pelvis"} & coverage(head, algorithm.regressor).parts


def test_a_brain_mr_covers_nothing_even_if_it_says_that_it_is_a_ct(algorithm, read_nifti, shared_data):
    path = sorted((shared_data / "mr-t1-brain-labelled/t1").rglob("*.nii*"))[0]
    brain = read_nifti(path, modality="MR", unit="arbitrary")
    assert "modality MR" in coverage(brain, algorithm.regressor).sentence
    for offset in (0.0, 1024.0):
        lying = replace(brain, modality="CT", unit="HU", voxels=brain.voxels - np.float32(offset))
        assert "chest" not in coverage(lying, algorithm.regressor).parts
