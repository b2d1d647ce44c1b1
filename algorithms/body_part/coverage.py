"""Which parts of the body a volume shows, decided from its pixels; the routes' condition `covers`.

To be covered takes more than to be in view: the published number of landmarks of the part. Two rules
are not the published ones, each for a reason:

- the chest also needs lung in the slices called chest, evidence that does not come from the network;
- for the other parts two thirds of their own range of scores do as well: the head's landmarks are C3,
  C2, C1 and the eyes, so that a head scan from the skull base upwards would never count, nor would an
  abdomen scan that ends at the 12th thoracic vertebra.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from algorithms.body_part.anatomy import EXAMINED
from algorithms.body_part.levels import NO_PART, examined_parts, landmarks_in_view, region_slices, tag
from algorithms.body_part.preprocessing import HIGHEST_HU, LOWEST_HU, prepare, rises
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.body_part.scores import Reference, ScoreCurve, Scores
from algorithms.protocol import Progress, Unsuitable, Volume, silent

PARTS: Final = {
    "PELVIS": "pelvis",
    "ABDOMEN": "abdomen",
    "CHEST": "chest",
    "NECK": "shoulder-neck",
    "HEAD": "head",
}
"""Names of the tag, and those of the regions."""

_FEWEST_SLICES = 8
_AIR_HU, _TISSUE_HU = -700.0, 0.0
_LUNG_HU = (-950.0, -500.0)
_SOFT_HU = (-200.0, 250.0)
_LEAST_SOFT = 0.5  # of all that is denser than lung
_LEAST_LUNG = 0.10  # of the section of the body
_LEAST_OF_RANGE = 2 / 3
_LEAST_LEGS_MM = 100.0


@dataclass(frozen=True)
class Coverage:
    """What a volume shows.

    Attributes:
        parts: of pelvis, abdomen, chest, shoulder-neck, head, legs: those that are covered.
        tag: body part examined by the published rules; NONE if nothing can be said.
        plausible: the scores rise as in a CT of the body; if not, `parts` is empty.
        sentence: the same for people, or why nothing can be said.
    """

    parts: frozenset[str]
    tag: str
    plausible: bool
    sentence: str


def coverage(volume: Volume, regressor: BodyPartRegressor, progress: Progress = silent) -> Coverage:
    """What a volume shows. It never raises for an image that is not suitable: that covers nothing."""
    try:
        must_be_ct_of_the_body(volume)
        curve = regressor.curve(volume, progress)
    except Unsuitable as reason:
        return Coverage(frozenset(), NO_PART, plausible=False, sentence=str(reason))
    return judge(volume, curve, regressor.reference)


def judge(volume: Volume, curve: ScoreCurve, reference: Reference) -> Coverage:
    """What a volume shows whose slices have been scored."""
    if (reason := implausible(curve)) is not None:
        return Coverage(frozenset(), NO_PART, plausible=False, sentence=reason)
    counted = examined_parts(curve.values, reference)
    examined = {
        name
        for part, name in PARTS.items()
        if part in counted
        or (part != "CHEST" and _share_of_range(part, curve.values, reference) >= _LEAST_OF_RANGE)
    }
    if np.count_nonzero(curve.values < 0) * curve.spacing_mm >= _LEAST_LEGS_MM:
        examined.add("legs")
    named = tag(curve, reference)
    sentence = _sentence(examined, curve.values, reference)
    if "chest" in examined and not _shows_lung(volume, curve, reference):
        sentence = "The slices with the scores of a chest show no lung, so the scores are not trusted."
        return Coverage(frozenset(), NO_PART, plausible=False, sentence=sentence)
    return Coverage(frozenset(examined), named, plausible=True, sentence=sentence)


def must_be_ct_of_the_body(volume: Volume) -> None:
    """Refuse what no score can be given to.

    Raises:
        Unsuitable: not a CT in Hounsfield units, by its header or by its values; or too few slices.
    """
    if volume.modality != "CT" or volume.unit != "HU":
        raise Unsuitable(f"not a CT in Hounsfield units: modality {volume.modality}, unit {volume.unit}")
    if len(volume.voxels) < _FEWEST_SLICES:
        raise Unsuitable(f"{len(volume.voxels)} slices are too few to tell a part of the body")
    sample = volume.voxels[:, ::4, ::4]
    darkest, brightest = float(sample.min()), float(sample.max())
    if darkest > _AIR_HU or brightest < _TISSUE_HU:
        raise Unsuitable(f"no air and tissue in view: values from {darkest:.0f} to {brightest:.0f} HU")
    dense = sample[sample > _LUNG_HU[1]]
    soft = np.count_nonzero((dense > _SOFT_HU[0]) & (dense < _SOFT_HU[1])) / dense.size
    if soft < _LEAST_SOFT:
        raise Unsuitable(
            f"only {soft:.0%} of what is denser than lung has the values of soft tissue: these are not "
            "Hounsfield units"
        )


def implausible(curve: ScoreCurve) -> str | None:
    """Why the scores are not those of a CT of the body in the order and spacing of its header."""
    if np.isnan(curve.slope_per_mm):
        return "Too few slices have a score to tell a part of the body."
    if curve.is_reversed:
        return "The slices run from the head to the feet where the header says from the feet to the head."
    if not curve.has_valid_spacing:
        return (
            f"The slices change {curve.slope_ratio:.2f} times as fast along the body as expected: either "
            "their spacing is wrong, or this is not a CT of the body."
        )
    return None


def _share_of_range(part: str, scores: Scores, reference: Reference) -> float:
    """How much of the part's own range of scores is in view."""
    low, high = (reference.landmarks[name] for name in (EXAMINED[part].begins, EXAMINED[part].ends))
    within = min(high, float(np.nanmax(scores))) - max(low, float(np.nanmin(scores)))
    return within / (high - low)


def _shows_lung(volume: Volume, curve: ScoreCurve, reference: Reference) -> bool:
    """Whether half of the slices called chest show lung."""
    shares = _lung_shares(volume)
    of_chest = region_slices(curve, reference)["chest"]
    upwards = shares if rises(volume) else shares[::-1]
    return bool(np.median(upwards[of_chest]) >= _LEAST_LUNG)


def _lung_shares(volume: Volume) -> npt.NDArray[np.float64]:
    """What part of the section of the body has the density of lung, for each slice."""
    shares = []
    for slices in prepare(volume):
        hu = (slices + 1) * ((HIGHEST_HU - LOWEST_HU) / 2) + LOWEST_HU
        lung = np.count_nonzero((hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1]), axis=(1, 2))
        body = np.count_nonzero(hu > _LUNG_HU[0], axis=(1, 2))
        shares.append(lung / np.maximum(body, 1))
    return np.concatenate(shares)


def _sentence(examined: set[str], scores: Scores, reference: Reference) -> str:
    in_view = [name for name in reference.landmarks if name in landmarks_in_view(scores, reference)]
    seen = f"landmarks in view: {in_view[0]} to {in_view[-1]}" if in_view else "no landmark is in view"
    ordered = [part for part in ("legs", *PARTS.values()) if part in examined]
    if not ordered:
        return f"No part of the body is covered; {seen}."
    return f"Covers {', '.join(ordered)}; {seen}."
