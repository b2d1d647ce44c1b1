"""CT as the encoder sees it: along the patient's axes, at one spacing, scaled, cut into patches.

Published (Pai et al., arXiv:2501.09001, `scripts/feature_extractor.py`): axes to head, back and left,
bilinear resampling to 3 x 1 x 1 mm, cropped to what is above 0 HU, -1024 to 2048 HU as 0 to 1, patches of
24 x 128 x 128 that overlap by 0 or by 0.625. For the search for a place: 1 mm and patches of 64 x 64 x 64.
A smaller network may see coarser patches; its checkpoint says which.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from algorithms.ct_fm.network import HU_RANGE
from algorithms.protocol import Affine, Unsuitable, Volume, Voxels
from algorithms.spatial import Orientation, Shape, Spacing, resample, shrink, spacing_of

Box = tuple[slice, slice, slice]
"""Where a patch lies in an array."""

_BODY_HU = 0.0
_STRIDE = 8


@dataclass(frozen=True)
class Sampling:
    """How an encoder looks at a volume.

    Attributes:
        spacing_mm: towards head, back and left.
        patch: voxels along these axes, multiples of 8: the published 24 is none of 16, which only a decoder
            asks for.
        overlap: share of a patch that the next one repeats.
    """

    spacing_mm: Spacing
    patch: Shape
    overlap: float

    def __post_init__(self) -> None:
        if (
            any(size % _STRIDE for size in self.patch)
            or not 0 <= self.overlap < 1
            or min(self.spacing_mm) <= 0
        ):
            raise ValueError(f"{self} is no sampling that an encoder can use")

    @classmethod
    def of(cls, config: Mapping[str, Any], use: str) -> Self:
        """For a use, from the configuration of a checkpoint; what it leaves out is as published."""
        usual = PUBLISHED[use]
        said = config.get(use, {})
        a, b, c = (float(mm) for mm in said.get("spacing_mm", usual.spacing_mm))
        d, e, f = (int(size) for size in said.get("patch", usual.patch))
        return cls((a, b, c), (d, e, f), float(said.get("overlap", usual.overlap)))

    @property
    def extent_mm(self) -> npt.NDArray[np.float64]:
        """Size of a patch."""
        return np.asarray(np.multiply(self.patch, self.spacing_mm), dtype=np.float64)

    def boxes(self, shape: tuple[int, ...]) -> Iterator[Box]:
        """Patches that cover an array of at least the size of one; the last along an axis ends with it."""
        along = []
        for length, size in zip(shape, self.patch, strict=True):
            step = max(1, round(size * (1 - self.overlap)))
            starts = sorted({min(start, length - size) for start in range(0, length - size + step, step)})
            along.append([slice(start, start + size) for start in starts])
        return product(*along)


PUBLISHED: Final[Mapping[str, Sampling]] = {
    "embedding": Sampling((3.0, 1.0, 1.0), (24, 128, 128), 0.0),
    "search": Sampling((1.0, 1.0, 1.0), (64, 64, 64), 0.625),
}


@dataclass(frozen=True, eq=False)
class Grid:
    """A volume in canonical orientation at the spacing of an encoder.

    Attributes:
        voxels: float32, axes to head, back and left; 0 is -1024 HU, 1 is 2048 HU.
        affine_mm: 4x4, voxel index to patient LPS millimetres.
    """

    voxels: Voxels
    affine_mm: Affine

    @classmethod
    def of(cls, volume: Volume, spacing_mm: Spacing) -> Self:
        """Reorder, resample (whole blocks are averaged where several voxels become one) and scale.

        Raises:
            Unsuitable: the values are not in Hounsfield units.
        """
        if volume.unit != "HU":
            raise Unsuitable("the values are not in Hounsfield units, which the encoder was trained on")
        orientation = Orientation.closest(volume.affine_mm)
        canonical = orientation.apply(volume.voxels)
        affine = orientation.affine(volume.affine_mm, _shape(volume.voxels))
        factors = [
            max(1, int(new / old + 1e-3)) for new, old in zip(spacing_mm, spacing_of(affine), strict=True)
        ]
        block = np.diag([*factors, 1.0])
        block[:3, 3] = (np.array(factors) - 1) / 2
        averaged = shrink(canonical, (factors[0], factors[1], factors[2]))
        affine = affine @ block
        steps = np.array(spacing_mm) / spacing_of(affine)
        a, b, c = (int((n - 1) / step + 1e-6) + 1 for n, step in zip(averaged.shape, steps, strict=True))
        onto = affine @ np.diag([*steps, 1.0])
        low, high = HU_RANGE
        voxels = resample(averaged, affine, (a, b, c), onto, order=1, outside=low)
        return cls(np.clip((voxels - np.float32(low)) / np.float32(high - low), 0, 1), onto)

    def cropped(self) -> Self:
        """The box that holds all that is above 0 HU.

        Raises:
            Unsuitable: nothing is.
        """
        above = self.voxels > (_BODY_HU - HU_RANGE[0]) / (HU_RANGE[1] - HU_RANGE[0])
        bounds = [np.flatnonzero(above.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        if not all(len(found) for found in bounds):
            raise Unsuitable("nothing in the image is as dense as water")
        first = np.array([found[0] for found in bounds])
        box = tuple(slice(found[0], found[-1] + 1) for found in bounds)
        affine = self.affine_mm.copy()
        affine[:3, 3] = self.position_mm(first)
        return type(self)(self.voxels[box], affine)

    def padded(self, patch: Shape) -> Self:
        """At least as large as a patch, by air on both sides."""
        short = [max(0, size - length) for size, length in zip(patch, self.voxels.shape, strict=True)]
        before = np.array([missing // 2 for missing in short])
        voxels = np.pad(self.voxels, [(b, missing - b) for b, missing in zip(before, short, strict=True)])
        affine = self.affine_mm.copy()
        affine[:3, 3] = self.position_mm(-before)
        return type(self)(voxels, affine)

    def position_mm(self, index: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Patient positions (..., 3) of voxels (..., 3)."""
        return np.asarray(index @ self.affine_mm[:3, :3].T + self.affine_mm[:3, 3], dtype=np.float64)

    def index(self, position_mm: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Voxels with fractions (..., 3) at patient positions (..., 3)."""
        back = np.linalg.inv(self.affine_mm)
        return np.asarray(position_mm @ back[:3, :3].T + back[:3, 3], dtype=np.float64)


def _shape(array: Voxels) -> Shape:
    a, b, c = array.shape
    return a, b, c
