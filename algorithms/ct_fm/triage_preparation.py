"""What the triage network sees of a head CT, exactly as CT-FM documents it for SinoCT and CQ500.

Oriented to head, back and left; cut to the box of what is denser than water; resampled to 5 x 2 x 2 mm;
padded and cut to 48 x 128 x 128 voxels about the middle; four windows of Hounsfield units, each scaled
to 0 to 1, one after the other along the first axis (Pai et al., arXiv:2501.09001, `evaluation/sinoct.yaml`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import numpy.typing as npt

from algorithms.protocol import Affine, Unsuitable, Volume, Voxels
from algorithms.spatial import Orientation, Shape, Spacing, spacing_of

if TYPE_CHECKING:
    import torch

WINDOWS_HU: Final = ((0.0, 80.0), (-125.0, 175.0), (28.0, 36.0), (-900.0, 2100.0))
"""Blood, subdural, stroke and bone, in the order of the stack."""

SPACING_MM: Final[Spacing] = (5.0, 2.0, 2.0)
SHAPE: Final[Shape] = (48, 128, 128)


@dataclass(frozen=True, eq=False)
class PreparedHead:
    """A head on the grid of the triage network.

    Attributes:
        hu: float32 of the shape (48, 128, 128), axes to head, back and left.
        affine_mm: 4x4, voxel index of `hu` to patient LPS millimetres.
    """

    hu: Voxels
    affine_mm: Affine

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """Prepare a volume of evenly spaced slices.

        Raises:
            Unsuitable: nothing in it is denser than water.
        """
        orientation = Orientation.closest(volume.affine_mm)
        stored = volume.voxels
        shape = (stored.shape[0], stored.shape[1], stored.shape[2])
        box, affine = _foreground(orientation.apply(stored), orientation.affine(volume.affine_mm, shape))
        spaced, affine = _spaced(box, affine)
        for axis in range(3):
            spaced, affine = _fitted(spaced, affine, axis)
        return cls(np.ascontiguousarray(spaced), affine)


def windowed(hu: "torch.Tensor") -> "torch.Tensor":
    """The network's input: the four windows along the first axis.

    Args:
        hu: (batch, 1, slice, row, column), Hounsfield units.

    Returns:
        (batch, 1, 4 x slice, row, column), 0 to 1.
    """
    import torch

    return torch.cat([((hu - low) / (high - low)).clamp(0, 1) for low, high in WINDOWS_HU], dim=2)


def _foreground(hu: Voxels, affine_mm: Affine) -> tuple[Voxels, Affine]:
    """The box of the voxels above 0 HU."""
    dense = hu > 0
    starts, box = [], []
    for axis in range(3):
        there = np.flatnonzero(dense.any(axis=tuple(other for other in range(3) if other != axis)))
        if not there.size:
            raise Unsuitable("nothing in the image is denser than water")
        starts.append(int(there[0]))
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    return hu[tuple(box)], _begun(affine_mm, starts)


def _spaced(hu: Voxels, affine_mm: Affine) -> tuple[Voxels, Affine]:
    """Linear between neighbours along each axis; the first voxel stays where it is."""
    scaled = affine_mm.copy()
    for axis, (have, want) in enumerate(zip(spacing_of(affine_mm), SPACING_MM, strict=True)):
        count = round((hu.shape[axis] - 1) * have / want + 1)
        hu = _interpolated(hu, np.arange(count) * (want / have), axis)
        scaled[:3, axis] *= want / have
    return hu, scaled


def _interpolated(hu: Voxels, places: npt.NDArray[np.float64], axis: int) -> Voxels:
    places = np.clip(places, 0, hu.shape[axis] - 1)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, hu.shape[axis] - 1)
    share = (places - below).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    lower = np.take(hu, below, axis)
    return np.asarray(lower + share * (np.take(hu, above, axis) - lower), dtype=np.float32)


def _fitted(hu: Voxels, affine_mm: Affine, axis: int) -> tuple[Voxels, Affine]:
    """Padded with the least value of each line along the axis, or cut, about the middle."""
    missing = SHAPE[axis] - hu.shape[axis]
    start = [0, 0, 0]
    if missing >= 0:
        before = missing // 2
        width = [(before, missing - before) if a == axis else (0, 0) for a in range(3)]
        start[axis] = -before
        return np.pad(hu, width, mode="minimum"), _begun(affine_mm, start)
    start[axis] = hu.shape[axis] // 2 - SHAPE[axis] // 2
    kept = slice(start[axis], start[axis] + SHAPE[axis])
    return hu[tuple(kept if a == axis else slice(None) for a in range(3))], _begun(affine_mm, start)


def _begun(affine_mm: Affine, start: list[int]) -> Affine:
    """The affine of a grid that begins at another voxel."""
    moved = affine_mm.copy()
    moved[:3, 3] = (affine_mm @ np.array([*start, 1.0]))[:3]
    return moved
