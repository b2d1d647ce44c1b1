import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from node.config import Jobs, Settings
from node.config import Notices as Told
from node.jobs import notices, schema
from node.jobs.notices import GIVEN_UP, PENDING, SENT, Notices
from tests.notice_receiver import Receiver, receiver

SCORE = {"name": "Abnormality", "urgency": "HIGH", "verdict": {"meaning": "Abnormal"}}


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def settings(receiver, tmp_path) -> Settings:
    jobs = Jobs(backoff_seconds=10, sweep_seconds=0.1)
    return Settings(state=tmp_path, jobs=jobs, notices=Told(url=receiver.url, timeout_seconds=0.5))


@pytest.fixture
def raised(scheduled, worklist, outbox):
    """A workitem that found something urgent."""
    item = worklist.claim(scheduled().uid, "worker")
    outbox.keep(item, "2.25.9", [], {}, urgency="HIGH", notice=notices.fresh(item, "2.25.9", SCORE))
    return item


def pass_time(engine, **ago: float) -> None:
    """Make every notice due, and this old."""
    past = datetime.now(UTC) - timedelta(**ago)
    with engine.begin() as connection:
        connection.execute(schema.notices.update().values(not_before=past, created_at=past))


def test_a_notice_names_what_was_found_and_nobody(raised, settings, engine, receiver):
    Notices(engine, settings).send_due()
    assert receiver.seen == [
        {
            "study": "1.2",
            "series": "1.2.3",
            "workitem": raised.uid,
            "algorithm": "chest-ct-annotation",
            "finding": "Abnormality",
            "verdict": "Abnormal",
            "urgency": "HIGH",
        }
    ]
    notice = Notices(engine, settings).of_run("2.25.9")
    assert (notice.state, notice.tries, notice.error) == (SENT, 1, "")


def test_a_notice_that_was_taken_is_not_sent_again(raised, settings, engine, receiver, outbox):
    sender = Notices(engine, settings)
    sender.send_due()
    outbox.keep(raised, "2.25.9", [], {}, urgency="HIGH", notice=notices.fresh(raised, "2.25.9", SCORE))
    sender.send_due()
    assert len(receiver.seen) == 1


def test_a_notice_waits_for_a_receiver_that_is_down(raised, settings, engine, receiver):
    receiver.status = 500
    sender = Notices(engine, settings)
    sender.send_due()
    sender.send_due()
    waiting = sender.of_run("2.25.9")
    assert (len(receiver.seen), waiting.state, waiting.tries) == (1, PENDING, 1)
    assert "500" in waiting.error
    receiver.status = 200
    pass_time(engine, seconds=1)
    Notices(engine, settings).send_due()
    assert sender.of_run("2.25.9").state == SENT


def test_nobody_listening_is_said_by_host_without_the_secrets_of_the_url(raised, settings, engine):
    away = Told(url="http://user:secret@127.0.0.1:9/token")
    sender = Notices(engine, settings.model_copy(update={"notices": away}))
    sender.send_due()
    error = sender.of_run("2.25.9").error
    assert error.startswith("127.0.0.1")
    assert "secret" not in error
    assert "token" not in error


def test_a_redirect_is_not_followed(raised, settings, engine, receiver):
    receiver.status, receiver.location = 307, receiver.url
    Notices(engine, settings).send_due()
    assert len(receiver.seen) == 1
    assert "307" in Notices(engine, settings).of_run("2.25.9").error


def test_a_notice_of_yesterday_is_given_up(raised, settings, engine, receiver):
    receiver.status = 503
    pass_time(engine, days=2)
    Notices(engine, settings).send_due()
    assert Notices(engine, settings).of_run("2.25.9").state == GIVEN_UP


def test_of_two_senders_one_sends(raised, settings, engine, receiver):
    senders = [threading.Thread(target=Notices(engine, settings).send_due) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(receiver.seen) == 1


def test_the_sender_works_until_it_is_stopped(raised, settings, engine, receiver):
    stop = threading.Event()
    thread = threading.Thread(target=Notices(engine, settings).run, args=(stop,))
    thread.start()
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not receiver.seen and datetime.now(UTC) < deadline:
        stop.wait(0.05)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert len(receiver.seen) == 1


def test_without_an_address_the_sender_ends_at_once(raised, settings, engine, receiver):
    Notices(engine, settings.model_copy(update={"notices": Told()})).run(threading.Event())
    assert receiver.seen == []
