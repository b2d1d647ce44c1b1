"""Geometry shared by the algorithms: the canonical orientation, resampling, and the way back.

Canonical means that the axes of an array point to the patient's head, back and left (often written
SPL), whatever plane, order or row direction the images were stored in. Positions are patient LPS
millimetres; every affine maps a voxel index (first, second, third axis, 1) to them.
"""

from dataclasses import dataclass, replace
from itertools import permutations
from math import ceil
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.protocol import Affine, Volume, Voxels

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Labels = npt.NDArray[np.uint8]
_Scalar = TypeVar("_Scalar", bound=np.number[Any])

_PATIENT_AXES = [2, 1, 0]  # x, y or z of the patient along each canonical axis, in the positive sense
_ALIGNED_WITHIN_DEGREES = 15.0  # gantry tilt and ordinary positioning; anatomical rules bear that much
_UPRIGHT_WITHIN_DEGREES = 0.1  # half a millimetre over 300 mm
_PARALLEL = 1e-6  # a thousandth of a voxel over a thousand
_AIR_HU = -1000.0


@dataclass(frozen=True)
class Orientation:
    """How a stored array becomes canonical: its axes reordered, then some of them reversed.

    Attributes:
        axes: for each canonical axis (head, back, left), the stored axis it is taken from.
        flips: for each canonical axis, whether the stored axis runs the other way.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def closest(cls, affine_mm: Affine) -> Self:
        """The orientation whose axes lie closest to the patient axes, all three together."""
        cosines = _direction_cosines(affine_mm)[_PATIENT_AXES]

        def agreement(axes: tuple[int, ...]) -> float:
            return sum(abs(float(cosines[canonical, stored])) for canonical, stored in enumerate(axes))

        a, b, c = max(permutations(range(3)), key=agreement)
        return cls((a, b, c), (bool(cosines[0, a] < 0), bool(cosines[1, b] < 0), bool(cosines[2, c] < 0)))

    def apply(self, stored: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """A canonical view of a stored array; no copy."""
        return np.flip(np.transpose(stored, self.axes), self._flipped)

    def revert(self, canonical: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """A stored view of a canonical array: the exact inverse of `apply`; no copy."""
        a, b, c = (int(i) for i in np.argsort(self.axes))
        return np.transpose(np.flip(canonical, self._flipped), (a, b, c))

    def affine(self, affine_mm: Affine, shape: Shape) -> Affine:
        """The affine of the canonical view of an array stored with this shape and affine."""
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1.0
        for canonical, stored in enumerate(self.axes):
            flipped = self.flips[canonical]
            to_stored[stored, canonical] = -1.0 if flipped else 1.0
            to_stored[stored, 3] = shape[stored] - 1 if flipped else 0.0
        return np.asarray(affine_mm @ to_stored, dtype=np.float64)

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


def rotation(angles: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The 3x3 matrix that turns about the first, then the second, then the third axis, in radians."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.asarray(angles, dtype=np.float64)):
        a, b = (other for other in range(3) if other != axis)
        one = np.eye(3)
        one[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turn = turn @ one
    return turn


def spacing_of(affine_mm: Affine) -> Spacing:
    """Distance in millimetres between neighbours along each array axis."""
    a, b, c = np.linalg.norm(affine_mm[:3, :3], axis=0)
    return float(a), float(b), float(c)


def obliquity_degrees(affine_mm: Affine) -> float:
    """The largest angle between an array axis and the patient axis it stands for."""
    axes = Orientation.closest(affine_mm).axes
    cosines = _direction_cosines(affine_mm)[_PATIENT_AXES]
    smallest = min(abs(float(cosines[canonical, stored])) for canonical, stored in enumerate(axes))
    return float(np.degrees(np.arccos(min(smallest, 1.0))))


def shrink(voxels: Voxels, factors: Shape) -> Voxels:
    """Means of blocks of `factors` voxels; a block cut off by the end of an axis repeats the last voxel."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            short = -voxels.shape[axis] % factor
            padded = np.moveaxis(voxels, axis, 0)
            if short:
                padded = np.concatenate([padded, *[padded[-1:]] * short])
            total = padded[0::factor].copy()
            for offset in range(1, factor):
                total += padded[offset::factor]
            voxels = np.moveaxis(total / np.float32(factor), 0, axis)
    return voxels


def enlarge(labels: npt.NDArray[_Scalar], factors: Shape, shape: Shape) -> npt.NDArray[_Scalar]:
    """Repeat each voxel over its block and cut to `shape`: the way back from `shrink`."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            labels = np.repeat(labels, factor, axis=axis)
    return labels[: shape[0], : shape[1], : shape[2]]


def resample(
    voxels: npt.NDArray[_Scalar],
    affine_mm: Affine,
    onto_shape: Shape,
    onto_affine_mm: Affine,
    *,
    order: Literal[0, 1],
    outside: float,
) -> npt.NDArray[_Scalar]:
    """Values of `voxels` at the voxel centres of another grid.

    Args:
        voxels: the array to sample.
        affine_mm: its affine.
        onto_shape: shape of the grid to sample on.
        onto_affine_mm: affine of that grid.
        order: 0 for the nearest voxel (labels), 1 for trilinear interpolation (intensities).
        outside: the value where the grid reaches beyond `voxels`.
    """
    index = np.linalg.inv(affine_mm) @ onto_affine_mm
    steps = np.diag(index[:3, :3])
    aligned = np.allclose(index[:3, :3], np.diag(steps), rtol=0, atol=_PARALLEL)
    sampled = np.empty(onto_shape, dtype=voxels.dtype)
    ndimage.affine_transform(
        voxels,
        steps if aligned else index[:3, :3],  # axis by axis is several times as fast
        index[:3, 3],
        output=sampled,
        order=order,
        mode="grid-constant",  # a voxel reaches half its size beyond its centre
        cval=outside,
        prefilter=False,
    )
    return sampled


def patient_grid(shape: Shape, affine_mm: Affine, spacing_mm: Spacing) -> tuple[Shape, Affine]:
    """The canonical grid, exactly along the patient axes, that holds all of another grid."""
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(shape) - 1
    positions = (corners @ affine_mm.T)[:, :3]
    low, high = positions.min(axis=0), positions.max(axis=0)
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for canonical, patient in enumerate(_PATIENT_AXES):
        affine[patient, canonical] = spacing_mm[canonical]
    affine[:3, 3] = low
    a, b, c = (
        ceil((high[patient] - low[patient]) / spacing_mm[canonical] - 1e-6) + 1
        for canonical, patient in enumerate(_PATIENT_AXES)
    )
    return (a, b, c), affine


def lean_degrees(affine_mm: Affine) -> float:
    """The angle between a stack's direction and the normal of its slices: the tilt of the gantry."""
    height, *sideways = _step(affine_mm)
    rows_mm, columns_mm = sideways * np.linalg.norm(affine_mm[:3, 1:3], axis=0)
    return float(np.degrees(np.arctan2(np.hypot(rows_mm, columns_mm), abs(height))))


def is_even(volume: Volume) -> bool:
    """Whether the slices are evenly spaced and stand upright on each other, so that voxels are boxes."""
    return volume.slice_places is None and lean_degrees(volume.affine_mm) <= _UPRIGHT_WITHIN_DEGREES


def evened(volume: Volume) -> Volume:
    """The volume on an even, upright grid: what most algorithms take for granted.

    The planes keep their pixels and directions; rows and columns are added until all of a leaning stack
    is held. The distance between planes is the median of the stack's own, fitted so that the first and
    the last slice lie on the grid. Values are interpolated linearly between the neighbouring slices,
    along the direction of the stack, then linearly in the plane by as much as the stack leans. Where no
    slice reaches there is air, or the least value of an image without a scale. Each plane has the SOP
    Instance UID of the slice nearest to it.

    Returns:
        The volume itself where it is even and upright.
    """
    if is_even(volume):
        return volume
    places = _places(volume)
    planes = round((places[-1] - places[0]) / float(np.median(np.diff(places)))) + 1
    wanted = np.linspace(places[0], places[-1], planes)
    height, *sideways = _step(volume.affine_mm)
    slid = np.outer(wanted, sideways).round(6)
    first = np.floor(slid.min(axis=0))
    rows, columns = (np.ceil(slid.max(axis=0)) - first).astype(int) + volume.voxels.shape[1:]

    voxels = np.empty((planes, rows, columns), dtype=np.float32)
    outside = _AIR_HU if volume.unit == "HU" else float(volume.voxels.min())
    for plane, place, offset in zip(voxels, wanted, first - slid, strict=True):
        between = _between(volume.voxels, places, float(place))
        ndimage.affine_transform(
            between, np.ones(2), offset, output=plane, order=1, mode="grid-constant", cval=outside
        )
    affine = volume.affine_mm.copy()
    affine[:3, 0] = _normal(affine) * height * (wanted[1] - wanted[0])
    affine[:, 3] = volume.affine_mm @ [places[0], *(first - slid[0]), 1.0]
    nearest = np.abs(places[:, None] - wanted).argmin(axis=0)
    uids = tuple(volume.sop_instance_uids[slice_] for slice_ in nearest)
    return replace(volume, voxels=voxels, affine_mm=affine, sop_instance_uids=uids, slice_places=None)


def onto_slices(labels: npt.NDArray[_Scalar], even: Volume, volume: Volume) -> npt.NDArray[_Scalar]:
    """Labels on the grid of `even`, which is `evened(volume)`, at the slices of `volume`.

    Each slice takes the nearest plane, each pixel the nearest pixel there.
    """
    if even is volume:
        return labels
    corners = np.zeros((4, len(volume.voxels)))
    corners[0] = _places(volume)
    corners[3] = 1.0
    found = np.rint(np.linalg.solve(even.affine_mm, volume.affine_mm @ corners)[:3]).astype(int)
    _, rows, columns = volume.voxels.shape
    return np.stack([labels[plane, r : r + rows, c : c + columns] for plane, r, c in found.T])


@dataclass(frozen=True, eq=False)
class CoarseImage:
    """A volume in canonical orientation at a coarser spacing, and the way back to its own grid.

    An image that lies along the patient axes within 15 degrees is only reordered and averaged over
    whole blocks; any other is also resampled onto the patient axes.

    Attributes:
        voxels: float32, axes to head, back and left.
        spacing_mm: along those axes.
        step_mm: how far a border found here may lie from its place on the volume's own grid.
    """

    voxels: Voxels
    spacing_mm: Spacing
    step_mm: float
    _orientation: Orientation
    _factors: Shape
    _source_shape: Shape
    _source_affine: Affine
    _affine: Affine | None

    @classmethod
    def of(cls, image: Volume, spacing_mm: float, outside: float) -> Self:
        """Average blocks until each spacing is about `spacing_mm`; no axis is made finer than it is."""
        orientation = Orientation.closest(image.affine_mm)
        canonical = orientation.apply(image.voxels)
        shape = _shape(image.voxels)
        affine = orientation.affine(image.affine_mm, shape)
        a, b, c = (max(1, round(spacing_mm / s)) for s in spacing_of(affine))
        factors = (a, b, c)
        voxels = shrink(canonical, factors)
        block = np.diag([*factors, 1.0])
        block[:3, 3] = (np.array(factors) - 1) / 2
        coarse = affine @ block
        if obliquity_degrees(affine) <= _ALIGNED_WITHIN_DEGREES:
            spacing = spacing_of(coarse)
            step = max((s for s, factor in zip(spacing, factors, strict=True) if factor > 1), default=0.0)
            return cls(voxels, spacing, step, orientation, factors, shape, affine, None)
        cube = (spacing_mm, spacing_mm, spacing_mm)
        grid_shape, grid = patient_grid(_shape(voxels), coarse, cube)
        aligned = resample(voxels, coarse, grid_shape, grid, order=1, outside=outside)
        return cls(aligned, cube, 1.5 * spacing_mm, orientation, factors, shape, affine, grid)

    def to_source(self, labels: Labels) -> Labels:
        """Labels of this image on the grid of the volume it was made from; 0 outside."""
        a, b, c = (self._source_shape[axis] for axis in self._orientation.axes)
        if self._affine is None:
            canonical = enlarge(labels, self._factors, (a, b, c))
        else:
            canonical = resample(labels, self._affine, (a, b, c), self._source_affine, order=0, outside=0)
        return np.ascontiguousarray(self._orientation.revert(canonical))


def _normal(affine_mm: Affine) -> npt.NDArray[np.float64]:
    """Unit normal of the slices."""
    normal = np.cross(affine_mm[:3, 1], affine_mm[:3, 2])
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def _step(affine_mm: Affine) -> npt.NDArray[np.float64]:
    """The step from slice to slice: millimetres along the normal, then pixels along rows and columns."""
    axes = np.column_stack([_normal(affine_mm), affine_mm[:3, 1:3]])
    return np.asarray(np.linalg.solve(axes, affine_mm[:3, 0]), dtype=np.float64)


def _places(volume: Volume) -> npt.NDArray[np.float64]:
    return (
        np.arange(len(volume.voxels), dtype=np.float64)
        if volume.slice_places is None
        else volume.slice_places
    )


def _between(voxels: Voxels, places: npt.NDArray[np.float64], place: float) -> Voxels:
    """The plane at a place, between its two neighbours."""
    above = int(np.clip(np.searchsorted(places, place), 1, len(places) - 1))
    low, high = places[above - 1], places[above]
    share = np.float32((place - low) / (high - low))
    return np.asarray(voxels[above - 1] * (1 - share) + voxels[above] * share, dtype=np.float32)


def _direction_cosines(affine_mm: Affine) -> npt.NDArray[np.float64]:
    return np.asarray(affine_mm[:3, :3] / np.linalg.norm(affine_mm[:3, :3], axis=0), dtype=np.float64)


def _shape(array: npt.NDArray[_Scalar]) -> Shape:
    a, b, c = array.shape
    return a, b, c
