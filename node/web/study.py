"""The page of a study: its results drawn by this server, in words and in numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from pydicom import dcmread

from node.errors import AINodeError
from node.jobs.outbox import Result
from node.jobs.verdicts import Judgement
from node.jobs.workitem import Workitem
from node.web import drawing, findings, viewing
from node.web.access import person_of
from node.web.jinja import TEMPLATES
from node.web.rooms import Entered, Rooms
from node.web.viewing import Key, Saliency, Segments, Stack

router = APIRouter(include_in_schema=False, prefix="/studies/{study_instance_uid}")

_THUMBNAIL: Final = 160
_LONGEST_COMMENT: Final = 2000
_A_DAY: Final = {"Cache-Control": "private, max-age=86400"}


@dataclass(frozen=True)
class Drawn:
    """What of a workitem can be drawn; a run without a stack of slices has none of it."""

    stack: Stack
    segments: Segments | None
    saliency: Saliency | None

    @property
    def keys(self) -> list[Key]:
        """Slices that are worth a look."""
        return [key for each in (self.saliency, self.segments) if each for key in each.keys]


@router.get("", response_class=HTMLResponse)
def study(
    request: Request, rooms: Entered, study_instance_uid: str, workitem: str | None = None
) -> HTMLResponse:
    """A study with its workitems, of which one is shown whole."""
    found = rooms.index.study(study_instance_uid)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no study {study_instance_uid} is here")
    items = rooms.worklist.query(study_instance_uid=study_instance_uid, sort="urgency")
    item = _of(rooms, study_instance_uid, workitem) if workitem else next(iter(items), None)
    told: dict[str, Any] = {"study": found, "items": items, "item": item, "person": person_of(request)}
    if item:
        told |= _told(rooms, item)
    return TEMPLATES.TemplateResponse(request, "study.html", told)


@router.get("/workitems/{uid}/slices/{number}.png")
def ground(rooms: Entered, study_instance_uid: str, uid: str, number: int, window: str = "") -> Response:
    """A slice in grey."""
    stack = _drawn(rooms, _of(rooms, study_instance_uid, uid)).stack
    _require(stack, number)
    shown = stack.windows.get(window) or next(iter(stack.windows.values()))
    return _picture(drawing.png(drawing.grey(stack.plane(number), shown)))


@router.get("/workitems/{uid}/slices/{number}/segments.png")
def segments(rooms: Entered, study_instance_uid: str, uid: str, number: int, hidden: str = "") -> Response:
    """The segments of a slice, those left out whose numbers are hidden."""
    drawn = _drawn(rooms, _of(rooms, study_instance_uid, uid))
    _require(drawn.stack, number)
    if drawn.segments is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this workitem has no segmentation")
    without = frozenset(int(each) for each in hidden.split(",") if each.isascii() and each.isdigit())
    return _picture(drawing.png(drawn.segments.layer(number, without)))


@router.get("/workitems/{uid}/slices/{number}/saliency.png")
def saliency(rooms: Entered, study_instance_uid: str, uid: str, number: int) -> Response:
    """What a score rests on, on a slice."""
    drawn = _drawn(rooms, _of(rooms, study_instance_uid, uid))
    _require(drawn.stack, number)
    if drawn.saliency is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this workitem has no saliency map")
    return _picture(drawing.png(drawn.saliency.layer(number)))


@router.get("/workitems/{uid}/thumbnail.png")
def thumbnail(rooms: Entered, study_instance_uid: str, uid: str) -> Response:
    """The first key slice, small, with what was found drawn in; kept beside the results."""
    item = _of(rooms, study_instance_uid, uid)
    file = rooms.settings.results / (item.run_uid or "none") / "thumbnail.png"
    if not file.exists():
        drawn = _drawn(rooms, item)
        if not drawn.keys:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is nothing to draw")
        part = file.with_suffix(".part")
        part.write_bytes(_thumbnail(drawn))
        part.replace(file)
    return _picture(file.read_bytes())


@router.get("/results/{sop_instance_uid}", response_class=FileResponse)
def result(rooms: Entered, study_instance_uid: str, sop_instance_uid: str) -> FileResponse:
    """A result as the DICOM file that was sent."""
    for item in rooms.worklist.query(study_instance_uid=study_instance_uid):
        for each in rooms.outbox.results(item.run_uid):
            if each.sop_instance_uid == sop_instance_uid:
                file = rooms.settings.results / each.path
                return FileResponse(file, media_type="application/dicom", filename=f"{each.role}.dcm")
    raise HTTPException(HTTPStatus.NOT_FOUND, f"no result {sop_instance_uid} is here")


@router.post("/workitems/{uid}/verdict")
def judge(
    request: Request,
    rooms: Entered,
    study_instance_uid: str,
    uid: str,
    judgement: Annotated[Judgement, Form()],
    comment: Annotated[str, Form(max_length=_LONGEST_COMMENT)] = "",
) -> Response:
    """Accept or reject the results of a workitem."""
    item = _of(rooms, study_instance_uid, uid)
    rooms.verdicts.give(item.uid, judgement, comment.strip(), person_of(request).name)
    return RedirectResponse(
        f"/studies/{study_instance_uid}?workitem={item.uid}#verdict", HTTPStatus.SEE_OTHER
    )


def _of(rooms: Rooms, study_instance_uid: str, uid: str) -> Workitem:
    item = rooms.worklist.get(uid)
    if item.study_instance_uid != study_instance_uid:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"workitem {uid} is of another study")
    return item


def _told(rooms: Rooms, item: Workitem) -> dict[str, Any]:
    """What the page says of a workitem."""
    results = rooms.outbox.results(item.run_uid)
    found = _findings(rooms, item)
    told: dict[str, Any] = {
        "results": results,
        "verdicts": rooms.verdicts.of(item.uid),
        "findings": found,
        "reports": _reports(rooms, results),
        "drawn": None,
        "why_not_drawn": "",
        "first": 0,
    }
    try:
        drawn = _drawn(rooms, item)
    except (HTTPException, AINodeError) as error:
        return told | {"why_not_drawn": getattr(error, "detail", str(error))}
    keys = [*drawn.keys, *_places(drawn.stack, found)]
    first = keys[0].number if keys else len(drawn.stack.headers) // 2
    return told | {"drawn": drawn, "keys": keys, "first": first}


def _drawn(rooms: Rooms, item: Workitem) -> Drawn:
    if item.algorithm in rooms.catalogue and rooms.catalogue[item.algorithm].photograph:
        raise HTTPException(HTTPStatus.NOT_FOUND, "photographs of people are not shown here")
    by_role = {each.role: rooms.settings.results / each.path for each in rooms.outbox.results(item.run_uid)}
    spool = rooms.settings.spool
    held = rooms.index.paths(item.study_instance_uid, item.sop_instance_uids)
    paths = tuple(spool / path for path in held)
    return Drawn(
        viewing.stack_of(paths),
        viewing.segments_of(by_role["seg"], paths) if "seg" in by_role else None,
        viewing.saliency_of(by_role["saliency"], paths) if "saliency" in by_role else None,
    )


def _places(stack: Stack, findings: Mapping[str, Any]) -> list[Key]:
    """The slices of the landmarks."""
    named = ((stack.number_named(each["SOPInstanceUID"]), each["name"]) for each in findings["landmarks"])
    return [Key(number, name) for number, name in named if number is not None]


def _findings(rooms: Rooms, item: Workitem) -> Mapping[str, Any]:
    file = rooms.settings.results / (item.run_uid or "none") / "findings.json"
    kinds = ("segments", "measurements", "landmarks", "regions", "scores")
    nothing: dict[str, Any] = {kind: [] for kind in kinds}
    return nothing | json.loads(file.read_text()) if file.exists() else nothing


def _reports(rooms: Rooms, results: Sequence[Result]) -> dict[str, Sequence[tuple[int, str, str]]]:
    """The structured reports in words, by role."""
    return {
        each.role: findings.sentences(dcmread(rooms.settings.results / each.path))
        for each in results
        if each.kind == "sr"
    }


def _require(stack: Stack, number: int) -> None:
    if not 0 <= number < len(stack.headers):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there are slices 0 to {len(stack.headers) - 1}")


def _picture(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers=_A_DAY)


def _thumbnail(drawn: Drawn) -> bytes:
    key = drawn.keys[0]
    grey = drawing.grey(drawn.stack.plane(key.number), next(iter(drawn.stack.windows.values())))
    found = drawn.segments or drawn.saliency
    over = found.layer(key.number) if found else drawing.layer(drawn.stack.size)
    return drawing.thumbnail(grey, over, drawn.stack.aspect, _THUMBNAIL)
