"""Does a SEG say what was found? Every voxel in patient space, every description, every plane."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from skimage.color import rgb2lab

from algorithms.protocol import Segment
from node.outbound import coding, seg_reading
from node.outbound.equipment import COMPRESSION, Provenance, instances
from node.outbound.fidelity import Case, Check, differences
from node.outbound.seg import tracking_uid

PLANE_TOLERANCE_MM: Final = 0.01
"""A frame begins where its source image does, but for the rounding of decimal strings."""

COLOUR_TOLERANCE: Final = 0.5
"""In L*a*b*, less than an eye can tell; the whole numbers that are written are exact to 0.004."""


def _source_images(case: Case) -> Iterator[str]:
    series = case.dataset.get("ReferencedSeriesSequence", ())
    if [item.SeriesInstanceUID for item in series] != [case.sources[0].SeriesInstanceUID]:
        yield "ReferencedSeriesSequence does not hold exactly the source series"
        return
    wanted = [(source.SOPClassUID, source.SOPInstanceUID) for source in instances(case.sources)]
    for keyword, holder in (("ReferencedInstanceSequence", series[0]), ("SourceImageSequence", case.dataset)):
        listed = holder.get(keyword, ())
        if [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in listed] != wanted:
            yield f"{keyword} does not list exactly the source images"


def _compression(case: Case) -> Iterator[str]:
    """That any source image was compressed with loss, and how (PS3.3 C.7.6.1.1.5)."""
    lossy = [source for source in case.sources if source.get("LossyImageCompression") == "01"]
    said = lossy[0] if lossy else {"LossyImageCompression": "00"}
    for keyword in COMPRESSION:
        if case.dataset.get(keyword) != said.get(keyword):
            yield f"{keyword} is {case.dataset.get(keyword)} instead of {said.get(keyword)}"


def _segments(case: Case) -> Iterator[str]:
    described = case.dataset.SegmentSequence
    if [s.SegmentNumber for s in described] != list(range(1, len(case.findings.segments) + 1)):
        yield "segments are not numbered 1 to N as they were found"
        return
    if case.dataset.SegmentationType != "BINARY":
        yield f"SegmentationType is {case.dataset.SegmentationType}"
    overlap = "YES" if _overlap(case) else "NO"
    if case.dataset.get("SegmentsOverlap") != overlap:
        yield f"SegmentsOverlap is {case.dataset.get('SegmentsOverlap')} instead of {overlap}"
    for segment, item in zip(case.findings.segments, described, strict=True):
        for fault in _description(segment, item, case.provenance):
            yield f"segment {segment.label!r}: {fault}"


def _overlap(case: Case) -> bool:
    """Do the segments have more voxels one by one than all together?"""
    together = np.zeros(case.volume.voxels.shape, dtype=np.bool_)
    for segment in case.findings.segments:
        together[segment.box] |= segment.mask
    return int(np.count_nonzero(together)) < sum(s.voxel_count for s in case.findings.segments)


def _description(segment: Segment, item: Dataset, provenance: Provenance) -> Iterator[str]:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
    regions = item.get("AnatomicRegionSequence", ())
    sides = [side for region in regions for side in region.get("AnatomicRegionModifierSequence", ())]
    algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
    category = coding.code_of(item.SegmentedPropertyCategoryCodeSequence[0])
    yield from coding.category_faults(category)
    yield from _colour(segment, item)
    compared = {
        "label": (item.SegmentLabel, segment.label),
        "category": (category, segment.category),
        "type": (coding.code_of(kind), segment.type),
        "laterality": (
            [coding.code_of(m) for m in (sides if segment.site else modifiers)],
            [segment.laterality] if segment.laterality else [],
        ),
        "site": ([coding.code_of(r) for r in regions], [segment.site] if segment.site else []),
        "tracking identifier": (item.TrackingID, segment.label),
        "tracking UID": (item.TrackingUID, tracking_uid(segment, provenance)),
        "description": (item.get("SegmentDescription"), segment.review),
        "algorithm": (item.SegmentAlgorithmName, provenance.algorithm),
        "algorithm name": (algorithm.AlgorithmName, provenance.algorithm),
        "algorithm version": (algorithm.AlgorithmVersion, provenance.version),
        "algorithm parameters": (
            algorithm.AlgorithmParameters,
            ",".join(f"{name}={value}" for name, value in provenance.parameters.items()),
        ),
    }
    yield from differences(compared)


def _colour(segment: Segment, item: Dataset) -> Iterator[str]:
    """Recommended Display CIELab Value, as PS3.3 C.10.7.1.1 scales it."""
    scaled = np.array(item.RecommendedDisplayCIELabValue) / 0xFFFF
    written, wanted = scaled * (100, 255, 255) - (0, 128, 128), rgb2lab(np.array(segment.rgb) / 255)
    if np.abs(written - wanted).max() > COLOUR_TOLERANCE:
        yield f"the colour is L*a*b* {written.round(1)} instead of {wanted.round(1)}"


def _voxels(case: Case) -> Iterator[str]:
    if len(case.frames) != case.dataset.NumberOfFrames:
        yield f"there are {len(case.frames)} frame items for {case.dataset.NumberOfFrames} frames"
    frames: dict[int, list[seg_reading.Frame]] = {}
    for frame in case.frames:
        frames.setdefault(frame.segment_number, []).append(frame)
    for number, segment in enumerate(case.findings.segments, start=1):
        try:
            wrong = _wrong_voxels(case, frames.get(number, ()), segment)
        except ValueError as error:
            yield f"segment {segment.label!r}: {error}"
            continue
        if wrong:
            yield f"segment {segment.label!r}: {wrong} voxels are not as they were found"


def _wrong_voxels(case: Case, frames: Sequence[seg_reading.Frame], segment: Segment) -> int:
    """How many voxels differ; only the box of the segment is held."""
    found = np.zeros(segment.mask.shape, dtype=np.bool_)
    low, size = np.array(segment.origin)[:, None], np.array(segment.mask.shape)[:, None]
    outside = 0
    for frame in frames:
        index = seg_reading.voxels(case.dataset, frame, case.volume) - low
        inside = ((index >= 0) & (index < size)).all(axis=0)
        found[tuple(index[:, inside])] = True
        outside += int(np.count_nonzero(~inside))
    return outside + int(np.count_nonzero(found != segment.mask))


def _planes(case: Case) -> Iterator[str]:
    """Each frame names the one source image on whose plane it lies.

    Orientation and pixel spacing are those of the first image for all frames; where those of another
    image differ by what the reader of the images lets pass, its pixels stay within their voxels.
    """
    first, to_index = seg_reading.affine_of(case.sources[0]), np.linalg.inv(case.volume.affine_mm[:3, :3])
    planes = {seg_reading.slice_of(s): seg_reading.affine_of(s) for s in case.sources}
    far = np.array([case.dataset.Rows - 1, case.dataset.Columns - 1, 1])
    for frame in case.frames:
        source = planes.get(frame.sources[0]) if len(frame.sources) == 1 else None
        if source is None:
            yield f"frame {frame.number} names {len(frame.sources)} images, of which none is the source"
            continue
        if np.abs((frame.affine_mm - first)[:, :2] @ far[:2]).max() > PLANE_TOLERANCE_MM:
            yield f"frame {frame.number} has another orientation or pixel spacing than the first image"
        off = frame.affine_mm - source
        misplaced = np.abs(off[:, 2]).max() > PLANE_TOLERANCE_MM
        if misplaced or np.abs(to_index @ off @ far).max() > seg_reading.PLACE_TOLERANCE:
            yield f"frame {frame.number} does not lie on its source image"


def _slices(case: Case) -> Iterator[str]:
    """Slice spacing is that of the volume, and unsaid if it is uneven; slice thickness that of the source."""
    even = case.volume.slice_places is None
    spacing = seg_reading.slice_spacing_mm(case.volume) if even else None
    thickness = {seg_reading.slice_of(s): seg_reading.thickness_mm(s, case.volume) for s in case.sources}
    for frame, measures in zip(case.frames, seg_reading.pixel_measures(case.dataset), strict=True):
        wanted = {
            "SpacingBetweenSlices": spacing,
            "SliceThickness": next((thickness.get(named) for named in frame.sources), None),
        }
        for keyword, value in wanted.items():
            written = measures.get(keyword)
            if not (written is value or _close(written, value)):
                yield f"{keyword} is {written} instead of {value}"


def _close(written: float | None, value: float | None) -> bool:
    return written is not None and value is not None and math.isclose(written, value, rel_tol=1e-6)


def _dimensions(case: Case) -> Iterator[str]:
    """Frames are indexed by segment, and by the rank of their slice among those with a frame (C.7.6.17)."""
    pointers = [item.DimensionIndexPointer for item in case.dataset.DimensionIndexSequence]
    keywords = ("ReferencedSegmentNumber", "ImagePositionPatient")
    yield from differences({"list of dimensions": (pointers, [tag_for_keyword(k) for k in keywords])})
    named = {source for frame in case.frames for source in frame.sources}
    used = [each for each in map(seg_reading.slice_of, case.sources) if each in named]
    rank: dict[tuple[seg_reading.Slice, ...], int] = {(each,): n for n, each in enumerate(used, start=1)}
    for frame in case.frames:
        wanted = (frame.segment_number, rank.get(frame.sources))
        for fault in differences({"dimension index": (frame.index, wanted)}):
            yield f"frame {frame.number}: {fault}"


CHECKS: Final[tuple[Check, ...]] = (
    _source_images,
    _compression,
    _segments,
    _voxels,
    _planes,
    _slices,
    _dimensions,
)
