"""A second way to read what the encoders wrote: plain pydicom and numpy, nothing of highdicom.

It sees the bytes as any other reader would, so that a fault of the encoder cannot hide itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from algorithms.protocol import BoolMask, Code, Volume
from node.outbound.coding import code_of

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
        affine_mm: 3x3, (row, column, 1) to patient LPS mm.
    """

    number: int
    segment_number: int
    sources: tuple[str, ...]
    affine_mm: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Number:
    """A NUM content item.

    Attributes:
        code: the quantity measured.
        value: Floating Point Value (0040,A161) in `unit`.
        decimal: the same in 16 characters, Numeric Value (0040,A30A).
        unit: UCUM.
        derivation: how it was derived.
    """

    code: Code
    value: float
    decimal: float
    unit: Code
    derivation: Code | None


@dataclass(frozen=True)
class Group:
    """A Measurement Group of a TID 1500 report (TID 1411)."""

    tracking_identifier: str
    tracking_uid: str
    category: Code | None
    finding: Code | None
    side: Code | None
    segment: tuple[str, int] | None
    source_series: str
    algorithm: tuple[str, str]
    comment: str
    numbers: tuple[Number, ...]


def affine_of(plane: Dataset) -> npt.NDArray[np.float64]:
    """3x3 matrix from (row, column, 1) to patient LPS mm (PS3.3 equation C.7.6.2.1-1)."""
    along_row, along_column = np.reshape(np.array(plane.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, plane.PixelSpacing)
    position = np.array(plane.ImagePositionPatient, float)
    return np.column_stack([along_column * between_rows, along_row * between_columns, position])


def frames(segmentation: Dataset) -> list[Frame]:
    """The frames in the order of their pixels, from shared and per-frame functional groups."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    return [
        _frame(number, shared, group)
        for number, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1)
    ]


def mask(segmentation: Dataset, own: Sequence[Frame], volume: Volume) -> BoolMask:
    """Put frames of one segment into the grid of the volume, through patient space.

    Returns:
        Axes (slice, row, column).

    Raises:
        ValueError: a frame does not fall on voxels of the grid.
    """
    shape = volume.voxels.shape
    found = np.zeros(shape, dtype=np.bool_)
    flat = found.reshape(-1)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    size = (int(segmentation.Rows), int(segmentation.Columns))
    for frame in own:
        steps = _voxel_steps(frame, size, volume)
        row, column = np.divmod(np.flatnonzero(_pixels(segmentation, frame.number, size)), size[1])
        down, right, start = strides @ steps
        flat[start + row * down + column * right] = True
    return found


def groups(report: Dataset) -> list[Group]:
    """The measurement groups of a TID 1500 report in their order."""
    return [
        _group(item)
        for container in report.ContentSequence
        if _name(container) == "126010"
        for item in container.ContentSequence
        if _name(item) == "125007"
    ]


def items(content: Dataset, code_value: str) -> Iterator[Dataset]:
    """The content items directly below one, of a concept name."""
    return (item for item in content.get("ContentSequence", ()) if _name(item) == code_value)


def value(content: Dataset, code_value: str) -> str:
    """The text or UID of the first content item of a concept name; empty if there is none."""
    for item in items(content, code_value):
        return str(item.get("TextValue") or item.get("UID") or "")
    return ""


def _frame(number: int, shared: Dataset, group: Dataset) -> Frame:
    """What all frames have in common stands in the shared groups only (PS3.3 C.7.6.16)."""
    plane = Dataset()
    for sequence in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"):
        plane.update(_macro(shared, group, sequence)[0])
    sources = tuple(
        str(source.ReferencedSOPInstanceUID)
        for derivation in _macro(shared, group, "DerivationImageSequence")
        for source in derivation.get("SourceImageSequence", ())
    )
    segment = _macro(shared, group, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber
    return Frame(number, int(segment), sources, affine_of(plane))


def _macro(shared: Dataset, group: Dataset, sequence: str) -> Sequence[Dataset]:
    items: Sequence[Dataset] = group.get(sequence) or shared.get(sequence) or ()
    return items


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


def _pixels(segmentation: Dataset, number: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pixels of a frame as 0 and 1; frames follow one another bit by bit (PS3.5 8.1.1)."""
    count = size[0] * size[1]
    first = (number - 1) * count
    last = first + count
    packed = np.frombuffer(segmentation.PixelData, dtype=np.uint8)[first // 8 : -(-last // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:count]
    if bits.size < count:
        raise ValueError(f"frame {number} is cut short")
    return bits


def _name(item: Dataset) -> str:
    return code_of(item.ConceptNameCodeSequence[0]).value if "ConceptNameCodeSequence" in item else ""


def _group(item: Dataset) -> Group:
    segments = [s.ReferencedSOPSequence[0] for s in items(item, "121191")]
    return Group(
        tracking_identifier=value(item, "112039"),
        tracking_uid=value(item, "112040"),
        category=_coded(item, "276214006"),
        finding=_coded(item, "121071"),
        side=next((_coded(site, "272741003") for site in items(item, "363698007")), None),
        segment=next(
            ((str(s.ReferencedSOPInstanceUID), int(s.ReferencedSegmentNumber)) for s in segments), None
        ),
        source_series=value(item, "121232"),
        algorithm=(value(item, "111001"), value(item, "111003")),
        comment=value(item, "121106"),
        numbers=tuple(_number(n) for n in item.ContentSequence if n.ValueType == "NUM"),
    )


def _number(item: Dataset) -> Number:
    measured = item.MeasuredValueSequence[0]
    return Number(
        code_of(item.ConceptNameCodeSequence[0]),
        float(measured.FloatingPointValue),
        float(measured.NumericValue),
        code_of(measured.MeasurementUnitsCodeSequence[0]),
        _coded(item, "121401"),
    )


def _coded(content: Dataset, code_value: str) -> Code | None:
    return next((code_of(i.ConceptCodeSequence[0]) for i in items(content, code_value)), None)
