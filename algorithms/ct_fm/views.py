"""Two looks at one place of a scan that differ in all but the anatomy.

Position, size, angle, contrast, noise, sharpness and the end of the field of view change from one look to
the other. Nothing is mirrored: the left of a body is not its right.
"""

from math import radians

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from algorithms.ct_fm.cases import Case
from algorithms.ct_fm.network import HU_RANGE
from algorithms.spatial import Shape

_JITTER = 0.04  # of the patch
_DEGREES = 10.0
_SIZES = (0.85, 1.18)
_PROPORTIONS = (0.93, 1.07)
_LOW, _HIGH = HU_RANGE
_TISSUES_HU = np.array([-1024.0, -850, -100, 40, 150, 350, 1000, 2048])
_LEEWAY_HU = np.array([0.0, 60, 20, 20, 80, 150, 200, 0])
_NOISE_HU = 60.0


def view(case: Case, place: npt.NDArray[np.int16], patch: Shape, rng: np.random.Generator) -> torch.Tensor:
    """A patch around a place, changed at random.

    Returns:
        float32 (head, back, left) of the shape of the patch, 0 to 1.
    """
    sampled = _sampled(torch.from_numpy(case.voxels), _grid(case, place, patch, rng))
    sampled = _with_other_contrast(sampled, rng)
    if rng.random() < 0.4:
        sampled = _blurred(sampled, rng)
    if rng.random() < 0.6:
        grain = rng.standard_normal(patch, dtype=np.float32) * rng.uniform(0, _NOISE_HU / (_HIGH - _LOW))
        sampled = sampled + torch.from_numpy(grain.astype(np.float32))
    if rng.random() < 0.2:
        sampled = _cut_off(sampled, rng)
    return sampled.clamp(0, 1)


def _grid(
    case: Case, place: npt.NDArray[np.int16], patch: Shape, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Where each voxel of the patch is taken from: voxels of the scan (head, back, left, 3)."""
    spacing = np.array(case.spacing_mm)
    turn = Rotation.from_rotvec(rng.uniform(-1, 1, 3) * radians(_DEGREES)).as_matrix()
    size = np.exp(rng.uniform(*np.log(_SIZES))) * rng.uniform(*_PROPORTIONS, 3)
    matrix = (turn * size) * spacing / spacing[:, None]
    centre = place + rng.uniform(-_JITTER, _JITTER, 3) * patch
    axes = [np.arange(n) - (n - 1) / 2 for n in patch]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.asarray(offsets @ matrix.T + centre, dtype=np.float32)


def _sampled(voxels: torch.Tensor, places: npt.NDArray[np.float32]) -> torch.Tensor:
    """Trilinear interpolation; air beyond the scan."""
    low = np.maximum(np.floor(places.min(axis=(0, 1, 2))).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=(0, 1, 2))).astype(int) + 1, voxels.shape)
    high = np.maximum(high, low + 1)
    box = voxels[low[0] : high[0], low[1] : high[1], low[2] : high[2]].float()
    if not box.numel():
        return torch.zeros(places.shape[:3])
    normal = (2 * (places - low) + 1) / np.array(box.shape) - 1
    grid = torch.from_numpy(normal[None, ..., ::-1].astype(np.float32))
    return functional.grid_sample(box[None, None], grid, align_corners=False)[0, 0]


def _with_other_contrast(patch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each tissue brighter or darker, their order kept: phases of contrast, energies, calibration."""
    changed = np.maximum.accumulate(_TISSUES_HU + rng.uniform(-1, 1, len(_TISSUES_HU)) * _LEEWAY_HU)
    known, wanted = ((hu - _LOW) / (_HIGH - _LOW) for hu in (_TISSUES_HU, changed))
    return torch.from_numpy(np.interp(patch.numpy(), known, wanted).astype(np.float32))


def _blurred(patch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Thicker slices, or a smoother kernel."""
    axes = (3, 1, 1) if rng.random() < 0.5 else (1, 3, 3)
    around = [pad for size in reversed(axes) for pad in (size // 2, size // 2)]
    padded = functional.pad(patch[None, None], around, mode="replicate")
    return torch.lerp(
        patch, functional.avg_pool3d(padded, axes, stride=1)[0, 0], float(rng.uniform(0.2, 1.0))
    )


def _cut_off(patch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Air from a plane on: the scan, or its field of view, ends there."""
    axis, share = int(rng.choice(3, p=(0.6, 0.2, 0.2))), float(rng.uniform(0.05, 0.35))
    count = int(share * patch.shape[axis])
    start = 0 if rng.random() < 0.5 else patch.shape[axis] - count
    patch = patch.clone()
    patch.narrow(axis, start, count).zero_()
    return patch
