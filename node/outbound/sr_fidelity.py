"""Do the reports say what was found? Every value, code, site and reference of every group."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from pydicom import Dataset

from algorithms.protocol import Code, Measurement, Segment
from node.config import MANUFACTURER
from node.outbound import coding, slices_sr, sr_reading
from node.outbound.equipment import Role
from node.outbound.fidelity import Case, Check, differences
from node.outbound.seg import tracking_uid
from node.outbound.sr import PRIVATE_SCHEMES, TITLE, Tracked, procedure_reported, tracked
from node.outbound.sr_reading import Instance

Shown = Mapping[str, tuple[tuple[sr_reading.Site, ...], tuple[tuple[Code, Code], ...]]]
"""By SOP Instance UID, the sites and the evaluations that the group of a slice must have."""


def _report(case: Case) -> Iterator[str]:
    dataset, made_by = case.dataset, case.provenance
    procedure = next(sr_reading.items(dataset, "121058")).ConceptCodeSequence[0]
    compared = {
        "title": (coding.code_of(dataset.ConceptNameCodeSequence[0]), TITLE),
        "procedure": (coding.code_of(procedure), procedure_reported(case.sources[0])),
        "verification flag": (dataset.VerificationFlag, "UNVERIFIED"),
        "device observer UID": (sr_reading.value(dataset, "121012"), made_by.device_uid),
        "device observer manufacturer": (sr_reading.value(dataset, "121014"), MANUFACTURER),
        "device observer model": (sr_reading.value(dataset, "121015"), made_by.algorithm),
    }
    yield from differences(compared)


def _evidence(case: Case) -> Iterator[str]:
    """The images and, where segments were measured, their segmentation; nothing else."""
    expected = {_instance(source) for source in case.sources}
    if case.encoded.role == "sr":
        expected |= _segmentations(case)
    listed = set(sr_reading.evidence(case.dataset))
    for item in sorted(listed - expected):
        yield f"the evidence names {item.uid} in series {item.series} of study {item.study}"
    if missing := expected - listed:
        yield f"{len(missing)} instances are not listed as evidence"


def _segmentations(case: Case) -> set[Instance]:
    if case.given is not None:
        return {_instance(case.given)}
    return {
        Instance(own.study_instance_uid, own.series_instance_uid, own.sop_class_uid, own.sop_instance_uid)
        for own in case.siblings.values()
        if own.role == "seg"
    }


def _instance(dataset: Dataset) -> Instance:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
    return Instance(*(str(dataset[keyword].value) for keyword in keywords))


def _measurements(case: Case) -> Iterator[str]:
    groups: dict[str, list[sr_reading.Group]] = {}
    for group in case.groups:
        groups.setdefault(group.tracking_uid, []).append(group)
    for name, segment in zip(_tracked(case), case.findings.segments, strict=True):
        measured = [m for m in case.findings.measurements if m.segment == segment.label]
        own = groups.pop(name.uid, [])
        if len(own) != bool(measured):
            yield f"segment {segment.label!r}: {len(own)} measurement groups have its tracking UID"
        for group in own:
            for fault in _group_faults(group, name, segment, measured, case):
                yield f"segment {segment.label!r}: {fault}"
    if groups:
        yield f"{sum(map(len, groups.values()))} measurement groups belong to no segment"


def _tracked(case: Case) -> list[Tracked]:
    if case.given is not None:
        return tracked(case.findings, case.given, case.provenance)
    return [
        Tracked(number, segment.label, tracking_uid(segment, case.provenance))
        for number, segment in enumerate(case.findings.segments, start=1)
    ]


def _private_schemes(case: Case) -> Iterator[str]:
    named = {str(item.CodingSchemeDesignator) for _, item in case.items if "CodeValue" in item}
    private = sorted(name for name in named if name.startswith(PRIVATE_SCHEMES))
    identified = case.dataset.get("CodingSchemeIdentificationSequence", ())
    compared = {"list of private coding schemes": ([i.CodingSchemeDesignator for i in identified], private)}
    yield from differences(compared)


def _sites(segment: Segment) -> tuple[sr_reading.Site, ...]:
    anatomical = segment.category.value in coding.ANATOMICAL
    return (sr_reading.Site(segment.type, segment.laterality),) if anatomical else ()


def _group_faults(
    group: sr_reading.Group, name: Tracked, segment: Segment, measured: Sequence[Measurement], case: Case
) -> Iterator[str]:
    own = case.provenance.uid("seg/instance")
    segmentation = own if case.given is None else str(case.given.SOPInstanceUID)
    compared = {
        "referenced segment": (group.segment, (segmentation, name.number)),
        "tracking identifier": (group.tracking_identifier, name.identifier),
        "category": (group.category, segment.category),
        "finding": (group.finding, segment.type),
        "list of sites": (group.sites, _sites(segment)),
        "source series": (group.source_series, case.sources[0].SeriesInstanceUID),
        "algorithm": (group.algorithm, (case.provenance.algorithm, case.provenance.version)),
        "list of algorithm parameters": (
            group.parameters,
            tuple(f"{name}={value}" for name, value in case.provenance.parameters.items()),
        ),
        "comment": (group.comment, segment.review or ""),
        "number of measurements": (len(group.numbers), len(measured)),
    }
    yield from differences(compared)
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


def _landmarks(case: Case) -> Iterator[str]:
    to_index = np.linalg.inv(case.volume.affine_mm)
    for mark in case.findings.landmarks:
        nearest = round(float((to_index @ [*mark.position_mm, 1.0])[0]))
        if case.volume.sop_instance_uids[nearest : nearest + 1] != (mark.sop_instance_uid,):
            yield f"landmark {mark.name!r} does not lie on the slice that it names"
    shown: Shown = {
        uid: (tuple(sr_reading.Site(mark.code, None, mark.modifier) for mark in marks), ())
        for uid, marks in slices_sr.landmarks_by_slice(case.findings).items()
    }
    yield from _slices(case, "landmarks", shown)


def _regions(case: Case) -> Iterator[str]:
    shown: Shown = {
        uid: ((), tuple((slices_sr.TARGET_REGION, region.code) for region in regions))
        for uid, regions in slices_sr.regions_by_slice(case.findings).items()
    }
    yield from _slices(case, "regions", shown)


def _slices(case: Case, role: Role, shown: Shown) -> Iterator[str]:
    """One group for each slice that shows something, in slice order, with exactly what it shows."""
    order = [uid for uid in map(str, (s.SOPInstanceUID for s in case.sources)) if uid in shown]
    if [group.images for group in case.groups] != [(uid,) for uid in order]:
        yield "the groups do not refer, one by one, to the slices that show something"
        return
    for number, (uid, group) in enumerate(zip(order, case.groups, strict=True), start=1):
        sites, evaluations = shown[uid]
        compared = {
            "tracking identifier": (group.tracking_identifier, slices_sr.tracking_identifier(role, number)),
            "tracking UID": (group.tracking_uid, slices_sr.tracking_uid(role, uid, case.provenance)),
            "algorithm": (group.algorithm, (case.provenance.algorithm, case.provenance.version)),
            "list of sites": (group.sites, sites),
            "list of evaluations": (group.evaluations, evaluations),
            "number of measurements": (len(group.numbers), 0),
        }
        for fault in differences(compared):
            yield f"slice {uid}: {fault}"


MEASUREMENTS: Final[tuple[Check, ...]] = (_report, _evidence, _measurements, _private_schemes)
LANDMARKS: Final[tuple[Check, ...]] = (_report, _evidence, _landmarks)
REGIONS: Final[tuple[Check, ...]] = (_report, _evidence, _regions)
