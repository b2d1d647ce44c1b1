"""Between the source image and the 3 mm canonical grid of the organ network, both ways."""

from dataclasses import dataclass
from math import ceil
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from algorithms.chest_ct.morphology import box_around
from algorithms.protocol import Affine, BoolMask, Volume, Voxels
from algorithms.spatial import Orientation, Shape, patient_grid, resample, shrink, spacing_of

AIR_HU: Final = -1024.0
_TISSUE_HU = -250.0
_NOT_TRUNK = 0.25  # of the greatest projection of tissue; tables and raised arms are below it
_COLUMNS = 96
_ROWS = (80, 112)  # fewest and most
_STEP = 16

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class OrganGrid:
    """The middle of the trunk in cubes, exactly along the patient axes.

    Attributes:
        hu: float32, axes to head, back and left; air where the image does not reach.
        seen: which of its slices, rows and columns the image covers.
        affine_mm: index to patient LPS.
        spacing_mm: edge of the cubes.
    """

    hu: Voxels
    seen: Box
    affine_mm: Affine
    spacing_mm: float

    @classmethod
    def of(cls, image: Volume, spacing_mm: float) -> Self:
        """Average and resample an image, and cut out the middle of the trunk."""
        orientation = Orientation.closest(image.affine_mm)
        canonical = orientation.apply(image.voxels)
        affine = orientation.affine(image.affine_mm, _shape(image.voxels))
        a, b, c = (max(1, int(spacing_mm / s)) for s in spacing_of(affine))
        block = np.diag([float(a), float(b), float(c), 1.0])
        block[:3, 3] = (np.array((a, b, c)) - 1) / 2
        reduced = shrink(canonical, (a, b, c))
        shape, grid = patient_grid(_shape(reduced), affine @ block, (spacing_mm,) * 3)
        hu = resample(reduced, affine @ block, shape, grid, order=1, outside=AIR_HU)
        hu = np.maximum(hu, np.float32(AIR_HU))
        return cls(*_trunk(hu, grid), spacing_mm)

    def to_source(self, margin: Voxels, image: Volume) -> tuple[BoolMask, tuple[int, int, int]]:
        """Where a field on this grid is positive, on the grid of the image.

        Args:
            margin: float32, negative outside the structure; positive somewhere.
            image: the source.

        Returns:
            The mask in a box, and the box's first voxel on the source grid. The mask may be empty.
        """
        box = box_around(margin > 0, self.spacing_mm, (self.spacing_mm,) * 3)
        corner = [s.start for s in box]
        low, high = self._source_box(box, image)
        shape = (int(high[0] - low[0]), int(high[1] - low[1]), int(high[2] - low[2]))
        onto = _shifted(image.affine_mm, low)
        field = resample(margin[box], _shifted(self.affine_mm, corner), shape, onto, order=1, outside=-1.0)
        return field > 0, (int(low[0]), int(low[1]), int(low[2]))

    def _source_box(self, box: Box, image: Volume) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        ends = [(s.start - 0.5, s.stop - 0.5) for s in box]
        corners = np.array([[a, b, c, 1.0] for a in ends[0] for b in ends[1] for c in ends[2]])
        index = (corners @ (np.linalg.inv(image.affine_mm) @ self.affine_mm).T)[:, :3]
        low = np.clip(np.floor(index.min(axis=0)).astype(np.int64), 0, np.array(image.voxels.shape) - 1)
        high = np.clip(np.ceil(index.max(axis=0)).astype(np.int64) + 1, low + 1, image.voxels.shape)
        return low, high


def _trunk(hu: Voxels, affine_mm: Affine) -> tuple[Voxels, Box, Affine]:
    tissue = hu > _TISSUE_HU
    spans = [slice(0, len(hu))]
    for axis, (fewest, most) in ((1, _ROWS), (2, (_COLUMNS, _COLUMNS))):
        profile = tissue.sum(axis=(0, 3 - axis)).astype(np.float64)
        used = np.flatnonzero(profile > _NOT_TRUNK * profile.max())
        first, last = (int(used[0]), int(used[-1])) if used.size else (0, len(profile) - 1)
        size = min(max(ceil((last + 1 - first) / _STEP) * _STEP, fewest), most)
        middle = float(np.average(np.arange(first, last + 1), weights=profile[first : last + 1] + 1e-9))
        centre = (first + last) / 2 if axis == 1 else middle
        start = round(centre - (size - 1) / 2)
        spans.append(slice(start, start + size))
    padding = [(max(0, -s.start), max(0, s.stop - n)) for s, n in zip(spans, hu.shape, strict=True)]
    padded = np.pad(hu, padding, constant_values=AIR_HU)
    taken = tuple(
        slice(s.start + before, s.stop + before) for s, (before, _) in zip(spans, padding, strict=True)
    )
    a, b, c = (
        slice(before, s.stop - s.start - after) for s, (before, after) in zip(spans, padding, strict=True)
    )
    return padded[taken], (a, b, c), _shifted(affine_mm, [s.start for s in spans])


def _shifted(affine_mm: Affine, corner: npt.ArrayLike) -> Affine:
    shifted = affine_mm.copy()
    shifted[:3, 3] += affine_mm[:3, :3] @ np.asarray(corner, dtype=np.float64)
    return shifted


def _shape(array: Voxels) -> Shape:
    a, b, c = array.shape
    return a, b, c
