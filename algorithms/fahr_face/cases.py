"""Faces with what is known of each person, for training and for measuring."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from algorithms.fahr_face.detection import FaceDetector, Pixels
from algorithms.fahr_face.suitability import the_face
from algorithms.phantoms.face import face_phantom
from algorithms.protocol import Photograph, Unsuitable

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
    """Drawn faces, found and aligned as photographs are; what is refused as a photograph is left out.

    Death comes at the drawn hazard; follow-up is 1 to 12 years.
    """
    detector = FaceDetector()
    drawn = [case for seed in seeds if (case := _drawn(seed, detector))]
    faces, ages, years, died = zip(*drawn, strict=True)
    return Cases(
        np.stack(faces),
        np.array(ages, dtype=np.float32),
        np.array(years, dtype=np.float32),
        np.array(died, dtype=np.bool_),
    )


def _drawn(seed: int, detector: FaceDetector) -> tuple[Pixels, float, float, bool] | None:
    phantom = face_phantom(seed)
    try:
        face = the_face(Photograph(phantom.pixels, ""), detector)
    except Unsuitable:
        return None
    years, died = followed(phantom.hazard, np.random.default_rng((seed, 1)))
    return face.pixels, phantom.age_years, years, died


def followed(hazard: float, rng: np.random.Generator) -> tuple[float, bool]:
    """Years until death at a constant hazard or until the end of the follow-up, and whether it was death."""
    death, end = rng.exponential(1 / hazard), rng.uniform(_SHORTEST, _LONGEST)
    return float(min(death, end)), bool(death <= end)
