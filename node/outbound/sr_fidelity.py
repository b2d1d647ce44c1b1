"""Do the reports say what was found? Every value, code, site and reference of every group."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from pydicom import Dataset

from algorithms.protocol import Code, Findings, Measurement, Segment
from algorithms.terminology import NO_UNITS, SIMILARITY
from node.config import MANUFACTURER
from node.outbound import coding, scores_sr, similar_sr, slices_sr, sr_reading
from node.outbound.equipment import Role, instances
from node.outbound.fidelity import Case, Check, differences
from node.outbound.seg import tracking_uid
from node.outbound.seg_reading import places_of
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
    """The images; where segments were measured, their segmentation; what was compared; nothing else."""
    expected = {_instance(source) for source in case.sources}
    if case.encoded.role == "sr":
        expected |= _segmentations(case)
    if case.encoded.role == "similar":
        expected |= set(similar_instances(case.findings))
    listed = set(sr_reading.evidence(case.dataset))
    for item in sorted(listed - expected):
        yield f"the evidence names {item.uid} in series {item.series} of study {item.study}"
    if missing := expected - listed:
        yield f"{len(missing)} instances are not listed as evidence"


def similar_instances(findings: Findings) -> list[Instance]:
    """The instances in the middle of the similar series, in their order."""
    return [
        Instance(o.study_instance_uid, o.series_instance_uid, o.sop_class_uid, o.sop_instance_uid)
        for o in findings.similar
    ]


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
    named = {str(item.CodingSchemeDesignator) for _, item in case.items if coding.is_code(item)}
    private = sorted(name for name in named if name.startswith(PRIVATE_SCHEMES))
    identified = case.dataset.get("CodingSchemeIdentificationSequence", ())
    compared = {"list of private coding schemes": ([i.CodingSchemeDesignator for i in identified], private)}
    yield from differences(compared)


def _sites(segment: Segment) -> tuple[sr_reading.Site, ...]:
    anatomical = segment.category.value in coding.ANATOMICAL
    location = segment.type if anatomical else segment.site
    return (sr_reading.Site(location, segment.laterality),) if location else ()


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
    to_index, places = np.linalg.inv(case.volume.affine_mm), places_of(case.volume)
    for mark in case.findings.landmarks:
        off = np.abs(places - float((to_index @ [*mark.position_mm, 1.0])[0]))
        beyond = off.min() > _HALF_A_STEP
        if beyond or case.volume.sop_instance_uids[int(off.argmin())] != mark.sop_instance_uid:
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


def _scores(case: Case) -> Iterator[str]:
    images = tuple(str(source.SOPInstanceUID) for source in instances(case.sources))
    stated = scores_sr.statements(case.findings)
    if len(case.groups) != len(stated):
        yield f"there are {len(case.groups)} groups for {len(stated)} scores"
        return
    for number, (group, statement) in enumerate(zip(case.groups, stated, strict=True), start=1):
        compared = {
            "tracking identifier": (group.tracking_identifier, statement.identifier),
            "tracking UID": (group.tracking_uid, scores_sr.tracking_uid(number, case.provenance)),
            "list of evaluations": (group.evaluations, statement.evaluations),
            "list of images": (group.images, images),
            "comment": (group.comment, statement.comment),
            "list of numbers": (_numbers(group), list(statement.numbers)),
            **_identification(group, case),
        }
        for fault in differences(compared):
            yield f"score {statement.identifier!r}: {fault}"


def _numbers(group: sr_reading.Group) -> list[tuple[Code, float, Code]]:
    return [(item.code, item.value, item.unit) for item in group.numbers]


def _identification(group: sr_reading.Group, case: Case) -> dict[str, tuple[object, object]]:
    made_by = case.provenance
    parameters = tuple(f"{name}={value}" for name, value in made_by.parameters.items())
    return {
        "algorithm": (group.algorithm, (made_by.algorithm, made_by.version)),
        "list of algorithm parameters": (group.parameters, parameters),
    }


def _similar(case: Case) -> Iterator[str]:
    found, embedding = case.findings.similar, case.findings.embedding
    if len(case.groups) != len(found):
        yield f"there are {len(case.groups)} groups for {len(found)} similar series"
        return
    for number, (group, other) in enumerate(zip(case.groups, found, strict=True), start=1):
        compared = {
            "tracking identifier": (group.tracking_identifier, similar_sr.tracking_identifier(number)),
            "tracking UID": (group.tracking_uid, similar_sr.tracking_uid(other, case.provenance)),
            "list of images": (group.images, (other.sop_instance_uid,)),
            "comment": (group.comment, similar_sr.embedding_space(embedding.space if embedding else "")),
            "similarity": (_numbers(group), [(SIMILARITY, other.similarity, NO_UNITS)]),
            **_identification(group, case),
        }
        for fault in differences(compared):
            yield f"similar series {number}: {fault}"


def _current_evidence(case: Case) -> Iterator[str]:
    """This study's instances are current evidence, other studies' are pertinent (PS3.3 C.17.2.3)."""
    own = str(case.sources[0].StudyInstanceUID)
    for keyword, is_own in (
        ("CurrentRequestedProcedureEvidenceSequence", True),
        ("PertinentOtherEvidenceSequence", False),
    ):
        for study in case.dataset.get(keyword, ()):
            if (study.StudyInstanceUID == own) != is_own:
                yield f"{keyword} holds study {study.StudyInstanceUID}"


_HALF_A_STEP: Final = 0.5

REPORT: Final[tuple[Check, ...]] = (_report, _evidence, _private_schemes)
"""What holds for every report."""

MEASUREMENTS: Final[tuple[Check, ...]] = (_report, _evidence, _measurements, _private_schemes)
LANDMARKS: Final[tuple[Check, ...]] = (_report, _evidence, _landmarks)
REGIONS: Final[tuple[Check, ...]] = (_report, _evidence, _regions)
SCORES: Final[tuple[Check, ...]] = (_report, _evidence, _scores, _private_schemes)
SIMILAR: Final[tuple[Check, ...]] = (_report, _evidence, _current_evidence, _similar, _private_schemes)
