"""The frames of a BINARY segmentation: pixels as bits, and the functional groups that place them.

A frame is a slice of the source that holds a segment. Both parts are written as the bytes of the file:
the bits from the box of each segment, so that memory is what the file takes and never a grid for every
segment; the functional groups from the few macros that differ, each encoded once, because pydicom takes
seconds for thousands of items.
"""

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from algorithms.protocol import Code, Segment
from node.outbound.coding import concept
from node.outbound.equipment import image_reference

DERIVATION: Final = Code("113076", "DCM", "Segmentation")
"""CID 7203, how the frame was made of its source."""
PURPOSE: Final = Code("121322", "DCM", "Source image for image processing operation")
"""CID 7202, what the source was for."""


class Place(NamedTuple):
    """Where a frame lies: segment number from 1, index of the source slice from 0."""

    segment: int
    slice: int


def places(segments: Sequence[Segment]) -> list[Place]:
    """The frames in their order: segment by segment, each slice that holds a voxel of it."""
    return [
        Place(number, segment.origin[0] + int(index))
        for number, segment in enumerate(segments, start=1)
        for index in np.flatnonzero(segment.mask.any(axis=(1, 2)))
    ]


def packed_bits(segments: Sequence[Segment], frames: Sequence[Place], rows: int, columns: int) -> BytesIO:
    """The frames as Pixel Data with Bits Allocated 1: one after another, bit by bit (PS3.5 8.1.1).

    The first pixel is the lowest bit of the first byte; no frame is padded, the whole is to even length.
    """
    pixels = rows * columns
    # A stream, because pydicom writes one without a copy.
    stream = BytesIO(bytes(-(-len(frames) * pixels // 16) * 2))
    packed = np.frombuffer(stream.getbuffer(), dtype=np.uint8)
    for number, place in enumerate(frames):
        segment = segments[place.segment - 1]
        _, down, right = segment.box
        first = number * pixels + down.start * columns
        lead = first % 8
        bits = np.zeros(lead + (down.stop - down.start) * columns, dtype=np.bool_)
        bits[lead:].reshape(-1, columns)[:, right] = segment.mask[place.slice - segment.origin[0]]
        part = np.packbits(bits, bitorder="little")
        packed[first // 8 :][: part.size] |= part
    return stream


def functional_groups(
    frames: Sequence[Place], sources: Sequence[Dataset], measures: Sequence[Dataset] = ()
) -> bytes:
    """The value of Per-Frame Functional Groups Sequence, Explicit VR Little Endian (PS3.3 C.7.6.16).

    Dimension Index Values are the segment number and the rank of the slice among those that have a frame.

    Args:
        frames: in their order.
        sources: the headers of the slices.
        measures: the Pixel Measures Macro of each slice, where they have not one in common.
    """
    used = sorted({place.slice for place in frames})
    rank = {index: number for number, index in enumerate(used, start=1)}
    derivations = {index: _encoded(_derivation(sources[index])) for index in used}
    positions = {index: _encoded(plane_position(sources[index].ImagePositionPatient)) for index in used}
    spacings = {index: _encoded(measures[index]) if measures else b"" for index in used}
    segments = {number: _encoded(_segment(number)) for number in {place.segment for place in frames}}
    content = _encoded(_frame_content())[: -struct.calcsize("<II")]
    # Tags ascend: (0008,9124), (0020,9111), (0020,9113), (0028,9110), (0062,000A).
    items = (
        derivations[place.slice]
        + content
        + struct.pack("<II", place.segment, rank[place.slice])
        + positions[place.slice]
        + spacings[place.slice]
        + segments[place.segment]
        for place in frames
    )
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def overlap(segments: Sequence[Segment], shape: tuple[int, ...]) -> bool:
    """Does any voxel belong to two segments? `shape` is (slice, row, column)."""
    for index in range(shape[0]):
        seen = np.zeros(shape[1:], dtype=np.bool_)
        for segment in segments:
            slices, down, right = segment.box
            if slices.start <= index < slices.stop:
                plane, part = segment.mask[index - slices.start], seen[down, right]
                if (part & plane).any():
                    return True
                part |= plane
    return False


def derivation_image(sources: Sequence[Dataset], how: Code) -> Dataset:
    """The Derivation Image Macro (PS3.3 C.7.6.16.2.6): from which images, and how (CID 7203)."""
    derivation, macro = Dataset(), Dataset()
    derivation.DerivationCodeSequence = [concept(how)]
    derivation.SourceImageSequence = [image_reference(source) for source in sources]
    for image in derivation.SourceImageSequence:
        image.PurposeOfReferenceCodeSequence = [concept(PURPOSE)]
    macro.DerivationImageSequence = [derivation]
    return macro


def plane_position(position_mm: Sequence[float]) -> Dataset:
    """The Plane Position (Patient) Macro (PS3.3 C.7.6.16.2.3)."""
    plane, macro = Dataset(), Dataset()
    plane.ImagePositionPatient = position_mm
    macro.PlanePositionSequence = [plane]
    return macro


def _derivation(source: Dataset) -> Dataset:
    macro = derivation_image([source], DERIVATION)
    macro.DerivationImageSequence[0].SourceImageSequence[0].SpatialLocationsPreserved = "YES"
    return macro


def _segment(number: int) -> Dataset:
    identification, macro = Dataset(), Dataset()
    identification.ReferencedSegmentNumber = number
    macro.SegmentIdentificationSequence = [identification]
    return macro


def _frame_content() -> Dataset:
    content, macro = Dataset(), Dataset()
    content.DimensionIndexValues = [0, 0]
    macro.FrameContentSequence = [content]
    return macro


def _encoded(macro: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, macro)
    return buffer.getvalue()
