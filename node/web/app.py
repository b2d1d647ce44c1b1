"""The web application: pages, JSON, health and metrics, put together."""

import socket
import sys
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from node.config import LOOPBACK
from node.errors import AINodeError, Permanent, Rejected
from node.jobs.schema import DatabaseUnavailable
from node.web import api, dicomweb, events, log_in, metrics, pages, similar, storing, study
from node.web.access import Door
from node.web.events import Pulse
from node.web.log_in import Patience
from node.web.rooms import Rooms

_PACKAGES = Path(sys.prefix) / "share/ainode/browser/node_modules"
_STATIC = {  # the first that fits is taken
    "/static/htmx": _PACKAGES / "htmx.org/dist",
    "/static/htmx-sse": _PACKAGES / "htmx-ext-sse/dist",
    "/static": Path(__file__).parent / "static",
}


def create_app(rooms: Rooms) -> FastAPI:
    """The application for one node."""
    app = FastAPIOffline(  # the API page comes from this server alone
        title="AI Node",
        version=api.VERSION,
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        static_url="/api/static",
    )
    settings = rooms.settings
    app.add_middleware(Door, rooms=rooms)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]", *settings.http.names])
    for name, folder in _STATIC.items():
        app.mount(name, StaticFiles(directory=folder, check_dir=False))
    app.state.rooms = rooms
    app.state.patience = Patience()
    app.state.pulse = Pulse(rooms.board)
    app.include_router(log_in.router)
    app.include_router(events.router)
    app.include_router(api.router)
    app.include_router(similar.router)
    app.include_router(dicomweb.router)
    app.include_router(storing.router)
    app.include_router(pages.router)
    app.include_router(study.router)
    app.add_exception_handler(AINodeError, _refuse)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    figures = metrics.registry(rooms)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> PlainTextResponse:
        """The process lives."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> PlainTextResponse:
        """The ledger answers, and the listener takes connections."""
        rooms.figures()
        dicom = rooms.settings.dicom
        try:
            socket.create_connection((dicom.host, dicom.port), timeout=2).close()
        except OSError:
            return PlainTextResponse(
                f"no listener on port {dicom.port} of {dicom.host}\n", HTTPStatus.SERVICE_UNAVAILABLE
            )
        return PlainTextResponse("ready\n")

    @app.get("/metrics", include_in_schema=False)
    def for_prometheus() -> Response:
        """What an operator asks, for Prometheus."""
        return Response(generate_latest(figures), media_type=CONTENT_TYPE_LATEST)

    return app


def _refuse(_request: Request, error: Exception) -> JSONResponse:
    status = error.http_status if isinstance(error, Rejected | Permanent) else 503
    return JSONResponse({"detail": str(error)}, status_code=status)


def _unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the ledger is away; try again"}, status_code=503)
