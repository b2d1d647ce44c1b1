"""Where the slices of a series lie in the patient: their order and the affine of their voxels.

Geometry goes through the affine alone: no plane is flipped by name and no handedness is assumed.
What is no stack (`stacks`) is refused with the positions listed, never stacked as if it were one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from algorithms.protocol import Affine
from node.errors import IrregularGeometry, UnsuitableImage
from node.inbound.stacks import Stack, Vectors, listed, stacked

Orientation = Literal["axial", "coronal", "sagittal", "oblique"]

UNDECODABLE: Final = (
    AttributeError,
    BytesLengthException,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What pydicom and its decoders raise, on access, for a value that is missing, damaged or of an unknown
kind. Their messages may quote the value, so none is passed on from a header."""

IN_PLANE_TOLERANCE: Final = 1e-4
"""Direction cosines, and pixel spacings in mm, are equal within this: 0.05 mm at the far edge of a
plane of 500 mm or 500 pixels."""

OBLIQUE_COSINE: Final = 0.8
"""A plane is named after the patient axis its normal is nearest to, unless that cosine is smaller."""


@dataclass(frozen=True)
class Outline:
    """What can be said of a series whether or not its slices form a regular volume.

    Attributes:
        orientation: the plane of the slices.
        spacing_mm: the usual distance between neighbouring slices.
        coverage_mm: extent along the slice normal, a slice's own share included.
    """

    orientation: Orientation
    spacing_mm: float
    coverage_mm: float


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a series lie.

    Attributes:
        order: indices of the headers, sorted along the slice normal (row x column direction), ascending.
        affine_mm: 4x4, (slice, row, column, 1) to patient LPS millimetres (PS3.3 C.7.6.2.1.1); its first
            column is the mean step from slice to slice, which leans where the gantry was tilted.
        spacing_mm: distance between neighbours along (slice, row, column).
        orientation: the plane of the slices.
        coverage_mm: extent along the slice normal: slices times spacing.
        slice_places: first coordinate of each slice, in steps; None where they are 0, 1, 2 and so on.
    """

    order: tuple[int, ...]
    affine_mm: Affine
    spacing_mm: tuple[float, float, float]
    orientation: Orientation
    coverage_mm: float
    slice_places: Vectors | None


def outline(headers: Sequence[Dataset]) -> Outline:
    """Describe a series by the orientation of its middle instance and the spread of its positions.

    The middle one, because a scout that shares the series comes first.

    Raises:
        IrregularGeometry: position or orientation is missing, or a single slice has no thickness.
    """
    normal = _normal(_numbers(headers[len(headers) // 2], "ImageOrientationPatient", 6))
    along = np.sort(np.array([_numbers(h, "ImagePositionPatient", 3) for h in headers]) @ normal)
    gaps = np.diff(along)
    spacing = float(np.median(gaps)) if gaps.size else _thickness(headers[0])
    return Outline(_orientation(normal), spacing, float(np.ptp(along)) + spacing)


def geometry(headers: Sequence[Dataset], *, any_stack: bool = False) -> Geometry:
    """Find order and affine of a series of single-frame instances, or of the frames of an Enhanced MR.

    The rows of Image Orientation (Patient) are the directions of increasing column index, then of
    increasing row index; Pixel Spacing is (between rows, between columns).

    Args:
        headers: of the slices (`enhanced.slices_of`), in any order.
        any_stack: whether the slices may be unevenly spaced, and may lean (a tilted gantry).

    Raises:
        IrregularGeometry: attributes are missing, slices differ in size, spacing or orientation, or
            positions are doubled or missing, or uneven or tilted where they may not be; the message
            lists the positions.
        UnsuitableImage: the instances have several frames.
    """
    _refuse_multi_frame(headers)
    positions = np.array([_numbers(h, "ImagePositionPatient", 3) for h in headers])
    directions = np.array([_numbers(h, "ImageOrientationPatient", 6) for h in headers])
    spacings = np.array([_numbers(h, "PixelSpacing", 2) for h in headers])
    sizes = np.array([[_number(h, "Rows"), _number(h, "Columns")] for h in headers])
    normal = _normal(directions[0])
    along = positions @ normal
    _refuse_mixed("orientation", directions, along, IN_PLANE_TOLERANCE)
    _refuse_mixed("pixel spacing", spacings, along, IN_PLANE_TOLERANCE)
    _refuse_mixed("rows and columns", sizes, along, 0)
    if spacings.min() <= 0 or sizes.min() < 1:
        raise IrregularGeometry("PixelSpacing, Rows or Columns is not positive")

    order = np.argsort(along, kind="stable")
    stack = _stack(positions[order], normal, [headers[i] for i in order], any_stack=any_stack)
    affine = np.eye(4)
    affine[:3, 0] = stack.step_mm
    affine[:3, 1] = directions[0, 3:] * spacings[0, 0]
    affine[:3, 2] = directions[0, :3] * spacings[0, 1]
    affine[:3, 3] = stack.origin_mm
    spacing = (float(np.linalg.norm(stack.step_mm)), float(spacings[0, 0]), float(spacings[0, 1]))
    return Geometry(
        order=tuple(int(i) for i in order),
        affine_mm=affine,
        spacing_mm=spacing,
        orientation=_orientation(normal),
        coverage_mm=len(headers) * float(stack.step_mm @ normal),
        slice_places=None if stack.even else stack.places,
    )


def instance_name(header: Dataset) -> str:
    """How messages speak of an instance."""
    try:
        uid = header.get("SOPInstanceUID")
    except UNDECODABLE:
        uid = None
    return f"instance {uid or 'without a UID'}"


def _numbers(header: Dataset, keyword: str, count: int) -> Vectors:
    try:
        numbers = np.array([float(number) for number in header.get(keyword)])
    except UNDECODABLE:
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise IrregularGeometry(f"{keyword} of {instance_name(header)} does not hold {count} numbers")
    return numbers


def _number(header: Dataset, keyword: str) -> float:
    try:
        number = float(header.get(keyword))
    except UNDECODABLE:
        number = np.nan
    if not np.isfinite(number):
        raise IrregularGeometry(f"{keyword} of {instance_name(header)} is missing or not a number")
    return number


def _number_or_nan(header: Dataset, keyword: str) -> float:
    try:
        return _number(header, keyword)
    except IrregularGeometry:
        return np.nan


def _thickness(header: Dataset) -> float:
    """How much a slice without neighbours stands for."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if (depth := _number_or_nan(header, keyword)) > 0:
            return depth
    raise IrregularGeometry("a single slice without SpacingBetweenSlices or SliceThickness has no depth")


def _stack(positions: Vectors, normal: Vectors, headers: Sequence[Dataset], *, any_stack: bool) -> Stack:
    """The stack of slices sorted along the normal."""
    if len(positions) == 1:
        return Stack(positions[0], normal * _thickness(headers[0]), np.zeros(1), even=True)
    thickness = np.array([_number_or_nan(header, "SliceThickness") for header in headers])
    return stacked(positions, normal, np.where(thickness > 0, thickness, np.nan), any_stack=any_stack)


def _normal(directions: Vectors) -> Vectors:
    """Row direction x column direction, unit length."""
    row, column = directions[:3], directions[3:]
    unit = np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3)
    if not unit:
        raise IrregularGeometry("ImageOrientationPatient does not hold two perpendicular unit vectors")
    normal: Vectors = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def _orientation(normal: Vectors) -> Orientation:
    names: tuple[Orientation, ...] = ("sagittal", "coronal", "axial")
    nearest = int(np.argmax(np.abs(normal)))
    return names[nearest] if abs(normal[nearest]) >= OBLIQUE_COSINE else "oblique"


def _refuse_multi_frame(headers: Sequence[Dataset]) -> None:
    if not headers:
        raise IrregularGeometry("the series has no instance")
    for header in headers:
        frames = _number(header, "NumberOfFrames") if "NumberOfFrames" in header else 1
        if frames > 1 or "SharedFunctionalGroupsSequence" in header:
            raise UnsuitableImage(
                f"{instance_name(header)} has several frames; read are single-frame images, "
                "and Enhanced MR that describes each of its frames"
            )


def _refuse_mixed(what: str, values: Vectors, along: Vectors, tolerance: float) -> None:
    _, first, counts = np.unique(values.round(4), axis=0, return_index=True, return_counts=True)
    usual = values[first[np.argmax(counts)]]
    differs = np.abs(values - usual).max(axis=1) > tolerance
    if differs.any():
        raise IrregularGeometry(
            f"the slices differ in {what}: {np.count_nonzero(differs)} of {len(values)} differ from the "
            f"others, at {listed(along[differs])}"
        )
