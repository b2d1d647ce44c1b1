"""Largest distances between mesh vertices: in space, and within a slice, row or column of the grid.

A slice, row or column here is also the plane half-way between two of them, where the mesh has
vertices on the lines that cross it. Positions are counted in half voxels, so that they are integers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from algorithms.protocol import Affine, BoolMask
from algorithms.radiomics.surface import Indices, Surface

_Numbers = npt.NDArray[np.float64]

_DIRECTIONS = 8
_MANY = 1000  # points; below, the hull takes longer than the distances
_SLIGHTLY_LESS = 1 - 1e-12  # rounding must not lose the ends themselves
_STRIDES = (1, 2, 4, 8, 16)  # of lines and planes
_ABSENT = 1 << 20  # half voxels; beyond any image


class Diameters(NamedTuple):
    """Millimetres; named as pyradiomics names them."""

    in_space: float
    in_slice: float
    in_row: float
    in_column: float


class _Ends(NamedTuple):
    """First and last vertex on each line of parallel planes.

    Attributes:
        first: int32, axes (plane, line): position along the line, `_ABSENT` where there is none.
        last: the same; `-_ABSENT` where there is none.
    """

    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]

    def across(self) -> "_Ends":
        """The same lines, put together to the planes across."""
        return _Ends(np.ascontiguousarray(self.first.T), np.ascontiguousarray(self.last.T))


def largest_diameters(surface: Surface, linear: Affine) -> Diameters:
    """All four.

    Args:
        surface: of a mask with at least one voxel.
        linear: 3x3, voxel index (slice, row, column) to millimetres.
    """
    vertices = _vertices(surface)
    sizes = [2 * n + 3 for n in surface.shape]
    along_columns = _ends(vertices, (0, 1, 2), sizes)
    along_rows = _ends(vertices, (0, 2, 1), sizes)
    slice_mm, row_mm, column_mm = (linear / 2.0).T
    return Diameters(
        in_space=_in_space(along_columns, linear / 2.0),
        in_slice=_in_planes(along_columns, row_mm, column_mm),
        in_row=_in_planes(along_columns.across(), slice_mm, column_mm),
        in_column=_in_planes(along_rows.across(), slice_mm, row_mm),
    )


def _vertices(surface: Surface) -> tuple[Indices, Indices, Indices]:
    """Positions (slice, row, column) of all vertices, in half voxels from the first corner."""
    crossings = [surface.crossings(axis) for axis in range(3)]
    slices, rows, columns = (
        np.concatenate([2 * cells[of] + (1 if along == axis else 2) for along, of in enumerate(crossings)])
        for axis, cells in enumerate(surface.cells)
    )
    return slices, rows, columns


def _ends(vertices: Sequence[Indices], axes: tuple[int, int, int], sizes: Sequence[int]) -> _Ends:
    """Ends of the lines along the last of three axes, in planes across the first."""
    plane, line, along = axes
    shape = sizes[plane], sizes[line]
    where = vertices[plane] * sizes[line] + vertices[line]
    position = vertices[along].astype(np.int32)
    first = np.full(shape, _ABSENT, dtype=np.int32)
    last = np.full(shape, -_ABSENT, dtype=np.int32)
    np.minimum.at(first.reshape(-1), where, position)
    np.maximum.at(last.reshape(-1), where, position)
    return _Ends(first, last)


def _in_space(ends: _Ends, half_mm: Affine) -> float:
    steps = [(s * p, s * q) for s in _STRIDES for p, q in ((0, 1), (1, 0), (1, 1), (1, -1))]
    outer = np.concatenate(
        [
            np.column_stack((*np.nonzero(keep), sign * heights[keep]))
            for sign, heights in ((1, ends.last), (-1, -ends.first))
            for keep in [_outermost(heights, steps)]
        ]
    ).astype(np.float64)
    ends_of_diameter = _far_out(outer @ half_mm.T)
    if len(ends_of_diameter) > _MANY:
        ends_of_diameter = outer[ConvexHull(outer).vertices] @ half_mm.T
    return _largest_distance(ends_of_diameter)


def _far_out(points: _Numbers) -> _Numbers:
    """Those points, axes (point, mm), that can be an end of the largest diameter.

    Two points are no further apart than their distances from any centre together.
    """
    one = points[np.argmax(np.linalg.norm(points - points[0], axis=1))]
    distances = np.linalg.norm(points - one, axis=1)
    other = points[np.argmax(distances)]
    radii = np.linalg.norm(points - (one + other) / 2, axis=1)
    kept: _Numbers = points[radii + radii.max() >= distances.max() * _SLIGHTLY_LESS]
    return kept


def _in_planes(ends: _Ends, line_mm: _Numbers, along_mm: _Numbers) -> float:
    """Largest diameter within any of the planes.

    The width of a plane in some directions bounds its diameter from above, and decides which planes
    are looked at, the widest first.
    """
    basis = np.linalg.qr(np.column_stack((along_mm, line_mm)))[1].T
    bounds = _upper_bounds(ends, basis)
    steps = [(0, s) for s in _STRIDES]
    keep_last, keep_first = _outermost(ends.last, steps), _outermost(-ends.first, steps)
    largest = 0.0
    for plane in np.argsort(-bounds):
        if bounds[plane] <= largest:
            break
        lines_last, lines_first = np.flatnonzero(keep_last[plane]), np.flatnonzero(keep_first[plane])
        along = np.concatenate((ends.last[plane, lines_last], ends.first[plane, lines_first]))
        points = np.column_stack((along, np.concatenate((lines_last, lines_first)))) @ basis
        largest = max(largest, _largest_distance(points))
    return largest


def _upper_bounds(ends: _Ends, basis: _Numbers) -> _Numbers:
    """No diameter of a plane is larger; far below zero for a plane without vertices."""
    # No direction is across the lines: there the absent ends would weigh nothing.
    angles = (np.arange(_DIRECTIONS) + 0.5) * np.pi / _DIRECTIONS - np.pi / 2
    lines = np.arange(ends.last.shape[1])
    widths = np.full(len(ends.last), -np.inf)
    sign = np.sign(basis[0, 0])
    for along, line in np.column_stack((sign * np.cos(angles), np.sin(angles))) @ basis.T:
        shift = line * lines
        width = (ends.last * along + shift).max(axis=1) - (ends.first * along + shift).min(axis=1)
        np.maximum(widths, width, out=widths)
    bounds: _Numbers = widths / np.cos(np.pi / (2 * _DIRECTIONS))
    return bounds


def _outermost(heights: npt.NDArray[np.int32], steps: Sequence[tuple[int, int]]) -> BoolMask:
    """Which points may lie on the convex hull: those above the middle of any two others.

    Args:
        heights: int32, axes (plane, line); `-_ABSENT` where there is no point.
        steps: (planes, lines) from a point to each of the two.
    """
    keep = heights > -_ABSENT
    for planes, lines in steps:
        here, before, after = zip(
            *(_between(n, s) for n, s in zip(heights.shape, (planes, lines), strict=True)), strict=True
        )
        keep[here] &= np.greater(2 * heights[here], np.add(heights[before], heights[after]))
    return keep


def _between(size: int, step: int) -> tuple[slice, slice, slice]:
    """Where all are that have one a step before and one a step after; where those are."""
    reach = abs(step)
    inner = max(size - 2 * reach, 0)
    return (
        slice(reach, reach + inner),
        slice(reach - step, reach - step + inner),
        slice(reach + step, reach + step + inner),
    )


def _largest_distance(points: _Numbers) -> float:
    return float(pdist(points).max()) if len(points) > 1 else 0.0
