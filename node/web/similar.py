"""What resembles a study, and where a point of one CT lies in another."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel

from node.errors import Permanent, Rejected
from node.jobs.reception import study_in_spool
from node.jobs.series import Series
from node.web.rooms import Entered, Rooms

router = APIRouter(prefix="/api/studies", tags=["similarity"])

_SECONDS: Final = 120
_NUMBER: Final = r"-?\d{1,5}(\.\d{1,6})?"
_ABOUT_A_STUDY: Final = ("StudyDate", "StudyTime", "StudyDescription")

_one_at_a_time = threading.Lock()


class Busy(Rejected):
    """Another point is being searched for."""

    http_status = 503


class TooSlow(Rejected):
    """The search did not end in its time."""

    http_status = 504


class NoMatch(Permanent):
    """The point cannot be found in the other CT."""


class SimilarOut(BaseModel):
    """A series of another study; `similarity` is the cosine of two embeddings, at most 1."""

    similarity: float
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    modalities: list[str]
    attributes: dict[str, str]


class MatchOut(BaseModel):
    """The matching point; the position in patient LPS millimetres, row and column of its slice from 0."""

    position_mm: tuple[float, float, float]
    SOPInstanceUID: str
    row: float
    column: float
    similarity: float


@router.get("/{uid}/similar")
def similar(rooms: Entered, uid: str, k: Annotated[int, Query(ge=1, le=100)] = 10) -> list[SimilarOut]:
    """The series of other studies that are most similar to the latest embedding of this study."""
    nearest = rooms.gallery.nearest(rooms.gallery.embedding(uid), uid, k)
    listed = []
    for found in nearest:
        study = rooms.index.study(found.study_instance_uid)
        attributes = study.attributes if study else {}
        listed.append(
            SimilarOut(
                similarity=found.similarity,
                study_instance_uid=found.study_instance_uid,
                series_instance_uid=found.series_instance_uid,
                sop_instance_uid=found.sop_instance_uid,
                modalities=list(study.modalities) if study else [],
                attributes={name: attributes[name] for name in _ABOUT_A_STUDY if name in attributes},
            )
        )
    return listed


@router.get("/{uid}/locate")
def locate(
    rooms: Entered,
    uid: str,
    point: Annotated[str, Query(pattern=rf"^{_NUMBER},{_NUMBER},{_NUMBER}$")],
    other: Annotated[str, Query(alias="in")],
    series: str | None = None,
    other_series: Annotated[str | None, Query(alias="in-series")] = None,
) -> MatchOut:
    """The point in another CT that matches a point of this one.

    `point` is x,y,z in patient LPS millimetres, `in` the other study. Without `series` and `in-series`, the
    longest CT series of each study is meant. One search runs at a time.
    """
    source = _ct_series(rooms, uid, series)
    target = _ct_series(rooms, other, other_series)
    if not _one_at_a_time.acquire(blocking=False):
        raise Busy("another point is being searched for; try again")
    try:
        found = _search(rooms.settings.state.absolute(), source, target, point)
    finally:
        _one_at_a_time.release()
    return MatchOut.model_validate(found)


def _ct_series(rooms: Rooms, uid: str, wanted: str | None) -> Path:
    """The folder of a CT series in the spool.

    Raises:
        IncompleteInput: the spool does not hold the study.
        NoMatch: the study has no such series.
    """
    study = study_in_spool(rooms.settings.spool, rooms.index, uid)
    fitting = [s for s in study.series if s.modality == "CT" and wanted in {None, s.series_instance_uid}]
    if not fitting:
        raise NoMatch(f"study {uid} has no CT series{f' {wanted}' if wanted else ''}")
    longest: Series = max(fitting, key=lambda s: len(s.sop_instance_uids))
    return longest.paths[0].parent


def _search(state: Path, source: Path, target: Path, point: str) -> Mapping[str, Any]:
    """Search in a process of its own: torch never loads into the web server."""
    command = [sys.executable, "-m", "node", "locate", "--json", source, target, f"--point={point}"]
    # Weights are in the state folder; the child has it from its environment, which wins over any file.
    with_state = ["env", f"AINODE_STATE={state}", *map(str, command)]
    try:
        done = subprocess.run(with_state, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise TooSlow(f"the search did not end within {_SECONDS} s; use `ainode locate`") from None
    if done.returncode:
        sentence = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise NoMatch(sentence.removeprefix("ainode: "))
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found
