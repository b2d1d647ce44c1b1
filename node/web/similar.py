"""What resembles a study, and where a point of one CT lies in another."""

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from node.errors import Permanent, Rejected
from node.jobs.reception import study_in_spool
from node.jobs.series import Series
from node.web.rooms import Entered, Rooms

router = APIRouter(prefix="/api/studies", tags=["similarity"])

_DICOM: Final = "application/dicom"

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
    """The matching point; the position in patient LPS millimetres, row and column of its slice from 0.

    `outside_mm`: how far outside that CT the place is expected; then the answer is only the nearest shown.
    """

    position_mm: tuple[float, float, float]
    SOPInstanceUID: str
    row: float
    column: float
    similarity: float
    outside_mm: float


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


@dataclass(frozen=True)
class Question:
    """Which point of which CT is looked for in which other CT.

    Attributes:
        source: folder of the series with the point.
        target: folder of the series to search.
        point: x,y,z in patient LPS millimetres.
    """

    source: Path
    target: Path
    point: str


def _question(
    rooms: Entered,
    uid: str,
    point: Annotated[str, Query(pattern=rf"^{_NUMBER},{_NUMBER},{_NUMBER}$")],
    other: Annotated[str, Query(alias="in")],
    series: str | None = None,
    other_series: Annotated[str | None, Query(alias="in-series")] = None,
) -> Question:
    """What is asked, checked against the spool."""
    return Question(_ct_series(rooms, uid, series), _ct_series(rooms, other, other_series), point)


Asked = Annotated[Question, Depends(_question)]


@router.get("/{uid}/locate")
def locate(rooms: Entered, asked: Asked) -> MatchOut:
    """The point in another CT that matches a point of this one.

    `point` is x,y,z in patient LPS millimetres, `in` the other study. Without `series` and `in-series`, the
    longest CT series of each study is meant. One search runs at a time.
    """
    return MatchOut.model_validate_json(_search(rooms.settings.state.absolute(), asked))


@router.get(
    "/{uid}/locate/heat-map",
    response_class=Response,
    responses={200: {"content": {_DICOM: {}}, "description": "A Parametric Map of the other study"}},
)
def heat_map(rooms: Entered, asked: Asked) -> Response:
    """How well each place of the other CT matches, as a DICOM Parametric Map.

    Asked as `locate` is. The object is proved as results are; it is given here and sent nowhere.
    """
    with TemporaryDirectory() as folder:
        _search(rooms.settings.state.absolute(), asked, f"--heat-map={folder}")
        return Response((Path(folder) / "saliency.dcm").read_bytes(), media_type=_DICOM)


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


def _search(state: Path, asked: Question, *more: str) -> str:
    """Search in a process of its own: torch never loads into the web server.

    Returns:
        What the command says on standard output.

    Raises:
        Busy: another search runs.
        NoMatch: the command gives no answer; its sentence.
        TooSlow: it was stopped.
    """
    program = [sys.executable, "-m", "node", "locate", "--json", asked.source, asked.target]
    # Weights are in the state folder; the child has it from its environment, which wins over any file.
    command = ["env", f"AINODE_STATE={state}", *map(str, program), f"--point={asked.point}", *more]
    if not _one_at_a_time.acquire(blocking=False):
        raise Busy("another point is being searched for; try again")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise TooSlow(f"the search did not end within {_SECONDS} s; use `ainode locate`") from None
    finally:
        _one_at_a_time.release()
    if done.returncode:
        sentence = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise NoMatch(sentence.removeprefix("ainode: "))
    return done.stdout
