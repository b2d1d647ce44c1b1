"""What was found, as the node's own document of a workitem tells it."""

from typing import Any

import httpx2
from places import DemonstrationFailed, Places
from rich.table import Table

Json = dict[str, Any]

_NUMBERS = {"ml", "Features", "Slices", "z, mm", "Value", "Similarity"}


def tables(places: Places, item: Json) -> list[Table]:
    """Verdicts, segments, regions, landmarks and similar studies of a completed workitem.

    Raises:
        DemonstrationFailed: the node does not give its findings.
    """
    try:
        found = httpx2.get(f"{places.node}/api/workitems/{item['uid']}/findings", timeout=30)
        document = found.raise_for_status().json()
    except httpx2.HTTPError as error:
        raise DemonstrationFailed(f"the findings of workitem {item['uid']} are not there: {error}") from None
    parts = (_verdicts, _segments, _regions, _landmarks, _similar)
    made = [part(document) for part in parts]
    return [table for table in made if table.row_count]


def _verdicts(document: Json) -> Table:
    table = _table("Verdicts", "Question", "Answer", "Value", "Urgency")
    for score in document["scores"]:
        answer = score["verdict"]["meaning"] if score["verdict"] else ""
        value = f"{score['value']:.2f}" if score["calibrated"] else ""
        table.add_row(score["name"], answer, value, score["urgency"] or "")
    return table


def _segments(document: Json) -> Table:
    table = _table("Segments", "Segment", "ml", "Features", "To review")
    for segment in document["segments"]:
        features = sum(m["segment"] == segment["label"] for m in document["measurements"])
        volume = f"{segment['volume_ml']:.1f}"
        table.add_row(segment["label"], volume, str(features), segment["review"] or "")
    return table


def _regions(document: Json) -> Table:
    table = _table("Regions", "Region", "Slices")
    for region in document["regions"]:
        table.add_row(region["name"], str(len(region["SOPInstanceUIDs"])))
    return table


def _landmarks(document: Json) -> Table:
    table = _table("Landmarks", "Landmark", "z, mm")
    for mark in sorted(document["landmarks"], key=lambda mark: -mark["position_mm"][2]):
        table.add_row(mark["name"], f"{mark['position_mm'][2]:.0f}")
    return table


def _similar(document: Json) -> Table:
    table = _table("Similar studies", "Study", "Similarity")
    for other in document["similar"]:
        table.add_row(other["StudyInstanceUID"], f"{other['similarity']:.3f}")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    return table
