"""What was found, in words: a line for the worklist, and a whole structured report."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset

from node.jobs.urgency import most_urgent

_KEPT: Final = 2000
"""Sentences kept in memory; a file never changes once it is there."""


def in_words(results: Path, run_uid: str | None) -> str:
    """Scores, segments or regions; empty while nothing is known, and where there is none of these."""
    if run_uid is None:
        return ""
    file = results / run_uid / "findings.json"
    return _sentence_of(file) if file.exists() else ""


@lru_cache(_KEPT)
def _sentence_of(file: Path) -> str:
    found = json.loads(file.read_text())
    parts = [_scores(found["scores"]), _segments(found["segments"]), _others(found)]
    return "; ".join(part for part in parts if part)


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    first = most_urgent(scores) or next(iter(scores), None)
    return f"{first['name']} {first['value']:.3g}{_unit(first)}" if first else ""


def _unit(score: Mapping[str, Any]) -> str:
    unit = score["unit"]["meaning"] if isinstance(score["unit"], Mapping) else str(score["unit"] or "")
    return "" if unit in {"", "no units", "1"} else f" {unit}"


def _segments(segments: Sequence[Mapping[str, Any]]) -> str:
    if not segments:
        return ""
    review = sum(1 for segment in segments if segment["review"])
    structures = "1 structure" if len(segments) == 1 else f"{len(segments)} structures"
    return structures + (f", {review} to review" if review else "")


def _others(found: Mapping[str, Any]) -> str:
    regions = [region["name"] for region in found["regions"]]
    return ", ".join(regions) if regions and not found["segments"] else ""


def sentences(report: Dataset) -> Sequence[tuple[int, str, str]]:
    """The content of an SR in words: depth, concept and value of each item in order (PS3.3 C.17.3)."""
    found: list[tuple[int, str, str]] = []
    _tell(report, 0, found)
    return found


def _tell(content: Dataset, depth: int, found: list[tuple[int, str, str]]) -> None:
    for item in content.get("ContentSequence", ()):
        names = item.get("ConceptNameCodeSequence")
        name = str(names[0].CodeMeaning) if names else str(item.get("ValueType", "reference"))
        found.append((depth, name, _value(item)))
        _tell(item, depth + 1, found)


def _value(item: Dataset) -> str:
    kind = item.get("ValueType")
    if kind == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    if kind == "NUM" and item.get("MeasuredValueSequence"):
        measured = item.MeasuredValueSequence[0]
        return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeMeaning}"
    if kind == "IMAGE":
        reference = item.ReferencedSOPSequence[0]
        number = reference.get("ReferencedSegmentNumber")
        return f"image {reference.ReferencedSOPInstanceUID}" + (f", segment {number}" if number else "")
    for keyword in ("TextValue", "UID", "DateTime", "Date", "Time", "PersonName"):
        if keyword in item:
            return str(item[keyword].value)
    return ""
