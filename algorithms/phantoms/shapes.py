"""Shapes as signed distances in millimetres, negative inside, and the algebra of shapes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator, make_interp_spline

from algorithms.phantoms.frame import LEVELS_MM, Box, Field, Frame, Point

FAR_MM = np.float32(99.0)
Profile = npt.NDArray[np.floating[Any]]
Bounds = tuple[Point, Point]


class Shape(Protocol):
    """A region of the standard body."""

    @property
    def bounds(self) -> Bounds:
        """Two corners (x, y, z) that enclose the shape."""

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box, exact near the border only."""


def profile(levels: Sequence[tuple[float, float]]) -> Profile:
    """A quantity along the body, from pairs (z, value); constant beyond the first and last."""
    z, value = np.array(sorted(levels)).T
    return PchipInterpolator(z, value)(np.clip(LEVELS_MM, z[0], z[-1])).astype(np.float32)


def at(values: Profile, z: float) -> float:
    """The quantity at one height."""
    return float(values[int(np.clip((z - LEVELS_MM[0]) * 2, 0, len(LEVELS_MM) - 1))])


@dataclass(frozen=True, eq=False)
class Column:
    """An elliptic column along z.

    Attributes:
        x, y: its axis, a: half width, b: half depth; profiles.
        low, high: where it ends.
        power: 2 is an ellipse, more is squarer.
    """

    x: Profile
    y: Profile
    a: Profile
    b: Profile
    low: float
    high: float
    power: float = 2.0

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        part = (self.low - 1 <= LEVELS_MM) & (self.high + 1 >= LEVELS_MM)
        x, y, a, b = (p[part] for p in (self.x, self.y, self.a, self.b))
        low = (float((x - a).min()), float((y - b).min()), self.low)
        return low, (float((x + a).max()), float((y + b).max()), self.high)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        level = frame.level[box]
        x, y = np.abs(frame.x[box] - self.x[level]), np.abs(frame.y[box] - self.y[level])
        p, q = x / self.a[level], y / self.b[level]
        ratio = (
            np.sqrt(p * p + q * q)
            if self.power == 2.0
            else (p**self.power + q**self.power) ** (1 / self.power)
        )
        radial = np.sqrt(x * x + y * y) * (1 - 1 / (ratio + np.float32(1e-3)))
        z = frame.z[box]
        ends = np.maximum(z - np.float32(self.high), np.float32(self.low) - z)
        return np.asarray(np.maximum(radial, ends))


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid; `turn` rotates its axes (columns: where its x, y, z point)."""

    centre: Point
    radii: Point
    turn: npt.NDArray[np.float64] | None = None

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        turn = np.eye(3) if self.turn is None else self.turn
        reach = np.sqrt(((turn * np.array(self.radii)) ** 2).sum(axis=1))
        return _point(np.array(self.centre) - reach), _point(np.array(self.centre) + reach)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        offset = [
            f[box] - np.float32(c) for f, c in zip((frame.x, frame.y, frame.z), self.centre, strict=True)
        ]
        if self.turn is not None:
            turn = self.turn.astype(np.float32)
            offset = [sum(turn[j, i] * offset[j] for j in range(3)) for i in range(3)]
        scaled = [o / np.float32(r) for o, r in zip(offset, self.radii, strict=True)]
        squared = sum(s * s for s in scaled)
        slope = sum((s / np.float32(r)) ** 2 for s, r in zip(scaled, self.radii, strict=True))
        ratio = np.sqrt(squared)
        return np.asarray(ratio * (ratio - 1) / (np.sqrt(slope) + np.float32(1e-4)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Capsule:
    """A straight piece of tube with round ends; the radius runs evenly from one end to the other."""

    start: Point
    end: Point
    radii: tuple[float, float]

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        reach = max(self.radii)
        ends = np.array((self.start, self.end))
        return _point(ends.min(axis=0) - reach), _point(ends.max(axis=0) + reach)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        way = [e - s for s, e in zip(self.start, self.end, strict=True)]
        length = max(sum(w * w for w in way), 1e-6)
        x, y, z = (
            f[box] - np.float32(s) for f, s in zip((frame.x, frame.y, frame.z), self.start, strict=True)
        )
        along = x * np.float32(way[0] / length)
        along += y * np.float32(way[1] / length)
        along += z * np.float32(way[2] / length)
        np.clip(along, 0, 1, out=along)
        x -= along * np.float32(way[0])
        y -= along * np.float32(way[1])
        z -= along * np.float32(way[2])
        first, last = (_apparent(r, frame.pixel_mm) for r in self.radii)
        return np.asarray(np.sqrt(x * x + y * y + z * z) - (first + along * np.float32(last - first)))


def _apparent(radius: float, pixel: float) -> np.float32:
    """Radius that gives a tube thinner than a pixel the cover of its true cross-section."""
    area = np.pi * (radius / pixel) ** 2
    return np.float32(min(radius, pixel * (area - 0.5)))


@dataclass(frozen=True, eq=False)
class Union:
    """What lies in any of the parts."""

    parts: tuple[Shape, ...]

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        corners = np.array([part.bounds for part in self.parts])
        return _point(corners[:, 0].min(axis=0)), _point(corners[:, 1].max(axis=0))

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        whole = np.full(tuple(s.stop - s.start for s in box), FAR_MM, dtype=np.float32)
        for part in self.parts:
            found = frame.box(*part.bounds)
            shared = found and _shared(found, box)
            if shared:
                relative = tuple(
                    slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, box, strict=True)
                )
                view = whole[relative]
                np.minimum(view, part.distance(frame, shared), out=view)
        return whole


@dataclass(frozen=True, eq=False)
class Cut:
    """What lies in the first shape and in all of `within`, and in none of `without`."""

    shape: Shape
    within: tuple[Shape, ...] = ()
    without: tuple[Shape, ...] = ()

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        return self.shape.bounds

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        field = self.shape.distance(frame, box)
        for other in self.within:
            field = np.maximum(field, other.distance(frame, box))
        for other in self.without:
            field = np.maximum(field, -other.distance(frame, box))
        return field


@dataclass(frozen=True, eq=False)
class Grown:
    """A shape with another margin; negative shrinks."""

    shape: Shape
    by: float

    @cached_property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        low, high = (np.array(corner) for corner in self.shape.bounds)
        return _point(low - max(self.by, 0.0)), _point(high + max(self.by, 0.0))

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        return self.shape.distance(frame, box) - np.float32(self.by)


@dataclass(frozen=True, eq=False)
class HalfSpace:
    """Points with normal . (x, y, z) < offset; the normal has length 1."""

    normal: Point
    offset: float

    @property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        return (-999.0, -999.0, -999.0), (999.0, 999.0, 999.0)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        fields = zip(self.normal, (frame.x, frame.y, frame.z), strict=True)
        field = sum(np.float32(n) * f[box] for n, f in fields if n)
        return np.asarray(field - np.float32(self.offset), dtype=np.float32)


def tube(points: Iterable[Point], radii: float | Sequence[float], *, step_mm: float = 7.0) -> Union:
    """A tube along a smooth curve through the points, with a radius at each point."""
    nodes = np.array(list(points), dtype=float)
    sizes = np.broadcast_to(np.asarray(radii, dtype=float), (len(nodes),))
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(nodes, axis=0), axis=1).cumsum()])
    degree = min(3, len(nodes) - 1)
    curve = make_interp_spline(along, nodes, k=degree)
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step_mm) + 1))
    places, widths = curve(at), np.interp(at, along, sizes)
    return Union(
        tuple(
            Capsule(_point(places[i]), _point(places[i + 1]), (float(widths[i]), float(widths[i + 1])))
            for i in range(len(at) - 1)
        )
    )


def turned(*, z: float = 0.0, y: float = 0.0, x: float = 0.0) -> npt.NDArray[np.float64]:
    """Rotation by angles in degrees about z, then y, then x of the shape's own axes."""
    (cz, cy, cx), (sz, sy, sx) = np.cos(np.radians((z, y, x))), np.sin(np.radians((z, y, x)))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.asarray(about_z @ about_y @ about_x)


def _point(values: npt.ArrayLike) -> Point:
    x, y, z = np.asarray(values, dtype=float).tolist()
    return x, y, z


def _shared(one: Box, other: Box) -> Box | None:
    spans = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    if any(s.start >= s.stop for s in spans):
        return None
    return spans[0], spans[1], spans[2]
