"""Test-retest stability: how much of a result comes back when the image changes a little.

The same algorithm runs on the image moved by a pixel, with more noise, and resampled; the patient is the
same in all three, so what differs between the results is the algorithm's own unsteadiness. Each figure is
the worst of the three runs. No standard code says any of this (PS3.16 2024): their codes are private.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from algorithms.perturbations import noisy, resampled, shifted
from algorithms.protocol import (
    Algorithm,
    Findings,
    Landmark,
    Measurement,
    Progress,
    Score,
    Segment,
    Unsuitable,
    Volume,
    part,
)
from algorithms.spatial import resample
from algorithms.terminology import (
    COSINE_STABILITY,
    DICE_STABILITY,
    LANDMARK_STABILITY,
    MILLIMETER,
    NO_UNITS,
    SCORE_STABILITY,
)

STEPS: Final = (0, 1, 1)
"""The grid moves by a pixel along rows and columns: a fraction of a voxel on the coarser grids that networks
work on, and masks move back without a loss."""

NOISE_HU: Final = 10.0
"""Standard deviation of the added noise: about that of a routine scan of the trunk."""

NOISE_SHARE: Final = 0.02
"""The same for values without a scale, as a share of their own standard deviation."""

COARSER: Final = 1.3
"""How much larger pixels are in between, where the image is resampled there and back."""


def stability(
    algorithm: Algorithm, volume: Volume, findings: Findings, progress: Progress
) -> tuple[Measurement, ...]:
    """Run the algorithm on three small changes of the image and compare.

    Returns:
        For each segment the least Dice coefficient (0 where it was not found again). For the image: the
        least cosine similarity of the embedding, the largest change of each score (all of it where the
        score is gone), and the longest way in mm that a landmark moved, of those found again.

    Raises:
        Unsuitable: never for a changed image; that counts as nothing found.
    """
    seen = []
    for number, (stage, change) in enumerate(_CHANGES):
        heard = part(progress, number / len(_CHANGES), (number + 1) / len(_CHANGES))
        heard(0.0, stage)
        try:
            seen.append(algorithm.run(change(volume), heard))
        except Unsuitable:
            seen.append(Findings())
    steps = [STEPS, (0, 0, 0), (0, 0, 0)]
    return tuple(_compared(findings, seen, steps))


def _moved(volume: Volume) -> Volume:
    return shifted(volume, (float(STEPS[0]), float(STEPS[1]), float(STEPS[2])))


def _noisy(volume: Volume) -> Volume:
    sigma = NOISE_HU if volume.unit == "HU" else NOISE_SHARE * float(volume.voxels.std())
    return noisy(volume, sigma, seed=1)


def _resampled(volume: Volume) -> Volume:
    """To larger pixels and back; slices stay, so that an uneven stack stays as it is."""
    even = replace(volume, slice_places=None)
    slices, rows, columns = even.spacing_mm
    coarse = resampled(even, (slices, COARSER * rows, COARSER * columns))
    shape = volume.voxels.shape
    voxels = resample(
        coarse.voxels,
        coarse.affine_mm,
        (shape[0], shape[1], shape[2]),
        even.affine_mm,
        order=1,
        outside=float(volume.voxels.min()),
    )
    return replace(volume, voxels=voxels)


_CHANGES: Final[tuple[tuple[str, Callable[[Volume], Volume]], ...]] = (
    ("stability: moved", _moved),
    ("stability: noise", _noisy),
    ("stability: resampled", _resampled),
)


def _compared(
    findings: Findings, seen: list[Findings], steps: list[tuple[int, int, int]]
) -> Iterator[Measurement]:
    """The worst of what was seen, for each finding."""
    for segment in findings.segments:
        agreement = min(
            dice(segment, other.segments, moved) for other, moved in zip(seen, steps, strict=True)
        )
        yield Measurement(segment.label, "DiceStability", DICE_STABILITY, agreement, NO_UNITS)
    if findings.embedding:
        vector = findings.embedding.vector
        cosine = min(float(vector @ o.embedding.vector) if o.embedding else 0.0 for o in seen)
        yield Measurement(None, "CosineStability", COSINE_STABILITY, cosine, NO_UNITS)
    for score in findings.scores:
        change = max(_change(score, other.scores) for other in seen)
        yield Measurement(None, f"ScoreStability: {score.name}", SCORE_STABILITY, change, score.unit)
    if ways := [way for o in seen for way in _ways_mm(findings.landmarks, o.landmarks)]:
        yield Measurement(None, "LandmarkStability", LANDMARK_STABILITY, max(ways), MILLIMETER)


def dice(segment: Segment, others: tuple[Segment, ...], steps: tuple[int, int, int] = (0, 0, 0)) -> float:
    """Dice coefficient of a segment and the one of the same label whose grid was moved by whole voxels.

    Twice the voxels in common over the voxels of both; 0 where none has the label.
    """
    other = next((o for o in others if o.label == segment.label), None)
    if other is None:
        return 0.0
    first = np.array(segment.origin)
    second = np.array(other.origin) + steps
    low = np.maximum(first, second)
    high = np.minimum(first + segment.mask.shape, second + other.mask.shape)
    if (high <= low).any():
        return 0.0
    mine, theirs = (
        mask[tuple(map(slice, low - origin, high - origin))]
        for mask, origin in ((segment.mask, first), (other.mask, second))
    )
    common = int(np.count_nonzero(mine & theirs))
    return 2.0 * common / (segment.voxel_count + other.voxel_count)


def _change(score: Score, others: tuple[Score, ...]) -> float:
    value = next((o.value for o in others if o.name == score.name), 0.0)
    return abs(score.value - value)


def _ways_mm(landmarks: tuple[Landmark, ...], others: tuple[Landmark, ...]) -> Iterator[float]:
    """How far each landmark moved that was found again."""
    places = {(o.name, o.modifier): np.array(o.position_mm) for o in others}
    for landmark in landmarks:
        if (place := places.get((landmark.name, landmark.modifier))) is not None:
            yield float(np.linalg.norm(place - landmark.position_mm))
