"""Training patches of the organ network: synthetic torsos made as varied as real images are.

Everything drawn follows from a seed and the number of the patch, so that a recipe that was interrupted
goes on as if it had not been. Arrays are canonical (head, back, left) with voxels of 3 mm.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from algorithms.phantoms.labels import Label
from algorithms.spatial import Labels

Torso = tuple[npt.NDArray[np.int16], Labels]
_Array = npt.NDArray[np.float32]

PATCH: Final = (48, 64, 64)
CLASSES: Final[dict[str, tuple[Label, ...]]] = {
    "background": (),
    "heart": (Label.HEART,),
    "aorta": (Label.AORTA,),
    "esophagus": (Label.ESOPHAGUS,),
    "spinal cord": (Label.SPINAL_CORD, Label.CAUDA_EQUINA),
    "lung": (Label.LEFT_LUNG, Label.RIGHT_LUNG, Label.EFFUSION),
    "airway": (Label.AIRWAY, Label.UPPER_AIRWAY),
    "vertebra": (Label.VERTEBRA,),
    "pulmonary artery": (Label.PULMONARY_ARTERY,),
    "vein": (
        Label.SUPERIOR_VENA_CAVA,
        Label.INFERIOR_VENA_CAVA,
        Label.AZYGOS_VEIN,
        Label.PULMONARY_VEIN,
    ),
    "solid abdominal organ": (Label.LIVER, Label.SPLEEN, Label.KIDNEY),
    "stomach or bowel": (Label.STOMACH, Label.BOWEL),
}
"""What the network tells apart; those after the spinal cord only help it to."""

_BLOOD = (
    Label.HEART,
    Label.AORTA,
    Label.PULMONARY_ARTERY,
    Label.PULMONARY_VEIN,
    Label.SUPERIOR_VENA_CAVA,
    Label.INFERIOR_VENA_CAVA,
    Label.AZYGOS_VEIN,
    Label.VESSEL,
)
_AIRY = (Label.AIR, Label.LEFT_LUNG, Label.RIGHT_LUNG, Label.AIRWAY, Label.UPPER_AIRWAY)
_AIR_HU = -1024.0
_MEDIASTINAL = 0.6  # share of the patches whose middle slice shows the esophagus


@dataclass(frozen=True)
class Patch:
    """An image and the class of each voxel: float32 and int64 of the shape `PATCH`."""

    hu: torch.Tensor
    classes: torch.Tensor


def class_table() -> npt.NDArray[np.int64]:
    """Class by label."""
    table = np.zeros(256, dtype=np.int64)
    for number, labels in enumerate(CLASSES.values()):
        table[list(labels)] = number
    return table


def draw(torsos: list[Torso], seed: int, number: int) -> Patch:
    """The patch with this number."""
    rng = np.random.default_rng((seed, number))
    hu, labels = _placed(torsos[rng.integers(len(torsos))], rng)
    hu = _recoloured(hu, labels, rng)
    hu = _scanned(hu, rng)
    outside = _out_of_view(rng)
    hu[outside], labels[outside] = _AIR_HU, Label.AIR
    classes = class_table()[labels]
    return Patch(torch.from_numpy(hu), torch.from_numpy(classes))


def _placed(torso: Torso, rng: np.random.Generator) -> tuple[_Array, Labels]:
    """A part of the torso, turned, scaled and bent."""
    size, whole = np.array(PATCH), np.array(torso[0].shape)
    half = size / 2
    centre = whole / 2 + rng.uniform(-1, 1, 3) * (whole[0] / 2 - 12, 16, 36)
    if rng.random() < _MEDIASTINAL:
        centre[0] = rng.choice(np.flatnonzero((torso[1] == Label.ESOPHAGUS).any(axis=(1, 2))))
        centre[1:] = whole[1:] / 2 + rng.uniform(-1, 1, 2) * (10, 14)
    angles = rng.normal(0, 0.09, 3)
    scale = np.exp(rng.normal(0, 0.07) + rng.normal(0, 0.05, 3))
    matrix = _turn(angles) * scale
    reach = np.abs(matrix) @ half + 8
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, whole)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [np.linspace(-h + 0.5, h - 0.5, n) for h, n in zip(half, size, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ matrix.T + (centre - low)
    bend = torch.from_numpy(rng.normal(0, rng.uniform(0, 1.6), (1, 3, 6, 7, 8)).astype(np.float32))
    index += functional.interpolate(bend, PATCH, mode="trilinear")[0].permute(1, 2, 3, 0).numpy()
    normalised = (2 * index + 1) / (high - low) - 1
    grid = torch.from_numpy(normalised[None, ..., ::-1].astype(np.float32))
    hu = torch.from_numpy(torso[0][box].astype(np.float32))[None, None] - _AIR_HU
    labels = torch.from_numpy(torso[1][box].astype(np.float32))[None, None]
    sampled = functional.grid_sample(hu, grid, mode="bilinear", align_corners=False)[0, 0] + _AIR_HU
    named = functional.grid_sample(labels, grid, mode="nearest", align_corners=False)[0, 0]
    return sampled.numpy(), named.numpy().astype(np.uint8)


def _turn(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    matrix = np.eye(3)
    for (i, j), angle in zip(((1, 2), (0, 2), (0, 1)), angles, strict=True):
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


def _recoloured(hu: _Array, labels: Labels, rng: np.random.Generator) -> _Array:
    """Other HU for the tissues: a shift for each, at times another contrast of blood, at times new values."""
    shift = rng.normal(0, 14, 256)
    if rng.random() < 0.35:
        shift[list(_BLOOD)] += rng.uniform(-40, 160) + rng.normal(0, 35, len(_BLOOD))
    if rng.random() < 0.1:
        shift[[Label.HEART, Label.AORTA]] = shift[Label.HEART] + rng.normal(0, 5)
    shift[list(_AIRY)] = rng.normal(0, 10, len(_AIRY))
    field = shift[labels].astype(np.float32)
    if rng.random() < 0.2:
        values = rng.uniform(-30, 130, 256)
        values[[Label.FAT]] = rng.uniform(-130, -60)
        values[[Label.VERTEBRA, Label.BONE]] = rng.uniform(150, 500)
        share = np.float32(rng.uniform(0.3, 0.9)) * ~np.isin(labels, _AIRY)
        field += share * (values[labels].astype(np.float32) - hu)
    return np.asarray(hu + ndimage.gaussian_filter(field, 0.45, truncate=2), dtype=np.float32)


def _scanned(hu: _Array, rng: np.random.Generator) -> _Array:
    """What a scanner does: slice thickness, kernel, noise, streaks, calibration."""
    if rng.random() < 0.45:
        hu = _thick(hu, rng.uniform(1.2, 2.6), rng)
    smooth = rng.uniform(0, 0.75)
    if rng.random() < 0.3:
        hu = hu + np.float32(rng.uniform(0.2, 0.9)) * (hu - ndimage.gaussian_filter(hu, 0.8, truncate=2))
    elif smooth > 0.3:
        hu = ndimage.gaussian_filter(hu, smooth, truncate=2)
    noise = rng.standard_normal(hu.shape, dtype=np.float32) * np.float32(abs(rng.normal(0, 16)))
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, 0.6, truncate=2) * np.float32(1.8)
    if rng.random() < 0.15:
        streaks = rng.standard_normal(hu.shape[:2], dtype=np.float32) * np.float32(rng.uniform(5, 30))
        noise += streaks[:, :, None]
    scaled = (hu + noise) * np.float32(rng.normal(1, 0.04)) + np.float32(rng.normal(0, 8))
    return np.asarray(np.maximum(scaled, _AIR_HU), dtype=np.float32)


def _thick(hu: _Array, factor: float, rng: np.random.Generator) -> _Array:
    """Slices `factor` voxels apart and as thick, interpolated back."""
    slices = max(4, round(len(hu) / factor))
    flat = torch.from_numpy(hu.reshape(1, len(hu), -1)).permute(0, 2, 1)
    mode = "area" if rng.random() < 0.7 else "linear"  # contiguous slices, or thin ones with gaps
    thick = functional.interpolate(flat, slices, mode=mode)
    back = functional.interpolate(thick, len(hu), mode="linear")
    return back.permute(0, 2, 1).reshape(hu.shape).contiguous().numpy()


def _out_of_view(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Voxels beyond the first or last slice, or beyond a narrow field of view."""
    outside = np.zeros(PATCH, dtype=np.bool_)
    if rng.random() < 0.35:
        cut = int(rng.integers(6, PATCH[0] - 12))
        outside[slice(None, cut) if rng.random() < 0.5 else slice(PATCH[0] - cut, None)] = True
    if rng.random() < 0.12:
        y, x = (np.arange(n) - (n - 1) / 2 + rng.normal(0, 5) for n in PATCH[1:])
        outside |= np.hypot(y[:, None], x[None, :]) > rng.uniform(30, 46)
    return outside
