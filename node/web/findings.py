"""What was found, in words for the worklist; read from the `findings.json` of a run."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

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
