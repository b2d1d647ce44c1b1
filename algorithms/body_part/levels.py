"""Where the landmarks lie, which slices show which region, and the tag "body part examined".

Rules as published (Schuhegger, arXiv:2110.09148; `bodypartexamined_tag.py` of bpreg 1.1.0), with the
scores of the landmarks taken from the reference of the network in use. Slices are counted from the
lowest to the highest, as in `ScoreCurve.values`.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from algorithms.body_part.anatomy import EXAMINED, REGIONS
from algorithms.body_part.scores import Reference, ScoreCurve, Scores

NO_PART = "NONE"
_SHORT_MM = 100.0
_ORDER = ("HEAD", "NECK", "CHEST", "ABDOMEN", "PELVIS")


def landmark_slices(curve: ScoreCurve, reference: Reference) -> dict[str, int]:
    """The slice of each landmark in view.

    It is the last slice, seen from the feet, whose score is below that of the landmark. A landmark on
    the first or last slice is left out, since it may as well lie beyond it.
    """
    values = _towards_head(curve)
    last = len(values) - 1
    found = {}
    for name, score in reference.landmarks.items():
        below = np.flatnonzero(values < score)
        if below.size and bool((values[below[-1] :] >= score).any()) and 0 < below[-1] < last:
            index = int(below[-1])
            found[name] = last - index if curve.is_reversed else index
    return found


def region_slices(curve: ScoreCurve, reference: Reference) -> dict[str, npt.NDArray[np.bool_]]:
    """For each region in view, which slices show it (slice,)."""
    regions = {}
    for name, part in REGIONS.items():
        low = -np.inf if part.begins is None else reference.landmarks[part.begins]
        high = np.inf if part.ends is None else reference.landmarks[part.ends]
        shown = (curve.values >= low) & (curve.values < high)
        if shown.any():
            regions[name] = shown
    return regions


def landmarks_in_view(scores: Scores, reference: Reference) -> frozenset[str]:
    """The landmarks with a slice below and a slice above."""
    known = scores[~np.isnan(scores)]
    if not known.size:
        return frozenset()
    low, high = float(known.min()), float(known.max())
    return frozenset(name for name, score in reference.landmarks.items() if low < score < high)


def examined_parts(scores: Scores, reference: Reference) -> frozenset[str]:
    """The body parts of which enough landmarks are in view."""
    in_view = landmarks_in_view(scores, reference)
    return frozenset(
        part for part, rule in EXAMINED.items() if len(in_view.intersection(rule.landmarks)) >= rule.fewest
    )


def most_frequent_part(scores: Scores, reference: Reference) -> str | None:
    """The body part of most slices, each slice counted for one part only."""
    bounds: Mapping[str, tuple[float, float]] = {
        part: (reference.landmarks[rule.begins], reference.landmarks[rule.ends])
        for part, rule in EXAMINED.items()
    }
    counts = Counter(part for score in scores for part, (low, high) in bounds.items() if low < score < high)
    return counts.most_common(1)[0][0] if counts else None


def tag(curve: ScoreCurve, reference: Reference) -> str:
    """Body part examined, such as CHEST or NECK-CHEST-ABDOMEN; NONE if the spacing is not plausible.

    A scan of less than 100 mm, or one without enough landmarks of any part, is named after the part
    of most of its slices.
    """
    if not curve.has_valid_spacing:
        return NO_PART
    parts = examined_parts(curve.values, reference)
    if not parts or len(curve.values) * curve.spacing_mm < _SHORT_MM:
        return most_frequent_part(curve.values, reference) or NO_PART
    ranks = [_ORDER.index(part) for part in parts]
    return "-".join(_ORDER[min(ranks) : max(ranks) + 1])


def _towards_head(curve: ScoreCurve) -> Scores:
    return curve.values[::-1] if curve.is_reversed else curve.values
