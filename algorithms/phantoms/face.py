"""A drawn face, whose age and hazard are known. It stands for no person and says nothing about people."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.phantoms import face_parts as parts
from algorithms.phantoms.face_canvas import Canvas, Point, Pose
from algorithms.phantoms.face_traits import Traits

SIDE = 512
"""Pixels along each side of the picture."""

_GRAIN = 3.0  # standard deviation of the noise
_FOCUS = 0.8  # pixels


@dataclass(frozen=True, eq=False)
class FacePhantom:
    """A picture and its truth.

    Attributes:
        pixels: uint8 (512, 512, RGB).
        age_years: of the person.
        hazard: deaths a year.
        landmarks: float64 (5, 2), (column, row): both eyes, left in the picture first, the tip of the nose,
            both corners of the mouth.
    """

    pixels: npt.NDArray[np.uint8]
    age_years: float
    hazard: float
    landmarks: npt.NDArray[np.float64]


def face_phantom(seed: int) -> FacePhantom:
    """Draw a face; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    traits = Traits.drawn(rng)
    column, row = (SIDE * share for share in traits.centre)
    canvas = Canvas(_background(traits), Pose(column, row, SIDE * traits.scale, traits.roll_degrees))
    for paint in parts.PARTS:
        paint(canvas, traits, rng)
    pixels = _photographed(canvas.pixels, traits, rng)
    return FacePhantom(pixels, traits.age_years, traits.hazard, canvas.pose.at(_landmarks(traits)))


def _landmarks(traits: Traits) -> list[Point]:
    lift = -0.07 * traits.smile + 0.05 * traits.ageing
    return [
        parts.turned(traits, parts.EYE_LEFT, 0.12),
        parts.turned(traits, parts.EYE_RIGHT, 0.12),
        parts.turned(traits, parts.NOSE, 0.5),
        *(parts.turned(traits, (x, y + lift), 0.3) for x, y in (parts.MOUTH_LEFT, parts.MOUTH_RIGHT)),
    ]


def _background(traits: Traits) -> npt.NDArray[np.float32]:
    fall = np.linspace(1.1, 0.8, SIDE, dtype=np.float32)[:, None, None]
    colour = np.array(traits.background, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(fall * colour, (SIDE, SIDE, 3)))


def _photographed(
    painted: npt.NDArray[np.float32], traits: Traits, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Light from one side, the colour of the lamp, focus and grain."""
    along = np.linspace(-1, 1, SIDE, dtype=np.float32)
    light = 1 + 0.16 * traits.light[0] * along[None, :] - 0.12 * traits.light[1] * along[:, None]
    lamp = np.array([1 + traits.warmth, 1, 1 - traits.warmth], dtype=np.float32) * traits.brightness
    lit = painted * light[..., None] * lamp
    blurred = ndimage.gaussian_filter(lit, (_FOCUS, _FOCUS, 0), truncate=2.5)
    grain = rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(_GRAIN)
    return np.clip(blurred + grain, 0, 255).round().astype(np.uint8)
