from datetime import UTC, datetime

import pytest

from node.errors import LeaseLost
from node.jobs.outbox import CONFIRMED, PENDING, Result


def result(uid="2.25.1", kind="seg"):
    return Result(
        uid, "2.25.9", "1.2", "2.25.2", "1.2.840", kind, f"2.25.9/{kind}.dcm", "00", datetime.now(UTC)
    )


def test_results_are_kept_with_a_delivery_for_each_destination(scheduled, worklist, outbox):
    item = worklist.claim(scheduled().uid, "worker")
    outbox.keep(item, "2.25.9", [result("2.25.3", "sr"), result()], {"run": 1.5})
    assert [r.role for r in outbox.results("2.25.9")] == ["seg", "sr"]
    assert [(d.destination, d.state) for d in outbox.deliveries(item.uid)] == [("pacs", PENDING)]
    kept = worklist.get(item.uid)
    assert (kept.run_uid, kept.seconds) == ("2.25.9", {"run": 1.5})


def test_a_result_known_already_stays_as_it_was(scheduled, worklist, outbox):
    item = worklist.claim(scheduled().uid, "worker")
    first = result()
    outbox.keep(item, "2.25.9", [first], {})
    outbox.keep(item, "2.25.9", [result()], {})
    assert outbox.results("2.25.9") == [first]


def test_a_worker_without_the_lease_keeps_nothing(scheduled, worklist, outbox):
    item = worklist.claim(scheduled().uid, "worker")
    worklist.complete(item, {})
    with pytest.raises(LeaseLost):
        outbox.keep(item, "2.25.9", [result()], {})
    assert outbox.results("2.25.9") == []


def test_a_failed_delivery_waits_longer_each_time(scheduled, worklist, outbox):
    item = worklist.claim(scheduled().uid, "worker")
    outbox.keep(item, "2.25.9", [result()], {})
    waits = []
    for _ in range(3):
        outbox.delivered(item, "pacs", PENDING, "away")
        waits.append((outbox.deliveries(item.uid)[0].not_before - datetime.now(UTC)).total_seconds())
    assert waits == sorted(waits)
    outbox.delivered(item, "pacs", CONFIRMED)
    last = outbox.deliveries(item.uid)[0]
    assert (last.state, last.tries, last.error) == (CONFIRMED, 4, "")
    assert last.confirmed_at


def test_a_confirmed_delivery_stays_confirmed(scheduled, worklist, outbox):
    item = worklist.claim(scheduled().uid, "worker")
    outbox.keep(item, "2.25.1", [], {})
    outbox.delivered(item, "pacs", CONFIRMED)
    outbox.delivered(item, "pacs", PENDING, "said too late")
    assert [d.state for d in outbox.deliveries(item.uid)] == [CONFIRMED]
