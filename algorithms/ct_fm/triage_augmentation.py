"""Prepared heads made different: turned, moved, cut, noisy; and where they bleed with them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from algorithms.ct_fm.triage_preparation import SHAPE, SPACING_MM
from algorithms.spatial import rotation

VOXEL_ML: Final = float(np.prod(SPACING_MM)) / 1000.0

_TURN_DEGREES = (8.0, 6.0, 12.0)  # about the axes to the left, back and head
_SHIFT_MM = 12.0
_SIZE = 0.08
_CUT_BELOW, _CUT_ABOVE = 9, 4  # slices at most that the scan leaves out
_CUT = 0.4  # share of heads that are cut
_NOISE_HU = 7.0
_OFFSET_HU = 4.0
_SCALE = 0.03
_THICK = 0.3  # share of heads whose skull is thicker by a voxel each way
_BLUR = 0.5  # share of heads that are blurred
_BLUR_SIGMA = (0.9, 0.9, 0.9)  # at most, voxels: slices of up to 10 mm, and soft kernels
_BONE_HU = 300.0


@dataclass(frozen=True, eq=False)
class Head:
    """A prepared head and where it bleeds.

    Attributes:
        hu: float32 (slice, row, column), as `PreparedHead.hu`.
        bleed: float32 of the same shape: the share of each voxel that is blood, 0 to 1.
    """

    hu: torch.Tensor
    bleed: torch.Tensor

    @property
    def bleed_ml(self) -> float:
        """Volume of blood."""
        return float(self.bleed.sum()) * VOXEL_ML


def augment(head: Head, rng: np.random.Generator) -> Head:
    """Another head of the same shape that could as well have been scanned."""
    moved = _cut(_moved(head, rng), rng)
    if rng.random() < _THICK:
        moved = _thick_skulled(moved)
    hu = moved.hu * float(rng.uniform(1 - _SCALE, 1 + _SCALE)) + float(rng.uniform(-1, 1)) * _OFFSET_HU
    if rng.random() < _BLUR:
        hu = torch.from_numpy(ndimage.gaussian_filter(hu.numpy(), rng.uniform(0, _BLUR_SIGMA)))
    noise = torch.randn(hu.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    return Head(hu + float(rng.uniform(0, _NOISE_HU)) * noise, moved.bleed)


def _moved(head: Head, rng: np.random.Generator) -> Head:
    """Turned, shifted, a little larger or smaller, and every second one mirrored."""
    spacing = np.array(SPACING_MM)[::-1]  # left, back, head: the order of affine_grid
    half_mm = spacing * np.array(SHAPE)[::-1] / 2
    turn = rotation(rng.uniform(-1, 1, 3) * np.radians(_TURN_DEGREES)) * rng.uniform(1 - _SIZE, 1 + _SIZE)
    turn[:, 0] *= rng.choice((-1, 1))
    theta = np.zeros((3, 4))
    theta[:, :3] = turn * half_mm[None, :] / half_mm[:, None]
    theta[:, 3] = rng.uniform(-_SHIFT_MM, _SHIFT_MM, 3) / half_mm
    grid = functional.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, *SHAPE], align_corners=False)
    both = torch.stack([head.hu, head.bleed])[None]
    hu, bleed = functional.grid_sample(both, grid, padding_mode="border", align_corners=False)[0]
    return Head(hu, bleed)


def _thick_skulled(head: Head) -> Head:
    """The skull a voxel thicker each way within the slice; what it covers is no blood."""
    widest = functional.max_pool3d(head.hu[None, None], (1, 3, 3), 1, (0, 1, 1))[0, 0]
    bone = widest > _BONE_HU
    return Head(torch.where(bone, widest, head.hu), head.bleed.masked_fill(bone, 0.0))


def _cut(head: Head, rng: np.random.Generator) -> Head:
    """Sometimes the scan begins above the base of the skull, or ends below the vertex."""
    if rng.random() >= _CUT:
        return head
    tissue = torch.nonzero((head.hu > 0).flatten(1).any(1)).flatten()
    low = int(tissue[0]) + int(rng.integers(_CUT_BELOW + 1))
    high = int(tissue[-1]) + 1 - int(rng.integers(_CUT_ABOVE + 1))
    before = (SHAPE[0] - (high - low)) // 2
    hu = head.hu[low:high].amin(dim=0).expand(SHAPE).clone()
    bleed = torch.zeros_like(head.bleed)
    hu[before : before + high - low] = head.hu[low:high]
    bleed[before : before + high - low] = head.bleed[low:high]
    return Head(hu, bleed)
