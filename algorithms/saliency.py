"""Occlusion sensitivity: where an image must be covered to change an answer (Zeiler and Fergus 2014).

Boxes are laid over the image one after the other; how far the answer drops while a box is covered is
credited to all voxels of the box, and each voxel gets the mean of the boxes that covered it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from algorithms.protocol import BoolMask, Progress, Voxels
from algorithms.spatial import Shape

Box = tuple[slice, slice, slice]
"""Where a box lies in an array of axes (slice, row, column)."""


@dataclass(frozen=True, eq=False)
class Drops:
    """How far an answer dropped while each of some boxes was covered."""

    boxes: tuple[Box, ...]
    values: tuple[float, ...]

    def __add__(self, other: "Drops") -> "Drops":
        return Drops(self.boxes + other.boxes, self.values + other.values)

    def strongest(self, most: int) -> "Drops":
        """The boxes that lowered the answer most, strongest first; none that raised it."""
        order = sorted((i for i, value in enumerate(self.values) if value > 0), key=lambda i: -self.values[i])
        return Drops(tuple(self.boxes[i] for i in order[:most]), tuple(self.values[i] for i in order[:most]))

    def on_grid(self, shape: Shape) -> Voxels:
        """For each voxel the mean drop of the boxes that covered it, 0 where none did."""
        total, count = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        for box, value in zip(self.boxes, self.values, strict=True):
            total[box] += np.float32(value)
            count[box] += 1
        return np.asarray(total / np.maximum(count, 1), dtype=np.float32)


def boxes_over(region: BoolMask, size: Shape, overlap: float, least: float) -> tuple[Box, ...]:
    """Boxes of one size that cover a region.

    Args:
        region: bool (slice, row, column); the boxes span the box that encloses it.
        size: of a box; cut where the image ends.
        overlap: share of a box that its neighbour covers too, 0 to less than 1.
        least: share of a box that must lie in the region for the box to count.
    """
    starts = [_starts(region, axis, size[axis], overlap) for axis in range(3)]
    boxes = [
        (slice(s, s + size[0]), slice(r, r + size[1]), slice(c, c + size[2])) for s, r, c in product(*starts)
    ]
    return tuple(box for box in boxes if region[box].size and region[box].mean() >= least)


def drops_over(
    boxes: Sequence[Box], answer: Callable[[Box], float], base: float, progress: Progress
) -> Drops:
    """Cover each box once.

    Args:
        boxes: what to cover.
        answer: the answer while a box is covered.
        base: the answer while nothing is.
        progress: told after each box.
    """
    values = []
    for number, box in enumerate(boxes):
        values.append(base - answer(box))
        progress((number + 1) / len(boxes), "occlusion sensitivity")
    return Drops(tuple(boxes), tuple(values))


def _starts(region: BoolMask, axis: int, size: int, overlap: float) -> list[int]:
    """First voxels of boxes along an axis: evenly spread over the region, at most a step apart."""
    there = np.flatnonzero(region.any(axis=tuple(other for other in range(3) if other != axis)))
    if not there.size:
        return []
    first, end = int(there[0]), int(there[-1]) + 1
    room = max(0, end - first - size)
    steps = int(np.ceil(room / (size * (1 - overlap))))
    last = max(0, min(first, region.shape[axis] - size))
    return [min(first, last)] if not steps else [first + round(room * i / steps) for i in range(steps + 1)]
