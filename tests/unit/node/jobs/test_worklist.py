import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from node.config import Jobs
from node.errors import CancelRequested, LeaseLost, Reason
from node.jobs import schema
from node.jobs import worklist as verbs
from node.jobs.workitem import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED
from node.jobs.worklist import NoSuchWorkitem, Worklist, WrongState
from tests.unit.node.jobs.arrivals import arrival, wanted

REASON = Reason("110522", "DCM", "Object Types not supported")


def lose_lease(engine, item):
    past = datetime.now(UTC) - timedelta(seconds=1)
    with engine.begin() as connection:
        connection.execute(
            update(schema.workitems).where(schema.workitems.c.uid == item.uid).values(lease_until=past)
        )


def test_a_complete_study_has_its_workitems_scheduled(scheduled, worklist, index):
    item = scheduled()
    assert item.state == SCHEDULED
    assert worklist.get(item.uid) == item
    study = index.study("1.2")
    assert (study.state, study.revision, study.routed) == ("COMPLETE", 1, 1)
    assert study.evidence == {"quiet_seconds": 5}


def test_scheduling_twice_makes_one_workitem(scheduled, worklist):
    assert scheduled().uid == scheduled().uid
    assert len(worklist.query()) == 1


def test_of_many_workers_exactly_one_claims(scheduled, worklist):
    item = scheduled()
    claims = []
    threads = [
        threading.Thread(target=lambda n=n: claims.append(worklist.claim(item.uid, f"worker-{n}")))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in claims) == 1
    assert worklist.get(item.uid).state == IN_PROGRESS


def test_a_lost_worker_is_fenced_off(scheduled, worklist, engine):
    lost = worklist.claim(scheduled().uid, "lost")
    lose_lease(engine, lost)
    second = worklist.claim(lost.uid, "second")
    assert second.attempt == 2
    with pytest.raises(LeaseLost):
        worklist.renew(lost)
    worklist.complete(lost, {})
    worklist.cancel(lost, "too late", REASON)
    assert worklist.get(lost.uid).state == IN_PROGRESS
    worklist.complete(second, {"run": 1.0})
    assert worklist.get(lost.uid).state == COMPLETED


def test_attempts_end_with_a_coded_reason(scheduled, worklist, engine, jobs):
    uid = scheduled().uid
    for number in range(1, jobs.max_attempts + 1):
        item = worklist.claim(uid, "worker")
        assert item.attempt == number
        lose_lease(engine, item)
    assert worklist.claim(uid, "worker") is None
    ended = worklist.get(uid)
    assert ended.state == CANCELED
    assert ended.reason["value"] == "110501"


def test_a_released_workitem_waits_and_stays_in_progress(scheduled, worklist):
    item = worklist.claim(scheduled().uid, "worker")
    worklist.release(item, "the archive is away")
    released = worklist.get(item.uid)
    assert released.state == IN_PROGRESS
    assert released.not_before > datetime.now(UTC) + timedelta(seconds=5)
    assert worklist.due() == []
    assert worklist.claim(item.uid, "worker") is None


def test_backoff_doubles_up_to_an_hour():
    jobs = Jobs(backoff_seconds=10)
    assert [verbs.backoff(jobs, n).total_seconds() for n in (1, 2, 3, 20, 500)] == [10, 20, 40, 3600, 3600]


def test_a_scheduled_workitem_is_canceled_at_once(scheduled, worklist):
    item = scheduled()
    worklist.request_cancel(item.uid)
    assert worklist.get(item.uid).state == CANCELED
    with pytest.raises(WrongState, match="already"):
        worklist.request_cancel(item.uid)


def test_a_running_workitem_is_canceled_at_its_next_step(scheduled, worklist):
    item = worklist.claim(scheduled().uid, "worker")
    worklist.request_cancel(item.uid)
    assert worklist.get(item.uid).state == IN_PROGRESS
    with pytest.raises(CancelRequested, match="on request"):
        worklist.renew(item, progress=0.5, stage="run")


def test_a_final_workitem_never_changes_and_a_rerun_is_a_new_one(scheduled, worklist):
    item = worklist.claim(scheduled().uid, "worker")
    with pytest.raises(WrongState, match="cancel it first"):
        worklist.rerun(item.uid)
    worklist.complete(item, {})
    fresh = worklist.rerun(item.uid)
    assert fresh.uid != item.uid
    assert (fresh.state, fresh.attempt, fresh.algorithm) == (SCHEDULED, 0, item.algorithm)
    old = worklist.get(item.uid)
    assert (old.state, old.superseded) == (COMPLETED, True)
    assert worklist.claim(item.uid, "worker") is None


def test_late_images_supersede_what_was_made_without_them(scheduled, worklist, index):
    first = scheduled(1, 2)
    index.record([arrival(3)])
    assert (index.study("1.2").state, index.study("1.2").revision) == ("RECEIVING", 2)
    later = worklist.schedule("1.2", [wanted("1.2.3.1", "1.2.3.2", "1.2.3.3")], evidence={}, explanation=[])
    assert [i.revision for i in later] == [2]
    old = worklist.get(first.uid)
    assert (old.state, old.superseded, old.reason["value"]) == (CANCELED, True, "110528")


def test_late_images_of_another_series_leave_the_result_current(scheduled, worklist, index):
    first = worklist.claim(scheduled(1, 2).uid, "worker")
    worklist.complete(first, {})
    index.record([arrival(9, series="1.2.4")])
    later = worklist.schedule("1.2", [wanted("1.2.3.1", "1.2.3.2")], evidence={}, explanation=[])
    assert later == []
    assert not worklist.get(first.uid).superseded


def test_an_unknown_uid_is_named(worklist):
    with pytest.raises(NoSuchWorkitem, match="9\\.9"):
        worklist.get("9.9")


def test_the_same_ledger_is_seen_by_another_process(scheduled, jobs, tmp_path):
    item = scheduled()
    other = Worklist(schema.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), jobs)
    assert other.get(item.uid) == item
    other._engine.dispose()


def test_a_rerun_stays_when_late_images_come_to_another_series(scheduled, worklist, index):
    failed = worklist.claim(scheduled(1, 2).uid, "worker")
    worklist.cancel(failed, "no chest in view", REASON)
    rerun = worklist.rerun(failed.uid)
    index.record([arrival(9, series="1.2.4")])
    later = worklist.schedule("1.2", [wanted("1.2.3.1", "1.2.3.2")], evidence={}, explanation=[])
    assert [i.uid for i in later] == [rerun.uid]
    assert not worklist.get(rerun.uid).superseded


def test_a_series_that_is_chosen_again_is_done_anew(scheduled, worklist, index):
    first = scheduled(1, 2)
    other = [wanted("1.2.4.9", series="1.2.4")]
    for number, matches in ((9, other), (8, [wanted("1.2.3.1", "1.2.3.2")])):
        index.record([arrival(number, series="1.2.4")])
        later = worklist.schedule("1.2", matches, evidence={}, explanation=[])
    assert [(i.series_instance_uid, i.revision, i.superseded) for i in later] == [("1.2.3", 3, False)]
    assert worklist.get(first.uid).state == CANCELED


def test_what_waits_for_its_destination_is_not_delivered_once_superseded(scheduled, worklist, index, outbox):
    old = worklist.claim(scheduled(1, 2).uid, "worker")
    outbox.keep(old, "2.25.1", [], {})
    worklist.release(old, "the archive is away")
    index.record([arrival(3)])
    worklist.schedule("1.2", [wanted("1.2.3.1", "1.2.3.2", "1.2.3.3")], evidence={}, explanation=[])
    ended = worklist.get(old.uid)
    assert (ended.state, ended.reason["value"]) == (CANCELED, "110528")


def test_a_workitem_is_repeated_once(scheduled, worklist):
    item = worklist.claim(scheduled().uid, "worker")
    worklist.complete(item, {})
    worklist.rerun(item.uid)
    with pytest.raises(WrongState, match="already"):
        worklist.rerun(item.uid)


def test_an_attempt_that_is_handed_back_does_not_count(scheduled, worklist, jobs):
    uid = scheduled().uid
    for _ in range(jobs.max_attempts + 1):
        worklist.hand_back(worklist.claim(uid, "worker"))
    assert worklist.claim(uid, "worker").state == IN_PROGRESS


def test_the_sweep_puts_stat_before_what_is_older(scheduled, worklist, engine, index):
    scheduled()
    index.record([arrival(1, study="1.3", series="1.3.3")])
    (late,) = worklist.schedule("1.3", [wanted("1.3.3.1", series="1.3.3")], evidence={}, explanation=[])
    with engine.begin() as connection:
        connection.execute(
            update(schema.workitems).where(schema.workitems.c.uid == late.uid).values(priority="stat")
        )
    assert [i.uid for i in worklist.due(limit=1)] == [late.uid]
