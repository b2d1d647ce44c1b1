"""Where the voxels of a grid lie in the anatomy: pose, size and an irregular, smooth deformation.

The anatomy is described once, in millimetres of a straight standard body: x to the left, y to the
back, z to the head, the origin in the midline at the lower end plate of T12. A patient is that body
scaled, tilted and deformed; every voxel looks up the place it has in the standard body.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline

Field = npt.NDArray[np.floating[Any]]
Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]

_KNOTS_MM = 55.0
_LOW_MM = (-560.0, -260.0, -340.0)  # z, y, x of the deformation's first knot
_COUNTS = (24, 11, 14)
LEVELS_MM = np.arange(-700.0, 800.0, 0.5)
"""Heights z at which profiles are tabulated."""


class Grid(NamedTuple):
    """A regular grid along the patient's axes.

    Attributes:
        first_mm: z, y, x of the first voxel's centre.
        spacing_mm: along z, y, x.
        shape: slices, rows, columns.
    """

    first_mm: Point
    spacing_mm: Point
    shape: tuple[int, int, int]

    def axis_mm(self, axis: int) -> npt.NDArray[np.float64]:
        """Coordinates of the voxel centres along one axis."""
        steps = np.arange(self.shape[axis], dtype=np.float64)
        return np.asarray(self.first_mm[axis] + steps * self.spacing_mm[axis])


@dataclass(frozen=True, eq=False)
class Pose:
    """How the standard body becomes one patient.

    Attributes:
        scale: size in z, y, x relative to the standard body.
        tilt: angles in radians about z, y, x.
        bend: x of the spine's midline at `LEVELS_MM` (scoliosis).
        deformation: coefficients (z, y, x, 3) of cubic B-splines, in millimetres.
    """

    scale: Point
    tilt: Point
    bend: npt.NDArray[np.float64]
    deformation: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, scale: Point, irregularity_mm: float) -> "Pose":
        """A pose with small tilts, a slight scoliosis and deformations of the given size."""
        tilt = (rng.normal(0, 0.035), rng.normal(0, 0.025), rng.normal(0, 0.035))
        waves = [(rng.normal(0, 2.2), rng.uniform(180, 500), rng.uniform(0, 6.3)) for _ in range(2)]
        bend = sum(a * np.sin(LEVELS_MM / length * 6.283 + start) for a, length, start in waves)
        deformation = rng.normal(0, 1, (*_COUNTS, 3)) * irregularity_mm * np.array((0.7, 1, 1)) * 2.6
        return cls(scale, tilt, np.asarray(bend), deformation)

    def place(self, point: Point) -> Point:
        """Where a point (x, y, z) of the standard body is in the patient."""
        bend = float(np.interp(point[2], LEVELS_MM, self.bend))
        target = np.array((point[0] + bend, *point[1:]))
        back = np.linalg.inv(self.turn() / np.array(self.scale[::-1])[:, None])
        found = back @ target
        for _ in range(8):
            bases = [_basis(found[[2 - axis]], axis)[0] for axis in range(3)]
            shift = np.einsum("i,j,k,ijka->a", *bases, self.deformation)[::-1]
            found = back @ (target - shift)
        x, y, z = found.tolist()
        return x, y, z

    def turn(self) -> npt.NDArray[np.float64]:
        """Rotation of vectors (x, y, z)."""
        (cz, cy, cx), (sz, sy, sx) = np.cos(self.tilt), np.sin(self.tilt)
        about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        return np.asarray(about_z @ about_y @ about_x)


@dataclass(frozen=True, eq=False)
class Frame:
    """The voxels of a grid in the standard body; all fields have the axes (slice, row, column).

    Attributes:
        x, y, z: place of each voxel in the standard body, millimetres.
        level: index of z in `LEVELS_MM`.
        pixel_mm: size of a pixel; borders of shapes are as wide.
        extent: least and greatest z of each slice, y of each slice and row, x of each slice and column.
    """

    x: Field
    y: Field
    z: Field
    level: npt.NDArray[np.int16]
    pixel_mm: float
    extent: tuple[tuple[Field, Field], ...]

    @classmethod
    def of(cls, grid: Grid, pose: Pose) -> "Frame":
        """Look up every voxel of a grid."""
        straight = pose.turn() / np.array(pose.scale[::-1])[:, None]
        z, y, x = (grid.axis_mm(axis) for axis in range(3))
        bases = [_basis(values, axis) for axis, values in enumerate((z, y, x))]
        places = []
        for axis in range(3):  # einsum, for the threads of a matrix product wait on a busy machine
            coarse = np.einsum("zi,ijk->zjk", bases[0], pose.deformation[..., 2 - axis])
            rows = np.einsum("yj,zjk->zyk", bases[1], coarse).astype(np.float32)
            place = np.einsum("zyk,xk->zyx", rows, bases[2].astype(np.float32))
            plane = straight[axis, 2] * z[:, None] + straight[axis, 1] * y[None, :]
            place += plane[:, :, None].astype(np.float32)
            place += (straight[axis, 0] * x).astype(np.float32)
            places.append(place)
        levels = ((places[2] - LEVELS_MM[0]) * 2).astype(np.int16)
        places[0] -= pose.bend.astype(np.float32)[levels]
        extent = tuple(
            (field.min(axis=over), field.max(axis=over))
            for field, over in ((places[2], (1, 2)), (places[1], 2), (places[0], 1))
        )
        return cls(places[0], places[1], places[2], levels, grid.spacing_mm[2], extent)

    def box(self, low: Point, high: Point) -> Box | None:
        """The voxels between two corners (x, y, z), and some more; None if there are none."""
        margin = self.pixel_mm
        (z_least, z_most), *across = self.extent
        slices = _span((z_most >= low[2] - margin) & (z_least <= high[2] + margin))
        if slices is None:
            return None
        spans = [slices]
        for (least, most), axis in zip(across, (1, 0), strict=True):
            touched = (most[slices] >= low[axis] - margin) & (least[slices] <= high[axis] + margin)
            span = _span(np.any(touched, axis=0))
            if span is None:
                return None
            spans.append(span)
        return spans[0], spans[1], spans[2]


def _span(touched: npt.ArrayLike) -> slice | None:
    found = np.flatnonzero(touched)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else None


def _basis(values_mm: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Cubic B-splines at the values: one row for each value, one column for each knot."""
    count = _COUNTS[axis]
    knots = _LOW_MM[axis] + (np.arange(count + 4) - 2.0) * _KNOTS_MM
    inside = np.clip(values_mm, knots[3], knots[count] - 1e-6)
    return np.asarray(BSpline.design_matrix(inside, knots, 3).toarray())
