import pytest
from sqlalchemy import update

from node.jobs import schema
from node.jobs.urgency import most_urgent
from node.jobs.workitem import SCHEDULED
from tests.unit.node.jobs.arrivals import arrival, wanted


@pytest.fixture
def study(index, worklist):
    """Make a study with a workitem for each route."""

    def make(number: int, *routes: str):
        series = f"1.{number}.3"
        index.record([arrival(1, study=f"1.{number}", series=series)])
        matches = [wanted(f"{series}.1", route=route, series=series) for route in routes]
        return worklist.schedule(f"1.{number}", matches, evidence={}, explanation=[])

    return make


@pytest.fixture
def found(worklist, outbox):
    """Perform a workitem that finds something of this urgency."""

    def perform(item, urgency: str | None):
        claimed = worklist.claim(item.uid, "worker")
        lifted = outbox.keep(claimed, f"run of {item.uid}"[-60:], [], {}, urgency=urgency)
        worklist.complete(worklist.get(item.uid), {})
        return lifted

    return perform


def studies(items) -> list[str]:
    return [item.study_instance_uid for item in items]


def test_the_most_urgent_score_counts():
    scores = [{"urgency": u} for u in ("LOW", None, "MEDIUM", "HIGH", "MEDIUM")]
    assert most_urgent(scores) == {"urgency": "HIGH"}
    assert most_urgent(scores[1:2]) is None


def test_a_study_with_an_urgent_finding_is_on_top_with_all_its_workitems(study, found, worklist):
    triage, _ = study(1, "triage", "organs")
    for number in (2, 3):
        study(number, "organs")
    found(triage, "HIGH")
    assert studies(worklist.query()) == ["1.3", "1.2", "1.1", "1.1"]
    by_urgency = worklist.query(sort="urgency")
    assert studies(by_urgency) == ["1.1", "1.1", "1.3", "1.2"]
    assert [item.urgency for item in by_urgency] == ["HIGH", None, None, None]


def test_high_comes_before_medium_and_medium_before_the_rest(study, found, worklist):
    for number, urgency in ((1, "MEDIUM"), (2, "HIGH"), (3, "LOW"), (4, None), (5, "HIGH"), (6, "MEDIUM")):
        (item,) = study(number, "triage")
        found(item, urgency)
    order = ["1.5", "1.2", "1.6", "1.1", "1.4", "1.3"]
    assert studies(worklist.query(sort="urgency")) == order
    assert studies(worklist.query(sort="urgency", limit=2, offset=1)) == order[1:3]


def test_an_urgent_study_waits_no_longer_but_others_do(study, found, worklist):
    triage, organs = study(1, "triage", "organs")
    (other,) = study(2, "organs")
    assert [i.uid for i in found(triage, "HIGH")] == [organs.uid]
    assert [i.uid for i in worklist.due()] == [organs.uid, other.uid]
    assert (worklist.get(organs.uid).priority, worklist.get(organs.uid).state) == ("stat", SCHEDULED)
    assert worklist.get(other.uid).priority == "routine"


def test_what_was_put_off_to_the_night_starts_at_once(study, found, worklist, engine):
    triage, organs = study(1, "triage", "organs")
    late = organs.not_before.replace(year=organs.not_before.year + 1)
    with engine.begin() as connection:
        this = schema.workitems.c.uid == organs.uid
        connection.execute(update(schema.workitems).where(this).values(not_before=late))
    assert organs.uid not in [i.uid for i in worklist.due()]
    found(triage, "HIGH")
    assert [i.uid for i in worklist.due()] == [organs.uid]


@pytest.mark.parametrize("urgency", ["MEDIUM", "LOW", None])
def test_what_is_less_than_high_moves_no_other_workitem(study, found, worklist, urgency):
    triage, organs = study(1, "triage", "organs")
    assert found(triage, urgency) == []
    assert worklist.get(organs.uid).priority == "routine"


def test_a_rerun_is_as_urgent_as_what_it_repeats_until_it_says_otherwise(study, found, worklist):
    (first,) = study(1, "triage")
    study(2, "organs")
    found(first, "HIGH")
    again = worklist.rerun(first.uid)
    assert studies(worklist.query(sort="urgency")) == ["1.1", "1.1", "1.2"]
    found(again, None)
    assert worklist.get(again.uid).urgency is None


def test_a_verdict_that_was_superseded_lifts_nothing(study, found, worklist):
    (first,) = study(1, "triage")
    found(first, "HIGH")
    found(worklist.rerun(first.uid), "LOW")
    study(2, "organs")
    assert studies(worklist.query(sort="urgency")) == ["1.2", "1.1", "1.1"]


def test_late_images_leave_a_study_on_top_until_they_are_judged(study, found, worklist, index):
    (first,) = study(1, "triage")
    found(first, "HIGH")
    study(2, "organs")
    index.record([arrival(2, study="1.1", series="1.1.3")])
    late = wanted("1.1.3.1", "1.1.3.2", route="triage", series="1.1.3")
    (second,) = worklist.schedule("1.1", [late], evidence={}, explanation=[])
    assert (second.urgency, worklist.get(first.uid).superseded) == ("HIGH", True)
    assert studies(worklist.query(sort="urgency")) == ["1.1", "1.1", "1.2"]
    found(second, "LOW")
    assert studies(worklist.query(sort="urgency")) == ["1.1", "1.2", "1.1"]
