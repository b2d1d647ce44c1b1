"""Series that resemble the image as a Comprehensive 3D SR, TID 1500 (PS3.16), in a series of its own.

One TID 1501 group for each, the nearest first: the similarity, and the instance in the middle of the
other series as its source image. What lies in other studies is Pertinent Other Evidence (PS3.3 C.17.2.3).
"""

from collections.abc import Sequence

from highdicom.sr import Measurement as NumericMeasurement
from highdicom.sr import (
    MeasurementsAndQualitativeEvaluations,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset

from algorithms.protocol import Findings, Similar
from algorithms.terminology import NO_UNITS, SIMILARITY
from node.outbound.coding import concept
from node.outbound.equipment import Provenance
from node.outbound.sr import algorithm_identification, comment, document, identify_private_schemes


def encode_similar(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the similar series of the findings.

    Args:
        findings: with an embedding and at least one similar series.
        sources: the headers of the image, in slice order.
        provenance: who compared them.

    Raises:
        ValueError: there is no similar series, or nothing says in which space they are near.
    """
    if not findings.similar or findings.embedding is None:
        raise ValueError("there is no similar series to report")
    space = embedding_space(findings.embedding.space)
    groups = [
        _group(number, other, space, provenance) for number, other in enumerate(findings.similar, start=1)
    ]
    evidence = [*sources, *map(middle_instance, findings.similar)]
    report = document("similar", groups, evidence, provenance, description="similar series")
    identify_private_schemes(report, [SIMILARITY])
    return report


def middle_instance(other: Similar) -> Dataset:
    """What is known of the instance in the middle of a similar series."""
    instance = Dataset()
    instance.StudyInstanceUID = other.study_instance_uid
    instance.SeriesInstanceUID = other.series_instance_uid
    instance.SOPClassUID, instance.SOPInstanceUID = other.sop_class_uid, other.sop_instance_uid
    return instance


def tracking_identifier(number: int) -> str:
    """The name of a group for people, `number` from 1, the nearest first."""
    return f"Similar series {number}"


def tracking_uid(other: Similar, provenance: Provenance) -> str:
    """The Tracking UID of the group of a similar series."""
    return provenance.uid(f"similar/{other.series_instance_uid}")


def embedding_space(name: str) -> str:
    """How reports say what may be compared with what."""
    return f"Embedding space: {name}"


def _group(
    number: int, other: Similar, space: str, provenance: Provenance
) -> MeasurementsAndQualitativeEvaluations:
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(other, provenance), identifier=tracking_identifier(number)
        ),
        algorithm_id=algorithm_identification(provenance),
        measurements=[
            NumericMeasurement(name=concept(SIMILARITY), value=other.similarity, unit=concept(NO_UNITS))
        ],
        source_images=[SourceImageForMeasurementGroup(other.sop_class_uid, other.sop_instance_uid)],
    )
    group[0].ContentSequence.append(comment(space))
    return group
