"""Stability: a steady algorithm comes back whole, an unsteady one is found out."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from algorithms.protocol import (
    Code,
    Embedding,
    Findings,
    Landmark,
    Score,
    Segment,
    Unsuitable,
    Volume,
    silent,
)
from algorithms.stability import dice, stability
from algorithms.terminology import (
    ANATOMICAL_STRUCTURE,
    COSINE_STABILITY,
    DICE_STABILITY,
    HEART,
    LANDMARK_STABILITY,
    NO_UNITS,
    SCORE_STABILITY,
)


def image(shape=(9, 40, 44), unit="HU", places=None):
    """A warm block in cold surroundings."""
    voxels = np.full(shape, -500, dtype=np.float32)
    voxels[2:7, 10:30, 12:32] = 500
    affine = np.array([[0, 0, 0.8, -10], [1.2, 0.8, 0, -20], [4.0, 0, 0, 30], [0, 0, 0, 1.0]])
    uids = tuple(f"1.{n}" for n in range(shape[0]))
    return Volume(voxels, affine, unit, "CT", uids, places)


def segment(mask, label="Block"):
    return Segment.from_mask(mask, label=label, category=ANATOMICAL_STRUCTURE, type=HEART, rgb=(1, 2, 3))


@dataclass
class Threshold:
    """Finds what is above a threshold, with a landmark, a score and an embedding of it."""

    name: str = "threshold"
    version: str = "1"

    def run(self, image, progress):
        progress(0.5, "looking")
        mask = image.voxels > 0
        places = np.arange(len(mask)) if image.slice_places is None else image.slice_places
        middle = image.affine_mm @ [*np.argwhere(mask).mean(axis=0), 1]
        vector = np.histogram(image.voxels, 20, (-1000, 1000))[0].astype(np.float32)
        assert len(places) == len(mask)
        return Findings(
            (segment(mask),),
            landmarks=(Landmark("Middle", HEART, tuple(middle[:3]), image.sop_instance_uids[0]),),
            scores=(Score("Share", Code("1", "DCM", "share"), float(mask.mean()), NO_UNITS),),
            embedding=Embedding(vector / np.linalg.norm(vector), "histogram"),
        )


@dataclass
class Forgetful(Threshold):
    """Finds nothing in any image but the first, and will not have the third."""

    runs: int = 0

    def run(self, image, progress):
        self.runs += 1
        if self.runs == 1:
            return super().run(image, progress)
        if self.runs == 3:
            raise Unsuitable("not this one")
        return Findings()


def measured(algorithm, volume):
    findings = algorithm.run(volume, silent)
    found = stability(algorithm, volume, findings, silent)
    return {m.code: m.value for m in found}, found


@pytest.mark.parametrize("places", [None, np.array([0, 1, 2, 3, 3.3, 4.6, 5.9, 7.2, 8.0])])
@pytest.mark.parametrize("unit", ["HU", "arbitrary"])
def test_a_steady_algorithm_finds_the_same_again(unit, places):
    values, found = measured(Threshold(), image(unit=unit, places=places))
    assert values[DICE_STABILITY] > 0.97
    assert values[COSINE_STABILITY] > 0.5
    assert values[SCORE_STABILITY] < 0.01
    assert values[LANDMARK_STABILITY] < 0.2
    assert [m.segment for m in found] == ["Block", None, None, None]
    assert {m.code for m in found} == {DICE_STABILITY, COSINE_STABILITY, SCORE_STABILITY, LANDMARK_STABILITY}


def test_what_is_not_found_again_counts_as_nothing():
    values, _ = measured(Forgetful(), image())
    share = (5 * 20 * 20) / (9 * 40 * 44)
    assert values == {DICE_STABILITY: 0.0, COSINE_STABILITY: 0.0, SCORE_STABILITY: pytest.approx(share)}


def test_the_same_image_gives_the_same_figures():
    assert measured(Threshold(), image())[0] == measured(Threshold(), image())[0]


def test_an_algorithm_that_clings_to_the_grid_is_found_out():
    class Clinging(Threshold):
        def run(self, image, progress):
            mask = np.zeros(image.voxels.shape, dtype=bool)
            mask[4, 20:24, 20:24] = True
            return Findings((segment(mask),))

    values, _ = measured(Clinging(), image())
    assert values[DICE_STABILITY] == pytest.approx(9 / 16)


def test_nothing_found_has_no_stability():
    class Nothing(Threshold):
        def run(self, image, progress):
            return Findings()

    assert measured(Nothing(), image())[1] == ()


def test_progress_rises_to_the_end_and_may_cancel():
    heard = []
    algorithm, volume = Threshold(), image()
    findings = algorithm.run(volume, silent)
    stability(algorithm, volume, findings, lambda fraction, _: heard.append(fraction))
    assert heard == sorted(heard)
    assert 0.8 < heard[-1] <= 1

    def cancel(fraction, stage):
        raise KeyboardInterrupt(stage)

    with pytest.raises(KeyboardInterrupt, match="moved"):
        stability(algorithm, volume, findings, cancel)


@pytest.mark.parametrize("steps", [(0, 0, 0), (1, 0, -2), (0, 1, 1), (9, 0, 0)])
def test_dice_is_that_of_the_masks_laid_on_one_another(steps):
    rng = np.random.default_rng(3)
    one, two = (np.pad(rng.random((4, 5, 6)) > 0.5, 10) for _ in range(2))
    moved = np.roll(two, steps, axis=(0, 1, 2))
    wanted = 2 * np.count_nonzero(one & moved) / (one.sum() + moved.sum())
    assert dice(segment(one), (segment(two),), steps) == pytest.approx(wanted)


def test_segments_are_matched_by_label():
    block = segment(np.ones((2, 2, 2), dtype=bool))
    assert dice(block, (replace(block, label="Other"),)) == 0
    assert dice(block, (replace(block, label="Other"), block)) == 1
