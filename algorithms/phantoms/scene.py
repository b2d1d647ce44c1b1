"""Painting: layers of tissue, each covering what was there before."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from algorithms.phantoms.frame import Field, Frame
from algorithms.phantoms.labels import Label
from algorithms.phantoms.shapes import Shape

LabelMap = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Layer:
    """One shape of one tissue.

    Attributes:
        shape: where.
        hu: of the tissue.
        label: the number its voxels get; None leaves what they have.
        onto: it covers voxels of these labels only; empty covers all.
        gradient: change of the HU for each millimetre of x, y, z.
    """

    shape: Shape
    hu: float
    label: Label | None = None
    onto: tuple[Label, ...] = ()
    gradient: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @cached_property
    def covers(self) -> npt.NDArray[np.bool_] | None:
        """Which labels it covers, as a table; None for all."""
        return np.isin(np.arange(256), self.onto) if self.onto else None


def paint(layers: Iterable[Layer], frame: Frame) -> tuple[Field, LabelMap]:
    """HU and labels of the voxels of a frame; borders are as wide as a pixel."""
    hu = np.full(frame.x.shape, -1000.0, dtype=np.float32)
    labels = np.zeros(frame.x.shape, dtype=np.uint8)
    for layer in layers:
        box = frame.box(*layer.shape.bounds)
        if box is None:
            continue
        cover = layer.shape.distance(frame, box)
        cover *= np.float32(-1 / frame.pixel_mm)
        cover += np.float32(0.5)
        np.clip(cover, 0, 1, out=cover)
        if layer.covers is not None:
            cover *= layer.covers[labels[box]]
        view = hu[box]
        value = np.float32(layer.hu) - view
        if any(layer.gradient):
            fields = zip(layer.gradient, (frame.x, frame.y, frame.z), strict=True)
            value += sum(np.float32(g) * f[box] for g, f in fields if g)
        view += cover * value
        if layer.label is not None:
            labels[box][cover >= 0.5] = layer.label
    return hu, labels
