"""A workitem: its states, its facts, and the UID that is derived from its input."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from node.config import Jobs
from node.jobs.routing import Match

SCHEDULED = "SCHEDULED"
IN_PROGRESS = "IN PROGRESS"
COMPLETED = "COMPLETED"
CANCELED = "CANCELED"
STATES = (SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED)

LOST = "the worker was lost"
"""How an attempt ended whose lease ran out."""


@dataclass(frozen=True)
class Workitem:
    """One row of the worklist; times are aware UTC.

    Attributes:
        revision: of the study, when the workitem was made.
        sop_instance_uids: the source instances, and so the input of the algorithm.
        why: the sentence in which the route says why it matched.
        urgency: HIGH, MEDIUM or LOW, as the findings say how soon a person should look; None while unknown.
        superseded: a later revision of the study has a workitem in its place.
        attempt: number of the current or last try; 0 before the first.
        run_uid: identity of the stored results; None until they are stored.
        seconds: time spent in each stage, and waits.
    """

    uid: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    sop_instance_uids: Sequence[str]
    route: str
    why: str
    algorithm: str
    version: str
    options: Mapping[str, str]
    priority: str
    urgency: str | None
    destinations: Sequence[str]
    state: str
    superseded: bool
    cancel_requested: bool
    attempt: int
    worker: str | None
    not_before: datetime
    lease_until: datetime | None
    progress: float
    stage: str
    message: str
    reason: Mapping[str, str] | None
    run_uid: str | None
    seconds: Mapping[str, float]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def fresh_row(
    study_instance_uid: str, revision: int, match: Match, version: str, urgency: str | None
) -> dict[str, Any]:
    """A new workitem as a row; equal work has an equal UID."""
    row = {
        "study_instance_uid": study_instance_uid,
        "series_instance_uid": match.series_instance_uid,
        "sop_instance_uids": list(match.sop_instance_uids),
        "revision": revision,
        "route": match.route,
        "why": match.reason,
        "algorithm": match.algorithm,
        "version": version,
        "options": dict(match.options),
        "priority": match.priority,
        "urgency": urgency,
        "destinations": list(match.destinations),
    }
    return row | untouched(input_uid(row), match.not_before or datetime.now(UTC))


def input_uid(row: Mapping[str, Any]) -> str:
    """What the work of a row is derived from, as a UID; a rerun has that of the workitem it repeats."""
    identity = (
        row["study_instance_uid"],
        row["series_instance_uid"],
        sorted(row["sop_instance_uids"]),
        row["route"],
        row["algorithm"],
        row["version"],
        sorted(row["options"].items()),
    )
    return dicom_uid(json.dumps(identity))


def untouched(uid: str, not_before: datetime) -> dict[str, Any]:
    """The changing part of a workitem that nobody has touched yet."""
    return {
        "uid": uid,
        "state": SCHEDULED,
        "superseded": False,
        "cancel_requested": False,
        "attempt": 0,
        "worker": None,
        "not_before": not_before,
        "lease_until": None,
        "progress": 0.0,
        "stage": "",
        "message": "",
        "reason": None,
        "run_uid": None,
        "seconds": {},
        "created_at": datetime.now(UTC),
        "started_at": None,
        "ended_at": None,
    }


def backoff(jobs: Jobs, tries: int) -> timedelta:
    """How long to wait after so many tries: doubling, an hour at most."""
    wait = timedelta(seconds=jobs.backoff_seconds * 2 ** min(tries - 1, 20))
    return min(wait, timedelta(hours=1))


def dicom_uid(identity: str) -> str:
    """A UID below 2.25 (PS3.5 B.2) from the digest of what identifies the workitem."""
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16], version=5).int}"
