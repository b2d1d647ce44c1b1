"""A face laid onto the template that face networks know: 112 x 112 pixels, five landmarks (ArcFace).

The way from photograph to crop is a similarity in the plane: with points as complex numbers it is
z -> a z + b, and the least squares are solved in closed form (Umeyama 1991).
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.fahr_face.detection import Pixels, Points

SIDE: Final = 112
"""Pixels along each side of a crop."""

TEMPLATE: Final[Points] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the landmarks of an aligned face are, (column, row)."""


@dataclass(frozen=True)
class Similarity:
    """A turn, a scale and a shift: z -> scale_turn * z + shift, with z = column + i row."""

    scale_turn: complex
    shift: complex

    @classmethod
    def between(cls, source: Points, target: Points) -> Self:
        """The similarity that brings points nearest to others.

        Args:
            source: float64 (point, 2), not all the same.
            target: of the same shape.
        """
        z, w = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
        around_z, around_w = z - z.mean(), w - w.mean()
        scale_turn = complex(np.vdot(around_z, around_w) / np.vdot(around_z, around_z))
        return cls(scale_turn, complex(w.mean() - scale_turn * z.mean()))

    @property
    def scale(self) -> float:
        """Pixels of the target for each pixel of the source."""
        return abs(self.scale_turn)

    @property
    def inverse(self) -> "Similarity":
        """The way back."""
        return Similarity(1 / self.scale_turn, -self.shift / self.scale_turn)

    def of(self, points: Points) -> Points:
        """Points (point, 2) of the source in the target."""
        w = self.scale_turn * (points[:, 0] + 1j * points[:, 1]) + self.shift
        return np.stack([w.real, w.imag], axis=1)


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A crop, and how it lies in the photograph.

    Attributes:
        pixels: uint8 (112, 112, RGB).
        placement: from the photograph to the crop.
        landmarks: float64 (5, 2) in the crop.
    """

    pixels: Pixels
    placement: Similarity
    landmarks: Points

    def on_photograph(
        self, weight: npt.NDArray[np.float32], shape: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """A map over the crop as a map over the photograph, 0 outside the crop.

        Args:
            weight: float32 (112, 112).
            shape: rows and columns of the photograph.
        """
        return _resampled(weight, self.placement, shape)


def aligned(pixels: Pixels, landmarks: Points) -> AlignedFace:
    """Cut a face out.

    Args:
        pixels: the photograph, uint8 (row, column, RGB).
        landmarks: float64 (5, 2) in the photograph.
    """
    placement = Similarity.between(landmarks, TEMPLATE)
    corners = placement.inverse.of(np.array([[0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]], dtype=np.float64))
    margin = 4 / placement.scale
    low = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
    high = np.ceil(corners.max(axis=0) + margin).astype(int)
    near = pixels[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    crop_of_near = Similarity.between(landmarks - low, TEMPLATE)
    blur = max(0.0, (1 / placement.scale - 1) / 2)
    back = crop_of_near.inverse
    channels = [_resampled(ndimage.gaussian_filter(near[..., c], blur), back, (SIDE, SIDE)) for c in range(3)]
    crop = np.stack(channels, axis=-1).round().clip(0, 255).astype(np.uint8)
    return AlignedFace(crop, placement, placement.of(landmarks))


def _resampled(
    image: npt.NDArray[np.float32], way: Similarity, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """What is at `way.of(point)` in the image for each pixel of a grid, 0 outside.

    Args:
        image: float32 (row, column).
        way: from the grid to the image.
        shape: rows and columns of the grid.
    """
    a, b = way.scale_turn, way.shift
    matrix = np.array([[a.real, a.imag], [-a.imag, a.real]])  # (row, column)
    return np.asarray(
        ndimage.affine_transform(image, matrix, (b.imag, b.real), shape, order=1), dtype=np.float32
    )
