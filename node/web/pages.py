"""The pages that people see."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from node.jobs.board import Order, View
from node.jobs.urgency import URGENCIES
from node.jobs.workitem import STATES
from node.web import findings
from node.web.access import person_of
from node.web.jinja import TEMPLATES
from node.web.rooms import Entered

router = APIRouter(include_in_schema=False)

_DAYS_OF_A_YEAR: Final = 365.25


@router.get("/", response_class=HTMLResponse)
def worklist(
    request: Request,
    rooms: Entered,
    text: str = "",
    modality: str = "",
    algorithm: str = "",
    state: str = "",
    urgency: str = "",
    since: str = "",
    until: str = "",
    order: Order = "urgency",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """Studies with their workitems, the most urgent first; the address says what is shown."""
    view = View(text, modality, algorithm, state, urgency, _day(since), _day(until), order, page)
    listing = rooms.board.listing(view)
    told = {
        "view": view,
        "listing": listing,
        "studies": rooms.index.among(listing.uids),
        "modalities": rooms.board.modalities(),
        "algorithms": sorted(rooms.catalogue),
        "states": STATES,
        "urgencies": URGENCIES,
        "orders": get_args(Order),
        "now": datetime.now(UTC),
        "person": person_of(request),
        "found": lambda item: findings.in_words(rooms.settings.results, item.run_uid),
        "age": _age,
        "link": lambda **changes: _link(view, changes),
    }
    return TEMPLATES.TemplateResponse(request, "worklist.html", told)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        detail = f"{text!r} is no day; write it as 2026-12-31"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None


def _link(view: View, changes: Mapping[str, Any]) -> str:
    """The address of this view with some of it changed; what is usual is left out."""
    usual = asdict(View())
    asked = asdict(replace(view, **changes))
    query = urlencode({name: value for name, value in asked.items() if value and value != usual[name]})
    return f"/?{query}" if query else "/"


def _age(attributes: Mapping[str, str]) -> str:
    """Whole years from birth to the study, where both are known."""
    try:
        born, seen = (
            datetime.strptime(attributes.get(keyword, ""), "%Y%m%d").replace(tzinfo=UTC)
            for keyword in ("PatientBirthDate", "StudyDate")
        )
    except ValueError:
        return ""
    return f"{int((seen - born).days / _DAYS_OF_A_YEAR)} y"
