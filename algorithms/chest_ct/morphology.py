"""Morphology with a ball whose radius is in millimetres, exact on grids of any spacing.

A ball is cut into lines along the last axis; the mask is widened along that axis once per line
length and combined by shifts, which costs far less than a distance transform or a generic kernel.
"""

from collections import defaultdict
from math import ceil

import numpy as np

from algorithms.protocol import BoolMask
from algorithms.spatial import Spacing


def dilate(mask: BoolMask, radius_mm: float, spacing_mm: Spacing) -> BoolMask:
    """All voxels whose centre is within `radius_mm` of the centre of a voxel of the mask."""
    result = np.zeros_like(mask)
    for half_length, offsets in _lines(radius_mm, spacing_mm).items():
        widened = _widen(mask, half_length)
        for first, second in offsets:
            target, source = _overlap(first, mask.shape[0]), _overlap(-first, mask.shape[0])
            rows, source_rows = _overlap(second, mask.shape[1]), _overlap(-second, mask.shape[1])
            result[target, rows] |= widened[source, source_rows]
    return result


def erode(mask: BoolMask, radius_mm: float, spacing_mm: Spacing) -> BoolMask:
    """All voxels of the mask further than `radius_mm` from any voxel outside; the array's end is no edge."""
    return ~dilate(~mask, radius_mm, spacing_mm)


def opened(mask: BoolMask, radius_mm: float, spacing_mm: Spacing) -> BoolMask:
    """The part of the mask that a ball of this radius can sweep without leaving it."""
    return dilate(erode(mask, radius_mm, spacing_mm), radius_mm, spacing_mm) & mask


def closed(mask: BoolMask, radius_mm: float, spacing_mm: Spacing) -> BoolMask:
    """The mask and the gaps that a ball of this radius cannot enter; gaps open at the array's end stay."""
    return erode(dilate(mask, radius_mm, spacing_mm), radius_mm, spacing_mm) | mask


def box_around(mask: BoolMask, margin_mm: float, spacing_mm: Spacing) -> tuple[slice, slice, slice]:
    """The smallest box around a mask that is not empty, wider by a margin but within the array."""
    bounds = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = ceil(margin_mm / spacing_mm[axis])
        bounds.append(slice(max(0, int(used[0]) - margin), int(used[-1]) + margin + 1))
    return bounds[0], bounds[1], bounds[2]


def _lines(radius_mm: float, spacing_mm: Spacing) -> dict[int, list[tuple[int, int]]]:
    lines: dict[int, list[tuple[int, int]]] = defaultdict(list)
    first_reach, second_reach = int(radius_mm / spacing_mm[0]), int(radius_mm / spacing_mm[1])
    for first in range(-first_reach, first_reach + 1):
        for second in range(-second_reach, second_reach + 1):
            left = radius_mm**2 - (first * spacing_mm[0]) ** 2 - (second * spacing_mm[1]) ** 2
            if left >= 0:
                lines[int(left**0.5 / spacing_mm[2])].append((first, second))
    return lines


def _widen(mask: BoolMask, half_length: int) -> BoolMask:
    widened = mask.copy()
    reached = 0
    while reached < half_length:
        step = min(max(reached, 1), half_length - reached)
        previous = widened.copy()
        widened[..., step:] |= previous[..., :-step]
        widened[..., :-step] |= previous[..., step:]
        reached += step
    return widened


def _overlap(shift: int, length: int) -> slice:
    return slice(max(shift, 0), max(length + min(shift, 0), 0))
