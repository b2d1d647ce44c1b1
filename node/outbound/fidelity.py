"""Does an object say what was found? The checks of the gate that compare SEG and SR with the findings."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom import Dataset

from algorithms.protocol import Findings, Measurement, Segment, Volume
from node.config import MANUFACTURER
from node.outbound import coding, readback
from node.outbound.equipment import EncodedObject, Provenance, Role
from node.outbound.seg import tracking_uid
from node.outbound.sr import TITLE, procedure_reported

PLANE_TOLERANCE_MM: Final = 0.01
"""A frame lies on the plane of its source image, but for the rounding of decimal strings."""


@dataclass(frozen=True, eq=False)
class Case:
    """An object read back, and what it is compared with."""

    encoded: EncodedObject
    dataset: Dataset
    findings: Findings
    volume: Volume
    sources: Sequence[Dataset]
    provenance: Provenance
    siblings: Mapping[str, EncodedObject]


Check = Callable[[Case], Iterator[str]]
"""Yields what is wrong, in words."""


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
    for name, (written, wanted) in compared.items():
        if written != wanted:
            yield f"the {name} is {written} instead of {wanted}"


def _voxels(case: Case) -> Iterator[str]:
    frames = readback.frames(case.dataset)
    if len(frames) != case.dataset.NumberOfFrames:
        yield f"there are {len(frames)} frame items for {case.dataset.NumberOfFrames} frames"
    for number, segment in enumerate(case.findings.segments, start=1):
        own = [frame for frame in frames if frame.segment_number == number]
        try:
            written = readback.mask(case.dataset, own, case.volume)
        except ValueError as error:
            yield f"segment {segment.label!r}: {error}"
            continue
        inside = written[segment.box]
        wrong = np.count_nonzero(inside != segment.mask)
        wrong += np.count_nonzero(written) - np.count_nonzero(inside)
        if wrong:
            yield f"segment {segment.label!r}: {wrong} voxels are not as they were found"


def _planes(case: Case) -> Iterator[str]:
    """Each frame names the one source image on whose plane it lies."""
    planes = {str(s.SOPInstanceUID): readback.affine_of(s) for s in case.sources}
    far = np.array([case.dataset.Rows - 1, case.dataset.Columns - 1, 1])
    for frame in readback.frames(case.dataset):
        source = planes.get(frame.sources[0]) if len(frame.sources) == 1 else None
        if source is None:
            yield f"frame {frame.number} names {len(frame.sources)} images, of which none is the source"
            continue
        off = frame.affine_mm - source
        if max(np.abs(off[:, 2]).max(), np.abs(off @ far).max()) > PLANE_TOLERANCE_MM:
            yield f"frame {frame.number} does not lie on its source image"


def _report(case: Case) -> Iterator[str]:
    dataset, made_by = case.dataset, case.provenance
    procedure = next(readback.items(dataset, "121058")).ConceptCodeSequence[0]
    compared = {
        "title": (coding.code_of(dataset.ConceptNameCodeSequence[0]), TITLE),
        "procedure": (coding.code_of(procedure), procedure_reported(case.sources[0])),
        "verification flag": (dataset.VerificationFlag, "UNVERIFIED"),
        "device observer UID": (readback.value(dataset, "121012"), made_by.device_uid),
        "device observer manufacturer": (readback.value(dataset, "121014"), MANUFACTURER),
        "device observer model": (readback.value(dataset, "121015"), made_by.algorithm),
    }
    for name, (written, wanted) in compared.items():
        if written != wanted:
            yield f"the {name} is {written} instead of {wanted}"


def _measurements(case: Case) -> Iterator[str]:
    groups = {group.tracking_uid: group for group in readback.groups(case.dataset)}
    for number, segment in enumerate(case.findings.segments, start=1):
        measured = [m for m in case.findings.measurements if m.segment == segment.label]
        group = groups.pop(tracking_uid(segment, case.provenance), None)
        if measured and not group:
            yield f"segment {segment.label!r}: it has no measurement group with its tracking UID"
        elif group:
            for fault in _group_faults(group, number, segment, measured, case):
                yield f"segment {segment.label!r}: {fault}"
    if groups:
        yield f"{len(groups)} measurement groups belong to no segment"


def _group_faults(
    group: readback.Group, number: int, segment: Segment, measured: Sequence[Measurement], case: Case
) -> Iterator[str]:
    segmentation = case.provenance.uid("seg/instance")
    compared = {
        "referenced segment": (group.segment, (segmentation, number)),
        "tracking identifier": (group.tracking_identifier, segment.label),
        "category": (group.category, segment.category),
        "finding": (group.finding, segment.type),
        "side": (group.side, segment.laterality if segment.category.value in coding.ANATOMICAL else None),
        "source series": (group.source_series, case.sources[0].SeriesInstanceUID),
        "algorithm": (group.algorithm, (case.provenance.algorithm, case.provenance.version)),
        "comment": (group.comment, segment.review or ""),
        "number of measurements": (len(group.numbers), len(measured)),
    }
    for name, (written, wanted) in compared.items():
        if written != wanted:
            yield f"the {name} is {written} instead of {wanted}"
    for item, measurement in zip(group.numbers, measured, strict=False):
        exact = item.value == measurement.value and math.isclose(item.decimal, item.value, rel_tol=1e-8)
        coded = (item.code, item.unit, item.derivation) == (
            measurement.code,
            measurement.unit,
            measurement.derivation,
        )
        if not (exact and coded):
            yield f"{measurement.name} is {item.value} {item.unit.value} instead of {measurement.value}"
        if item.unit.scheme != "UCUM":
            yield f"{measurement.name} has a unit that is not of UCUM"


FIDELITY: Final[Mapping[Role, tuple[Check, ...]]] = {
    "seg": (_source_series, _segments, _voxels, _planes),
    "sr": (_report, _measurements),
}
