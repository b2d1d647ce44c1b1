"""The JSON interface: workitems and studies."""

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel

from node.errors import Transient
from node.jobs.urgency import Sort
from node.jobs.workitem import Workitem
from node.jobs.worklist import NoSuchWorkitem
from node.web.rooms import Entered, Rooms

VERSION = version("ainode")

router = APIRouter(prefix="/api", tags=["worklist"])

State = Literal["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


class ResultOut(BaseModel):
    """A DICOM object that a workitem made."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    kind: str
    role: str


class DeliveryOut(BaseModel):
    """How far the results have come at one destination."""

    destination: str
    state: str
    tries: int
    error: str
    confirmed_at: datetime | None


class WorkitemOut(BaseModel):
    """A workitem; times in UTC, `seconds` by stage."""

    uid: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    superseded: bool
    algorithm: str
    version: str
    route: str
    why: str
    priority: str
    urgency: str | None
    state: str
    stage: str
    progress: float
    message: str
    reason: dict[str, str] | None
    attempt: int
    not_before: datetime
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    seconds: dict[str, float]
    results: list[ResultOut]
    deliveries: list[DeliveryOut]


class StudyOut(BaseModel):
    """A study that the node holds, with what closed it and what the routes said."""

    study_instance_uid: str
    attributes: dict[str, str]
    state: str
    revision: int
    instances: int
    series: int
    modalities: list[str]
    conflicts: int
    routed: int
    first_arrival_at: datetime
    last_arrival_at: datetime
    completed_at: datetime | None
    evidence: dict[str, Any] | None
    explanation: list[str] | None


@router.get("/workitems")
def workitems(
    rooms: Entered,
    study: str | None = None,
    state: State | None = None,
    sort: Sort = "newest",
    limit: Limit = 100,
    offset: Offset = 0,
) -> list[WorkitemOut]:
    """Workitems, the newest first; or those of the most urgent studies first, each study's together."""
    found = rooms.worklist.query(study_instance_uid=study, state=state, sort=sort, limit=limit, offset=offset)
    return [_workitem(rooms, item) for item in found]


@router.get("/workitems/{uid}")
def workitem(rooms: Entered, uid: str) -> WorkitemOut:
    """One workitem."""
    return _workitem(rooms, rooms.worklist.get(uid))


@router.get("/workitems/{uid}/findings", response_class=FileResponse)
def findings(rooms: Entered, uid: str) -> Path:
    """What the algorithm found, the same document as `findings.json` of `ainode run`."""
    return _file(rooms, uid, "findings.json")


@router.get("/workitems/{uid}/features", response_class=FileResponse)
def features(
    rooms: Entered, uid: str, form: Annotated[Literal["csv", "parquet"], Query(alias="format")] = "csv"
) -> Path:
    """The radiomics of every segment as a table, a row for each feature."""
    return _file(rooms, uid, f"features.{form}")


@router.post("/workitems/{uid}/rerun", status_code=201)
def rerun(rooms: Entered, uid: str) -> WorkitemOut:
    """Make a new workitem for the same work; the old one stays as it ended."""
    fresh = rooms.worklist.rerun(uid)
    # It is in the ledger: while the broker is away, the sweep wakes a worker.
    with suppress(Transient):
        rooms.wake([fresh])
    return _workitem(rooms, fresh)


@router.post("/workitems/{uid}/raise", status_code=202)
def raise_priority(rooms: Entered, uid: str) -> WorkitemOut:
    """Let a workitem that waits be done before others, and at once."""
    raised = rooms.worklist.raise_priority(uid)
    with suppress(Transient):
        rooms.wake([raised])
    return _workitem(rooms, raised)


@router.post("/workitems/{uid}/cancel", status_code=202)
def cancel(rooms: Entered, uid: str) -> WorkitemOut:
    """Ask for a workitem to stop."""
    rooms.worklist.request_cancel(uid)
    return _workitem(rooms, rooms.worklist.get(uid))


@router.get("/studies")
def studies(rooms: Entered, limit: Limit = 100, offset: Offset = 0) -> list[StudyOut]:
    """Studies, the latest arrival first."""
    return [StudyOut.model_validate(asdict(study)) for study in rooms.index.studies(limit, offset)]


def _file(rooms: Rooms, uid: str, name: str) -> Path:
    """A file in the folder of a workitem's results."""
    item = rooms.worklist.get(uid)
    if item.run_uid is None:
        raise NoSuchWorkitem(f"workitem {uid} has no findings yet; it is {item.state}")
    file = rooms.settings.results / item.run_uid / name
    if not file.exists():
        raise NoSuchWorkitem(f"workitem {uid} has no {name}, or it is gone from the results folder")
    return file


def _workitem(rooms: Rooms, item: Workitem) -> WorkitemOut:
    return WorkitemOut.model_validate(
        {
            **asdict(item),
            "results": [
                {**asdict(result), "kind": result.kind} for result in rooms.outbox.results(item.run_uid)
            ],
            "deliveries": [asdict(delivery) for delivery in rooms.outbox.deliveries(item.uid)],
        }
    )
