"""Does a SEG say what was found? Every voxel in patient space, every description, every plane."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from pydicom import Dataset

from algorithms.protocol import Segment
from node.outbound import coding, seg_reading
from node.outbound.equipment import Provenance
from node.outbound.fidelity import Case, Check, differences
from node.outbound.seg import tracking_uid

PLANE_TOLERANCE_MM: Final = 0.01
"""A frame lies on the plane of its source image, but for the rounding of decimal strings."""


def _source_series(case: Case) -> Iterator[str]:
    series = case.dataset.get("ReferencedSeriesSequence", ())
    if [item.SeriesInstanceUID for item in series] != [case.sources[0].SeriesInstanceUID]:
        yield "ReferencedSeriesSequence does not hold exactly the source series"


def _segments(case: Case) -> Iterator[str]:
    described = case.dataset.SegmentSequence
    if [s.SegmentNumber for s in described] != list(range(1, len(case.findings.segments) + 1)):
        yield "segments are not numbered 1 to N as they were found"
        return
    if case.dataset.SegmentationType != "BINARY":
        yield f"SegmentationType is {case.dataset.SegmentationType}"
    for segment, item in zip(case.findings.segments, described, strict=True):
        for fault in _description(segment, item, case.provenance):
            yield f"segment {segment.label!r}: {fault}"


def _description(segment: Segment, item: Dataset, provenance: Provenance) -> Iterator[str]:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
    algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
    category = coding.code_of(item.SegmentedPropertyCategoryCodeSequence[0])
    yield from coding.category_faults(category)
    compared = {
        "label": (item.SegmentLabel, segment.label),
        "category": (category, segment.category),
        "type": (coding.code_of(kind), segment.type),
        "laterality": (
            [coding.code_of(m) for m in modifiers],
            [segment.laterality] if segment.laterality else [],
        ),
        "tracking identifier": (item.TrackingID, segment.label),
        "tracking UID": (item.TrackingUID, tracking_uid(segment, provenance)),
        "description": (item.get("SegmentDescription"), segment.review),
        "algorithm": (item.SegmentAlgorithmName, provenance.algorithm),
        "algorithm name": (algorithm.AlgorithmName, provenance.algorithm),
        "algorithm version": (algorithm.AlgorithmVersion, provenance.version),
    }
    yield from differences(compared)


def _voxels(case: Case) -> Iterator[str]:
    if len(case.frames) != case.dataset.NumberOfFrames:
        yield f"there are {len(case.frames)} frame items for {case.dataset.NumberOfFrames} frames"
    for number, segment in enumerate(case.findings.segments, start=1):
        try:
            wrong = _wrong_voxels(case, number, segment)
        except ValueError as error:
            yield f"segment {segment.label!r}: {error}"
            continue
        if wrong:
            yield f"segment {segment.label!r}: {wrong} voxels are not as they were found"


def _wrong_voxels(case: Case, number: int, segment: Segment) -> int:
    """How many voxels differ; only the box of the segment is held."""
    found = np.zeros(segment.mask.shape, dtype=np.bool_)
    low, size = np.array(segment.origin)[:, None], np.array(segment.mask.shape)[:, None]
    outside = 0
    for frame in case.frames:
        if frame.segment_number == number:
            index = seg_reading.voxels(case.dataset, frame, case.volume) - low
            inside = ((index >= 0) & (index < size)).all(axis=0)
            found[tuple(index[:, inside])] = True
            outside += int(np.count_nonzero(~inside))
    return outside + int(np.count_nonzero(found != segment.mask))


def _planes(case: Case) -> Iterator[str]:
    """Each frame names the one source image on whose plane it lies."""
    planes = {str(s.SOPInstanceUID): seg_reading.affine_of(s) for s in case.sources}
    far = np.array([case.dataset.Rows - 1, case.dataset.Columns - 1, 1])
    for frame in case.frames:
        source = planes.get(frame.sources[0]) if len(frame.sources) == 1 else None
        if source is None:
            yield f"frame {frame.number} names {len(frame.sources)} images, of which none is the source"
            continue
        off = frame.affine_mm - source
        if max(np.abs(off[:, 2]).max(), np.abs(off @ far).max()) > PLANE_TOLERANCE_MM:
            yield f"frame {frame.number} does not lie on its source image"


CHECKS: Final[tuple[Check, ...]] = (_source_series, _segments, _voxels, _planes)
