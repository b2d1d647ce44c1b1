"""What was found, as the node's own document of a workitem tells it."""

from typing import Any

import httpx
from places import DemonstrationFailed, Places
from rich.table import Table

Json = dict[str, Any]


def tables(places: Places, item: Json) -> list[Table]:
    """Organs with their features, regions and landmarks of a completed workitem.

    Raises:
        DemonstrationFailed: the node does not give its findings.
    """
    try:
        found = httpx.get(f"{places.node}/api/workitems/{item['uid']}/findings", timeout=30)
        document = found.raise_for_status().json()
    except httpx.HTTPError as error:
        raise DemonstrationFailed(f"the findings of workitem {item['uid']} are not there: {error}") from None
    made = [_segments(document), _regions(document), _landmarks(document)]
    return [table for table in made if table.row_count]


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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column, justify="right" if column in {"ml", "Features", "Slices", "z, mm"} else "left"
        )
    return table
