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


Slice = tuple[str, int]
"""How a reference names a slice: SOP Instance UID and frame number; that of a classic instance is 1."""

_PLANE: Final = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
_NOTHING: Final[Sequence[Dataset]] = ()


@dataclass(frozen=True, eq=False)
class Plane:
    """Where a frame of a multi-frame image lies.

    Attributes:
        number: from 1, as DICOM counts.
        sources: the slices it was derived from.
        affine_mm: 3x3, (row, column, 1) to patient LPS mm.
    """

    number: int
    sources: tuple[Slice, ...]
    affine_mm: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frame(Plane):
    """One frame of a BINARY segmentation.

    Attributes:
        segment_number: the segment it belongs to.
        index: Dimension Index Values (0020,9157).
    """

    segment_number: int
    index: tuple[int, ...]


def slice_of(source: Dataset) -> Slice:
    """What a header is of."""
    return str(source.SOPInstanceUID), getattr(source, "frame_number", 1)


def slice_named(item: Dataset) -> Slice:
    """What a reference to an image is to (PS3.3 10.3)."""
    return str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber", 1))


def affine_of(plane: Dataset) -> npt.NDArray[np.float64]:
    """3x3 matrix from (row, column, 1) to patient LPS mm (PS3.3 equation C.7.6.2.1-1)."""
    along_row, along_column = np.reshape(np.array(plane.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, plane.PixelSpacing)
    position = np.array(plane.ImagePositionPatient, float)
    return np.column_stack([along_column * between_rows, along_row * between_columns, position])


def places_of(volume: Volume) -> npt.NDArray[np.float64]:
    """Where each slice lies along the first axis, in steps of the affine."""
    if volume.slice_places is None:
        return np.arange(len(volume.voxels), dtype=np.float64)
    return volume.slice_places


def slice_spacing_mm(volume: Volume) -> float:
    """The step of the affine along the normal of the slices, however much the stack leans."""
    step, along_column, along_row = volume.affine_mm[:3, :3].T
    normal = np.cross(along_row, along_column)
    return float(abs(step @ normal) / np.linalg.norm(normal))


def thickness_mm(source: Dataset, volume: Volume) -> float:
    """Slice Thickness, or the spacing where the source says none."""
    return float(source.get("SliceThickness") or slice_spacing_mm(volume))


def frames(segmentation: Dataset) -> list[Frame]:
    """The frames in the order of their pixels, from shared and per-frame functional groups."""
    groups = _Groups(segmentation.SharedFunctionalGroupsSequence[0])
    return [
        _frame(number, groups, group)
        for number, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1)
    ]


def planes(image: Dataset) -> list[Plane]:
    """Where the frames of any multi-frame image lie, in the order of their pixels."""
    groups = _Groups(image.SharedFunctionalGroupsSequence[0])
    return [
        Plane(number, groups.sources(group), groups.affine_mm(group))
        for number, group in enumerate(image.PerFrameFunctionalGroupsSequence, start=1)
    ]


def pixel_measures(image: Dataset) -> list[Dataset]:
    """The Pixel Measures Macro of each frame of any multi-frame image."""
    groups = _Groups(image.SharedFunctionalGroupsSequence[0])
    return [
        groups.macro(group, "PixelMeasuresSequence")[0] for group in image.PerFrameFunctionalGroupsSequence
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
    row, column = marked(segmentation, frame)
    index: npt.NDArray[np.intp] = steps[:, :2] @ np.stack([row, column]) + steps[:, 2:]
    return index


def marked(segmentation: Dataset, frame: Frame) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the pixels that a frame marks.

    Raises:
        ValueError: its pixels are cut short.
    """
    size = (int(segmentation.Rows), int(segmentation.Columns))
    rows, columns = np.divmod(_set_pixels(segmentation, frame.number, size), size[1])
    return rows, columns


class _Groups:
    """Functional groups of the frames of an image; what thousands of frames repeat is decoded once.

    What all frames have in common stands in the shared groups only (PS3.3 C.7.6.16).
    """

    def __init__(self, shared: Dataset) -> None:
        self._shared = shared
        self._macros: dict[tuple[str, bytes], Sequence[Dataset]] = {}
        self._affines: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
        self._sources: dict[int, tuple[Slice, ...]] = {}

    def macro(self, group: Dataset, keyword: str) -> Sequence[Dataset]:
        """The items of a functional group of a frame; the same bytes give the same object."""
        element = group.get_item(keyword)
        if element is None:
            return self._shared.get(keyword) or _NOTHING
        if not isinstance(element, RawDataElement):
            return group[keyword].value or _NOTHING
        key = (keyword, element.value or b"")
        if key not in self._macros:
            self._macros[key] = group[keyword].value or _NOTHING
        return self._macros[key]

    def affine_mm(self, group: Dataset) -> npt.NDArray[np.float64]:
        """Of the frame: 3x3, (row, column, 1) to patient LPS mm."""
        macros = [self.macro(group, keyword) for keyword in _PLANE]
        key = tuple(map(id, macros))
        if key not in self._affines:
            plane = Dataset()
            for macro in macros:
                plane.update(macro[0])
            self._affines[key] = affine_of(plane)
        return self._affines[key]

    def sources(self, group: Dataset) -> tuple[Slice, ...]:
        """The slices that the frame was derived from."""
        macro = self.macro(group, "DerivationImageSequence")
        if id(macro) not in self._sources:
            self._sources[id(macro)] = tuple(
                slice_named(source)
                for derivation in macro
                for source in derivation.get("SourceImageSequence", ())
            )
        return self._sources[id(macro)]


def _frame(number: int, groups: _Groups, group: Dataset) -> Frame:
    segment = groups.macro(group, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber
    index = tuple(map(int, groups.macro(group, "FrameContentSequence")[0].DimensionIndexValues))
    return Frame(number, groups.sources(group), groups.affine_mm(group), int(segment), index)


def _voxel_steps(frame: Frame, size: tuple[int, int], volume: Volume) -> npt.NDArray[np.intp]:
    """3x3 integer matrix from (row, column, 1) of the frame to (slice, row, column) of the volume."""
    to_index = np.linalg.inv(volume.affine_mm)
    exact = to_index[:3, :3] @ frame.affine_mm
    exact[:, 2] += to_index[:3, 3]
    if volume.slice_places is not None:
        nearest = int(np.abs(volume.slice_places - exact[0, 2]).argmin())
        exact[0, 2] += nearest - volume.slice_places[nearest]
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
