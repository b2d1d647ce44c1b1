"""A head made ready for the network: canonical axes, one spacing, the box of the head, standardised."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch.nn import functional

from algorithms.cerebrum.network import AVERAGE, DEVIATION, STRIDE
from algorithms.protocol import Affine, Unsuitable, Volume, Voxels
from algorithms.spatial import (
    Labels,
    Orientation,
    Shape,
    obliquity_degrees,
    patient_grid,
    resample,
    shrink,
    spacing_of,
)

_OBLIQUE_DEGREES: Final = 15.0
"""Up to here the network takes a head as it lies."""

_COARSE_MM = 4.0  # what finding the head is done at
_MARGIN_MM = 12.0
_NECK_MM = 200.0  # below the crown there is no brain; published volumes are cut there too
_LEAST_HEAD_ML = 1000.0  # a child's of one year is larger
_LEAST_CONTRAST = 1e-3

Over = Literal["volume", "head", "voxel"]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Average:
    """The average head that weights came with: each voxel is standardised by its own mean and deviation.

    Attributes:
        mean: float32, axes to head, back and left, at the spacing of the network.
        deviation: the same; nowhere 0.
    """

    mean: Voxels
    deviation: Voxels


@dataclass(frozen=True, eq=False)
class Look:
    """How a network looks at a head, from the configuration of its weights.

    Attributes:
        spacing_mm: in all directions; 1 as published.
        over: whose mean and deviation standardise the values: those of the volume, as published, or
            those of the box around the head, or those of each voxel.
        average: where it is those of each voxel.
    """

    spacing_mm: float = 1.0
    over: Over = "volume"
    average: Average | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """What a configuration leaves out is as published.

        Args:
            config: of the weights.
            tensors: of the weights, the average head among them if they came with one.
        """
        over = config.get("standardised_over", "volume")
        average = None
        if over == "voxel":
            deviation = tensors[DEVIATION].numpy()
            average = Average(tensors[AVERAGE].numpy(), np.where(deviation > 0, deviation, np.float32(1)))
        return cls(float(config.get("spacing_mm", 1.0)), over, average)

    def standardised(self, spaced: Voxels) -> tuple[Voxels, tuple[int, int, int]]:
        """The part of a canonical image that the network sees, standardised, and where its first voxel lies.

        Raises:
            Unsuitable: there is no head in the image, or nothing at all.
        """
        box = head_box(spaced, self.spacing_mm)
        start = (box[0].start, box[1].start, box[2].start)
        if self.average:
            return _by_voxel(spaced, box, self.average, self.spacing_mm)
        basis = spaced if self.over == "volume" else spaced[box]
        return (spaced[box] - basis.mean()) / np.float32(basis.std()), start


@dataclass(frozen=True, eq=False)
class Head:
    """A head as the network sees it, and the way back.

    Attributes:
        voxels: float32, axes to head, back and left, standardised; sides are multiples of `STRIDE`.
        affine_mm: 4x4, voxel index to patient LPS millimetres.
    """

    voxels: Voxels
    affine_mm: Affine
    _orientation: Orientation
    _source_shape: Shape
    _source_affine: Affine

    @classmethod
    def of(cls, image: Volume, look: Look) -> Self:
        """Make it ready.

        Raises:
            Unsuitable: there is no head in the image, or nothing at all.
        """
        orientation = Orientation.closest(image.affine_mm)
        a, b, c = image.voxels.shape
        canonical = orientation.apply(image.voxels)
        affine = orientation.affine(image.affine_mm, (a, b, c))
        spaced, grid = on_grid(canonical, affine, look.spacing_mm)
        standard, start = look.standardised(spaced)
        moved = grid.copy()
        moved[:3, 3] += grid[:3, :3] @ start
        return cls(_padded(standard), moved, orientation, _shape(canonical), affine)

    def labels_of(self, logits: npt.NDArray[np.float32]) -> Labels:
        """The class of every voxel of the source image.

        Classes are compared where the source has its voxels, so that borders are smooth however coarse
        the network's grid is.

        Args:
            logits: (class, head, back, left), on the grid of `voxels`.
        """
        box = self._brain_box(logits)
        whole = np.zeros(self._source_shape, dtype=np.uint8)
        back = np.linalg.inv(self.affine_mm) @ self._source_affine
        scores = torch.from_numpy(logits)[None]
        for plane in range(box[0].start, box[0].stop):
            places = _in_cube(back, plane, box[1:], logits.shape[1:])
            here = functional.grid_sample(scores, places, padding_mode="border", align_corners=True)
            whole[plane, box[1], box[2]] = here[0, :, 0].numpy().argmax(axis=0)
        return np.ascontiguousarray(self._orientation.revert(whole))

    def _brain_box(self, logits: npt.NDArray[np.float32]) -> Box:
        """The part of the canonical source in which there may be more than background."""
        brain = (logits[1:] > logits[0]).any(axis=0)
        if not brain.any():
            return slice(0, 0), slice(0, 0), slice(0, 0)
        bounds = [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        ends = np.array([(there[0] - 1, there[-1] + 1) for there in bounds])
        corners = np.array(list(product(*ends)))
        positions = corners @ self.affine_mm[:3, :3].T + self.affine_mm[:3, 3]
        onto = np.linalg.inv(self._source_affine)
        index = positions @ onto[:3, :3].T + onto[:3, 3]
        low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, self._source_shape)
        high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, self._source_shape)
        a, b, c = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        return a, b, c


def _in_cube(back: Affine, plane: int, rest: tuple[slice, slice], sides: tuple[int, ...]) -> torch.Tensor:
    """Where the voxels of a plane lie in an array, from -1 to 1, as `grid_sample` wants it."""
    rows, columns = (np.arange(side.start, side.stop, dtype=np.float64) for side in rest)
    start = back[:3, 0] * plane + back[:3, 3]
    index = start + rows[:, None, None] * back[:3, 1] + columns[:, None] * back[:3, 2]
    cube = 2 * index / np.maximum(np.array(sides) - 1, 1) - 1
    return torch.from_numpy(cube[None, None, ..., ::-1].astype(np.float32))


def on_grid(canonical: Voxels, affine_mm: Affine, spacing_mm: float) -> tuple[Voxels, Affine]:
    """A canonical image at one spacing; whole blocks are averaged where several voxels become one."""
    cube = (spacing_mm, spacing_mm, spacing_mm)
    a, b, c = (max(1, int(spacing_mm / old + 1e-3)) for old in spacing_of(affine_mm))
    averaged = shrink(canonical, (a, b, c))
    block = np.diag([a, b, c, 1.0])
    block[:3, 3] = (np.array([a, b, c]) - 1) / 2
    coarse = affine_mm @ block
    if obliquity_degrees(affine_mm) > _OBLIQUE_DEGREES:
        shape, onto = patient_grid(_shape(averaged), coarse, cube)
    else:
        steps = spacing_mm / np.array(spacing_of(coarse))
        onto = coarse @ np.diag([*steps, 1.0])
        sides = (int((n - 1) / step + 1e-6) + 1 for n, step in zip(averaged.shape, steps, strict=True))
        shape = _as_shape(tuple(sides))
    outside = float(averaged.min())
    return resample(averaged, coarse, shape, onto, order=1, outside=outside), onto


def head_box(voxels: Voxels, spacing_mm: float) -> Box:
    """The box around the head, from the crown down to the neck.

    Args:
        voxels: axes to head, back and left.
        spacing_mm: in all directions.

    Raises:
        Unsuitable: nothing in the image is as large as a head.
    """
    factor = max(1, round(_COARSE_MM / spacing_mm))
    coarse = shrink(voxels, (factor, factor, factor))
    if float(coarse.std()) < _LEAST_CONTRAST:
        raise Unsuitable("there is nothing in the image: all values are the same")
    tissue = ndimage.binary_opening(coarse > 0.5 * threshold_otsu(coarse))
    components, count = ndimage.label(tissue)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    voxel_ml = (factor * spacing_mm) ** 3 / 1000
    if not count or sizes.max() * voxel_ml < _LEAST_HEAD_ML:
        found = sizes.max() * voxel_ml if count else 0.0
        raise Unsuitable(f"there is no head in the image; the largest thing in it has {found:.0f} ml")
    head = components == sizes.argmax() + 1
    margin = round(_MARGIN_MM / spacing_mm)
    box = []
    for axis in range(3):
        there = np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {axis}))) * factor
        low, high = int(there[0]), int(there[-1]) + factor
        if axis == 0:
            low = max(low, high - round(_NECK_MM / spacing_mm))
        box.append(slice(max(0, low - margin), min(voxels.shape[axis], high + margin)))
    return box[0], box[1], box[2]


def _by_voxel(
    spaced: Voxels, box: Box, average: Average, spacing_mm: float
) -> tuple[Voxels, tuple[int, int, int]]:
    """What lies where the average head does, once the middles of both heads are one upon the other.

    As published both lie as they were scanned; a scanner of other fields of view would put them apart.
    """
    other = head_box(average.mean, spacing_mm)
    middles = ((a.start + a.stop, b.start + b.stop) for a, b in zip(box, other, strict=True))
    starts = [(here - there) // 2 for here, there in middles]
    seen = np.full(average.mean.shape, spaced.min(), dtype=np.float32)
    sides = zip(starts, average.mean.shape, spaced.shape, strict=True)
    both = [(start, max(0, start), min(int(whole), start + int(side))) for start, side, whole in sides]
    part = spaced[tuple(slice(low, high) for _, low, high in both)]
    seen[tuple(slice(low - start, high - start) for start, low, high in both)] = part
    return (seen - average.mean) / average.deviation, (starts[0], starts[1], starts[2])


def _padded(voxels: Voxels) -> Voxels:
    """At the end of each axis, by the least value, to a multiple of the stride."""
    width = [(0, -side % STRIDE) for side in voxels.shape]
    return np.pad(voxels, width, constant_values=voxels.min())


def _shape(array: npt.NDArray[Any]) -> Shape:
    return _as_shape(array.shape)


def _as_shape(sides: tuple[int, ...]) -> Shape:
    a, b, c = sides
    return a, b, c
