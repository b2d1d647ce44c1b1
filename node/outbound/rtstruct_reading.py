"""A second way to read an RT Structure Set: plain pydicom, and the even-odd rule line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from algorithms.protocol import BoolMask
from node.outbound.seg_reading import Slice, slice_named

PLANE_TOLERANCE_MM: Final = 0.01
"""A contour lies in the plane of its image, but for the rounding of decimal strings."""


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed planar contour (PS3.3 C.8.8.6).

    Attributes:
        number: from 1 within its ROI.
        image: the one slice it was drawn on; None if that is not one.
        points_mm: shape (n, 3), patient LPS.
    """

    number: int
    image: Slice | None
    points_mm: npt.NDArray[np.float64]


def contours(outline: Dataset) -> list[Contour]:
    """The contours of an item of ROI Contour Sequence.

    Raises:
        ValueError: a contour is of another geometric type, or not of whole points.
    """
    return [_contour(item) for item in outline.get("ContourSequence", ())]


def filled(drawn: Sequence[Contour], plane_mm: npt.NDArray[np.float64], shape: tuple[int, ...]) -> BoolMask:
    """The pixels whose centres the contours of an image enclose an odd number of times.

    Args:
        drawn: on the image.
        plane_mm: 3x3, (row, column, 1) of the image to patient LPS mm.
        shape: rows and columns of the image.

    Raises:
        ValueError: a contour does not lie in the plane of the image.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.intp)
    for contour in drawn:
        row, column = _crossings(_on_plane(contour, plane_mm))
        inside = (row >= 0) & (row < rows)
        first = np.clip(np.ceil(column[inside]), 0, columns).astype(np.intp)
        np.add.at(crossings, (row[inside], first), 1)
    mask: BoolMask = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
    return mask


def _on_plane(contour: Contour, plane_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The points in pixels of the image, shape (n, 2): row and column."""
    along_columns, along_rows, origin = plane_mm.T
    normal = np.cross(along_rows, along_columns)
    offset = contour.points_mm - origin
    off = float(np.abs(offset @ (normal / np.linalg.norm(normal))).max())
    if off > PLANE_TOLERANCE_MM:
        raise ValueError(f"contour {contour.number} lies {off:.2f} mm off its image")
    index: npt.NDArray[np.float64] = np.linalg.lstsq(plane_mm[:, :2], offset.T)[0]
    return index.T


def _crossings(
    points: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Where the edges of a closed polygon cross the lines of pixel centres: row, and column as a number."""
    start, end = points, np.roll(points, -1, axis=0)
    # Always downwards, so that the two sides of a keyhole are the same line to the last bit.
    up = (start[:, 0] > end[:, 0])[:, None]
    start, end = np.where(up, end, start), np.where(up, start, end)
    first = np.ceil(start[:, 0]).astype(np.intp)
    count = np.ceil(end[:, 0]).astype(np.intp) - first
    edge = np.repeat(np.arange(len(points)), count)
    row = first[edge] + np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    part = (row - start[edge, 0]) / (end - start)[edge, 0]
    return row, start[edge, 1] + part * (end - start)[edge, 1]


def _contour(item: Dataset) -> Contour:
    number = int(item.ContourNumber)
    if item.ContourGeometricType != "CLOSED_PLANAR":
        raise ValueError(f"contour {number} is {item.ContourGeometricType}")
    # As bytes where nobody has read them: pydicom makes an object of each number.
    element = item.get_item("ContourData")
    numbers = element.value.split(b"\\") if isinstance(element.value, bytes) else element.value
    points = np.array(numbers, dtype=np.float64)
    if points.size != 3 * item.NumberOfContourPoints:
        raise ValueError(f"contour {number} has not the {item.NumberOfContourPoints} points it says")
    images = [slice_named(image) for image in item.get("ContourImageSequence", ())]
    return Contour(number, images[0] if len(images) == 1 else None, points.reshape(-1, 3))
