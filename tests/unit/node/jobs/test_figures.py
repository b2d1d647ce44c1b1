from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from node.config import Jobs
from node.jobs import schema
from node.jobs.figures import figures
from node.jobs.index import Index
from node.jobs.worklist import Worklist
from tests.unit.node.jobs.arrivals import arrival, wanted


@pytest.fixture
def worklist(engine):
    Index(engine).record([arrival(1), arrival(2)])
    worklist = Worklist(engine, Jobs())
    worklist.schedule("1.2", [wanted("1.2.3.1", "1.2.3.2")], evidence={}, explanation=[])
    return worklist


def test_an_empty_ledger_has_nothing_to_tell(engine):
    found = figures(engine)
    assert (found.instances, found.received_bytes, found.last_arrival) == (0, 0, None)
    assert not any((found.workitems, found.waiting, found.durations, found.deliveries, found.undelivered))


def test_what_waits_is_counted_with_its_age(engine, worklist):
    (item,) = worklist.query()
    earlier = datetime.now(UTC) - timedelta(minutes=5)
    with engine.begin() as connection:
        connection.execute(update(schema.workitems).values(not_before=earlier, priority="stat"))
    number, age = figures(engine).waiting["stat"]
    assert number == 1
    assert 300 <= age < 360
    worklist.claim(item.uid, "worker")
    assert figures(engine).waiting == {}


def test_durations_are_those_of_completed_workitems(engine, worklist):
    (item,) = worklist.query()
    worklist.complete(worklist.claim(item.uid, "worker"), {"run": 3.0})
    found = figures(engine)
    assert found.durations == {(item.algorithm, "run", 0.5): 3.0, (item.algorithm, "run", 0.95): 3.0}
    assert found.workitems == {(item.algorithm, "COMPLETED"): 1}


def test_a_lost_worker_is_counted(engine, worklist):
    (item,) = worklist.query()
    worklist.claim(item.uid, "first")
    over = datetime.now(UTC) - timedelta(seconds=1)
    with engine.begin() as connection:
        connection.execute(update(schema.workitems).values(lease_until=over))
    worklist.claim(item.uid, "second")
    assert figures(engine).lost_leases == 1
