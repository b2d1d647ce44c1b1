"""What was found on a photograph as a Comprehensive 3D SR, TID 1500 (PS3.16), in a series of its own.

One TID 1501 group with the face as its site and the photograph as its source image: every number that
may be read as such, every coded answer, and in words what the numbers are not. How old the person was
stands in the subject context (TID 1007), where the result that is compared with it can be seen apart
from it.
"""

from typing import Final

from highdicom.sr import (
    FindingSite,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumericMeasurement
from pydicom import Dataset

from algorithms.protocol import Code, Findings, Photograph
from node.outbound.coding import concept
from node.outbound.equipment import RESEARCH_USE_ONLY, Provenance
from node.outbound.scores_sr import Statement, statements
from node.outbound.sr import algorithm_identification, comment, document, identify_private_schemes

FACE: Final = Code("89545001", "SCT", "Face")
SUBJECT_AGE: Final = Code("121033", "DCM", "Subject Age")
YEARS: Final = Code("a", "UCUM", "year")
TRACKED_AS: Final = "Face"

SYNTHETIC: Final = "-synthetic"
"""How the names of weights end that were trained on synthetic faces (the contract's table of weights)."""

_OBSERVER: Final = frozenset({"121005", "121012", "121013", "121014", "121015", "121016"})
"""Rows of the observer context (TID 1002, TID 1004); those of the subject come after them (TID 1001)."""


def said(findings: Findings) -> Statement:
    """All that the report says of the face, as one statement without its comment."""
    stated = statements(findings)
    return Statement(
        TRACKED_AS,
        tuple(number for each in stated for number in each.numbers),
        tuple(answer for each in stated for answer in each.evaluations),
    )


def caution(findings: Findings, provenance: Provenance) -> str:
    """What the numbers are not, in words."""
    notes = [f"{each.identifier}: {each.comment}" for each in statements(findings) if each.comment]
    notes += [
        f"The weights {weights.name} were trained on synthetic faces: the numbers mean nothing for people"
        for weights in provenance.weights
        if weights.name.endswith(SYNTHETIC)
    ]
    return ". ".join([f"{RESEARCH_USE_ONLY}, nor for any decision about a person", *notes])


def tracking_uid(provenance: Provenance) -> str:
    """The Tracking UID of the group."""
    return provenance.uid("photograph/face")


def encode_report(
    findings: Findings, photograph: Photograph, source: Dataset, provenance: Provenance
) -> Dataset:
    """Encode what was found on a photograph.

    Args:
        findings: with at least one score, or one measurement of no segment.
        photograph: what it was found on.
        source: its header.
        provenance: who found it.

    Raises:
        ValueError: there is nothing to say.
    """
    statement = said(findings)
    if not statement.numbers and not statement.evaluations:
        raise ValueError("there is nothing to report of the face")
    group = _group(statement, caution(findings, provenance), source, provenance)
    report = document("scores", [group], [source], provenance, description="scores")
    if photograph.subject_age_years is not None:
        _tell_age(report, photograph.subject_age_years)
    identify_private_schemes(report, _codes(statement))
    return report


def _codes(statement: Statement) -> list[Code]:
    quantities = [code for quantity, _, unit in statement.numbers for code in (quantity, unit)]
    return [*quantities, *(code for pair in statement.evaluations for code in pair)]


def _group(
    statement: Statement, words: str, source: Dataset, provenance: Provenance
) -> MeasurementsAndQualitativeEvaluations:
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(provenance), identifier=statement.identifier),
        finding_sites=[FindingSite(anatomic_location=concept(FACE))],
        algorithm_id=algorithm_identification(provenance),
        measurements=[
            NumericMeasurement(name=concept(quantity), value=value, unit=concept(unit))
            for quantity, value, unit in statement.numbers
        ]
        or None,
        qualitative_evaluations=[
            QualitativeEvaluation(name=concept(question), value=concept(answer))
            for question, answer in statement.evaluations
        ]
        or None,
        source_images=[SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))],
    )
    group[0].ContentSequence.append(comment(words))
    return group


def _tell_age(report: Dataset, years: float) -> None:
    """Subject Age (TID 1007), after the context of the observer."""
    age = NumContentItem(
        concept(SUBJECT_AGE), years, concept(YEARS), relationship_type=RelationshipTypeValues.HAS_OBS_CONTEXT
    )
    names = [item.ConceptNameCodeSequence[0].CodeValue for item in report.ContentSequence]
    after = max(place for place, name in enumerate(names) if name in _OBSERVER)
    report.ContentSequence.insert(after + 1, age)
