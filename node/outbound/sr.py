"""Measurements as a Comprehensive 3D SR, TID 1500 "Measurement Report" (PS3.16).

One TID 1411 group for each segment that was measured. It names the segment of the SEG by number and
by the same Tracking UID, and says why a person should look at it first. Groups of another kind
(TID 1501) belong in a report of their own, `slices_sr`: mixed reports break the template's conditions.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as NumericMeasurement
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from algorithms.protocol import Code, Findings, Measurement, Segment
from node.config import MANUFACTURER
from node.outbound.coding import ANATOMICAL, PRIVATE_SCHEME, concept
from node.outbound.equipment import (
    RESEARCH_USE_ONLY,
    SERIES_NUMBERS,
    Provenance,
    Role,
    instances,
    reference,
    sop_reference,
    stamp,
)
from node.outbound.seg import tracking_uid

TITLE: Final = Code("126000", "DCM", "Imaging Measurement Report")
COMMENT: Final = Code("121106", "DCM", "Comment")
"""Concept name of the doubt about a segment, a qualitative evaluation in words (TID 1411 row 17)."""

PRIVATE_SCHEMES: Final = "99"
"""How the designators of coding schemes begin that are in no registry (PS3.3 8.2)."""

_SCHEME_NAMES: Final[Mapping[str, str]] = {
    "99PYRADIOMICS": "Features as pyradiomics codes them",
    PRIVATE_SCHEME: "Concepts of AI Node that no context group has",
}

Group = VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations

_PROCEDURES: Final[Mapping[str, Code]] = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
}
_ANY_PROCEDURE: Final = Code("363679005", "SCT", "Imaging procedure")


class Tracked(NamedTuple):
    """How a report speaks of a segment: by Segment Number, Tracking ID and Tracking UID."""

    number: int
    identifier: str
    uid: str


def tracked(findings: Findings, seg: Dataset, provenance: Provenance) -> list[Tracked]:
    """The segments as their segmentation numbers and tracks them; tracking that it lacks is made up for."""
    return [
        Tracked(
            int(item.SegmentNumber),
            str(item.get("TrackingID") or segment.label),
            str(item.get("TrackingUID") or tracking_uid(segment, provenance)),
        )
        for segment, item in zip(findings.segments, seg.SegmentSequence, strict=True)
    ]


def encode_measurements(
    findings: Findings, sources: Sequence[Dataset], seg: Dataset | None, provenance: Provenance
) -> Dataset:
    """Encode the measurements of the findings.

    Args:
        findings: with at least one measurement of a segment; those of none are for `scores_sr`.
        sources: the headers of the image.
        seg: the segmentation that holds the segments, made here or given; its Segment Sequence has an item
            for each of them, in the order of the findings.
        provenance: who measured.

    Raises:
        ValueError: there is no measurement, or one belongs to no segment of the findings.
    """
    measurements = [m for m in findings.measurements if m.segment is not None]
    strangers = {str(m.segment) for m in measurements} - {s.label for s in findings.segments}
    if strangers or not measurements or seg is None:
        raise ValueError(f"measurements of no segment: {', '.join(sorted(strangers)) or 'none at all'}")
    groups = [
        _group(name, segment, measured, seg, sources[0], provenance)
        for name, segment in zip(tracked(findings, seg, provenance), findings.segments, strict=True)
        if (measured := [m for m in measurements if m.segment == segment.label])
    ]
    report = document("sr", groups, [*sources, seg], provenance, description="measurements")
    used = [code for s in findings.segments for code in (s.category, s.type, s.laterality, s.site) if code]
    identify_private_schemes(report, [*used, *(measurement.code for measurement in measurements)])
    return report


def document(
    role: Role,
    groups: Sequence[Group],
    evidence: Sequence[Dataset],
    provenance: Provenance,
    *,
    description: str,
) -> Dataset:
    """A TID 1500 report of one's own series.

    Args:
        role: what it is for.
        groups: at least one measurement group.
        evidence: the headers of the image, and of results that the groups refer to; a source first.
        provenance: who observed.
        description: what it holds, for its Series Description.
    """
    content = MeasurementReport(
        observation_context=observer(provenance),
        procedure_reported=concept(procedure_reported(evidence[0])),
        imaging_measurements=groups[:1],
        title=concept(TITLE),
    )
    report = Comprehensive3DSR(
        evidence=[reference(item) for item in instances(evidence)],
        content=content[0],
        series_instance_uid=provenance.uid(f"{role}/series"),
        series_number=SERIES_NUMBERS[role],
        sop_instance_uid=provenance.uid(f"{role}/instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=f"AI {provenance.algorithm} {description}",
    )
    # highdicom copies and searches the whole content tree several times, so all but one group come later.
    for group in groups[1:]:
        report.ContentSequence[-1].ContentSequence.extend(group)
    _list_evidence(report, evidence)
    report.CompletionFlagDescription = RESEARCH_USE_ONLY
    stamp(report, provenance, evidence[0])
    return report


def procedure_reported(source: Dataset) -> Code:
    """The imaging procedure, not the algorithm (TID 1500 row 4, CID 100)."""
    return _PROCEDURES.get(str(source.get("Modality")), _ANY_PROCEDURE)


def by_study(images: Sequence[Dataset]) -> dict[str, dict[str, list[Dataset]]]:
    """References to the instances by Study and Series Instance UID, in the order they come in."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for item in instances(images):
        of_study = studies.setdefault(str(item.StudyInstanceUID), {})
        of_study.setdefault(str(item.SeriesInstanceUID), []).append(sop_reference(item))
    return studies


def _list_evidence(report: Dataset, evidence: Sequence[Dataset]) -> None:
    """All that the report rests on: this study's as current evidence, others' as pertinent (C.17.2.3)."""
    studies = by_study(evidence)
    own = str(evidence[0].StudyInstanceUID)
    report.CurrentRequestedProcedureEvidenceSequence = [study_references(own, studies.pop(own))]
    report.pop("PertinentOtherEvidenceSequence", None)
    if studies:
        report.PertinentOtherEvidenceSequence = [study_references(*listed) for listed in studies.items()]


def study_references(uid: str, instances: Mapping[str, list[Dataset]]) -> Dataset:
    """Hierarchical SOP Instance Reference (PS3.3 C.17.2.1) to instances by Series Instance UID."""
    study = Dataset()
    study.StudyInstanceUID = uid
    study.ReferencedSeriesSequence = []
    for series_uid, listed in instances.items():
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = listed
        study.ReferencedSeriesSequence.append(series)
    return study


def identify_private_schemes(report: Dataset, used: Sequence[Code]) -> None:
    """Coding Scheme Identification Sequence (PS3.3 C.12.1.1): what no registry explains is named."""
    items = []
    for designator in sorted({code.scheme for code in used if code.scheme.startswith(PRIVATE_SCHEMES)}):
        item = Dataset()
        item.CodingSchemeDesignator = designator
        if designator in _SCHEME_NAMES:
            item.CodingSchemeName = _SCHEME_NAMES[designator]
        items.append(item)
    if items:
        report.CodingSchemeIdentificationSequence = items


def algorithm_identification(provenance: Provenance) -> AlgorithmIdentification:
    """TID 4019, with all parameters, the intended use among them."""
    return AlgorithmIdentification(
        name=provenance.algorithm,
        version=provenance.version,
        parameters=[f"{name}={value}" for name, value in provenance.parameters.items()],
        family=codes.DCM.ArtificialIntelligence,
    )


def comment(text: str) -> TextContentItem:
    """A qualitative evaluation in words (TID 1411 row 17, TID 1501)."""
    return TextContentItem(concept(COMMENT), text, RelationshipTypeValues.CONTAINS)


def observer(provenance: Provenance) -> ObservationContext:
    """TID 1004: the values are those of the Contributing Equipment item (IHE AIR 6.5.3.1)."""
    device = DeviceObserverIdentifyingAttributes(
        uid=provenance.device_uid,
        name=f"{MANUFACTURER} {provenance.algorithm}",
        manufacturer_name=MANUFACTURER,
        model_name=provenance.algorithm,
        serial_number=provenance.device_serial_number,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(
    name: Tracked,
    segment: Segment,
    measurements: Sequence[Measurement],
    seg: Dataset,
    source: Dataset,
    provenance: Provenance,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=name.uid, identifier=name.identifier),
        referenced_segment=ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=name.number,
            source_series=SourceSeriesForSegmentation(str(source.SeriesInstanceUID)),
        ),
        finding_category=concept(segment.category),
        finding_type=concept(segment.type),
        finding_sites=_sites(segment),
        algorithm_id=algorithm_identification(provenance),
        measurements=[
            NumericMeasurement(
                name=concept(measurement.code),
                value=measurement.value,
                unit=concept(measurement.unit),
                derivation=concept(measurement.derivation) if measurement.derivation else None,
            )
            for measurement in measurements
        ],
    )
    if segment.review:
        group[0].ContentSequence.append(comment(segment.review))
    return group


def _sites(segment: Segment) -> list[FindingSite] | None:
    """Where a part of the body is, it is itself; all else is where its site is, if that is known."""
    location = segment.type if segment.category.value in ANATOMICAL else segment.site
    if location is None:
        return None
    side = concept(segment.laterality) if segment.laterality else None
    return [FindingSite(anatomic_location=concept(location), laterality=side)]
