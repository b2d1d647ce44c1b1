"""Brains as brains are raise no doubt; others are sent to a person with the reason."""

from itertools import pairwise

import numpy as np
import pytest

from algorithms.cerebrum.quality import quality
from algorithms.cerebrum.structures import STRUCTURES

NAMES = tuple(STRUCTURES)
SHARES = (0.46, 0.02, 0.36, 0.02, 0.12, 0.02)  # whole planes of the block
SIDE = 64


def brain(shares=SHARES):
    """Slabs of the structures in a block, away from the border of the image."""
    labels = np.zeros((SIDE, SIDE, SIDE), dtype=np.uint8)
    block = np.zeros(50**3, dtype=np.uint8)
    ends = np.cumsum([0, *(round(share * block.size) for share in shares)])
    for number, (start, stop) in enumerate(pairwise(ends), start=1):
        block[start:stop] = number
    labels[7:57, 7:57, 7:57] = block.reshape(50, 50, 50)
    return labels


def test_an_ordinary_brain_raises_no_doubt() -> None:
    judged = quality(brain(), NAMES, 0.0112, {"Grey matter": 0.95, "Brainstem": 0.9})
    assert judged.doubts == {}
    assert judged.agreement == 0.9
    assert judged.of("Grey matter") is None


@pytest.mark.parametrize(("voxel_ml", "reason"), [(0.003, "ml"), (0.02, "ml")])
def test_a_brain_of_an_unusual_size_is_doubted_as_a_whole(voxel_ml, reason) -> None:
    judged = quality(brain(), NAMES, voxel_ml, {})
    assert reason in judged.doubts[""]
    assert judged.of("Cerebellum") == judged.doubts[""]
    assert judged.agreement is None


def test_a_structure_out_of_proportion_is_doubted() -> None:
    judged = quality(brain((0.46, 0.02, 0.20, 0.18, 0.12, 0.02)), NAMES, 0.0112, {})
    assert "%" in judged.doubts["Ventricles"]
    assert "%" in judged.doubts["White matter"]
    assert "Cerebellum" not in judged.doubts


def test_a_brain_that_the_image_cuts_is_doubted() -> None:
    judged = quality(brain()[:50], NAMES, 0.0112, {})
    assert "border" in judged.doubts[""]


def test_pieces_apart_are_doubted() -> None:
    labels = brain()
    labels[60:63, 4:56, 4:56] = 0
    there = np.argwhere(labels == 5)
    labels[tuple(there[len(there) // 2 : len(there) // 2 + 3000].T)] = 1
    labels[:4, :30, :30] = 5
    assert "apart" in quality(labels, NAMES, 0.0112, {}).doubts["Cerebellum"]


def test_a_structure_that_the_mirror_image_changes_is_doubted() -> None:
    assert "mirrored" in quality(brain(), NAMES, 0.0112, {"Basal ganglia": 0.5}).doubts["Basal ganglia"]
