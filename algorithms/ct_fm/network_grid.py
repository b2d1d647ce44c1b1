"""Between a CT as it is stored and the even canonical grid that a network works on, both ways.

Canonical axes point to head, back and left. One interpolation leads to the grid, one look-up of the
nearest voxel leads back.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch.nn import functional

from algorithms.ct_fm.network import HU_RANGE
from algorithms.protocol import Affine, Unsuitable, Volume, Voxels
from algorithms.spatial import (
    Labels,
    Orientation,
    Shape,
    Spacing,
    obliquity_degrees,
    patient_grid,
    resample,
    spacing_of,
)

_MARGIN = 10  # voxels, around what is denser than the least value of the range
_ALIGNED_WITHIN_DEGREES = 15.0  # of gantry tilt and positioning; augmentation teaches networks as much


@dataclass(frozen=True, eq=False)
class NetworkGrid:
    """A CT on the grid of a network, cropped to what is not air, and the way back.

    Along the patient axes within 15 degrees, an image keeps its own axes: the grid fills the same box,
    and its spacing differs from the wanted one by what makes the number of voxels whole. Any other image
    is turned onto the patient axes.

    Attributes:
        scaled: float32, axes (head, back, left), from 0 to 1 over the range of Hounsfield units.
        affine_mm: 4x4, voxel index of the whole grid, not cropped, to patient LPS millimetres.
        box: where `scaled` lies on the whole grid.
        shape: of the whole grid.
        source: the image.
    """

    scaled: Voxels
    affine_mm: Affine
    box: tuple[slice, slice, slice]
    shape: Shape
    source: Volume

    @classmethod
    def of(cls, image: Volume, spacing_mm: Spacing, hu_range: tuple[float, float] = HU_RANGE) -> Self:
        """Resample, scale and crop.

        Args:
            image: an even, upright stack in Hounsfield units.
            spacing_mm: along head, back and left.
            hu_range: what becomes 0 and 1; what is beyond is clipped.

        Raises:
            Unsuitable: not a CT in Hounsfield units, or nothing in it but air.
        """
        if image.unit != "HU" or image.modality != "CT":
            raise Unsuitable(f"not a CT in Hounsfield units: modality {image.modality}, unit {image.unit}")
        low, high = hu_range
        canonical, affine = _canonical(image, spacing_mm, low)
        scaled = np.clip((canonical - np.float32(low)) / np.float32(high - low), 0, 1)
        box = _foreground(scaled)
        return cls(np.ascontiguousarray(scaled[box]), affine, box, _shape(scaled), image)

    def to_source(self, labels: Labels) -> Labels:
        """Labels of `scaled` at the voxels of the image; 0 outside."""
        whole = np.zeros(self.shape, dtype=np.uint8)
        whole[self.box] = labels
        onto = _shape(self.source.voxels)
        if not _is_aligned(self.source):
            return resample(whole, self.affine_mm, onto, self.source.affine_mm, order=0, outside=0)
        stored = np.ascontiguousarray(Orientation.closest(self.source.affine_mm).revert(whole))
        back = functional.interpolate(torch.from_numpy(stored)[None, None], onto, mode="nearest-exact")
        return np.asarray(back[0, 0].numpy(), dtype=np.uint8)


def _canonical(image: Volume, spacing_mm: Spacing, outside: float) -> tuple[Voxels, Affine]:
    if not _is_aligned(image):
        shape, affine = patient_grid(_shape(image.voxels), image.affine_mm, spacing_mm)
        turned = resample(image.voxels, image.affine_mm, shape, affine, order=1, outside=outside)
        return turned, affine
    orientation = Orientation.closest(image.affine_mm)
    wanted = [spacing_mm[orientation.axes.index(axis)] for axis in range(3)]
    sizes = [
        max(round(n * s / w), 1)
        for n, s, w in zip(image.voxels.shape, spacing_of(image.affine_mm), wanted, strict=True)
    ]
    voxels = torch.from_numpy(np.require(image.voxels, np.float32, ["C", "W"]))
    resized = functional.interpolate(voxels[None, None], sizes, mode="trilinear", align_corners=False)
    stored = np.asarray(resized[0, 0].numpy(), dtype=np.float32)
    return orientation.apply(stored), orientation.affine(_resized_affine(image, sizes), _shape(stored))


def _resized_affine(image: Volume, sizes: list[int]) -> Affine:
    """Of a grid with other numbers of voxels in the same box."""
    scale = np.array(image.voxels.shape) / sizes
    onto_source = np.diag([*scale, 1.0])
    onto_source[:3, 3] = (scale - 1) / 2
    return np.asarray(image.affine_mm @ onto_source, dtype=np.float64)


def _foreground(scaled: Voxels) -> tuple[slice, slice, slice]:
    filled = scaled > 0
    if not filled.any():
        raise Unsuitable("nothing in the image is denser than air")
    spans = (np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    a, b, c = (
        slice(max(int(span[0]) - _MARGIN, 0), min(int(span[-1]) + 1 + _MARGIN, size))
        for span, size in zip(spans, scaled.shape, strict=True)
    )
    return a, b, c


def _is_aligned(image: Volume) -> bool:
    return obliquity_degrees(image.affine_mm) <= _ALIGNED_WITHIN_DEGREES


def _shape(array: Voxels | Labels) -> Shape:
    a, b, c = array.shape
    return a, b, c
