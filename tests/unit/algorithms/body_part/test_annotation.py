"""The algorithm from the volume to its findings."""

from dataclasses import replace

import numpy as np
import pytest

from algorithms.body_part.anatomy import LANDMARKS, REGIONS
from algorithms.body_part.annotation import BodyPartRegression
from algorithms.body_part.options import needs
from algorithms.protocol import Unsuitable, silent


@pytest.fixture
def algorithm(linear_regressor):
    return BodyPartRegression(linear_regressor)


def test_a_linear_score_gives_every_landmark_at_its_height(algorithm, linear_volume):
    volume = linear_volume()
    findings = algorithm.run(volume, silent)
    assert [each.name for each in findings.landmarks] == list(LANDMARKS)
    for landmark in findings.landmarks:
        score = -20.0 + 0.118 * (landmark.position_mm[2] - 100.0)
        assert score == pytest.approx(LANDMARKS[landmark.name].score, abs=1.0)
        index = round((landmark.position_mm[2] - 100.0) / 8.0)
        assert landmark.sop_instance_uid == volume.sop_instance_uids[index]
        assert landmark.position_mm[:2] == pytest.approx((-3.5, -3.5))


def test_landmarks_carry_their_site_and_its_end(algorithm, linear_volume):
    found = {each.name: each for each in algorithm.run(linear_volume(), silent).landmarks}
    assert found["lung_end"].code.value == "39607008"
    assert found["lung_end"].modifier == ("421812003", "SCT", "Top")
    assert found["pelvis_start"].code.value == "816092008"
    assert found["kidney"].modifier is None


def test_regions_hold_neighbouring_slices_from_below_to_above(algorithm, linear_volume):
    volume = linear_volume()
    regions = algorithm.run(volume, silent).regions
    assert [each.name for each in regions] == list(REGIONS)
    for region in regions:
        indices = [volume.sop_instance_uids.index(uid) for uid in region.sop_instance_uids]
        assert indices == list(range(indices[0], indices[-1] + 1))


def test_slices_stored_from_the_head_down_give_the_same(algorithm, linear_volume):
    upwards, downwards = linear_volume(), linear_volume(descending=True)
    assert algorithm.run(downwards, silent) == algorithm.run(upwards, silent)


def test_a_header_that_exchanges_head_and_feet_is_refused(algorithm, linear_volume):
    volume = linear_volume(descending=True)
    lying = replace(volume, affine_mm=linear_volume().affine_mm)
    with pytest.raises(Unsuitable, match="from the head to the feet"):
        algorithm.run(lying, silent)


@pytest.mark.parametrize("spacing", [4.0, 16.0])
def test_a_spacing_that_is_wrong_is_refused(algorithm, linear_volume, spacing):
    with pytest.raises(Unsuitable, match="times as fast"):
        algorithm.run(linear_volume(spacing_mm=spacing), silent)


def test_other_images_are_refused_with_the_reason(algorithm, linear_volume):
    volume = linear_volume()
    with pytest.raises(Unsuitable, match="modality MR"):
        algorithm.run(replace(volume, modality="MR"), silent)
    with pytest.raises(Unsuitable, match="too few"):
        algorithm.run(
            replace(volume, voxels=volume.voxels[:5], sop_instance_uids=volume.sop_instance_uids[:5]), silent
        )
    with pytest.raises(Unsuitable, match="not Hounsfield units"):
        brighter = np.where(volume.voxels > -900, volume.voxels + 900, volume.voxels)
        algorithm.run(replace(volume, voxels=brighter), silent)


def test_options_name_the_weights():
    assert needs({}) == ("bpr-bundled",)
    assert needs({"weights": "published"}) == ("bpr",)
    with pytest.raises(ValueError, match="no option 'fold'"):
        needs({"fold": "1"})
    with pytest.raises(ValueError, match="it is one of"):
        needs({"weights": "mine"})
