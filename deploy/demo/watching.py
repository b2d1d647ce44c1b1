"""What the node says of the studies, and what the PACS holds in the end."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
from places import DemonstrationFailed, Places
from rich.table import Table

PATIENCE_SECONDS = 300
"""The demonstration gives up when nothing at all has changed for so long."""

POLL_SECONDS = 0.5

Json = dict[str, Any]


def watch(
    places: Places, studies: list[str], say: Callable[[str], None], still_running: Callable[[], None]
) -> list[Json]:
    """Say what the node does, until the results of every study are in the PACS.

    Returns:
        The workitems that are COMPLETED, at least one.

    Raises:
        DemonstrationFailed: no route matched, nothing was completed, a result is missing in the PACS, or
            nothing happens any more.
    """
    said: set[str] = set()
    news = time.monotonic()
    while time.monotonic() - news < PATIENCE_SECONDS:
        still_running()
        held = [s for s in _get(f"{places.node}/api/studies") if s["study_instance_uid"] in studies]
        items = [item for study in held for item in _workitems(places, study)]
        for line in [line for line in _story(held, items) if line not in said]:
            said.add(line)
            news = time.monotonic()
            say(line)
        if len(held) == len(studies) and _settled(held, items):
            completed = [item for item in items if item["state"] == "COMPLETED"]
            _require_results(places, held, items, completed)
            return completed
        time.sleep(POLL_SECONDS)
    raise DemonstrationFailed(f"nothing has changed for {PATIENCE_SECONDS} s; see the logs in {places.state}")


def _get(url: str, **parameters: str) -> list[Json]:
    try:
        answer = httpx2.get(url, params=parameters, timeout=30).raise_for_status()
    except httpx2.HTTPError as error:
        raise DemonstrationFailed(f"{url} does not answer as it should: {error}") from None
    found: list[Json] = answer.json()
    return found


def _workitems(places: Places, study: Json) -> list[Json]:
    found = _get(f"{places.node}/api/workitems", study=study["study_instance_uid"])
    return [item for item in found if not item["superseded"]]


def _story(held: list[Json], items: list[Json]) -> list[str]:
    """A line for everything worth saying; the same state gives the same lines."""
    lines = []
    for study in held:
        name = _name(study)
        if study["state"] == "RECEIVING":
            lines.append(f"{name}: the PACS is sending to the node")
        elif study["explanation"] is not None:
            lines.append(
                f"{name}: complete, {study['instances']} instances in {study['series']} series, "
                f"workitems: {study['routed']}"
            )
            lines += [f"{name}: {reason}" for reason in study["explanation"] if not study["routed"]]
    names = {study["study_instance_uid"]: _name(study) for study in held}
    for item in items:
        line = f"{names[item['study_instance_uid']]}: {item['algorithm']} {item['state'].lower()}"
        if item["state"] == "IN PROGRESS":
            line += f", {item['stage']}"
        if item["state"] == "CANCELED":
            line += f": {item['message']}"
        if item["state"] == "COMPLETED":
            line += f" ({', '.join(f'{stage} {took:.1f} s' for stage, took in item['seconds'].items())})"
        lines.append(line)
    return lines


def _settled(held: list[Json], items: list[Json]) -> bool:
    routed = all(s["state"] == "COMPLETE" and s["explanation"] is not None for s in held)
    return (
        routed
        and len(items) >= sum(study["routed"] for study in held)
        and all(item["state"] in {"COMPLETED", "CANCELED"} for item in items)
    )


def _name(study: Json) -> str:
    """A short name that is no patient's: modalities and description."""
    description = study["attributes"].get("StudyDescription") or study["study_instance_uid"]
    return f"{'/'.join(study['modalities'])} {description}"


def _require_results(places: Places, held: list[Json], items: list[Json], completed: list[Json]) -> None:
    if items and not completed:
        reasons = "; ".join(f"{item['algorithm']} was canceled: {item['message']}" for item in items)
        raise DemonstrationFailed(reasons)
    if not items:
        reasons = "; ".join(reason for study in held for reason in study["explanation"])
        raise DemonstrationFailed(f"no route matched: {reasons}")
    for item in completed:
        study = item["study_instance_uid"]
        there = {_value(i, "00080018") for i in _get(f"{places.pacs}/dicom-web/studies/{study}/instances")}
        missing = [r["kind"] for r in item["results"] if r["sop_instance_uid"] not in there]
        if missing:  # none at all is right too: where no similar series is known, there is nothing to say
            raise DemonstrationFailed(
                f"{item['algorithm']} is completed, and the PACS lacks its {', '.join(missing)}"
            )


def worklist(places: Places) -> Table:
    """The workitems as the worklist has them: those of the most urgent study on top."""
    studies = {study["study_instance_uid"]: study for study in _get(f"{places.node}/api/studies")}
    table = Table(title="Worklist by urgency; seconds since the last image", title_justify="left")
    for column in ("Urgency", "Study", "Algorithm", "State", "Seconds"):
        table.add_column(column, justify="right" if column == "Seconds" else "left")
    for item in _get(f"{places.node}/api/workitems", sort="urgency"):
        study = studies[item["study_instance_uid"]]
        took = datetime.fromisoformat(item["ended_at"]) - datetime.fromisoformat(study["last_arrival_at"])
        cells = (item["urgency"] or "", _name(study), item["algorithm"], item["state"])
        table.add_row(*cells, f"{took.total_seconds():.0f}")
    return table


def series_table(places: Places, study: str) -> Table:
    """The series that the PACS holds of a study (QIDO-RS)."""
    table = Table(title=f"Study {study} in the test PACS", title_justify="left")
    for column in ("Modality", "Series", "Instances", "Manufacturer"):
        table.add_column(column, justify="right" if column == "Instances" else "left")
    found = _get(f"{places.pacs}/dicom-web/studies/{study}/series", includefield="00080070", limit="1000")
    for series in sorted(found, key=lambda s: int(_value(s, "00200011") or 0)):
        tags = ("00080060", "0008103E", "00201209", "00080070")
        table.add_row(*(_value(series, tag) for tag in tags))
    return table


def _value(attributes: Json, tag: str) -> str:
    """First value of an attribute in the DICOM JSON model (PS3.18 F.2); empty if there is none."""
    return "".join(str(value) for value in attributes.get(tag, {}).get("Value", [])[:1])
