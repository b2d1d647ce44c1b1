"""The door of the web side: who asks, what that one may do, and headers that every answer bears.

A browser shows a session in a cookie, a program a token (RFC 6750). Where no log-in is set, which only an
address of this machine allows, everybody is the person at this machine.
"""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from node.jobs.accounts import LOCAL, Person, Role
from node.jobs.worklist import NoSuchWorkitem, Worklist
from node.web import audit
from node.web.audit import Event
from node.web.rooms import Rooms

SESSION: Final = "ainode_session"
"""Name of the cookie."""

_OPEN: Final = ("/log-in", "/static/", "/healthz", "/readyz", "/metrics")
"""What everybody may see; nothing of it tells about a patient."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SEARCHES: Final = ("/api/workitems", "/api/studies", "/dicom-web/", "/pacs/dicom-web/")
_POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1

_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    # The viewer decodes in WebAssembly, in workers made of blobs, and styles its elements itself.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'self'"
    ),
}


class Door:
    """ASGI middleware: lets in who may come in, as `scope["state"]["person"]`."""

    def __init__(self, app: ASGIApp, rooms: Rooms) -> None:
        self._app, self._rooms = app, rooms
        self._access, self._accounts = rooms.settings.access, rooms.accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a WebSocket on, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        person = await run_in_threadpool(self._person, HTTPConnection(scope))
        scope.setdefault("state", {})["person"] = person
        refusal = _refusal(scope, person)
        if refusal is None:
            await self._app(scope, receive, self._watched(scope, send))
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION)(scope, receive, send)
        else:
            await refusal(scope, receive, self._watched(scope, send))

    def _person(self, connection: HTTPConnection) -> Person | None:
        if self._access.log_in == "none":
            return LOCAL
        kind, _, secret = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._accounts.of_token(secret.strip())
        cookie = connection.cookies.get(SESSION)
        return self._accounts.in_session(cookie) if cookie else None

    def _watched(self, scope: Scope, send: Send) -> Send:
        """Answers bear headers that keep browsers careful, and what was seen or done is in the trail."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if event := happening(self._rooms.worklist, Request(scope), message["status"]):
                    await run_in_threadpool(self._rooms.trail.tell, event)
            await send(message)

        return watched


def address_of(connection: HTTPConnection) -> str:
    """From where somebody asks."""
    return connection.client.host if connection.client else ""


def person_of(request: Request) -> Person:
    """Who asks, once the door has let that one in."""
    person: Person = request.state.person
    return person


def _refusal(scope: Scope, person: Person | None) -> Response | None:
    """Why somebody may not do this, as an answer; None where they may."""
    headers, path = Headers(scope=scope), scope["path"]
    method = scope.get("method", "GET")
    if _is_foreign(headers, method, scope["type"]):
        detail = f"requests from {headers.get('origin', 'unknown pages')} are not taken"
        return JSONResponse({"detail": detail}, HTTPStatus.FORBIDDEN)
    if any(path == each or (each.endswith("/") and path.startswith(each)) for each in _OPEN):
        return None
    if person is None:
        return _log_in_first(scope, headers)
    role = required(method, path)
    if not person.may(role):
        detail = f"{person.name} is a {person.role}, and this is for a {role}"
        return JSONResponse({"detail": detail}, HTTPStatus.FORBIDDEN)
    return None


def required(method: str, path: str) -> Role:
    """The role that a request asks for."""
    return "viewer" if method in _SAFE or path == "/log-out" else "reviewer"


def _is_foreign(headers: Headers, method: str, kind: str) -> bool:
    """Whether a page of another site made a browser send this; programs send no Origin and no cookie."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc != headers.get("host")
    changes = method not in _SAFE or kind == "websocket"
    return changes and "cookie" in headers and headers.get("sec-fetch-site") not in {"same-origin", "none"}


def _log_in_first(scope: Scope, headers: Headers) -> Response:
    if scope.get("method") == "GET" and "text/html" in headers.get("accept", ""):
        query = scope.get("query_string", b"").decode("latin-1")
        there = quote(scope["path"] + (f"?{query}" if query else ""), safe="/")
        return RedirectResponse(f"/log-in?next={there}", HTTPStatus.SEE_OTHER)
    return JSONResponse(
        {"detail": "log in first, or send a token"},
        HTTPStatus.UNAUTHORIZED,
        headers={"WWW-Authenticate": 'Bearer realm="AI Node"'},
    )


def happening(worklist: Worklist, request: Request, status: int) -> Event | None:
    """What an answer means for the audit trail; None where it told of no patient and changed nothing."""
    person: Person | None = request.state.person
    name, address = person.name if person else "unknown", address_of(request)
    if status == HTTPStatus.FORBIDDEN:
        return Event(audit.SECURITY_ALERT, "E", name, address, True, (audit.RESTRICTED_FUNCTION,))
    if person is None or status >= HTTPStatus.BAD_REQUEST:
        return None
    path, given = request.url.path, request.path_params
    study = str(given.get("study_instance_uid", ""))
    if path.startswith("/api/workitems/") and "uid" in given:
        with suppress(NoSuchWorkitem):
            study = worklist.get(given["uid"]).study_instance_uid
    if request.method not in _SAFE:
        return Event(audit.PROCEDURE, "U", name, address, study_instance_uid=study) if study else None
    if study:
        return Event(audit.ACCESSED, "R", name, address, study_instance_uid=study)
    if path == "/" or path.startswith(_SEARCHES):
        return Event(audit.QUERY, "E", name, address, query=f"{path}?{request.url.query}")
    return None
