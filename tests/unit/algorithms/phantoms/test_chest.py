"""The synthetic chest: believable numbers, known truth, the same every time."""

import numpy as np
import pytest

from algorithms.phantoms import chest_ct

SMALL = {"slices": 20, "columns": 96, "slice_spacing_mm": 15.0}


def test_the_same_seed_gives_the_same_study():
    first, second = chest_ct(7, **SMALL), chest_ct(7, **SMALL)
    assert np.array_equal(first.volume.voxels, second.volume.voxels)
    assert first.volume.sop_instance_uids == second.volume.sop_instance_uids
    assert all(np.array_equal(first.truth[label], second.truth[label]) for label in first.truth)


def test_another_seed_gives_another_anatomy_and_other_uids():
    first, second = chest_ct(7, **SMALL), chest_ct(8, **SMALL)
    assert not np.array_equal(first.truth["Left lung"], second.truth["Left lung"])
    assert not set(first.volume.sop_instance_uids) & set(second.volume.sop_instance_uids)


def test_given_uids_are_kept():
    uids = tuple(f"1.2.3.{i}" for i in range(20))
    assert chest_ct(7, **SMALL, sop_instance_uids=uids).volume.sop_instance_uids == uids


def test_uids_are_uids(small_phantom):
    uids = small_phantom.volume.sop_instance_uids
    assert len(set(uids)) == len(uids)
    assert all(len(uid) <= 64 and uid.startswith("2.25.") and not uid.startswith("2.25.0") for uid in uids)


def test_tissues_have_their_hounsfield_units(phantom):
    voxels, truth = phantom.volume.voxels, phantom.truth
    assert voxels.min() >= -1024
    assert np.array_equal(voxels, np.rint(voxels))
    assert -920 < np.median(voxels[truth["Left lung"]]) < -780
    assert np.median(voxels[truth["Trachea and main bronchi"]]) < -950
    solid = truth["Body"] & ~truth["Left lung"] & ~truth["Right lung"]
    assert -120 < np.median(voxels[solid]) < 120
    assert (voxels > 400).sum() * phantom.volume.voxel_volume_ml > 200


def test_truth_is_disjoint_and_inside_the_body(phantom):
    inside = [mask for label, mask in phantom.truth.items() if label != "Body"]
    assert len(inside) == 7
    layers = np.sum(inside, axis=0, dtype=np.uint8)
    assert layers.max() == 1
    assert not (layers.astype(bool) & ~phantom.truth["Body"]).any()


def test_truth_is_on_the_grid_of_the_volume(small_phantom):
    assert {mask.shape for mask in small_phantom.truth.values()} == {small_phantom.volume.voxels.shape}


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [
        ("Left lung", 900, 3500),
        ("Trachea and main bronchi", 15, 90),
        ("Heart", 350, 1100),
        ("Aorta", 50, 450),
        ("Esophagus", 12, 70),
        ("Spinal cord", 25, 110),
    ],
)
def test_organs_have_human_volumes(phantom, label, low, high):
    assert low < np.count_nonzero(phantom.truth[label]) * phantom.volume.voxel_volume_ml < high


def test_left_is_at_larger_x(phantom):
    index = np.argwhere(phantom.truth["Left lung"]).mean(axis=0)
    assert (phantom.volume.affine_mm @ [*index, 1])[0] > 0


def test_lungs_hold_vessels(phantom):
    inside = phantom.volume.voxels[phantom.truth["Left lung"] | phantom.truth["Right lung"]]
    assert 0.005 < np.mean(inside > -400) < 0.2
