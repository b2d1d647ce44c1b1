"""A real head is segmented and measured with the bundled weights; what is no head in MR is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from algorithms.cerebrum import MUSE
from algorithms.cerebrum.brain_t1 import BrainT1
from algorithms.cerebrum.structures import STRUCTURES
from algorithms.protocol import Findings, Unsuitable, Volume, silent
from algorithms.weights import BUNDLED, Store
from node.commands.training_brain import labelled, numbers_of

NAMES = tuple(STRUCTURES)


@pytest.fixture(scope="module")
def algorithm() -> BrainT1:
    return BrainT1.from_options({}, "cpu", Store((BUNDLED,)))


@pytest.fixture(scope="module")
def head(shared_data: Path):
    """A head of the training and its labels: the weights must know it, whatever they know of others."""
    folder = shared_data / "mr-t1-brain-labelled"
    _, image, labels = next(labelled(folder / "t1", folder / "dlmuse_seg", numbers_of(MUSE), NAMES))
    return image, labels


@pytest.fixture(scope="module")
def found(algorithm: BrainT1, head) -> Findings:
    return algorithm.run(head[0], silent)


def test_every_structure_is_where_its_label_is(found: Findings, head) -> None:
    image, labels = head
    dice = {}
    for segment in found.segments:
        mask, truth = segment.on_grid(image.voxels.shape), labels == NAMES.index(segment.label) + 1
        dice[segment.label] = 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum())
    assert dice.keys() == set(NAMES)
    assert min(dice.values()) > 0.7
    assert dice["Cerebellum"] > 0.9


def test_volumes_are_shares_of_the_inside_of_the_skull(found: Findings, head) -> None:
    by_name = {(m.segment, m.name): m.value for m in found.measurements}
    inside = by_name[None, "IntracranialVolume"]
    truth_ml = np.count_nonzero(head[1]) * head[0].voxel_volume_ml
    assert inside == pytest.approx(truth_ml, rel=0.05)
    shares = [by_name[name, "IntracranialShare"] for name in NAMES]
    assert sum(shares) == pytest.approx(100)
    for name, share in zip(NAMES, shares, strict=True):
        assert by_name[name, "Volume"] == pytest.approx(share / 100 * inside)


def test_only_what_has_two_sides_has_an_asymmetry(found: Findings) -> None:
    asymmetric = {m.segment for m in found.measurements if m.name == "Asymmetry"}
    assert asymmetric == {name for name, each in STRUCTURES.items() if each.paired}
    values = {m.segment: m.value for m in found.measurements if m.name == "Asymmetry"}
    assert abs(values["White matter"]) < 10


def test_a_brain_known_well_raises_no_doubt(found: Findings) -> None:
    (agreement,) = (m.value for m in found.measurements if m.name == "MirrorAgreement")
    assert agreement > 0.8
    assert [segment.review for segment in found.segments] == [None] * len(NAMES)


def test_without_the_mirror_image_there_is_no_figure_of_agreement(head) -> None:
    plain = BrainT1.from_options({"mirror": "false"}, "cpu", Store((BUNDLED,))).run(head[0], silent)
    assert "MirrorAgreement" not in {m.name for m in plain.measurements}
    assert len(plain.segments) == len(NAMES)


def test_a_head_cut_by_the_image_is_sent_to_a_person(algorithm: BrainT1, head) -> None:
    image, _ = head
    planes = len(image.voxels)
    cut = replace(
        image, voxels=image.voxels[: planes // 2], sop_instance_uids=image.sop_instance_uids[: planes // 2]
    )
    assert any("border" in (segment.review or "") for segment in algorithm.run(cut, silent).segments)


def empty(modality: str) -> Volume:
    unit = "HU" if modality == "CT" else "arbitrary"
    voxels = np.zeros((90, 90, 90), np.float32)
    return Volume(voxels, np.diag([2.0, 2, 2, 1]), unit, modality, tuple(map(str, range(90))))


@pytest.mark.parametrize(("modality", "reason"), [("CT", "MR of a head"), ("MR", "nothing")])
def test_what_is_no_head_in_mr_is_refused(algorithm: BrainT1, modality: str, reason: str) -> None:
    with pytest.raises(Unsuitable, match=reason):
        algorithm.run(empty(modality), silent)


def test_an_option_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="side"):
        BrainT1.from_options({"side": "left"}, "cpu", Store((BUNDLED,)))
