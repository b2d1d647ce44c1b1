"""Rules: what is kept of the network's answer."""

import numpy as np

from algorithms.chest_ct.organ_rules import ORGANS, Organ, keep_plausible, pieces_of

EVERYWHERE = np.ones((40, 30, 30), dtype=bool)
LUNG = np.full((40, 30, 30), -800.0, dtype=np.float32)


def answer(**boxes):
    """Margins of 1 inside boxes and -1 outside."""
    margins = {organ: np.full((40, 30, 30), -1.0, dtype=np.float32) for organ in ORGANS}
    for name, slices in boxes.items():
        for box in slices:
            margins[Organ[name]][box] = 1.0
    return margins


def column(low, high, at=10, width=4):
    return slice(low, high), slice(at, at + width), slice(at, at + width)


def test_only_the_largest_piece_is_a_heart():
    margins = answer(HEART=[column(5, 20, width=10), column(30, 36, width=5)])
    kept = keep_plausible(margins, LUNG, EVERYWHERE, 3.0)[Organ.HEART] > 0
    assert kept[:25].sum() == 15 * 10 * 10
    assert not kept[25:].any()


def test_a_hole_in_the_heart_is_filled_unless_it_is_another_organ():
    margins = answer(HEART=[column(5, 20, width=12)], AORTA=[column(8, 11, at=12, width=3)])
    margins[Organ.HEART][column(8, 11, at=12, width=3)] = -1.0
    margins[Organ.HEART][15, 15, 15] = -1.0
    heart = keep_plausible(margins, LUNG, EVERYWHERE, 3.0)[Organ.HEART] > 0
    assert heart[15, 15, 15]
    assert not heart[9, 13, 13]


def test_crumbs_are_no_organ():
    margins = answer(SPINAL_CORD=[column(0, 40)], ESOPHAGUS=[column(3, 4, width=2)])
    margins[Organ.SPINAL_CORD][20, 25, 25] = 1.0
    kept = keep_plausible(margins, LUNG, EVERYWHERE, 3.0)
    assert pieces_of(kept[Organ.SPINAL_CORD] > 0) == [640]
    assert not (kept[Organ.ESOPHAGUS] > 0).any()


def test_pieces_are_joined_where_the_network_half_saw_the_rest():
    margins = answer(ESOPHAGUS=[column(5, 18), column(22, 36)])
    assert len(pieces_of(keep_plausible(margins, LUNG, EVERYWHERE, 3.0)[Organ.ESOPHAGUS] > 0)) == 2
    margins[Organ.ESOPHAGUS][column(18, 22)] = -0.4
    assert len(pieces_of(keep_plausible(margins, LUNG, EVERYWHERE, 3.0)[Organ.ESOPHAGUS] > 0)) == 1


def test_weak_voxels_join_nothing_where_another_organ_is():
    margins = answer(ESOPHAGUS=[column(5, 18), column(22, 36)], AORTA=[column(10, 30)])
    margins[Organ.AORTA][column(5, 18)] = margins[Organ.AORTA][column(22, 36)] = -1.0
    margins[Organ.ESOPHAGUS][column(18, 22)] = -0.4
    kept = keep_plausible(margins, LUNG, EVERYWHERE, 3.0)
    assert len(pieces_of(kept[Organ.ESOPHAGUS] > 0)) == 2
    assert not ((kept[Organ.ESOPHAGUS] > 0) & (kept[Organ.AORTA] > 0)).any()


def test_nothing_stays_nothing():
    assert not any((margin > 0).any() for margin in keep_plausible(answer(), LUNG, EVERYWHERE, 3.0).values())


def test_a_column_that_bone_does_not_enclose_is_no_cord():
    margins = answer(SPINAL_CORD=[column(0, 40, at=4), column(0, 40, at=20, width=8)])
    canal = np.zeros((40, 30, 30), dtype=bool)
    canal[column(0, 40, at=3, width=6)] = True
    kept = keep_plausible(margins, LUNG, canal, 3.0)[Organ.SPINAL_CORD] > 0
    assert np.array_equal(kept, (margins[Organ.SPINAL_CORD] > 0) & canal)


def test_what_lies_behind_the_cord_or_far_aside_or_beyond_it_is_no_aorta():
    margins = answer(SPINAL_CORD=[column(10, 30, at=20, width=2)], AORTA=[column(5, 35, at=12)])
    assert (keep_plausible(margins, LUNG, EVERYWHERE, 3.0)[Organ.AORTA] > 0).any()
    kept = keep_plausible(margins, LUNG, EVERYWHERE, 6.0)[Organ.AORTA] > 0
    assert np.flatnonzero(kept.any(axis=(1, 2))).tolist() == list(range(6, 34))
    behind = answer(SPINAL_CORD=[column(10, 30, at=5, width=2)], AORTA=[column(5, 35, at=12)])
    assert not (keep_plausible(behind, LUNG, EVERYWHERE, 3.0)[Organ.AORTA] > 0).any()


def test_below_the_lungs_there_is_no_esophagus_and_no_heart():
    margins = answer(
        SPINAL_CORD=[column(0, 40, at=22, width=2)],
        ESOPHAGUS=[column(0, 40, at=12)],
        HEART=[(slice(0, 40), slice(2, 10), slice(10, 28))],
        AORTA=[(slice(0, 40), slice(12, 16), slice(20, 24))],
    )
    hu = LUNG.copy()
    hu[:25] = 40.0
    kept = keep_plausible(margins, hu, EVERYWHERE, 3.0)
    lowest = {organ: int(np.flatnonzero((kept[organ] > 0).any(axis=(1, 2)))[0]) for organ in ORGANS}
    assert lowest == {Organ.HEART: 20, Organ.AORTA: 0, Organ.ESOPHAGUS: 15, Organ.SPINAL_CORD: 0}


def test_a_vessel_holds_no_fat_and_is_no_sheet():
    margins = answer(
        SPINAL_CORD=[column(0, 40, at=24, width=2)],
        AORTA=[column(0, 40, at=12, width=8), (slice(0, 40), slice(14, 15), slice(20, 28))],
    )
    hu = LUNG.copy()
    hu[:, 10:, :] = 40.0
    hu[:, 10:14] = -100.0
    hu[:, :, 18:] = 40.0
    aorta = keep_plausible(margins, hu, EVERYWHERE, 3.0)[Organ.AORTA] > 0
    assert aorta[20, 16, 16]
    assert not aorta[:, 14, 21:].any()
    assert not aorta[:, 12:14, 12:17].any()
