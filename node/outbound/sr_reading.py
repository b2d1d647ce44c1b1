"""A second way to read a TID 1500 report (PS3.16): plain pydicom, nothing of highdicom."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydicom import Dataset

from algorithms.protocol import Code
from node.outbound.coding import code_of

_FINDING_CATEGORY: Final = "276214006"
_FINDING: Final = "121071"
_FINDING_SITE: Final = "363698007"
_OWN_ROWS: Final = frozenset({_FINDING_CATEGORY, _FINDING, _FINDING_SITE, "111000"})
"""Coded items that the template has rows for; the others are evaluations. 111000 is Algorithm Family."""


@dataclass(frozen=True)
class Number:
    """A NUM content item.

    Attributes:
        code: the quantity measured.
        value: Floating Point Value (0040,A161) in `unit`.
        decimal: the same in 16 characters, Numeric Value (0040,A30A).
        unit: UCUM.
        derivation: how it was derived.
    """

    code: Code
    value: float
    decimal: float
    unit: Code
    derivation: Code | None


class Instance(NamedTuple):
    """An instance and where it belongs."""

    study: str
    series: str
    sop_class: str
    uid: str


class Site(NamedTuple):
    """A Finding Site with its modifiers: laterality, and which end or part (Topographical modifier)."""

    location: Code
    laterality: Code | None = None
    part: Code | None = None


@dataclass(frozen=True)
class Group:
    """A Measurement Group of a TID 1500 report (TID 1411 or 1501).

    Attributes:
        segment: SOP Instance UID and number of the referenced segment.
        images: SOP Instance UIDs of the source images of the group.
        algorithm: name and version.
        parameters: of the algorithm, as texts.
        evaluations: name and value of each coded qualitative evaluation.
    """

    tracking_identifier: str
    tracking_uid: str
    category: Code | None
    finding: Code | None
    sites: tuple[Site, ...]
    segment: tuple[str, int] | None
    source_series: str
    images: tuple[str, ...]
    algorithm: tuple[str, str]
    parameters: tuple[str, ...]
    comment: str
    numbers: tuple[Number, ...]
    evaluations: tuple[tuple[Code, Code], ...]


def groups(report: Dataset) -> list[Group]:
    """The measurement groups of a TID 1500 report in their order."""
    return [
        _group(item)
        for container in report.ContentSequence
        if _name(container) == "126010"
        for item in container.ContentSequence
        if _name(item) == "125007"
    ]


def evidence(report: Dataset) -> list[Instance]:
    """All instances that a report lists as evidence (PS3.3 C.17.2)."""
    return [
        Instance(
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(item.ReferencedSOPClassUID),
            str(item.ReferencedSOPInstanceUID),
        )
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(keyword, ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


def items(content: Dataset, code_value: str) -> Iterator[Dataset]:
    """The content items directly below one, of a concept name."""
    return (item for item in content.get("ContentSequence", ()) if _name(item) == code_value)


def value(content: Dataset, code_value: str) -> str:
    """The text or UID of the first content item of a concept name; empty if there is none."""
    for item in items(content, code_value):
        return str(item.get("TextValue") or item.get("UID") or "")
    return ""


def _name(item: Dataset) -> str:
    return code_of(item.ConceptNameCodeSequence[0]).value if "ConceptNameCodeSequence" in item else ""


def _group(item: Dataset) -> Group:
    segments = [s.ReferencedSOPSequence[0] for s in items(item, "121191")]
    return Group(
        tracking_identifier=value(item, "112039"),
        tracking_uid=value(item, "112040"),
        category=_coded(item, _FINDING_CATEGORY),
        finding=_coded(item, _FINDING),
        sites=tuple(_site(site) for site in items(item, _FINDING_SITE)),
        segment=next(
            ((str(s.ReferencedSOPInstanceUID), int(s.ReferencedSegmentNumber)) for s in segments), None
        ),
        source_series=value(item, "121232"),
        images=tuple(
            str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for image in items(item, "121112")
        ),
        algorithm=(value(item, "111001"), value(item, "111003")),
        parameters=tuple(str(text.TextValue) for text in items(item, "111002")),
        comment=value(item, "121106"),
        numbers=tuple(_number(n) for n in item.ContentSequence if n.ValueType == "NUM"),
        evaluations=tuple(
            (code_of(e.ConceptNameCodeSequence[0]), code_of(e.ConceptCodeSequence[0]))
            for e in item.ContentSequence
            if e.ValueType == "CODE" and _name(e) not in _OWN_ROWS
        ),
    )


def _site(item: Dataset) -> Site:
    return Site(code_of(item.ConceptCodeSequence[0]), _coded(item, "272741003"), _coded(item, "106233006"))


def _number(item: Dataset) -> Number:
    measured = item.MeasuredValueSequence[0]
    return Number(
        code_of(item.ConceptNameCodeSequence[0]),
        float(measured.FloatingPointValue),
        float(measured.NumericValue),
        code_of(measured.MeasurementUnitsCodeSequence[0]),
        _coded(item, "121401"),
    )


def _coded(content: Dataset, code_value: str) -> Code | None:
    return next((code_of(i.ConceptCodeSequence[0]) for i in items(content, code_value)), None)
