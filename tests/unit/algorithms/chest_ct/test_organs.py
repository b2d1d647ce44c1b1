"""The bundled organs at risk, end to end, on phantoms that no training used and on real images."""

import json
from dataclasses import replace

import numpy as np
import pytest

from algorithms.chest_ct.organ_rules import ORGANS, Organ
from algorithms.chest_ct.organs import OrganSegmenter
from algorithms.phantoms import chest_ct
from algorithms.protocol import Volume, silent
from algorithms.spatial import Orientation
from algorithms.weights import BUNDLED, Store, WeightsFaulty

NAME = "thoracic-organs-bundled"
LEAST = {Organ.HEART: 0.85, Organ.AORTA: 0.75, Organ.ESOPHAGUS: 0.5, Organ.SPINAL_CORD: 0.75}


@pytest.fixture(scope="module")
def segmenter():
    return OrganSegmenter(Store((BUNDLED,)).get(NAME), "cpu")


@pytest.fixture(scope="module")
def chest():
    return chest_ct(600_021, columns=256)


@pytest.fixture(scope="module")
def found(segmenter, chest):
    return segmenter.find(chest.volume, silent)


def on_grid(organ, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(o, o + n) for o, n in zip(organ.origin, organ.mask.shape, strict=True))] = organ.mask
    return mask


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_all_organs_of_a_chest_are_found(found, chest):
    masks = {organ.organ: on_grid(organ, chest.volume.voxels.shape) for organ in found.organs}
    assert found.left_out == {}
    for organ in ORGANS:
        assert dice(masks[organ], chest.truth[organ]) > LEAST[organ], organ


def test_no_voxel_belongs_to_two_organs(found, chest):
    masks = [on_grid(organ, chest.volume.voxels.shape) for organ in found.organs]
    assert np.sum(masks, axis=0).max() == 1


def test_a_series_stored_another_way_gives_the_same_organs(segmenter, found, chest):
    image = chest.volume
    turned = Orientation((1, 2, 0), (True, False, True))
    other = Volume(
        np.ascontiguousarray(turned.apply(image.voxels)),
        turned.affine(image.affine_mm, image.voxels.shape),
        "HU",
        "CT",
        tuple(str(i) for i in range(image.voxels.shape[1])),
    )
    again = {organ.organ: organ for organ in segmenter.find(other, silent).organs}
    for organ in found.organs:
        mask = turned.revert(on_grid(again[organ.organ], other.voxels.shape))
        assert dice(mask, on_grid(organ, image.voxels.shape)) > 0.98


def test_air_alone_holds_no_organ(segmenter):
    air = Volume(np.full((20, 40, 40), -1000, np.float32), np.eye(4) * (5, 4, 4, 1), "HU", "CT", ("",) * 20)
    found = segmenter.find(air, silent)
    assert found.organs == ()
    assert set(found.left_out) == set(ORGANS)


def test_progress_rises_from_nothing_to_done(segmenter, chest):
    said = []
    segmenter.find(chest.volume, lambda fraction, stage: said.append(fraction))
    assert said == sorted(said)
    assert (said[0], said[-1]) == (0.0, 1.0)


def test_weights_with_another_configuration_are_refused(tmp_path):
    checkpoint = Store((BUNDLED,)).get(NAME)
    config = dict(checkpoint.config)
    with pytest.raises(WeightsFaulty, match="belongs to another network"):
        OrganSegmenter(replace(checkpoint, config=config | {"widths": config["widths"][:-1]}), "cpu")
    renamed = ["liver" if name == "aorta" else name for name in config["classes"]]
    with pytest.raises(WeightsFaulty, match="aorta"):
        OrganSegmenter(replace(checkpoint, config=config | {"classes": renamed}), "cpu")


def test_the_bundled_weights_are_small_and_carry_their_card():
    folder = BUNDLED / NAME
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    card = json.loads((folder / "model.json").read_text())["card"]
    assert {"source", "licence", "intended use"} <= card.keys()
