"""The frames of a segmentation (PS3.3 A.51), each placed on the voxels of an image through patient space.

Frames may come in any order, be fewer or smaller than the slices, and lie in another of the volume's
planes; what all have in common may stand in the shared functional groups or be repeated for each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels

from algorithms.protocol import BoolMask, Volume
from node.errors import IrregularGeometry, UnsuitableImage

PLACE_TOLERANCE: Final = 0.25
"""How far, in voxels, a pixel may lie from the centre of a voxel: positions are rounded, and at a quarter
of a voxel the nearest one is beyond doubt."""

SPACING_TOLERANCE: Final = 0.01
"""Spacing Between Slices of the segmentation and of the image are equal within this share."""

Steps = npt.NDArray[np.intp]
"""3x3 integer matrix from (row, column, 1) of a frame to (slice, row, column) of the volume."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What one frame shows of one segment.

    Attributes:
        number: of the segment.
        mask: bool, axes (slice, row, column) of the volume, cropped; one voxel thick.
        origin: voxel index (slice, row, column) of its first corner.
    """

    number: int
    mask: BoolMask
    origin: npt.NDArray[np.intp]


def pieces(segmentation: Dataset, numbers: frozenset[int], volume: Volume) -> Iterator[Piece]:
    """What the frames show of these segments, frame by frame; nothing larger than a frame is held.

    Args:
        segmentation: BINARY or LABELMAP, with its pixel data.
        numbers: Segment Numbers that are wanted; other values of a label map are background.
        volume: the image.

    Raises:
        IrregularGeometry: a frame does not fall on voxels of the image.
        UnsuitableImage: there are more or larger frames than can be.
    """
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    groups = segmentation.PerFrameFunctionalGroupsSequence
    rows, columns = int(segmentation.Rows), int(segmentation.Columns)
    if len(groups) != int(segmentation.NumberOfFrames):
        raise UnsuitableImage(f"{len(groups)} frames of {segmentation.NumberOfFrames} are described")
    if not 0 < rows * columns <= volume.voxels.size:
        raise UnsuitableImage(f"a frame has {rows} x {columns} pixels, more than the image has voxels")
    to_index = np.linalg.inv(volume.affine_mm).astype(np.float64)
    labelled = segmentation.SegmentationType == "LABELMAP"
    for frame, (pixels, group) in enumerate(zip(_pixels(segmentation), groups, strict=True), start=1):
        if not pixels.any():
            continue
        steps = _steps(shared, group, (rows, columns), to_index, volume, frame)
        found = np.unique(pixels) if labelled else [_segment_number(shared, group)]
        for number in numbers.intersection(map(int, found)):
            yield _piece(number, pixels == number if labelled else pixels > 0, steps, volume, frame)


def _pixels(segmentation: Dataset) -> Iterator[npt.NDArray[np.integer]]:
    """The frames in their order, each (row, column)."""
    syntax = segmentation.file_meta.TransferSyntaxUID
    if segmentation.BitsAllocated == 1 and not syntax.is_encapsulated:
        return _unpacked(segmentation)
    return iter_pixels(segmentation, raw=True)


def _unpacked(segmentation: Dataset) -> Iterator[npt.NDArray[np.integer]]:
    """Frames follow one another bit by bit (PS3.5 8.1.1).

    Unpacked here: pydicom 3.0 cuts a frame short that is small and begins within a byte.
    """
    shape = (int(segmentation.Rows), int(segmentation.Columns))
    count, total = shape[0] * shape[1], int(segmentation.NumberOfFrames)
    packed = np.frombuffer(segmentation.PixelData, dtype=np.uint8)
    if packed.size * 8 < count * total:
        raise UnsuitableImage(f"the pixels end before the last of {total} frames")
    for first in range(0, count * total, count):
        bits = np.unpackbits(packed[first // 8 : -(-(first + count) // 8)], bitorder="little")
        yield bits[first % 8 :][:count].reshape(shape)


def _steps(
    shared: Dataset,
    group: Dataset,
    size: tuple[int, int],
    to_index: npt.NDArray[np.float64],
    volume: Volume,
    frame: int,
) -> Steps:
    """Where the pixels of a frame fall.

    Raises:
        IrregularGeometry: pixels are not voxels, one for one.
    """
    measures = _macro(shared, group, "PixelMeasuresSequence")[0]
    orientation = _macro(shared, group, "PlaneOrientationSequence")[0].ImageOrientationPatient
    position = _macro(shared, group, "PlanePositionSequence")[0].ImagePositionPatient
    along_row, along_column = np.reshape(np.array(orientation, np.float64), (2, 3))
    between_rows, between_columns = map(float, measures.PixelSpacing)
    plane = np.column_stack(  # PS3.3 equation C.7.6.2.1-1
        [along_column * between_rows, along_row * between_columns, np.array(position, np.float64)]
    )
    exact = to_index[:3, :3] @ plane
    exact[:, 2] += to_index[:3, 3]
    if not np.isfinite(exact).all() or np.abs(exact).max() > np.iinfo(np.int32).max:
        raise IrregularGeometry(f"frame {frame} lies nowhere near the image")
    steps = np.rint(exact).astype(np.intp)
    corners = np.array([[r, c, 1] for r in (0, size[0] - 1) for c in (0, size[1] - 1)]).T
    off = float(np.abs((exact - steps) @ corners).max())
    axes = np.abs(steps[:, :2])
    if not (axes.sum(axis=0) == 1).all() or axes.sum(axis=1).max() > 1 or off > PLACE_TOLERANCE:
        raise IrregularGeometry(
            f"frame {frame} of the segmentation is on another grid than the image: its pixels of "
            f"{between_rows:g} x {between_columns:g} mm do not fall on voxels"
        )
    _refuse_other_spacing(measures, volume.spacing_mm[int(np.flatnonzero(axes.sum(axis=1) == 0)[0])])
    return steps


def _refuse_other_spacing(measures: Dataset, spacing_mm: float) -> None:
    """Slices that leave out every second one fall on voxels too, and would be measured with gaps."""
    stated = float(measures.get("SpacingBetweenSlices") or spacing_mm)
    if abs(stated - spacing_mm) > SPACING_TOLERANCE * spacing_mm:
        raise IrregularGeometry(
            f"the slices of the segmentation are {stated:g} mm apart, those of the image {spacing_mm:g} mm"
        )


def _piece(number: int, shown: BoolMask, steps: Steps, volume: Volume, frame: int) -> Piece:
    """Crop what a frame shows and turn it into the axes of the volume."""
    inside = [np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0)]
    (top, bottom), (left, right) = ((int(i[0]), int(i[-1])) for i in inside)
    row_axis, column_axis = (int(axis) for axis in np.abs(steps[:, :2]).argmax(axis=0))
    mask = shown[top : bottom + 1, left : right + 1]
    mask = mask[:: steps[row_axis, 0], :: steps[column_axis, 1]]
    ends = steps @ np.array([[top, bottom], [left, right], [1, 1]])
    origin, end = ends.min(axis=1), ends.max(axis=1)
    if (origin < 0).any() or (end >= volume.voxels.shape).any():
        raise IrregularGeometry(f"frame {frame} marks pixels outside the image")
    thick = 3 - row_axis - column_axis
    turned = np.expand_dims(mask if row_axis < column_axis else mask.T, thick)
    return Piece(number, turned.copy(), origin)  # a view would hold the whole frame


def _segment_number(shared: Dataset, group: Dataset) -> int:
    return int(_macro(shared, group, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber)


def _macro(shared: Dataset, group: Dataset, keyword: str) -> Sequence[Dataset]:
    """A functional group, which stands for each frame or for all (PS3.3 C.7.6.16)."""
    return group.get(keyword) or shared.get(keyword) or ()
