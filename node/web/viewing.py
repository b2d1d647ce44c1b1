"""The image of a workitem and its results, made ready to be drawn slice by slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread

from algorithms.protocol import Voxels
from node.inbound import volumes
from node.inbound.enhanced import slices_of
from node.inbound.geometry import geometry
from node.outbound import seg_reading
from node.outbound.window import Window
from node.web import drawing
from node.web.drawing import Picture, Plane3

_IN_PLANE: Final = 0.25
"""How far from a slice, in slice spacings, a frame may lie to be in its plane."""

_LIKELY: Final = (1, 99)


class Stack:
    """The slices of a series in order, of which one at a time is decoded."""

    def __init__(self, headers: Sequence[Dataset]) -> None:
        self.headers = headers
        self.planes: list[Plane3] = [seg_reading.affine_of(header) for header in headers]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.headers[0].Rows), int(self.headers[0].Columns)

    @cached_property
    def aspect(self) -> float:
        """Height of a pixel by its width."""
        rows, columns = np.linalg.norm(self.planes[0][:, :2], axis=0)
        return float(rows / columns)

    @cached_property
    def spacing_mm(self) -> float:
        """The usual distance of two slices; 1 where there is one only."""
        normal = self._normal
        along = np.sort([normal @ plane[:, 2] for plane in self.planes])
        return float(np.median(np.diff(along))) if len(along) > 1 else 1.0

    @cached_property
    def windows(self) -> dict[str, Window]:
        """How the slices may be shown, the usual way first."""
        if self.headers[0].Modality == "CT":
            head = str(self.headers[0].get("BodyPartExamined", "")).upper() in {"HEAD", "BRAIN", "SKULL"}
            first = "brain" if head else "soft"
            return {first: drawing.WINDOWS[first], **drawing.WINDOWS}
        low, high = np.percentile(self.plane(len(self.headers) // 2), _LIKELY)
        return {"usual": Window(float(low + high) / 2 + 0.5, float(high - low) + 1)}

    def plane(self, number: int) -> Voxels:
        """Values of a slice (row, column)."""
        return volumes.plane(self.headers[number])

    def number_of(self, position_mm: npt.NDArray[np.float64]) -> int:
        """The slice nearest to a place."""
        normal = self._normal
        return int(np.argmin([abs(normal @ (position_mm - plane[:, 2])) for plane in self.planes]))

    def number_named(self, sop_instance_uid: str) -> int | None:
        """The first slice of an instance."""
        named = (n for n, header in enumerate(self.headers) if header.SOPInstanceUID == sop_instance_uid)
        return next(named, None)

    @property
    def _normal(self) -> npt.NDArray[np.float64]:
        across = np.cross(self.planes[0][:, 1], self.planes[0][:, 0])
        unit: npt.NDArray[np.float64] = across / np.linalg.norm(across)
        return unit

    def in_plane(self, number: int, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        """Which of the positions (n, 3) lie in the plane of a slice."""
        off = np.abs((positions - self.planes[number][:, 2]) @ self._normal)
        return np.flatnonzero(off <= _IN_PLANE * self.spacing_mm)


@dataclass(frozen=True)
class Key:
    """A slice that is worth a look, and why."""

    number: int
    why: str


class Segments:
    """A segmentation of a stack."""

    def __init__(self, segmentation: Dataset, stack: Stack) -> None:
        self._segmentation, self._stack = segmentation, stack
        self._frames = seg_reading.frames(segmentation)
        self._positions = np.array([frame.affine_mm[:, 2] for frame in self._frames])
        self.labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in segmentation.SegmentSequence}
        self.colours = {int(s.SegmentNumber): drawing.colour_of(s) for s in segmentation.SegmentSequence}

    def layer(self, number: int, hidden: frozenset[int] = frozenset()) -> Picture:
        """The segments of a slice in their colours (row, column, RGBA)."""
        plane, size = self._stack.planes[number], self._stack.size
        painted = drawing.layer(size)
        for each in self._stack.in_plane(number, self._positions) if len(self._frames) else ():
            frame = self._frames[each]
            if frame.segment_number not in hidden:
                pixels = seg_reading.marked(self._segmentation, frame)
                mask = drawing.onto(pixels, frame.affine_mm, plane, size)
                painted[mask] = (*self.colours[frame.segment_number], 255)
        return painted

    @cached_property
    def keys(self) -> list[Key]:
        """The slice on which each segment is largest."""
        largest: dict[int, tuple[int, int]] = {}
        for index, frame in enumerate(self._frames):
            area = len(seg_reading.marked(self._segmentation, frame)[0])
            if area > largest.get(frame.segment_number, (0, 0))[0]:
                largest[frame.segment_number] = (area, index)
        return [
            Key(self._stack.number_of(self._positions[index]), self.labels[segment])
            for segment, (_area, index) in sorted(largest.items())
        ]


class Saliency:
    """A saliency map over a stack."""

    def __init__(self, parametric: Dataset, stack: Stack) -> None:
        self._stack = stack
        self._planes = seg_reading.planes(parametric)
        shape = (len(self._planes), int(parametric.Rows), int(parametric.Columns))
        self._values = np.frombuffer(parametric.FloatPixelData, "<f4").reshape(shape)
        self._positions = np.array([plane.affine_mm[:, 2] for plane in self._planes])
        self._highest = max(float(self._values.max()), 1e-9)

    def layer(self, number: int) -> Picture:
        """The map on a slice (row, column, RGBA)."""
        plane = self._stack.planes[number]
        normal = np.cross(plane[:, 1], plane[:, 0])
        nearest = int(np.abs((self._positions - plane[:, 2]) @ normal).argmin())
        frame = self._planes[nearest].affine_mm
        values = drawing.under(self._values[nearest], frame, plane, self._stack.size)
        return drawing.heat(values.astype(np.float64) / self._highest)

    @cached_property
    def keys(self) -> list[Key]:
        """The slice where it is highest."""
        strongest = int(self._values.max(axis=(1, 2)).argmax())
        return [Key(self._stack.number_of(self._positions[strongest]), "highest saliency")]


@lru_cache(4)
def stack_of(paths: tuple[Path, ...]) -> Stack:
    """The slices of these instances in order.

    Raises:
        IncompleteInput: a file is gone.
        UnsuitableImage, IrregularGeometry: they form no stack.
    """
    headers = slices_of(volumes.headers(paths))
    order = geometry(headers, any_stack=True).order
    return Stack([headers[number] for number in order])


@lru_cache(4)
def segments_of(file: Path, paths: tuple[Path, ...]) -> Segments:
    """A stored segmentation over the stack that it was made of."""
    return Segments(dcmread(file), stack_of(paths))


@lru_cache(4)
def saliency_of(file: Path, paths: tuple[Path, ...]) -> Saliency:
    """A stored saliency map over the stack that it was made of."""
    return Saliency(dcmread(file), stack_of(paths))
