"""A second way to read what the encoders wrote: plain pydicom and numpy, nothing of highdicom.

It sees the bytes as any other reader would, so that a fault of the encoder cannot hide itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from algorithms.protocol import Volume

PLACE_TOLERANCE: Final = 0.25
"""How far, in voxels, a slice may lie from where the volume's affine puts it: the volume's grid is
fitted to positions that scanners round, and at a quarter voxel the nearest voxel is beyond doubt."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a BINARY segmentation.

    Attributes:
        number: from 1, as DICOM counts.
        segment_number: the segment it belongs to.
        sources: SOP Instance UIDs of the images it was derived from.
        index: Dimension Index Values (0020,9157).
        affine_mm: 3x3, (row, column, 1) to patient LPS mm.
    """

    number: int
    segment_number: int
    sources: tuple[str, ...]
    index: tuple[int, ...]
    affine_mm: npt.NDArray[np.float64]


def affine_of(plane: Dataset) -> npt.NDArray[np.float64]:
    """3x3 matrix from (row, column, 1) to patient LPS mm (PS3.3 equation C.7.6.2.1-1)."""
    along_row, along_column = np.reshape(np.array(plane.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, plane.PixelSpacing)
    position = np.array(plane.ImagePositionPatient, float)
    return np.column_stack([along_column * between_rows, along_row * between_columns, position])


def frames(segmentation: Dataset) -> list[Frame]:
    """The frames in the order of their pixels, from shared and per-frame functional groups."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    read: dict[bytes, Sequence[Dataset]] = {}
    return [
        _frame(number, shared, group, read)
        for number, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1)
    ]


def voxels(segmentation: Dataset, frame: Frame, volume: Volume) -> npt.NDArray[np.intp]:
    """The voxels of the volume that a frame marks, through patient space.

    Returns:
        Shape (3, n): slice, row and column of each.

    Raises:
        ValueError: the frame does not fall on voxels of the volume, or its pixels are cut short.
    """
    size = (int(segmentation.Rows), int(segmentation.Columns))
    steps = _voxel_steps(frame, size, volume)
    row, column = np.divmod(_set_pixels(segmentation, frame.number, size), size[1])
    index: npt.NDArray[np.intp] = steps[:, :2] @ np.stack([row, column]) + steps[:, 2:]
    return index


def _frame(number: int, shared: Dataset, group: Dataset, read: dict[bytes, Sequence[Dataset]]) -> Frame:
    """What all frames have in common stands in the shared groups only (PS3.3 C.7.6.16)."""
    plane = Dataset()
    for sequence in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"):
        plane.update(_macro(shared, group, sequence, read)[0])
    sources = tuple(
        str(source.ReferencedSOPInstanceUID)
        for derivation in _macro(shared, group, "DerivationImageSequence", read)
        for source in derivation.get("SourceImageSequence", ())
    )
    segment = _macro(shared, group, "SegmentIdentificationSequence", read)[0].ReferencedSegmentNumber
    index = tuple(map(int, _macro(shared, group, "FrameContentSequence", read)[0].DimensionIndexValues))
    return Frame(number, int(segment), sources, index, affine_of(plane))


def _macro(
    shared: Dataset, group: Dataset, keyword: str, read: dict[bytes, Sequence[Dataset]]
) -> Sequence[Dataset]:
    """A functional group; among thousands of frames the same bytes are decoded once."""
    element = group.get_item(keyword)
    if element is None:
        return shared.get(keyword) or ()
    if not isinstance(element, RawDataElement):
        return group[keyword].value or ()
    key = element.value or b""
    if key not in read:
        read[key] = group[keyword].value or ()
    return read[key]


def _voxel_steps(frame: Frame, size: tuple[int, int], volume: Volume) -> npt.NDArray[np.intp]:
    """3x3 integer matrix from (row, column, 1) of the frame to (slice, row, column) of the volume."""
    to_index = np.linalg.inv(volume.affine_mm)
    exact = to_index[:3, :3] @ frame.affine_mm
    exact[:, 2] += to_index[:3, 3]
    steps = np.rint(exact).astype(np.intp)
    corners = np.array([[r, c, 1] for r in (0, size[0] - 1) for c in (0, size[1] - 1)]).T
    off = float(np.abs(exact @ corners - steps @ corners).max())
    if off > PLACE_TOLERANCE:
        raise ValueError(f"frame {frame.number} lies {off:.2f} voxels off the image")
    reached = steps @ corners
    if (reached < 0).any() or (reached >= np.array(volume.voxels.shape)[:, None]).any():
        raise ValueError(f"frame {frame.number} lies outside the image")
    return steps


def _set_pixels(segmentation: Dataset, number: int, size: tuple[int, int]) -> npt.NDArray[np.intp]:
    """Flat index of the pixels that are 1; frames follow one another bit by bit (PS3.5 8.1.1)."""
    count = size[0] * size[1]
    first = (number - 1) * count
    packed = np.frombuffer(segmentation.PixelData, dtype=np.uint8)[first // 8 : -(-(first + count) // 8)]
    if packed.size * 8 < first % 8 + count:
        raise ValueError(f"frame {number} is cut short")
    used = np.flatnonzero(packed)
    byte, bit = np.nonzero(np.unpackbits(packed[used, None], axis=1, bitorder="little").view(np.bool_))
    pixels: npt.NDArray[np.intp] = used[byte] * 8 + bit - first % 8
    return pixels[(pixels >= 0) & (pixels < count)]
