"""The verbs of the worklist in any order, against the truth table of PS3.4 Table CC.1.1-2."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import select, update

from node.config import Jobs
from node.errors import CancelRequested, LeaseLost, Reason
from node.jobs import schema
from node.jobs.index import Index
from node.jobs.outbox import Outbox
from node.jobs.workitem import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Workitem
from node.jobs.worklist import Worklist, WrongState
from tests.unit.node.jobs.arrivals import arrival, wanted

FINAL = (COMPLETED, CANCELED)
WAYS = {(SCHEDULED, IN_PROGRESS), (SCHEDULED, CANCELED), (IN_PROGRESS, COMPLETED), (IN_PROGRESS, CANCELED)}
REASON = Reason("110522", "DCM", "Object Types not supported")
JOBS = Jobs(lease_seconds=600, max_attempts=2, backoff_seconds=600)


@dataclass
class Model:
    """What is to be true of a workitem.

    Attributes:
        attempt: how many were started.
        failed: how many of them count against the limit.
        trying: an attempt has begun and did not say how it ended.
        leased: nobody else may have it.
        put_off: it waits for its back-off.
        stored: its results are, so that attempts are no longer counted.
        states: that it went through.
    """

    attempt: int = 0
    failed: int = 0
    trying: bool = False
    leased: bool = False
    put_off: bool = False
    stored: bool = False
    cancel_requested: bool = False
    superseded: bool = False
    states: list[str] = field(default_factory=lambda: [SCHEDULED])

    @property
    def state(self) -> str:
        return self.states[-1]

    @property
    def due(self) -> bool:
        return self.state not in FINAL and not self.leased and not self.put_off

    def enter(self, state: str) -> None:
        if state != self.state:
            self.states.append(state)
        self.leased = self.trying = state == IN_PROGRESS

    def end_attempt(self, *, counts: bool) -> None:
        self.leased = self.trying = False
        self.failed += counts
        if self.cancel_requested:
            self.enter(CANCELED)


class Verbs(RuleBasedStateMachine):
    """Workers and people at one worklist; a claim may be used long after it was lost."""

    uids = Bundle("uids")
    claims = Bundle("claims")

    @initialize()
    def open(self) -> None:
        self.engine = schema.connect("sqlite://")
        schema.metadata.create_all(self.engine)
        self.outbox = Outbox(self.engine, JOBS)
        self.worklist = Worklist(self.engine, JOBS)
        self.models: dict[str, Model] = {}

    def teardown(self) -> None:
        self.engine.dispose()

    def change(self, uid: str, **values: datetime) -> None:
        this = schema.workitems.c.uid == uid
        with self.engine.begin() as connection:
            connection.execute(update(schema.workitems).where(this).values(**values))

    def current(self, claim: Workitem) -> Model | None:
        """The model of a claim, if its attempt has not ended; a lease that lapsed is still to be had."""
        model = self.models[claim.uid]
        return model if model.trying and model.attempt == claim.attempt else None

    @rule(target=uids, number=st.integers(1, 3))
    def create(self, number: int):
        study, series = f"1.{number}", f"1.{number}.3"
        Index(self.engine).record([arrival(1, study=study, series=series)])
        match = wanted(f"{series}.1", series=series)
        made = [i.uid for i in self.worklist.schedule(study, [match], evidence={}, explanation=[])]
        new = [uid for uid in made if uid not in self.models]
        self.models |= {uid: Model() for uid in new}
        return multiple(*new)

    @rule(target=claims, uid=uids, worker=st.sampled_from(["one", "two"]))
    def claim(self, uid: str, worker: str):
        model = self.models[uid]
        item = self.worklist.claim(uid, worker)
        if not model.due:
            assert item is None
            return multiple()
        model.attempt += 1
        model.failed += model.trying
        model.enter(IN_PROGRESS)
        if model.cancel_requested or (model.failed >= JOBS.max_attempts and not model.stored):
            model.enter(CANCELED)
            assert item is None
            return multiple()
        assert (item.attempt, item.worker, item.state) == (model.attempt, worker, IN_PROGRESS)
        return item

    @rule(claim=claims)
    def renew(self, claim: Workitem) -> None:
        model = self.current(claim)
        if model is None:
            with pytest.raises(LeaseLost):
                self.worklist.renew(claim)
        elif model.cancel_requested:
            with pytest.raises(CancelRequested):
                self.worklist.renew(claim, progress=0.5, stage="run")
            model.leased = True
        else:
            self.worklist.renew(claim)
            model.leased = True

    @rule(claim=claims)
    def store(self, claim: Workitem) -> None:
        model = self.current(claim)
        if model is None:
            with pytest.raises(LeaseLost):
                self.outbox.keep(claim, "2.25.1", [], {})
        else:
            self.outbox.keep(claim, "2.25.1", [], {})
            model.stored = True

    @rule(claim=claims)
    def release(self, claim: Workitem) -> None:
        self.worklist.release(claim, "the archive is away")
        if model := self.current(claim):
            model.put_off = True
            model.end_attempt(counts=True)

    @rule(claim=claims)
    def hand_back(self, claim: Workitem) -> None:
        self.worklist.hand_back(claim)
        if model := self.current(claim):
            model.put_off = False
            model.end_attempt(counts=False)

    @rule(claim=claims)
    def complete(self, claim: Workitem) -> None:
        self.worklist.complete(claim, {"run": 1.0})
        if model := self.current(claim):
            model.enter(COMPLETED)

    @rule(claim=claims)
    def cancel(self, claim: Workitem) -> None:
        self.worklist.cancel(claim, "no chest in view", REASON)
        if model := self.current(claim):
            model.enter(CANCELED)

    @rule(uid=uids)
    def end_without_a_claim(self, uid: str) -> None:
        if self.models[uid].state != IN_PROGRESS:
            with pytest.raises(WrongState):
                self.worklist.complete(self.worklist.get(uid), {})
            with pytest.raises(WrongState):
                self.worklist.cancel(self.worklist.get(uid), "", REASON)

    @rule(uid=uids)
    def request_cancel(self, uid: str) -> None:
        model = self.models[uid]
        if model.state in FINAL:
            with pytest.raises(WrongState):
                self.worklist.request_cancel(uid)
            return
        self.worklist.request_cancel(uid)
        model.cancel_requested = True
        if not model.leased:
            model.enter(CANCELED)

    @rule(target=uids, uid=uids)
    def rerun(self, uid: str):
        model = self.models[uid]
        if model.state not in FINAL or model.superseded:
            with pytest.raises(WrongState):
                self.worklist.rerun(uid)
            return multiple()
        fresh = self.worklist.rerun(uid)
        assert fresh.uid not in self.models
        model.superseded = True
        self.models[fresh.uid] = Model()
        return fresh.uid

    @rule(uid=uids)
    def lose_the_lease(self, uid: str) -> None:
        if self.models[uid].leased:
            self.change(uid, lease_until=datetime.now(UTC) - timedelta(seconds=1))
            self.models[uid].leased = False

    @rule(uid=uids)
    def wait_for_the_back_off(self, uid: str) -> None:
        self.change(uid, not_before=datetime.now(UTC) - timedelta(seconds=1))
        self.models[uid].put_off = False

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for item in self.items():
            model = self.models[item.uid]
            assert (item.state, item.attempt, item.superseded) == (
                model.state,
                model.attempt,
                model.superseded,
            )
            assert (item.run_uid is not None) == model.stored
            assert (item.reason is not None) == (item.state == CANCELED)
            assert (item.ended_at is not None) == (item.state in FINAL)

    @invariant()
    def nothing_goes_a_way_that_the_standard_does_not_know(self) -> None:
        for item in self.items():
            assert set(pairwise(self.models[item.uid].states)) <= WAYS

    @invariant()
    def the_sweep_finds_what_waits_and_nothing_else(self) -> None:
        if hasattr(self, "worklist"):
            assert {i.uid for i in self.worklist.due()} == {u for u, m in self.models.items() if m.due}

    @invariant()
    def only_an_attempt_that_is_being_made_is_open(self) -> None:
        if not hasattr(self, "engine"):
            return
        query = select(schema.attempts.c.workitem_uid).where(schema.attempts.c.ended_at.is_(None))
        with self.engine.connect() as connection:
            assert set(connection.scalars(query)) == {u for u, m in self.models.items() if m.trying}

    def items(self) -> Iterator[Workitem]:
        yield from self.worklist.query() if hasattr(self, "worklist") else ()


TestVerbs = Verbs.TestCase
TestVerbs.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
