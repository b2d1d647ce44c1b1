"""A ledger of its own for each test, and arrivals to put into it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from node.config import Jobs
from node.jobs import schema
from node.jobs.index import Index
from node.jobs.outbox import Outbox
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist
from tests.unit.node.jobs.arrivals import arrival, wanted


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = schema.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    schema.migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def jobs() -> Jobs:
    return Jobs(lease_seconds=60, max_attempts=3, backoff_seconds=10)


@pytest.fixture
def index(engine: Engine) -> Index:
    return Index(engine)


@pytest.fixture
def worklist(engine: Engine, jobs: Jobs) -> Worklist:
    return Worklist(engine, jobs)


@pytest.fixture
def outbox(engine: Engine, jobs: Jobs) -> Outbox:
    return Outbox(engine, jobs)


@pytest.fixture
def scheduled(index: Index, worklist: Worklist) -> Callable[..., Workitem]:
    """Make a study complete and give the one workitem of its route."""

    def schedule(*numbers: int) -> Workitem:
        index.record([arrival(n) for n in numbers or (1, 2)])
        sops = [f"1.2.3.{n}" for n in numbers or (1, 2)]
        items = worklist.schedule(
            "1.2", [wanted(*sops)], evidence={"quiet_seconds": 5}, explanation=["matched"]
        )
        assert len(items) == 1
        return items[0]

    return schedule
