"""From the coarse labels to exact borders on the grid of the source image.

What lies deeper inside a label than the coarse step stays as it is; in the band around its border
the Hounsfield values of the source decide.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from algorithms.chest_ct.lungs import LUNG_HU
from algorithms.chest_ct.morphology import box_around, dilate, erode
from algorithms.protocol import BoolMask, Voxels
from algorithms.spatial import Labels, Spacing

_SKIN_HU = -500.0
_WALL_HU = -500.0


class Part(IntEnum):
    """Labels on the coarse grid. VESSELS is what closing added to a lung."""

    BODY = 1
    LEFT = 2
    RIGHT = 3
    AIRWAY = 4
    LEFT_VESSELS = 5
    RIGHT_VESSELS = 6


@dataclass(frozen=True, eq=False)
class Masks:
    """Final masks on the whole source grid; an empty one is a structure that is not in view."""

    body: BoolMask
    left: BoolMask
    right: BoolMask
    airway: BoolMask


def refine(labels: Labels, hu: Voxels, spacing_mm: Spacing, step_mm: float) -> Masks:
    """Put every border where the source image has it.

    Args:
        labels: values of `Part` on the source grid.
        hu: the source image, same shape.
        spacing_mm: of the source grid.
        step_mm: how far the borders of `labels` may be off.
    """
    body = _snap(labels > 0, hu > _SKIN_HU, step_mm, spacing_mm)
    left, right, airway = (np.zeros(labels.shape, dtype=np.bool_) for _ in range(3))
    box = box_around(labels > Part.BODY, 2 * step_mm, spacing_mm)
    part, image = labels[box], hu[box]
    coarse_left = np.isin(part, (Part.LEFT, Part.LEFT_VESSELS))
    coarse_right = np.isin(part, (Part.RIGHT, Part.RIGHT_VESSELS))
    lumen = _snap(part == Part.AIRWAY, image < _WALL_HU, step_mm, spacing_mm) & ~coarse_left & ~coarse_right
    air = image < LUNG_HU
    side = _snap(coarse_left, air | (part == Part.LEFT_VESSELS), step_mm, spacing_mm) & ~lumen & ~coarse_right
    other = _snap(coarse_right, air | (part == Part.RIGHT_VESSELS), step_mm, spacing_mm) & ~lumen & ~side
    left[box], right[box], airway[box] = side, other, lumen
    return Masks(body | left | right | airway, left, right, airway)


def _snap(mask: BoolMask, evidence: BoolMask, step_mm: float, spacing_mm: Spacing) -> BoolMask:
    inner = erode(mask, step_mm, spacing_mm)
    return inner | (dilate(mask, step_mm, spacing_mm) & evidence) if step_mm > 0 else mask
