from collections.abc import Callable
from pathlib import Path

import pytest

from algorithms import CATALOGUE
from node.config import Jobs, Settings
from node.errors import Transient
from node.jobs.reception import Reception
from node.jobs.routebook import RouteBook
from node.jobs.workitem import Workitem


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def reception(tmp_path: Path, index, worklist, sent: list[str]) -> Reception:
    settings = Settings(state=tmp_path, jobs=Jobs(lease_seconds=60, sweep_seconds=5))
    book = RouteBook(None, CATALOGUE, [])
    return Reception(
        settings, CATALOGUE, index, worklist, book, wake=lambda items: sent.extend(i.uid for i in items)
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A monotonic clock that the test moves on."""
    time = {"now": 1000.0}
    monkeypatch.setattr("node.jobs.reception.time.monotonic", lambda: time["now"])

    def move(seconds: float) -> None:
        time["now"] += seconds

    return move


def test_the_sweep_wakes_what_was_never_woken(reception, scheduled, sent, clock):
    item = scheduled()
    reception._sweep()
    assert sent == [item.uid]


def test_the_sweep_wakes_the_same_attempt_ever_more_rarely(reception, scheduled, sent, clock):
    scheduled()
    counts = []
    for _ in range(10):
        reception._sweep()
        counts.append(len(sent))
        clock(60)
    assert counts == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4]


def test_the_sweep_wakes_the_next_attempt_at_once(reception, scheduled, worklist, sent, clock):
    item = scheduled()
    reception._sweep()
    held = worklist.claim(item.uid, "worker")
    worklist.release(held, "away", held.created_at)
    clock(5)
    reception._sweep()
    assert sent == [item.uid, item.uid]


def test_what_a_worker_holds_is_left_alone(reception, scheduled, worklist, sent, clock):
    worklist.claim(scheduled().uid, "worker")
    reception._sweep()
    assert sent == []


def test_a_broker_that_is_away_is_asked_again(reception, scheduled, sent, clock):
    item = scheduled()
    working = reception.wake

    def away(_items: list[Workitem]) -> None:
        raise Transient("the broker is away")

    reception.wake = away
    reception._tick()
    reception.wake = working
    clock(5)
    reception._tick()
    assert sent == [item.uid]
