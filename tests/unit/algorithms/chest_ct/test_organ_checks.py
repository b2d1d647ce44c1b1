"""Checks: a true anatomy is not doubted, and each kind of failure is."""

import numpy as np
import pytest

from algorithms.chest_ct.canal import enclosed_by_bone
from algorithms.chest_ct.morphology import dilate
from algorithms.chest_ct.organ_checks import doubts_of
from algorithms.chest_ct.organ_grid import OrganGrid
from algorithms.chest_ct.organ_rules import ORGANS, Organ
from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label

LABELS = {
    Organ.HEART: [Label.HEART],
    Organ.AORTA: [Label.AORTA],
    Organ.ESOPHAGUS: [Label.ESOPHAGUS],
    Organ.SPINAL_CORD: [Label.SPINAL_CORD, Label.CAUDA_EQUINA],
}


@pytest.fixture(scope="module", params=[600_001, 600_002, 600_003])
def anatomy(request):
    made = torso(request.param, bottom_mm=-60.0, top_mm=300.0)
    whole = tuple(slice(0, n) for n in made.hu.shape)
    grid = OrganGrid(made.hu, whole, made.affine_mm, 3.0)
    return grid, {organ: np.isin(made.labels, LABELS[organ]) for organ in ORGANS}


def check(grid, masks):
    margins = {organ: np.where(mask, 1.0, -1.0).astype(np.float32) for organ, mask in masks.items()}
    return doubts_of(margins, enclosed_by_bone(grid.hu, grid.spacing_mm), grid)


def without(mask, low, high):
    """The mask without the part between two shares of its height."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    cut = mask.copy()
    cut[slices[int(low * len(slices))] : slices[int(high * (len(slices) - 1))]] = False
    return cut


def test_a_true_anatomy_is_not_doubted(anatomy):
    grid, masks = anatomy
    doubts = check(grid, masks)
    assert doubts.left_out == {}
    assert doubts.review == {}


def test_organs_that_are_not_there_are_left_out_with_a_reason(anatomy):
    grid, masks = anatomy
    crumb = np.zeros_like(masks[Organ.HEART])
    crumb[50:52, 50:52, 50:52] = True
    doubts = check(grid, masks | {Organ.HEART: crumb, Organ.AORTA: np.zeros_like(crumb)})
    assert doubts.left_out[Organ.HEART] == "only 0.2 ml was found"
    assert doubts.left_out[Organ.AORTA] == "not found"
    assert Organ.HEART not in doubts.review


@pytest.mark.parametrize(
    ("organ", "low", "high", "reason"),
    [
        (Organ.AORTA, 0.2, 0.4, "in 2 pieces; interrupted over"),
        (Organ.ESOPHAGUS, 0.4, 0.6, "in 2 pieces; interrupted over"),
        (Organ.SPINAL_CORD, 0.5, 0.7, "in 2 pieces; interrupted over"),
        (Organ.AORTA, 0.0, 0.6, "beside the heart"),
        (Organ.ESOPHAGUS, 0.0, 0.6, "beside the heart"),
        (Organ.SPINAL_CORD, 0.0, 0.7, "beside the heart"),
        (Organ.HEART, 0.0, 0.7, "ml is unusual"),
    ],
)
def test_missing_parts_are_noticed(anatomy, organ, low, high, reason):
    grid, masks = anatomy
    doubts = check(grid, masks | {organ: without(masks[organ], low, high)})
    assert reason in doubts.review[organ]
    assert set(doubts.review) == {organ}


@pytest.mark.parametrize(
    ("organ", "shift", "reason"),
    [
        (Organ.HEART, (0, 0, 25), "to the left of the spine"),
        (Organ.HEART, (0, 0, -25), "to the right of the spine"),
        (Organ.HEART, (0, 22, 0), "in front of the spinal cord"),
        (Organ.HEART, (12, 0, 0), "of it is air"),
        (Organ.AORTA, (0, 0, -25), "to the right of the spine"),
        (Organ.SPINAL_CORD, (0, -13, 0), "not inside the vertebral canal"),
        (Organ.SPINAL_CORD, (0, 9, 0), "not inside the vertebral canal"),
        (Organ.SPINAL_CORD, (0, 0, 12), "not inside the vertebral canal"),
    ],
)
def test_organs_in_a_wrong_place_are_noticed(anatomy, organ, shift, reason):
    grid, masks = anatomy
    doubts = check(grid, masks | {organ: np.roll(masks[organ], shift, axis=(0, 1, 2))})
    assert reason in doubts.review[organ]


def test_a_leak_is_noticed(anatomy):
    grid, masks = anatomy
    leak = dilate(masks[Organ.ESOPHAGUS], 25.0, (3.0, 3.0, 3.0))
    assert "cross-section" in check(grid, masks | {Organ.ESOPHAGUS: leak}).review[Organ.ESOPHAGUS]


def test_a_course_that_jumps_is_noticed(anatomy):
    grid, masks = anatomy
    broken = masks[Organ.SPINAL_CORD].copy()
    broken[60:] = np.roll(broken[60:], 4, axis=2)
    assert "jumps by" in check(grid, masks | {Organ.SPINAL_CORD: broken}).review[Organ.SPINAL_CORD]


def test_organs_at_the_edge_of_the_view_are_marked(anatomy):
    grid, masks = anatomy
    columns = np.flatnonzero(masks[Organ.HEART].any(axis=(0, 1)))
    cut = slice(0, int(columns[0] + len(columns) // 2))
    narrow = OrganGrid(grid.hu, (grid.seen[0], grid.seen[1], cut), grid.affine_mm, 3.0)
    masks = {organ: mask & (np.arange(mask.shape[2]) < cut.stop) for organ, mask in masks.items()}
    assert "cut off by the edge of the field of view" in check(narrow, masks).review[Organ.HEART]
    low = OrganGrid(grid.hu, (slice(0, 45), *grid.seen[1:]), grid.affine_mm, 3.0)
    masks = {organ: mask & (np.arange(len(mask)) < 45)[:, None, None] for organ, mask in masks.items()}
    assert "not all of it is in view" in check(low, masks).review[Organ.HEART]
