"""Where a face is drawn: coordinates of the face, and soft shapes on a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from algorithms.phantoms.face_traits import Colour

Point = tuple[float, float]
"""To the right and down in the picture from the middle of the eyes, in distances of the eyes."""


@dataclass(frozen=True)
class Pose:
    """From the face to the picture.

    Attributes:
        column: of the middle of the eyes, pixels.
        row: likewise.
        unit: pixels between the eyes.
        roll_degrees: clockwise.
    """

    column: float
    row: float
    unit: float
    roll_degrees: float

    def at(self, points: Sequence[Point]) -> npt.NDArray[np.float64]:
        """Points in the picture, float64 (point, (column, row))."""
        turn = np.radians(self.roll_degrees)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        moved: npt.NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ matrix.T * self.unit
        moved += np.array([self.column, self.row])
        return moved


@dataclass(eq=False)
class Canvas:
    """A picture in the making.

    Attributes:
        pixels: float32 (row, column, RGB), 0 to 255.
        pose: of the face.
    """

    pixels: npt.NDArray[np.float32]
    pose: Pose

    def fill(self, outline: Sequence[Point], colour: Colour, opacity: float = 1, blur: float = 0.01) -> None:
        """Paint a shape with soft borders; `blur` in distances of the eyes."""
        self._paint(self.pose.at(outline), None, colour, opacity, blur)

    def stroke(
        self, line: Sequence[Point], width: float, colour: Colour, opacity: float = 1, blur: float = 0.01
    ) -> None:
        """Paint a soft line; `width` and `blur` in distances of the eyes."""
        self._paint(self.pose.at(line), max(1, round(width * self.pose.unit)), colour, opacity, blur)

    def _paint(
        self, points: npt.NDArray[np.float64], width: int | None, colour: Colour, opacity: float, blur: float
    ) -> None:
        radius = blur * self.pose.unit
        margin = 3 * radius + (width or 0) + 2
        rows, columns = self.pixels.shape[:2]
        low = np.clip(np.floor(points.min(axis=0) - margin), 0, [columns, rows]).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + margin), 0, [columns, rows]).astype(int)
        if (high <= low).any() or opacity <= 0:
            return
        mask = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
        corners = [(float(x), float(y)) for x, y in points - low]
        if width is None:
            ImageDraw.Draw(mask).polygon(corners, fill=255)
        else:
            ImageDraw.Draw(mask).line(corners, fill=255, width=width, joint="curve")
        soft = mask.filter(ImageFilter.GaussianBlur(radius))
        share = np.asarray(soft, dtype=np.float32)[..., None] * np.float32(opacity / 255)
        region = self.pixels[low[1] : high[1], low[0] : high[0]]
        region += share * (np.array(colour, dtype=np.float32) - region)


def ellipse(centre: Point, width: float, height: float, points: int = 40) -> list[Point]:
    """The outline of an ellipse with half axes `width` and `height`."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return [(centre[0] + width * float(np.cos(a)), centre[1] + height * float(np.sin(a))) for a in angles]


def arc(start: Point, middle: Point, end: Point, points: int = 12) -> list[Point]:
    """A curve through three points (quadratic, `middle` at its half)."""
    t = np.linspace(0, 1, points)[:, None]
    a, b, c = (np.array(each) for each in (start, middle, end))
    control = 2 * b - (a + c) / 2
    curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * c
    return [(float(x), float(y)) for x, y in curve]
