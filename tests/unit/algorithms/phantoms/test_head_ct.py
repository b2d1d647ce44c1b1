"""The synthetic head: believable numbers, exact bleeds, the same every time."""

import numpy as np
import pytest

from algorithms.phantoms import Bleed, HeadPhantom, head_ct


def small(seed: int, bleed: Bleed | None = None) -> HeadPhantom:
    return head_ct(seed, bleed=bleed, columns=96)


def test_the_same_seed_gives_the_same_study():
    first, second = small(7, Bleed.EPIDURAL), small(7, Bleed.EPIDURAL)
    assert np.array_equal(first.volume.voxels, second.volume.voxels)
    assert first.volume.sop_instance_uids == second.volume.sop_instance_uids
    assert first.bleed_ml == second.bleed_ml


def test_odd_seeds_bleed_and_even_seeds_do_not():
    assert [head_ct(seed, columns=64).bleed is not None for seed in range(4)] == [False, True, False, True]


def test_a_head_is_the_same_head_with_and_without_its_bleed():
    whole, bled = small(4), small(4, Bleed.INTRAPARENCHYMAL)
    assert np.array_equal(whole.truth["Skull"], bled.truth["Skull"])
    assert "Bleed" not in whole.truth
    assert whole.bleed_ml == 0.0


@pytest.mark.parametrize("kind", list(Bleed))
def test_blood_is_denser_than_brain_and_has_the_volume_of_its_mask(kind):
    phantom = small(11, kind)
    voxels, blood = phantom.volume.voxels, phantom.truth["Bleed"]
    assert 45 < np.median(voxels[blood]) < 110
    assert np.count_nonzero(blood) * phantom.volume.voxel_volume_ml == pytest.approx(
        phantom.bleed_ml, rel=0.35
    )
    assert not (blood & phantom.truth["Skull"]).any()


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_tissues_have_their_volumes_and_hounsfield_units(seed):
    phantom = small(seed)
    voxels, truth, voxel_ml = phantom.volume.voxels, phantom.truth, phantom.volume.voxel_volume_ml
    inside = truth["Brain"] | truth["Cerebrospinal fluid"]
    assert 1000 < inside.sum() * voxel_ml < 2100
    assert 27 < np.median(voxels[truth["Brain"]]) < 42
    assert np.median(voxels[truth["Skull"]]) > 400
    assert np.array_equal(voxels, np.rint(voxels))


def test_slices_keep_their_spacing():
    volume = head_ct(1, columns=64, slice_spacing_mm=7.0).volume
    assert volume.spacing_mm[0] == pytest.approx(7.0)
    assert len(set(volume.sop_instance_uids)) == len(volume.voxels)
