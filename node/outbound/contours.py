"""The outline of a mask on a slice as closed polygons that every reader fills to the same pixels.

The outline runs half-way between the centres of pixels inside and outside, so a pixel belongs to a
polygon exactly if its centre does. A hole is joined to the outline around it by a channel of no width
("keyhole", PS3.3 C.8.8.6.3): readers differ on whether an inner contour is a hole or is filled, and a
keyhole means the same to both.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from algorithms.protocol import BoolMask

Polygon = npt.NDArray[np.float64]
"""Shape (n, 2): row and column of each corner, in pixels; the last is joined to the first."""

MAX_CORNERS: Final = 2000
"""So that Contour Data fits the 65534 bytes that a DS value has in Explicit VR."""


def polygons(mask: BoolMask) -> list[Polygon]:
    """The outlines of a mask, one for each part that hangs together by the edges of pixels.

    A part with more corners than a contour can hold is cut in two.

    Args:
        mask: axes (row, column).
    """
    parts, _ = label(mask)
    found: list[Polygon] = []
    for number, box in enumerate(find_objects(parts), start=1):
        low = np.array([box[0].start, box[1].start])
        found += [polygon + low for polygon in _outlines(parts[box] == number)]
    return found


def _outlines(part: BoolMask) -> list[Polygon]:
    loops = [loop[:-1] - 1 for loop in find_contours(np.pad(part, 1).astype(np.float32), 0.5)]
    outline, *holes = sorted(map(_corners, loops), key=_extent, reverse=True)
    if len(outline) + sum(len(hole) + 2 for hole in holes) <= MAX_CORNERS:
        return [_keyholed(outline, holes)]
    axis = int(np.argmax(part.shape))
    middle = part.shape[axis] // 2
    first, second = np.split(part, [middle], axis=axis)
    offset = np.eye(2)[axis] * middle
    return [*polygons(first), *(polygon + offset for polygon in polygons(second))]


def _keyholed(outline: Polygon, holes: Sequence[Polygon]) -> Polygon:
    """The outline with the holes joined to it, each where it comes nearest."""
    for hole in holes:
        distance = cdist(outline, hole)
        near, far = np.unravel_index(np.argmin(distance), distance.shape)
        turned = np.roll(hole, -int(far), axis=0)
        outline = np.concatenate([outline[: near + 1], turned, turned[:1], outline[near:]])
    return outline


def _corners(loop: Polygon) -> Polygon:
    """The loop without the points that lie on a straight line between their neighbours."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return loop[turns]


def _extent(loop: Polygon) -> float:
    """Area of the box around a loop: the outline of a part encloses all its holes."""
    return float(np.prod(np.ptp(loop, axis=0)))
