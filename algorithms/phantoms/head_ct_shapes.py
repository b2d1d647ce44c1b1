"""Shapes of the inside of the head: sheets, the folds of the cortex, a crescent along the skull."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from algorithms.phantoms.frame import Box, Field, Frame, Point
from algorithms.phantoms.shapes import Bounds, Grown, Shape, Union


def widened(shape: Union, by_mm: float) -> Union:
    """The union with a wider margin; `Grown` alone would end at the bounds of the parts."""
    return Union(tuple(Grown(part, by_mm) for part in shape.parts))


def _half_width(half_mm: float, pixel_mm: float) -> np.float32:
    """Half the width that gives a sheet thinner than a pixel the cover of its true thickness."""
    if half_mm >= pixel_mm / 2:
        return np.float32(half_mm)
    return np.float32(pixel_mm * (np.sqrt(2 * half_mm / pixel_mm) - 0.5))


@dataclass(frozen=True, eq=False)
class Sheet:
    """A flat sheet within a shape: points less than `half_mm` from the plane normal . (x, y, z) = offset."""

    within: Shape
    normal: Point
    offset: float
    half_mm: float

    @property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        return self.within.bounds

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        fields = zip(self.normal, (frame.x, frame.y, frame.z), strict=True)
        away = sum(np.float32(n) * f[box] for n, f in fields if n) - np.float32(self.offset)
        sheet = np.abs(away) - _half_width(self.half_mm, frame.pixel_mm)
        return np.asarray(np.maximum(sheet, self.within.distance(frame, box)))


@dataclass(frozen=True, eq=False)
class Folds:
    """Sulci: sheets that wind through the outer part of a shape, where a sum of waves is zero.

    Attributes:
        surface: the shape whose outer part is folded.
        depth_mm: how deep the sheets reach.
        half_mm: half their width.
        waves: wave vectors (count, 3) along x, y, z, in radians for each millimetre.
        phases: one for each wave.
    """

    surface: Shape
    depth_mm: float
    half_mm: float
    waves: npt.NDArray[np.float64]
    phases: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, surface: Shape, *, depth_mm: float, half_mm: float) -> "Folds":
        """Folds at random, about 13 mm from one to the next."""
        directions = rng.normal(0, 1, (9, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        waves = directions * (2 * np.pi / rng.uniform(20, 32, (9, 1)))
        return cls(surface, depth_mm, half_mm, waves, rng.uniform(0, 2 * np.pi, 9))

    @property
    def bounds(self) -> Bounds:
        """Corners that enclose them."""
        return self.surface.bounds

    @cached_property
    def _steepness(self) -> float:
        return float(np.sqrt((self.waves**2).sum() / 6))

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box, by the mean slope of the waves."""
        x, y, z = frame.x[box], frame.y[box], frame.z[box]
        level = np.zeros(x.shape, dtype=np.float32)
        for (u, v, w), phase in zip(
            self.waves.astype(np.float32), self.phases.astype(np.float32), strict=True
        ):
            level += np.cos(u * x + v * y + w * z + phase)
        away = np.abs(level) / np.float32(self._steepness) - _half_width(self.half_mm, frame.pixel_mm)
        depth = self.surface.distance(frame, box)
        return np.asarray(np.maximum(away, np.maximum(depth, -np.float32(self.depth_mm) - depth)))


@dataclass(frozen=True, eq=False)
class Shifted:
    """A shape moved by a vector (x, y, z)."""

    shape: Shape
    by: Point

    @property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        (x0, y0, z0), (x1, y1, z1) = self.shape.bounds
        x, y, z = self.by
        return (x0 + x, y0 + y, z0 + z), (x1 + x, y1 + y, z1 + z)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        x, y, z = (f - np.float32(b) for f, b in zip((frame.x, frame.y, frame.z), self.by, strict=True))
        extent = tuple(
            (low - b, high - b) for (low, high), b in zip(frame.extent, self.by[::-1], strict=True)
        )
        return self.shape.distance(Frame(x, y, z, frame.level, frame.pixel_mm, extent), box)
