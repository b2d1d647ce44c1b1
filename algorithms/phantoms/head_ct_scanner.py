"""What a scanner makes of a head: beam hardening, streaks of metal, blur, an offset, noise."""

import numpy as np
from scipy import ndimage

from algorithms.phantoms.acquisition import noise
from algorithms.phantoms.frame import Field, Grid

_METAL_HU = 2500.0


def scan_head(rng: np.random.Generator, hu: Field, bone: Field, grid: Grid) -> Field:
    """The image of a head, in whole HU.

    Args:
        rng: draws kernel, dose and artefacts.
        hu: of the head without noise.
        bone: share of bone in each voxel.
        grid: of both.
    """
    pixel = grid.spacing_mm[1]
    image = hu + np.where(hu > -300, _hardening(rng, bone, pixel), np.float32(0))
    _streak(rng, image, pixel)
    blur = float(rng.uniform(0.35, 0.6)) / pixel
    image = ndimage.gaussian_filter(image, (0.0, blur, blur))
    thin = min(2.0, float(np.sqrt(5.0 / grid.spacing_mm[0])))
    sigma = float(np.exp(rng.uniform(np.log(1.8), np.log(6.0)))) * thin
    image += noise(rng, image.shape, sigma, float(rng.uniform(0.5, 0.9))) + np.float32(rng.normal(0, 1.5))
    return np.asarray(np.rint(np.clip(image, -1024.0, 3071.0)), dtype=np.float32)


def _hardening(rng: np.random.Generator, bone: Field, pixel: float) -> Field:
    """Brightness next to the skull, and dark bars along rows that pass much bone (Hounsfield bar)."""
    step = max(1, round(1.8 / pixel))
    width = 7.0 / (pixel * step)
    glow = ndimage.gaussian_filter(bone[:, ::step, ::step], (0.0, width, width)) * float(rng.uniform(0, 11))
    glow = glow.repeat(step, axis=1).repeat(step, axis=2)[:, : bone.shape[1], : bone.shape[2]]
    passed = ndimage.gaussian_filter1d(bone.sum(axis=2) * pixel, 4.0 / pixel, axis=1)
    bars = (passed - ndimage.gaussian_filter1d(passed, 22.0 / pixel, axis=1)) * float(rng.uniform(0.03, 0.2))
    return np.asarray(glow - bars[:, :, None], dtype=np.float32)


def _streak(rng: np.random.Generator, image: Field, pixel: float) -> None:
    """Rays that start from metal, in the slices that hold some."""
    for index in range(len(image)):
        plane = image[index]
        rows, columns = np.nonzero(plane > _METAL_HU)
        if not rows.size:
            continue
        y, x = np.ogrid[: plane.shape[0], : plane.shape[1]]
        y, x = (y - rows.mean()) * pixel, (x - columns.mean()) * pixel
        angle = np.arctan2(y, x)
        rays = sum(np.cos(n * angle + rng.uniform(0, 6.3)) for n in rng.integers(7, 40, 6))
        plane += (rays * float(rng.uniform(40, 160)) / (1 + np.hypot(y, x) / 25)).astype(np.float32)
