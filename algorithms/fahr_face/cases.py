"""Faces with what is known of each person, for training and for measuring."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from algorithms.fahr_face.alignment import aligned
from algorithms.fahr_face.detection import Pixels
from algorithms.phantoms.face import face_phantom

_JITTER: Final = 0.03
"""Standard deviation of drawn landmarks around the true ones, in distances of the eyes: as detectors err."""

_SHORTEST, _LONGEST = 1.0, 12.0  # years of follow-up

_Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cases:
    """Aligned faces; everything else has one entry for each.

    Attributes:
        faces: uint8 (face, 112, 112, RGB).
        age_years: when the photograph was taken.
        years: from then until death or the end of the follow-up.
        died: whether it was death.
    """

    faces: Pixels
    age_years: _Numbers
    years: _Numbers
    died: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.faces)

    def part(self, chosen: npt.NDArray[Any]) -> Self:
        """Some of them, by index."""
        return type(self)(self.faces[chosen], self.age_years[chosen], self.years[chosen], self.died[chosen])


def synthetic(seeds: Iterable[int]) -> Cases:
    """Drawn faces: landmarks a little off, death at the drawn hazard, follow-up of 1 to 12 years."""
    drawn = [_drawn(seed) for seed in seeds]
    faces, ages, years, died = zip(*drawn, strict=True)
    return Cases(
        np.stack(faces),
        np.array(ages, dtype=np.float32),
        np.array(years, dtype=np.float32),
        np.array(died, dtype=np.bool_),
    )


def _drawn(seed: int) -> tuple[Pixels, float, float, bool]:
    phantom, rng = face_phantom(seed), np.random.default_rng((seed, 1))
    unit = float(np.linalg.norm(phantom.landmarks[1] - phantom.landmarks[0]))
    landmarks = phantom.landmarks + rng.normal(0, _JITTER * unit, phantom.landmarks.shape)
    years, died = followed(phantom.hazard, rng)
    return aligned(phantom.pixels, landmarks).pixels, phantom.age_years, years, died


def followed(hazard: float, rng: np.random.Generator) -> tuple[float, bool]:
    """Years until death at a constant hazard or until the end of the follow-up, and whether it was death."""
    death, end = rng.exponential(1 / hazard), rng.uniform(_SHORTEST, _LONGEST)
    return float(min(death, end)), bool(death <= end)
