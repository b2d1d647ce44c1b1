"""Who a drawn face is: the age and the hazard, and what of both shows."""

from dataclasses import dataclass
from typing import Self

import numpy as np

Colour = tuple[float, float, float]
"""RGB, 0 to 255."""

YOUNGEST, OLDEST = 18.0, 95.0

_SKINS: tuple[Colour, ...] = (
    (240, 205, 184),
    (226, 182, 154),
    (205, 155, 122),
    (160, 112, 82),
    (118, 80, 60),
)
_HAIRS: tuple[Colour, ...] = ((38, 28, 24), (72, 48, 32), (120, 84, 50), (176, 138, 86), (140, 66, 36))
_IRISES: tuple[Colour, ...] = ((86, 60, 40), (100, 120, 140), (96, 116, 80), (60, 40, 30))
_GREY: Colour = (206, 206, 208)


@dataclass(frozen=True)
class Traits:
    """A person and a moment.

    Attributes:
        age_years: 18 to 95, all as likely.
        frailty: standard normal; independent of age.
        ageing: 0 to 1, the age as it shows; a little by chance.
        wasting: 0 to 1, the frailty as it shows: hollow cheeks and temples, pallor, dark eyes.
        skin: colour.
        hair: colour, with the grey of the age.
        iris: colour.
        width: of the head, as a share of the usual.
        jaw: width of the jaw, as a share of the head's.
        brow: thickness of the brows.
        long_hair: whether the hair falls beside the face.
        roll_degrees: turn in the plane of the picture.
        yaw: turn to the side, -1 to 1.
        smile: -1 to 1.
        light: direction (right, up), each -1 to 1.
        brightness: about 1.
        warmth: red against blue, about 0.
        centre: (column, row) of the middle of the eyes as shares of the picture.
        scale: distance of the eyes as a share of the picture.
        background: colour.
        clothes: colour.
    """

    age_years: float
    frailty: float
    ageing: float
    wasting: float
    skin: Colour
    hair: Colour
    iris: Colour
    width: float
    jaw: float
    brow: float
    long_hair: bool
    roll_degrees: float
    yaw: float
    smile: float
    light: tuple[float, float]
    brightness: float
    warmth: float
    centre: tuple[float, float]
    scale: float
    background: Colour
    clothes: Colour

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        """Draw a person at random."""
        age, frailty = rng.uniform(YOUNGEST, OLDEST), rng.normal()
        ageing = (age - YOUNGEST) / (OLDEST - YOUNGEST) + rng.normal(0, 0.025)
        wasting = 1 / (1 + np.exp(-1.2 * frailty - rng.normal(0, 0.25)))
        skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.93, 1.05)
        young_hair = np.array(_HAIRS[rng.integers(len(_HAIRS))])
        grey = float(np.clip((ageing - 0.25) / 0.5 + rng.normal(0, 0.1), 0, 1))
        hair = (1 - grey) * young_hair + grey * np.array(_GREY)
        return cls(
            age_years=float(age),
            frailty=float(frailty),
            ageing=float(np.clip(ageing, 0, 1)),
            wasting=float(wasting),
            skin=_colour(skin),
            hair=_colour(hair),
            iris=_IRISES[rng.integers(len(_IRISES))],
            width=float(rng.normal(1, 0.04)),
            jaw=float(rng.normal(0.80, 0.04)),
            brow=float(rng.uniform(0.06, 0.11)),
            long_hair=bool(rng.random() < 0.4),
            roll_degrees=float(rng.normal(0, 4)),
            yaw=float(np.clip(rng.normal(0, 0.3), -0.8, 0.8)),
            smile=float(rng.uniform(-0.3, 1)),
            light=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.1, 0.8))),
            brightness=float(rng.uniform(0.85, 1.12)),
            warmth=float(rng.normal(0, 0.03)),
            centre=(float(rng.uniform(0.46, 0.54)), float(rng.uniform(0.40, 0.47))),
            scale=float(rng.uniform(0.16, 0.21)),
            background=_colour(rng.uniform(40, 220, 3)),
            clothes=_colour(rng.uniform(20, 160, 3)),
        )

    @property
    def hazard(self) -> float:
        """Deaths a year: it rises with the age (Gompertz) and with the frailty."""
        return float(0.08 * np.exp(0.045 * (self.age_years - 60) + 0.9 * self.frailty))


def _colour(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0, 255))
    return red, green, blue
