"""What a scanner makes of a body: blur, texture, noise, a round field of view."""

import numpy as np
from scipy import ndimage

from algorithms.phantoms.frame import Field
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import LabelMap

_TEXTURE_HU = {
    Label.FAT: 12.0,
    Label.MUSCLE: 9.0,
    Label.LEFT_LUNG: 26.0,
    Label.RIGHT_LUNG: 26.0,
    Label.VERTEBRA: 28.0,
    Label.BONE: 28.0,
    Label.LIVER: 5.0,
    Label.BOWEL: 25.0,
    Label.STOMACH: 12.0,
    Label.ARM: 9.0,
}
"""Unevenness of the tissues themselves, one standard deviation."""


def noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float, grain: float) -> Field:
    """Noise with the short correlation of a reconstruction kernel and a slow drift.

    Args:
        rng: source of the noise.
        shape: slices, rows, columns.
        sigma: standard deviation of the grain, HU.
        grain: width of the grain, pixels.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    fine = ndimage.gaussian_filter(white, (0.0, grain, grain))
    slow = ndimage.gaussian_filter(white[:, ::4, ::4], (0.0, 1.5, 1.5)).repeat(4, axis=1).repeat(4, axis=2)
    drift = slow[:, : shape[1], : shape[2]]
    return np.asarray(sigma * (fine / fine.std() + 0.3 * drift / drift.std()), dtype=np.float32)


def texture(rng: np.random.Generator, labels: LabelMap) -> Field:
    """Unevenness of each tissue."""
    table = np.zeros(256, dtype=np.float32)
    for label, amount in _TEXTURE_HU.items():
        table[label] = amount * rng.uniform(0.5, 1.6)
    grain = ndimage.gaussian_filter(rng.standard_normal(labels.shape, dtype=np.float32), 0.9)
    return np.asarray(table[labels] * (grain / grain.std()), dtype=np.float32)


def scan(rng: np.random.Generator, hu: Field, labels: LabelMap, spacing_mm: float) -> Field:
    """The image of a body on an isotropic grid by a random scanner and protocol.

    Args:
        rng: draws thickness of slices, kernel, noise and field of view.
        hu: of the body without noise, axes (slice, row, column).
        labels: on the same grid.
        spacing_mm: of the grid.
    """
    image = hu + texture(rng, labels)
    thick = float(rng.choice((0.0, 2.5, 5.0, 7.0), p=(0.35, 0.25, 0.3, 0.1)))
    if thick > spacing_mm:
        image = ndimage.gaussian_filter1d(image, 0.35 * thick / spacing_mm, axis=0)
    kernel = float(rng.uniform(-0.5, 0.7))
    if kernel > 0.25:
        image = ndimage.gaussian_filter(image, (0.0, kernel, kernel))
    elif kernel < 0:
        image += -kernel * (image - ndimage.gaussian_filter(image, (0.0, 0.8, 0.8)))
    sigma = float(np.exp(rng.uniform(np.log(3.0), np.log(28.0))))
    image += noise(rng, image.shape, sigma, float(rng.uniform(0.35, 0.9))) * _starved(labels)
    if rng.random() < 0.25:
        _crop_round(rng, image)
    return np.asarray(np.clip(image, -1024.0, 3071.0))


def _starved(labels: LabelMap) -> Field:
    """More noise where the rays pass wide slices: shoulders and pelvis."""
    width = np.count_nonzero(labels[:, ::2], axis=(1, 2)) / labels[:, ::2].shape[1] / labels.shape[2]
    wide = ndimage.gaussian_filter1d(np.clip(width / 0.45, 0.35, 2.0), 3)
    return np.asarray(wide[:, None, None], dtype=np.float32)


def _crop_round(rng: np.random.Generator, image: Field) -> None:
    """Beyond the round field of view there is no image."""
    rows, columns = image.shape[1:]
    y, x = np.ogrid[:rows, :columns]
    radius = float(rng.uniform(0.44, 0.58)) * columns
    image[:, np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2) > radius] = -1024.0
