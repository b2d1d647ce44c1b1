"""The series that resemble the image as a Key Object Selection (PS3.3 A.35.4), TID 2010 "Of Interest".

Written here: highdicom gives each image a concept name, which TID 2010 forbids, and takes objects of
one other study at most.
"""

from collections.abc import Sequence
from typing import Final

from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from algorithms.protocol import Code, Findings, Similar
from node.outbound.coding import concept
from node.outbound.equipment import RESEARCH_USE_ONLY, Provenance, sop_reference, stamp, started
from node.outbound.similar_sr import middle_instance
from node.outbound.sr import by_study, observer, study_references

TITLE: Final = Code("113000", "DCM", "Of Interest")
DESCRIPTION: Final = Code("113012", "DCM", "Key Object Description")


def encode(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the instances in the middle of the similar series, the nearest first.

    The document lies in the study of the image alone and refers to other studies alone. That deviates from
    PS3.3 Table C.17.6-2, where one that refers to several studies must name its copies in an Identical
    Documents Sequence: those are studies of other patients, and nothing is written there.

    Args:
        findings: with at least one similar series.
        sources: the headers of the image.
        provenance: who compared them.

    Raises:
        ValueError: there is no similar series.
    """
    if not findings.similar:
        raise ValueError("there is no similar series to select")
    document = started(
        "keyobjects", KeyObjectSelectionDocumentStorage, sources[0], provenance, "similar series"
    )
    document.ContentDate, document.ContentTime = document.InstanceCreationDate, document.InstanceCreationTime
    document.ReferencedPerformedProcedureStepSequence = []
    instances = [middle_instance(other) for other in findings.similar]
    document.CurrentRequestedProcedureEvidenceSequence = [
        study_references(*listed) for listed in by_study(instances).items()
    ]
    document.ValueType, document.ContinuityOfContent = "CONTAINER", "SEPARATE"
    document.ConceptNameCodeSequence = [concept(TITLE)]
    document.ContentTemplateSequence = [_template()]
    document.ContentSequence = [
        *observer(provenance),
        _text(description(findings.similar)),
        *map(_image, instances),
    ]
    stamp(document, provenance, sources[0])
    return document


def description(similar: Sequence[Similar]) -> str:
    """What the selection is, in words."""
    nearest = ", ".join(f"{other.similarity:.3f}" for other in similar)
    return f"Series that resemble this image, the nearest first; similarity {nearest}. {RESEARCH_USE_ONLY}."


def _template() -> Dataset:
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    return template


def _text(text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [concept(DESCRIPTION)]
    item.TextValue = text
    return item


def _image(instance: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [sop_reference(instance)]
    return item
