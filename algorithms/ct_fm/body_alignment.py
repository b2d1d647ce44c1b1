"""Where the places of one body lie in another: a stretch and a shift that their embeddings agree on.

Places of both bodies that resemble each other most, each way, are matched; many of the matches are wrong.
The map with the greatest consensus among them is found by RANSAC (Fischler and Bolles, Commun. ACM 24(6),
1981). Both bodies lie in patient LPS, so it turns and mirrors nothing.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from skimage.measure import ransac

from algorithms.ct_fm.embedding import Vectors

Places = npt.NDArray[np.float64]
"""Positions (place, 3)."""

_STRETCH: Final = (0.7, 1.4)  # a small adult in a large one, and back
_AGREED_MM = 48.0
_SAMPLE = 3
_TRIALS = 2000
_FEWEST = 20
_LEAST_SHARE = 0.2  # a chest and an abdomen that overlap by 4 cm gave 0.16, overlapping bodies 0.24 and more


@dataclass(frozen=True, eq=False)
class Sampled:
    """Places all over a body.

    Attributes:
        positions_mm: in patient LPS (place, 3).
        vectors: embeddings (place, feature) of unit length; 0 where there is only air.
    """

    positions_mm: Places
    vectors: Vectors


@dataclass(frozen=True, eq=False)
class BodyMap:
    """From places in one body to those in another.

    Attributes:
        stretch: factor along each patient axis (3,).
        shift_mm: added after it (3,).
    """

    stretch: npt.NDArray[np.float64]
    shift_mm: npt.NDArray[np.float64]

    def __call__(self, source_mm: Places) -> Places:
        """Patient positions (..., 3) in the other body."""
        return np.asarray(source_mm * self.stretch + self.shift_mm, dtype=np.float64)

    def then(self, other: "BodyMap") -> "BodyMap":
        """On from the other body to a third one."""
        return BodyMap(self.stretch * other.stretch, other(self.shift_mm))

    @classmethod
    def from_estimate(cls, source_mm: Places, target_mm: Places) -> Self | None:
        """Least squares, the stretch kept to what bodies differ by; None where the places lie in a plane."""
        centre, there = source_mm.mean(axis=0), target_mm.mean(axis=0)
        around = source_mm - centre
        spread = (around**2).sum(axis=0)
        if not spread.all():
            return None
        stretch = np.clip((around * (target_mm - there)).sum(axis=0) / spread, *_STRETCH)
        return cls(stretch, there - centre * stretch)

    def residuals(self, source_mm: Places, target_mm: Places) -> npt.NDArray[np.float64]:
        """Distance (place,) in mm from where each place should lie."""
        return np.asarray(np.linalg.norm(self(source_mm) - target_mm, axis=1), dtype=np.float64)


def aligned(source: Sampled, target: Sampled) -> BodyMap | None:
    """Map one body onto another.

    Returns:
        None where too few places agree, as they mostly do in images that hardly show the same part of a body.
    """
    here, there = _matched(source.vectors, target.vectors)
    if len(here) < _FEWEST:
        return None
    pairs = (source.positions_mm[here], target.positions_mm[there])
    found, agreeing = ransac(pairs, BodyMap, _SAMPLE, _AGREED_MM, max_trials=_TRIALS, rng=0)
    enough = isinstance(found, BodyMap) and agreeing.sum() >= max(_FEWEST, _LEAST_SHARE * len(here))
    return found if enough else None


def _matched(source: Vectors, target: Vectors) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Places of the source and of the target that are each other's most similar."""
    here, there = np.flatnonzero(source.any(axis=1)), np.flatnonzero(target.any(axis=1))
    similarity = source[here] @ target[there].T
    best, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    mutual = back[best] == np.arange(len(here))
    return here[mutual], there[best[mutual]]
