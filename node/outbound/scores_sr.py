"""Verdicts on the whole image as a Comprehensive 3D SR, TID 1500 (PS3.16), in a series of its own.

One TID 1501 group for each score, and for each measurement of no segment, with every slice as its
source image: the answer to a question as a coded evaluation (Normality is Abnormal), how soon a person
should look as another, and the number only where it is calibrated, because readers take whatever
stands in a report for a probability.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from highdicom.sr import Measurement as NumericMeasurement
from highdicom.sr import (
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset

from algorithms.protocol import Code, Findings, Score, Urgency
from node.outbound.coding import concept
from node.outbound.equipment import Provenance, instances
from node.outbound.sr import algorithm_identification, comment, document, identify_private_schemes

PRIORITY: Final = Code("260870009", "SCT", "Priority")

PRIORITIES: Final[Mapping[Urgency, Code]] = {
    "HIGH": Code("75540009", "SCT", "High"),
    "MEDIUM": Code("255508009", "SCT", "Medium"),
    "LOW": Code("62482003", "SCT", "Low"),
}
"""Scheduled Procedure Step Priority (0074,1200) in codes, of CID 75 and CID 252."""

NOT_CALIBRATED: Final = "Not calibrated: no probability is given"


class Statement(NamedTuple):
    """What one group says of the whole image.

    Attributes:
        identifier: its Tracking Identifier.
        numbers: quantities with value and unit.
        evaluations: questions and answers in codes.
        comment: in words; may be empty.
    """

    identifier: str
    numbers: tuple[tuple[Code, float, Code], ...]
    evaluations: tuple[tuple[Code, Code], ...] = ()
    comment: str = ""


def statements(findings: Findings) -> tuple[Statement, ...]:
    """What the findings say of the whole image: scores, then measurements that belong to no segment."""
    measured = (m for m in findings.measurements if m.segment is None)
    return (
        *(_of_score(score) for score in findings.scores),
        *(Statement(m.name, ((m.code, m.value, m.unit),)) for m in measured),
    )


def encode_scores(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode what the findings say of the whole image.

    Args:
        findings: with at least one score, or one measurement of no segment.
        sources: the headers of the image, in slice order.
        provenance: who found them.

    Raises:
        ValueError: there is nothing to say.
    """
    stated = statements(findings)
    if not stated:
        raise ValueError("there is no score to report")
    groups = [
        _group(number, statement, sources, provenance) for number, statement in enumerate(stated, start=1)
    ]
    report = document("scores", groups, sources, provenance, description="scores")
    identify_private_schemes(report, [code for statement in stated for code in _codes(statement)])
    return report


def tracking_uid(number: int, provenance: Provenance) -> str:
    """The Tracking UID of the group of a statement, `number` from 1 in their order."""
    return provenance.uid(f"scores/{number}")


def _of_score(score: Score) -> Statement:
    return Statement(
        score.name,
        ((score.code, score.value, score.unit),) if score.calibrated else (),
        evaluations(score),
        "" if score.calibrated else NOT_CALIBRATED,
    )


def evaluations(score: Score) -> tuple[tuple[Code, Code], ...]:
    """What a score says in codes, as pairs of a question and its answer."""
    verdict = ((score.finding, score.verdict),) if score.finding and score.verdict else ()
    return (*verdict, *(((PRIORITY, PRIORITIES[score.urgency]),) if score.urgency else ()))


def _codes(statement: Statement) -> list[Code]:
    """The codes that a group holds."""
    quantities = [code for quantity, _, unit in statement.numbers for code in (quantity, unit)]
    return [*quantities, *(code for pair in statement.evaluations for code in pair)]


def _group(
    number: int, statement: Statement, sources: Sequence[Dataset], provenance: Provenance
) -> MeasurementsAndQualitativeEvaluations:
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(number, provenance), identifier=statement.identifier
        ),
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
        source_images=[
            SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))
            for source in instances(sources)
        ],
    )
    if statement.comment:
        group[0].ContentSequence.append(comment(statement.comment))
    return group
