from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from node.errors import Permanent
from node.jobs import schema
from node.jobs.board import PAGE, Board, View
from node.jobs.index import Index
from tests.unit.node.jobs.arrivals import arrival, wanted


def arrive(engine, number, *, modality="CT", minutes=0, **attributes):
    """A study of one image, so many minutes ago."""
    stored = arrival(1, study=f"1.{number}", series=f"1.{number}.3")
    instance = replace(
        stored.instance,
        received_at=datetime.now(UTC) - timedelta(minutes=minutes),
        attributes={"PatientID": f"P{number}", "Modality": modality, **attributes},
    )
    Index(engine).record([replace(stored, instance=instance)])
    return f"1.{number}"


def route(worklist, study):
    match = wanted(f"{study}.3.1", series=f"{study}.3")
    (item,) = worklist.schedule(study, [match], evidence={}, explanation=["why"])
    return item


def shown(engine, **view):
    return list(Board(engine).listing(View(**view)).uids)


def set_urgency(engine, item, urgency):
    with engine.begin() as connection:
        these = schema.workitems.c.uid == item.uid
        connection.execute(update(schema.workitems).where(these).values(urgency=urgency))


def test_urgent_studies_come_first_and_of_these_the_one_that_waits_longest(engine, worklist):
    for number, (minutes, urgency) in enumerate(
        [(1, None), (2, "LOW"), (3, "MEDIUM"), (4, "HIGH"), (5, "HIGH"), (6, None)]
    ):
        set_urgency(engine, route(worklist, arrive(engine, number, minutes=minutes)), urgency)
    assert shown(engine) == ["1.4", "1.3", "1.2", "1.0", "1.1", "1.5"]
    assert shown(engine, order="newest") == [f"1.{n}" for n in range(6)]
    assert shown(engine, order="oldest") == [f"1.{n}" for n in reversed(range(6))]


def test_a_study_without_workitems_is_shown_too(engine):
    study = arrive(engine, 1)
    listing = Board(engine).listing(View())
    assert (listing.uids, listing.total, listing.pages) == ([study], 1, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Müller", ["1.1"]),
        ("LLER^j", ["1.1"]),
        ("p1", ["1.1"]),
        ("100%", ["1.2"]),
        ("0%", ["1.2"]),
        ("_", ["1.3"]),
        ("skull", ["1.3"]),
        ("A77", ["1.2"]),
    ],
)
def test_text_is_searched_literally(engine, text, found):
    arrive(engine, 1, PatientName="Müller^Jürgen")
    arrive(engine, 2, StudyDescription="100% O2", AccessionNumber="A77")
    arrive(engine, 3, StudyDescription="skull_base")
    assert shown(engine, text=text) == found


def test_filters_of_workitems_fit_one_workitem_that_counts(engine, worklist):
    one, other = (route(worklist, arrive(engine, number, minutes=number)) for number in (1, 2))
    worklist.cancel(worklist.claim(one.uid, "w"), "no", Permanent.reason)
    assert shown(engine, state="CANCELED") == ["1.1"]
    assert shown(engine, state="SCHEDULED", algorithm=other.algorithm) == ["1.2"]
    assert shown(engine, state="CANCELED", algorithm="other") == []
    worklist.rerun(one.uid)
    assert shown(engine, state="CANCELED") == []


def test_modality_and_day_of_arrival(engine):
    arrive(engine, 1, modality="MR")
    arrive(engine, 2, modality="CT", minutes=3 * 24 * 60)
    today = datetime.now(UTC).date()
    assert shown(engine, modality="MR") == ["1.1"]
    assert shown(engine, until=today - timedelta(days=2)) == ["1.2"]
    assert shown(engine, since=today - timedelta(days=1)) == ["1.1"]
    assert shown(engine, since=date(2000, 1, 1), until=today) == ["1.1", "1.2"]


def test_pages_hold_every_study_once(engine):
    every = [arrive(engine, number, minutes=number) for number in range(PAGE + 3)]
    first, second, third = (Board(engine).listing(View(page=page)) for page in (1, 2, 3))
    assert first.pages == 2
    assert [*first.uids, *second.uids] == every
    assert third.uids == []


def test_the_pulse_changes_with_what_is_shown(engine, worklist):
    board = Board(engine)
    seen = [board.pulse()]

    def changed():
        seen.append(board.pulse())
        return seen[-1] != seen[-2]

    assert not changed()
    study = arrive(engine, 1)
    assert changed()
    item = route(worklist, study)
    assert changed()
    claimed = worklist.claim(item.uid, "w")
    assert changed()
    worklist.renew(claimed, progress=0.5, stage="run")
    assert changed()
    worklist.complete(claimed, {})
    assert changed()
    worklist.raise_priority(worklist.rerun(item.uid).uid)
    assert changed()
    assert not changed()


@given(text=st.text(max_size=20))
def test_no_text_breaks_the_search(tmp_path_factory, text):
    engine = schema.connect(f"sqlite:///{tmp_path_factory.mktemp('board') / 'ledger.sqlite'}")
    schema.metadata.create_all(engine)
    assert shown(engine, text=text) == []
    engine.dispose()
