"""Enhanced MR: one instance holds the frames of a whole series.

Each frame becomes a header of its own, as a classic instance would have: what holds for all, and what the
functional groups say of the frame (PS3.3 C.7.6.16). What comes after sees slices, wherever they came from.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage

from node.inbound.geometry import UNDECODABLE

_ENHANCED: Final = frozenset({EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage})
_SHARED: Final = "SharedFunctionalGroupsSequence"
_PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
_MACROS: Final = (
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "MRImageFrameTypeSequence",
    "MREchoSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
_CLASSIC: Final = {"FrameType": "ImageType", "EffectiveEchoTime": "EchoTime"}
_SCANNING: Final = {"GRADIENT": ["GR"], "SPIN": ["SE"], "BOTH": ["SE", "GR"]}
"""Scanning Sequence of each Echo Pulse Sequence (0018,9008)."""


def slices_of(headers: Iterable[Dataset]) -> list[Dataset]:
    """A header for each slice.

    Args:
        headers: of instances.

    Returns:
        Of an Enhanced MR one header for each frame, all with its UID; `frame_number`, from 1, is an
        attribute of the object and no element. Other instances as they are, and an Enhanced MR whose
        frames are not all described: `geometry` refuses it.
    """
    return [each for header in headers for each in _slices(header)]


def _slices(header: Dataset) -> list[Dataset]:
    if header.get("SOPClassUID") not in _ENHANCED:
        return [header]
    try:
        frames = list(_frames(header))
        return frames if len(frames) == int(header.NumberOfFrames) else [header]
    except UNDECODABLE:
        return [header]


def _frames(header: Dataset) -> Iterator[Dataset]:
    common = header[:]
    (shared,), groups = header[_SHARED].value, header[_PER_FRAME].value
    for keyword in (_SHARED, _PER_FRAME, "NumberOfFrames"):
        del common[keyword]
    if pulses := _SCANNING.get(common.get("EchoPulseSequence")):
        _put(common, "ScanningSequence", pulses)
    _flatten(common, shared)
    for number, group in enumerate(groups, start=1):
        frame = common[:]
        _flatten(frame, group)
        frame.filename, frame.frame_number = header.filename, number
        yield frame


def _flatten(frame: Dataset, group: Dataset) -> None:
    """What the macros of a group say becomes a part of the header, under its classic name."""
    for keyword in _MACROS:
        for item in group.get(keyword, ()):
            frame.update(item)
    for enhanced, classic in _CLASSIC.items():
        if enhanced in frame:
            _put(frame, classic, frame[enhanced].value)


def _put(frame: Dataset, keyword: str, value: object) -> None:
    """Give it an element of its own: those that it has belong to all frames."""
    frame.pop(keyword, None)
    setattr(frame, keyword, value)
