"""Events for pages that stay open (server-sent events): the board has changed, fetch what you show again."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from node.jobs.board import Board
from node.jobs.schema import DatabaseUnavailable
from node.web.rooms import Entered

router = APIRouter(prefix="/api", tags=["worklist"])

_EVERY_SECONDS: Final = 1.0
_SIGN_OF_LIFE: Final = 15
"""Looks without a change after which a comment is sent, so that proxies keep the connection."""


class Pulse:
    """The pulse of the board, asked for once a second however many pages are open."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._latest, self._at = 0, -_EVERY_SECONDS

    def feel(self) -> int:
        """The latest pulse."""
        with self._lock:
            if time.monotonic() - self._at >= _EVERY_SECONDS * 0.9:
                with suppress(DatabaseUnavailable):  # pages stay as they are until it is back
                    self._latest = self._board.pulse()
                self._at = time.monotonic()
            return self._latest


@router.get("/events", response_class=StreamingResponse)
async def events(rooms: Entered, request: Request) -> StreamingResponse:
    """`changed`, each time something on the worklist has."""
    pulse: Pulse = request.app.state.pulse
    return StreamingResponse(
        _changes(pulse),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _changes(pulse: Pulse) -> AsyncIterator[str]:
    seen, quiet = await run_in_threadpool(pulse.feel), 0
    yield "retry: 2000\n\n"
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        now = await run_in_threadpool(pulse.feel)
        if now != seen:
            yield "event: changed\ndata: the worklist\n\n"
            seen, quiet = now, 0
        elif (quiet := quiet + 1) >= _SIGN_OF_LIFE:
            yield ": nothing new\n\n"
            quiet = 0
