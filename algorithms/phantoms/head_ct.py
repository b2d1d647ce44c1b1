"""A non-contrast head CT as a scanner delivers it, with or without a fresh bleed, and the truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from algorithms.phantoms import head_ct_brain as inside
from algorithms.phantoms import head_ct_skull as skull
from algorithms.phantoms.chest import Phantom
from algorithms.phantoms.frame import Field, Frame, Grid
from algorithms.phantoms.head_ct_bleeds import Bleed
from algorithms.phantoms.head_ct_bleeds import bleed as paint_bleed
from algorithms.phantoms.head_ct_patient import Head
from algorithms.phantoms.head_ct_scanner import scan_head
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import Layer, paint
from algorithms.protocol import Volume

_SLAB = 6
_SHARED = (Label.BRAIN, Label.BONE, Label.CEREBROSPINAL_FLUID, Label.BLEED)
_TRUTH = {
    "Brain": Label.BRAIN,
    "Skull": Label.BONE,
    "Cerebrospinal fluid": Label.CEREBROSPINAL_FLUID,
    "Bleed": Label.BLEED,
}


@dataclass(frozen=True, eq=False)
class HeadPhantom(Phantom):
    """A head and what is in it.

    Attributes:
        bleed: where the blood is; None if there is none.
        bleed_ml: its volume, with the parts of voxels it fills.
        age: years.
    """

    bleed: Bleed | None
    bleed_ml: float
    age: float


def head_ct(
    seed: int,
    *,
    bleed: Bleed | Literal["drawn"] | None = "drawn",
    columns: int = 512,
    slice_spacing_mm: float = 5.0,
    sop_instance_uids: tuple[str, ...] | None = None,
) -> HeadPhantom:
    """A head CT from the skull base to the crown: ages 20 to 92, calcifications, artefacts, noise.

    Args:
        seed: head, bleed and noise follow from it, each on its own: the same head may be had with and
            without a bleed.
        bleed: the kind, None for none; drawn, odd seeds have one of the five kinds and even seeds none.
        columns: and rows; the field of view is drawn, 220 to 255 mm.
        slice_spacing_mm: distance of the slices, which is also their thickness.
        sop_instance_uids: one for each slice; without them they follow from the seed.
    """
    anatomy, blood, scanner = (np.random.default_rng((seed, stream)) for stream in range(3))
    head = Head.draw(anatomy)
    kind = (Bleed(blood.choice(list(Bleed))) if seed % 2 else None) if bleed == "drawn" else bleed
    layers = tuple(_layers(anatomy, blood, head, kind))
    grid = _grid(scanner, columns, slice_spacing_mm)
    hu, shares = _render(layers, head, grid)
    hu = scan_head(scanner, hu, shares[Label.BONE], grid)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = grid.spacing_mm
    affine[:3, 3], affine[3, 3] = grid.first_mm[::-1], 1.0
    uids = sop_instance_uids or tuple(
        f"2.25.{uuid5(NAMESPACE_OID, f'ainode phantom head-ct {seed} {index}').int}"
        for index in range(grid.shape[0])
    )
    volume = Volume(hu, affine, "HU", "CT", uids)
    truth = {name: shares[label] >= 0.5 for name, label in _TRUTH.items() if shares[label].any()}
    bleed_ml = float(shares[Label.BLEED].sum(dtype=np.float64)) * volume.voxel_volume_ml
    return HeadPhantom(volume, MappingProxyType(truth), kind, bleed_ml, head.age)


def _layers(
    anatomy: np.random.Generator, blood: np.random.Generator, head: Head, kind: Bleed | None
) -> Iterator[Layer]:
    """From the skin inwards; every later layer covers the earlier ones."""
    yield from skull.outside(anatomy, head)
    yield from inside.brain(anatomy, head)
    yield from inside.fluid(head)
    yield from skull.base(anatomy, head)
    yield from skull.foramen_magnum()
    yield inside.spinal_cord()
    yield from inside.dura_and_vessels(anatomy, head)
    yield from inside.calcifications(anatomy, head)
    if kind:
        yield from paint_bleed(blood, head, kind)


def _grid(rng: np.random.Generator, columns: int, slice_spacing_mm: float) -> Grid:
    """From near the foramen magnum to above the crown; now and then the crown is cut off."""
    pixel = float(rng.uniform(220, 255)) / columns
    bottom = float(rng.uniform(-88, -64))
    top = float(rng.uniform(94, 108)) if rng.random() > 0.07 else float(rng.uniform(50, 75))
    y, x = (float(rng.normal(0, 4)) - (columns - 1) * pixel / 2 for _ in range(2))
    slices = int((top - bottom) / slice_spacing_mm) + 1
    return Grid((bottom, y, x), (slice_spacing_mm, pixel, pixel), (slices, columns, columns))


def _render(layers: tuple[Layer, ...], head: Head, grid: Grid) -> tuple[Field, dict[Label, Field]]:
    """Thick slices, HU and share of each tissue: means of the planes in the middle and at the faces."""
    z, y, x = grid.first_mm
    half = grid.spacing_mm[0] / 2
    hu = np.empty(grid.shape, dtype=np.float32)
    shares = {label: np.empty(grid.shape, dtype=np.float32) for label in _SHARED}
    for start in range(0, grid.shape[0], _SLAB):
        count = min(_SLAB, grid.shape[0] - start)
        planes = Grid(
            (z + (2 * start - 1) * half, y, x), (half, *grid.spacing_mm[1:]), (2 * count + 1, *grid.shape[1:])
        )
        thin, labels = paint(layers, Frame.of(planes, head.pose))
        hu[start : start + count] = _thick(thin)
        for label, share in shares.items():
            share[start : start + count] = _thick((labels == label).astype(np.float32))
    return hu, shares


def _thick(planes: Field) -> Field:
    return np.asarray(0.25 * planes[:-1:2] + 0.5 * planes[1::2] + 0.25 * planes[2::2])
