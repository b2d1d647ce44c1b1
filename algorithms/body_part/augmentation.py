"""Slices made different without becoming those of another level, for training.

Position, size, rotation, flips and transposition; window, brightness, noise, blur and a circular
field of view: what differs between scanners and between phantoms and people.
"""

import math

import numpy as np
import torch
from torch.nn import functional

_AIR = -1.0
_TISSUES = np.array([-1.0, -0.6, -0.28, -0.17, -0.06, 0.2, 1.0])  # air, lung, fat, soft tissue, blood, bone
_LEEWAY = np.array([0.0, 0.12, 0.04, 0.04, 0.06, 0.15, 0.2])


def augment(slices: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """One random change for all slices of a volume.

    Args:
        slices: float32 (slice, 128, 128), -1 to 1.
        rng: decides what is done.
    """
    slices = _moved(slices, rng)
    if rng.random() < 0.5:
        slices = slices.flip(1)
    if rng.random() < 0.05:
        slices = slices.flip(2)
    if rng.random() < 0.05:
        slices = slices.transpose(1, 2)
    slices = _with_other_values(slices, rng)
    if rng.random() < 0.2:
        slices = _within_circle(slices, float(rng.uniform(0.6, 1.0)))
    return slices.clamp(-1.0, 1.0)


def _moved(slices: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Rotated by up to 12 degrees, 0.8 to 1.24 times the size along each axis, shifted by up to 10 %."""
    angle = math.radians(float(rng.uniform(-12, 12)))
    size = float(rng.uniform(0.85, 1.18))
    along = np.array([size * rng.uniform(0.95, 1.05), size * rng.uniform(0.95, 1.05)])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    affine = np.column_stack([turn / along[:, None], rng.uniform(-0.2, 0.2, 2)])
    theta = torch.from_numpy(affine.astype(np.float32)).expand(len(slices), -1, -1)
    grid = functional.affine_grid(theta, [len(slices), 1, *slices.shape[1:]], align_corners=False)
    above_air = (slices - _AIR)[:, None]
    return functional.grid_sample(above_air, grid, align_corners=False)[:, 0] + _AIR


def _with_other_values(slices: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another window, contrast, blur and noise."""
    if rng.random() < 0.5:
        slices = slices.clamp(max=float(rng.uniform(-0.1, 0.6)))
    if rng.random() < 0.3:
        slices = slices.clamp(min=float(rng.uniform(-1.0, -0.6)))
    slices = _with_other_contrast(slices, rng)
    if rng.random() < 0.3:
        blurred = functional.avg_pool2d(slices[:, None], 3, stride=1, padding=1)[:, 0]
        slices = torch.lerp(slices, blurred, float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.5:
        noise = rng.standard_normal(slices.shape, dtype=np.float32)
        slices = slices + torch.from_numpy(noise) * float(rng.uniform(0.0, 0.03))
    return slices


def _with_other_contrast(slices: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Lung, fat, soft tissue, blood and bone each brighter or darker, their order kept."""
    others = _TISSUES + rng.uniform(-1, 1, len(_TISSUES)) * _LEEWAY
    changed = np.interp(slices.numpy(), _TISSUES, np.maximum.accumulate(others))
    return torch.from_numpy(changed.astype(np.float32))


def _within_circle(slices: torch.Tensor, radius: float) -> torch.Tensor:
    """Air outside a circle whose radius is a share of half the image."""
    axis = torch.linspace(-1, 1, slices.shape[1])
    outside = axis[:, None].square() + axis.square() > radius**2
    return slices.masked_fill(outside, _AIR)
