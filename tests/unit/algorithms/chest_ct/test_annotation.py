"""The whole algorithm: thorax, organs, landmarks and regions, from whichever source they come."""

import json
from dataclasses import replace

import numpy as np
import pytest

from algorithms import CATALOGUE, terminology
from algorithms.chest_ct.annotation import ChestCTAnnotation
from algorithms.chest_ct.options import ORGAN_WEIGHTS, Options
from algorithms.chest_ct.organ_sources import Organs
from algorithms.protocol import Findings, Segment, Unsuitable, silent
from algorithms.weights import BUNDLED, Store, WeightsMissing

ENTRY = CATALOGUE["chest-ct-annotation"]
STORE = Store((BUNDLED,))
THORAX = ["Body", "Left lung", "Right lung", "Trachea and main bronchi"]


class Fixed:
    """Organs that are known beforehand."""

    def __init__(self, *segments, left_out=None, replaces=()):
        self.organs = Organs(segments, left_out or {}, frozenset(replaces))

    def find(self, image, progress):
        return self.organs


class Levels:
    """A stand-in for body part regression that finds nothing, or refuses."""

    def __init__(self, refusal=None):
        self.refusal = refusal

    def run(self, image, progress):
        if self.refusal:
            raise Unsuitable(self.refusal)
        return Findings()


def organ(mask, label="Heart"):
    return Segment.from_mask(
        mask, label=label, category=terminology.ANATOMICAL_STRUCTURE, type=terminology.HEART, rgb=(1, 2, 3)
    )


@pytest.fixture(scope="module")
def whole(small_phantom):
    """What the bundled algorithm finds in a phantom, and the progress it told."""
    told = []
    algorithm = ENTRY.load({}, "cpu", STORE)
    return algorithm.run(small_phantom.volume, lambda fraction, stage: told.append(fraction)), told


def test_name_and_version_are_those_of_the_catalogue():
    algorithm = ENTRY.load({}, "cpu", STORE)
    assert isinstance(algorithm, ChestCTAnnotation)
    assert (algorithm.name, algorithm.version) == (ENTRY.name, ENTRY.version)


def test_a_phantom_is_annotated_whole(whole):
    findings, told = whole
    assert [s.label for s in findings.segments] == [*THORAX, "Heart", "Aorta", "Esophagus", "Spinal cord"]
    assert findings.landmarks
    assert "chest" in {region.name for region in findings.regions}
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


def test_organs_and_lungs_share_no_voxel(whole, small_phantom):
    findings, _ = whole
    counted = np.zeros(small_phantom.volume.voxels.shape, dtype=np.uint8)
    for segment in findings.segments[1:]:
        counted[segment.box] += segment.mask
    assert counted.max() == 1


def test_the_borders_of_lungs_win_over_those_of_organs(small_phantom):
    shape = small_phantom.volume.voxels.shape
    everything = Fixed(organ(np.ones(shape, dtype=np.bool_)))
    found = ChestCTAnnotation(everything, Levels()).run(small_phantom.volume, silent).segments
    masks = {s.label: s.on_grid(shape) for s in found}
    thorax = masks["Left lung"] | masks["Right lung"] | masks["Trachea and main bronchi"]
    assert np.array_equal(masks["Heart"], ~thorax)


def test_an_organ_within_a_lung_is_not_left_as_an_empty_segment(small_phantom):
    inside = small_phantom.truth["Left lung"].copy()
    inside[:, :, : np.flatnonzero(inside.any(axis=(0, 1)))[0] + 15] = False
    lung = ChestCTAnnotation(Fixed(), Levels()).run(small_phantom.volume, silent).segments[1]
    only = organ(lung.on_grid(inside.shape))
    found = ChestCTAnnotation(Fixed(only), Levels()).run(small_phantom.volume, silent).segments
    assert [s.label for s in found] == THORAX


def test_what_was_not_found_is_told_with_the_body(small_phantom):
    source = Fixed(left_out={"Heart": "nothing like it"})
    found = ChestCTAnnotation(source, Levels("the slices are reversed.")).run(small_phantom.volume, silent)
    body = found.segments[0]
    assert "Heart is left out: nothing like it" in body.review
    assert "no landmarks and regions: the slices are reversed." in body.review
    assert found.landmarks == found.regions == ()


def test_segments_that_an_organ_source_replaces_are_left_out(small_phantom):
    trachea = organ(small_phantom.truth["Trachea and main bronchi"], "Trachea")
    source = Fixed(trachea, replaces=["Trachea and main bronchi"])
    found = ChestCTAnnotation(source, Levels()).run(small_phantom.volume, silent).segments
    assert [s.label for s in found] == [*THORAX[:3], "Trachea"]


def test_what_is_no_ct_is_refused(small_phantom):
    image = replace(small_phantom.volume, unit="arbitrary", modality="MR")
    with pytest.raises(Unsuitable, match="not a CT"):
        ChestCTAnnotation(Fixed(), Levels()).run(image, silent)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": "red"}, "no option 'colour'"),
        ({"organs": "2d"}, "organs is '2d'; it is one of bundled, 3d_fullres"),
        ({"bpr": "mine"}, "bpr is 'mine'"),
        ({"folds": "0"}, "option folds is for the published network"),
        ({"organs": "3d_fullres", "tta": "yes"}, "tta is 'yes'"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        ENTRY.needs(options)


@pytest.mark.parametrize("organs", ORGAN_WEIGHTS)
def test_weights_that_are_needed_are_known_before_they_load(organs):
    needed = ENTRY.needs({"organs": organs})
    assert set(ORGAN_WEIGHTS[organs]) < set(needed)
    assert needed == Options.of({"organs": organs}).needs
    if organs != "bundled":
        with pytest.raises(WeightsMissing, match=f"the weights '{ORGAN_WEIGHTS[organs][0]}' are not here"):
            ENTRY.load({"organs": organs}, "cpu", STORE)


def test_bundled_weights_are_small_and_what_was_recorded():
    assert sum(f.stat().st_size for f in (BUNDLED / "thoracic-organs-bundled").iterdir()) < 20e6
    for name in STORE.names():
        STORE.get(name).verify()
        assert "esearch" in json.dumps(dict(STORE.get(name).card))
