"""Log in and out, with a name and a password of this node."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from node.jobs.accounts import Person
from node.web import audit
from node.web.access import SESSION, address_of, person_of
from node.web.audit import Code, Event
from node.web.jinja import TEMPLATES
from node.web.rooms import Entered, Rooms

router = APIRouter(include_in_schema=False)

_FREE: Final = 5
"""Wrong passwords that a name or an address has before it must wait."""
_WAIT_SECONDS: Final = 30.0
"""After that, for the next try; doubled by each further one, an hour at most."""
_LONGEST_WAIT_SECONDS: Final = 3600.0
_REMEMBERED: Final = 10_000


class Patience:
    """How long somebody must wait after wrong passwords.

    Counted by name and by address, so that neither one account nor one machine can be used to guess.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def seconds_left(self, *keys: str) -> float:
        """Seconds until the next try is looked at; 0 where it is at once."""
        return max(0.0, *(self._until(key) - self._clock() for key in keys))

    def failed(self, *keys: str) -> None:
        """Count a wrong password."""
        for key in keys:
            number, _ = self._failures.pop(key, (0, 0.0))
            self._failures[key] = (number + 1, self._clock())
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget what was wrong before."""
        for key in keys:
            self._failures.pop(key, None)

    def _until(self, key: str) -> float:
        number, latest = self._failures.get(key, (0, 0.0))
        if number < _FREE:
            return 0.0
        return latest + min(_LONGEST_WAIT_SECONDS, _WAIT_SECONDS * 2.0 ** min(number - _FREE, 10))


@router.get("/log-in", response_class=HTMLResponse)
def ask(request: Request, after: str = "/") -> HTMLResponse:
    """The page that asks for name and password."""
    return _page(request, request.query_params.get("next", after))


@router.post("/log-in")
def log_in(
    request: Request,
    rooms: Entered,
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    after: Annotated[str, Form(alias="next")] = "/",
) -> Response:
    """Begin a session."""
    patience: Patience = request.app.state.patience
    keys = (f"name {name}", f"address {address_of(request)}")
    if seconds := patience.seconds_left(*keys):
        wait = max(1, round(seconds))
        sentence = f"There were too many wrong passwords. Try again in {wait} seconds."
        return _page(request, after, sentence, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait)})
    person = rooms.accounts.check(name, password)
    if person is None:
        patience.failed(*keys)
        rooms.trail.tell(_authentication(request, name, audit.LOGIN, failed=True))
        return _page(request, after, "The name or the password is wrong.", HTTPStatus.UNAUTHORIZED)
    patience.succeeded(*keys)
    rooms.trail.tell(_authentication(request, name, audit.LOGIN))
    return entered(rooms, person, after)


@router.post("/log-out")
def log_out(request: Request, rooms: Entered) -> Response:
    """End the session."""
    if secret := request.cookies.get(SESSION):
        rooms.accounts.close_session(secret)
        rooms.trail.tell(_authentication(request, person_of(request).name, audit.LOGOUT))
    answer = RedirectResponse("/log-in", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(SESSION)
    return answer


def entered(rooms: Rooms, person: Person, after: str) -> Response:
    """A session for a person, who goes on to where that one wanted to be."""
    lasting = timedelta(hours=rooms.settings.access.session_hours)
    answer = RedirectResponse(_here(after), HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        SESSION,
        rooms.accounts.open_session(person, lasting),
        max_age=int(lasting.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=bool(rooms.settings.http.names),  # then it is reached from elsewhere, by HTTPS
    )
    return answer


def _authentication(request: Request, name: str, kind: Code, *, failed: bool = False) -> Event:
    return Event(audit.AUTHENTICATION, "E", name, address_of(request), failed, (kind,))


def _here(after: str) -> str:
    """An address of this node; where the request names another, the first page."""
    parts = urlsplit(after.replace("\\", "/"))
    return after if after.startswith("/") and not parts.netloc and not after.startswith("//") else "/"


def _page(
    request: Request,
    after: str,
    wrong: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    told = {"next": _here(after), "wrong": wrong}
    return TEMPLATES.TemplateResponse(request, "log_in.html", told, status_code=status, headers=headers)
