"""Segmentations that other software made: their segments, on the grid of the image they were made on.

BINARY and LABELMAP are read. A FRACTIONAL one says how likely or how full a voxel is, and where to cut is
not ours to choose.
"""

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from algorithms.protocol import Segment, Volume
from node.errors import IncompleteInput, IrregularGeometry, ResourceInadequate, UnsuitableImage
from node.inbound.segment_descriptions import Description, describe
from node.inbound.segment_frames import Piece, pieces
from node.inbound.volumes import MAX_VOXELS, UNDECODABLE

SOP_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_MALFORMED: Final = (*UNDECODABLE, EOFError, InvalidDicomError, LookupError, OSError, struct.error)


@dataclass(frozen=True, eq=False)
class Given:
    """The segments of a segmentation, and how results refer to it.

    Attributes:
        segments: on the grid of the image, in the order of their numbers; none is empty.
        header: of the segmentation: its UIDs, and a Segment Sequence with an item for each of `segments` in
            their order, which has its number, and its tracking where that can be used.
    """

    segments: tuple[Segment, ...]
    header: Dataset


def images_named(header: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of the images that a segmentation says it was made on.

    Raises:
        UnsuitableImage: they cannot be read.
    """
    try:
        listed = {
            str(image.ReferencedSOPInstanceUID)
            for series in header.get("ReferencedSeriesSequence") or ()
            for image in series.get("ReferencedInstanceSequence") or ()
        }
        return frozenset(listed or _derived_from(header))
    except _MALFORMED:
        raise UnsuitableImage("the references of the segmentation cannot be read") from None


def read(path: Path, volume: Volume, sources: Sequence[Dataset]) -> Given:
    """Read a segmentation onto the grid of an image.

    Args:
        path: of the segmentation.
        volume: the image.
        sources: the headers of its slices.

    Raises:
        IncompleteInput: the file is not there.
        IrregularGeometry: it is on another grid, or in another frame of reference.
        ResourceInadequate: its segments together are larger than MAX_VOXELS.
        UnsuitableImage: another kind of segmentation, one without a voxel, or that cannot be read.
    """
    try:
        dataset = pydicom.dcmread(path)
        _refuse_other_kinds(dataset)
        _refuse_other_places(dataset, sources[0])
        described = describe(dataset, sources[0].get("SpecificCharacterSet"))
        found = _gather(pieces(dataset, frozenset(described), volume))
        kept = [described[number] for number in sorted(found)]
        segments = tuple(_segment(description, found[description.number]) for description in kept)
        return Given(segments, _header(dataset, kept))
    except FileNotFoundError:
        raise IncompleteInput(f"{path} is not there") from None
    except _MALFORMED as error:
        raise UnsuitableImage(f"the segmentation cannot be read ({type(error).__name__})") from None


def _derived_from(header: Dataset) -> Iterator[str]:
    """The source images of the whole, and of its frames (PS3.3 C.7.6.16.2.6)."""
    frames = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    groups = [header, *(group for keyword in frames for group in header.get(keyword) or ())]
    for group in groups:
        for derivation in (group, *(group.get("DerivationImageSequence") or ())):
            for image in derivation.get("SourceImageSequence") or ():
                yield str(image.ReferencedSOPInstanceUID)


def _refuse_other_kinds(dataset: Dataset) -> None:
    if dataset.SOPClassUID not in SOP_CLASSES:
        raise UnsuitableImage(f"{dataset.SOPClassUID.name} holds no segments of voxels")
    if dataset.SegmentationType not in {"BINARY", "LABELMAP"}:
        raise UnsuitableImage(
            f"the segmentation is {dataset.SegmentationType}; segments are measured where each voxel is "
            "in or out: BINARY or LABELMAP"
        )


def _refuse_other_places(dataset: Dataset, source: Dataset) -> None:
    frames = {dataset.get("FrameOfReferenceUID"), source.get("FrameOfReferenceUID")} - {None, ""}
    if len(frames) > 1:
        raise IrregularGeometry("the segmentation is in another frame of reference than the image")


def _gather(parts: Iterable[Piece]) -> dict[int, list[Piece]]:
    """The pieces of each segment, by its number.

    A small file may repeat a frame without end, or make a large box of two far voxels, so what is held and
    what will be held is counted.
    """
    found: dict[int, list[Piece]] = defaultdict(list)
    held = 0
    for part in parts:
        found[part.number].append(part)
        held += part.mask.size
        _refuse_huge(held)
    if not found:
        raise UnsuitableImage("the segmentation has no segment with a voxel")
    _refuse_huge(sum(math.prod(np.subtract(*_box(own)[::-1]).tolist()) for own in found.values()))
    return found


def _refuse_huge(voxels: int) -> None:
    if voxels > MAX_VOXELS:
        raise ResourceInadequate(f"the segments fill {voxels} voxels, more than {MAX_VOXELS}")


def _box(parts: Sequence[Piece]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Around all parts: the first voxel, and the one behind the last."""
    low = np.min([part.origin for part in parts], axis=0).tolist()
    high = np.max([np.add(part.origin, part.mask.shape) for part in parts], axis=0).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _segment(description: Description, parts: Sequence[Piece]) -> Segment:
    low, high = _box(parts)
    mask = np.zeros(np.subtract(high, low), dtype=np.bool_)
    for part in parts:
        start = part.origin - low
        mask[tuple(slice(s, s + n) for s, n in zip(start, part.mask.shape, strict=True))] |= part.mask
    return Segment(
        label=description.label,
        category=description.category,
        type=description.type,
        rgb=description.rgb,
        mask=mask,
        origin=low,
        laterality=description.laterality,
        site=description.site,
    )


def _header(dataset: Dataset, kept: Sequence[Description]) -> Dataset:
    header = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(header, keyword, dataset[keyword].value)
    header.SegmentSequence = [_item(description) for description in kept]
    return header


def _item(description: Description) -> Dataset:
    item = Dataset()
    item.SegmentNumber = description.number
    if description.tracking:
        item.TrackingID, item.TrackingUID = description.tracking
    return item
