"""A node's web side on a ledger of its own."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from algorithms import CATALOGUE
from node.config import Audit, Dicom, Jobs, Settings
from node.jobs import schema
from node.jobs.accounts import Accounts
from node.jobs.board import Board
from node.jobs.figures import figures
from node.jobs.gallery import Gallery
from node.jobs.index import Index
from node.jobs.matching import Matching
from node.jobs.outbox import Outbox
from node.jobs.verdicts import Verdicts
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist
from node.web.app import create_app
from node.web.audit import Trail
from node.web.rooms import Rooms
from tests.unit.node.jobs.arrivals import arrival, wanted


@pytest.fixture
def listening() -> int:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def rooms(tmp_path: Path, listening: int) -> Rooms:
    engine = schema.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    schema.migrate(engine)
    woken: list[Workitem] = []
    jobs = Jobs()
    yield Rooms(
        Settings(state=tmp_path, dicom=Dicom(port=listening)),
        CATALOGUE,
        Index(engine),
        Board(engine),
        Worklist(engine, jobs),
        Outbox(engine, jobs),
        Verdicts(engine),
        Gallery(engine, tmp_path / "gallery"),
        Matching(engine),
        Accounts(engine),
        Trail(tmp_path / "audit.log", Audit()),
        figures=partial(figures, engine),
        wake=woken.extend,
    )
    engine.dispose()


@pytest.fixture
def client(rooms: Rooms) -> TestClient:
    with TestClient(create_app(rooms), base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.fixture
def scheduled(rooms: Rooms) -> Callable[[], Workitem]:
    def schedule() -> Workitem:
        rooms.index.record([arrival(1), arrival(2)])
        (item,) = rooms.worklist.schedule(
            "1.2", [wanted("1.2.3.1", "1.2.3.2")], evidence={"quiet_seconds": 5.0}, explanation=["it matched"]
        )
        return item

    return schedule
