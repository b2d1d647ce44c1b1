"""A chest CT as a scanner delivers it, with the truth: for the demonstration, tests and benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from scipy import ndimage

from algorithms.phantoms.acquisition import noise
from algorithms.phantoms.anatomy import Anatomy
from algorithms.phantoms.frame import Field, Grid
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import LabelMap
from algorithms.protocol import BoolMask, Volume

_FIELD_OF_VIEW_MM = 410.0
_MIDDLE_MM = 125.0
_SLAB = 6
_BODY = "Body"
_TRUTH = {
    "Left lung": (Label.LEFT_LUNG,),
    "Right lung": (Label.RIGHT_LUNG,),
    "Trachea and main bronchi": (Label.AIRWAY,),
    "Heart": (Label.HEART,),
    "Aorta": (Label.AORTA,),
    "Esophagus": (Label.ESOPHAGUS,),
    "Spinal cord": (Label.SPINAL_CORD, Label.CAUDA_EQUINA),
}


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic image and what is in it.

    Attributes:
        volume: the image.
        truth: mask of each structure by the label of its segment, on the grid of the volume.
    """

    volume: Volume
    truth: Mapping[str, BoolMask]


def chest_ct(
    seed: int,
    *,
    slices: int = 66,
    columns: int = 384,
    slice_spacing_mm: float = 5.0,
    sop_instance_uids: tuple[str, ...] | None = None,
) -> Phantom:
    """A chest CT from the upper abdomen to the neck, supine, with contrast or without.

    Args:
        seed: the anatomy, the noise and, unless given, the SOP Instance UIDs follow from it.
        slices: number of axial slices, feet first.
        columns: and rows; the field of view is 410 mm.
        slice_spacing_mm: distance of the slices, which is also their thickness.
        sop_instance_uids: one for each slice.
    """
    rng = np.random.default_rng(seed)
    anatomy = Anatomy.draw(rng, diseased=False)
    pixel = _FIELD_OF_VIEW_MM / columns
    corner = -(columns - 1) * pixel / 2
    first = _MIDDLE_MM - (slices - 1) * slice_spacing_mm / 2
    grid = Grid((first, corner, corner), (slice_spacing_mm, pixel, pixel), (slices, columns, columns))
    hu, labels = _render(anatomy, grid)
    hu += noise(rng, hu.shape, float(rng.uniform(9, 18)), 0.8)
    hu = np.rint(np.clip(hu, -1024.0, 3071.0))
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = slice_spacing_mm, pixel, pixel, 1.0
    affine[:3, 3] = corner, corner, first
    uids = sop_instance_uids or tuple(
        f"2.25.{uuid5(NAMESPACE_OID, f'ainode phantom chest-ct {seed} {index}').int}"
        for index in range(slices)
    )
    truth = {_BODY: labels > 0} | {name: np.isin(labels, numbers) for name, numbers in _TRUTH.items()}
    return Phantom(Volume(hu, affine, "HU", "CT", uids), MappingProxyType(truth))


def _render(anatomy: Anatomy, grid: Grid) -> tuple[Field, LabelMap]:
    """Thick slices: each is the weighted mean of the planes in its middle and at its faces."""
    z, y, x = grid.first_mm
    half = grid.spacing_mm[0] / 2
    hu = np.empty(grid.shape, dtype=np.float32)
    labels = np.empty(grid.shape, dtype=np.uint8)
    for start in range(0, grid.shape[0], _SLAB):
        count = min(_SLAB, grid.shape[0] - start)
        planes = Grid(
            (z + (2 * start - 1) * half, y, x), (half, *grid.spacing_mm[1:]), (2 * count + 1, *grid.shape[1:])
        )
        thin, numbers = anatomy.render(planes)
        hu[start : start + count] = 0.25 * thin[:-1:2] + 0.5 * thin[1::2] + 0.25 * thin[2::2]
        labels[start : start + count] = numbers[1::2]
    return ndimage.gaussian_filter(hu, (0.0, 0.6, 0.6)), labels
