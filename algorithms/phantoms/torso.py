"""Labelled bodies from the pelvis to the crown at low resolution: to train and to check networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from algorithms.phantoms.acquisition import scan
from algorithms.phantoms.anatomy import Anatomy
from algorithms.phantoms.frame import Field, Grid, Point
from algorithms.phantoms.head import CROWN_MM
from algorithms.phantoms.labels import LUNGS, NAMES, Label
from algorithms.phantoms.patient import VERTEBRAE
from algorithms.phantoms.scene import LabelMap
from algorithms.protocol import Affine

_WIDTH_MM, _DEPTH_MM = 444.0, 336.0


@dataclass(frozen=True, eq=False)
class Torso:
    """A synthetic CT of a large part of a body.

    Attributes:
        hu: float32, axes (slice, row, column); slices from feet to head, rows to the back, columns
            to the patient's left.
        labels: uint8, same axes; see `labels.Label`.
        names: number of a label to its name.
        affine_mm: 4x4, voxel index to patient LPS millimetres.
        levels_mm: z in patient millimetres of the landmarks within the grid, by the names of body
            part regression: "pelvis_start", "femur_end", "L5" to "C1" (middle of the vertebral body),
            "pelvis_end", "kidney", "lung_start", "liver_end", "lung_end", "teeth", "nose",
            "eyes_end", "head_end".
    """

    hu: Field
    labels: LabelMap
    names: Mapping[int, str]
    affine_mm: Affine
    levels_mm: Mapping[str, float]


def torso(seed: int, *, spacing_mm: float = 3.0, bottom_mm: float = -360.0, top_mm: float = 580.0) -> Torso:
    """A body of a varied population: habitus, age, phase of contrast, disease, scanner.

    Args:
        seed: everything follows from it.
        spacing_mm: of the isotropic grid.
        bottom_mm: z of the lowest slice; 0 is near the lower end plate of T12, the hips are near -270.
        top_mm: z of the highest slice; the apices of the lungs are near 265, the crown near 565.
    """
    rng = np.random.default_rng(seed)
    anatomy = Anatomy.draw(rng, diseased=True)
    shape = tuple(int(n / spacing_mm) + 1 for n in (top_mm - bottom_mm, _DEPTH_MM, _WIDTH_MM))
    first = (
        bottom_mm,
        -_DEPTH_MM / 2 + float(rng.uniform(-12, 12)),
        -_WIDTH_MM / 2 + float(rng.uniform(-12, 12)),
    )
    grid = Grid(first, (spacing_mm,) * 3, (shape[0], shape[1], shape[2]))
    body, labels = anatomy.render(grid)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3], affine[3, 3] = first[::-1], 1.0
    levels = MappingProxyType(_levels(anatomy, labels, grid))
    return Torso(scan(rng, body, labels, spacing_mm), labels, NAMES, affine, levels)


def _levels(anatomy: Anatomy, labels: LabelMap, grid: Grid) -> dict[str, float]:
    """Heights of the landmarks that lie within the grid, from below."""
    patient = anatomy.patient
    places: dict[str, Point] = {
        "pelvis_start": (62.0, 42.0, -344.0),
        "femur_end": (91.0, -4.0, -246.0),
        "pelvis_end": (105.0, 15.0, -144.0),
        "kidney": (0.0, 30.0, -46.0),
        "teeth": (0.0, -90.0, 394.0),
        "nose": (0.0, -115.0, 430.0),
        "eyes_end": (0.0, -85.0, 476.0),
        "head_end": (0.0, -8.0, CROWN_MM + 4.0),
    }
    for name, (low, high) in VERTEBRAE.items():
        middle = low + 0.58 * (high - low)
        places[name] = (0.0, patient.spine(middle) + 12.0, middle)
    levels = {name: patient.pose.place(point)[2] for name, point in places.items()}
    levels |= _extents(labels, grid)
    low, high = grid.axis_mm(0)[[0, -1]]
    inside = {name: z for name, z in levels.items() if low < z < high}
    return dict(sorted(inside.items(), key=lambda pair: pair[1]))


def _extents(labels: LabelMap, grid: Grid) -> dict[str, float]:
    """Where organs begin and end; the outermost slices are no borders and fall away by their height."""
    z = grid.axis_mm(0)
    extents = {}
    for numbers, first, last in ((LUNGS, "lung_start", "lung_end"), ((Label.LIVER,), None, "liver_end")):
        table = np.isin(np.arange(256), numbers)
        slices = np.flatnonzero(np.count_nonzero(table[labels], axis=(1, 2)) > 4)
        if slices.size and first:
            extents[first] = float(z[slices[0]])
        if slices.size:
            extents[last] = float(z[slices[-1]])
    return extents
