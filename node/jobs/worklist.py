"""The worklist: workitems with the states and verbs of a Unified Procedure Step (PS3.4 Annex CC).

SCHEDULED -> IN PROGRESS -> COMPLETED or CANCELED; nothing goes back. The node holds the claim, not a worker:
each try is an attempt with a lease, and its number fences off a worker that lost it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, or_, select, update

from node.config import Jobs
from node.errors import AttemptsExhausted, CancelRequested, LeaseLost, Reason, Rejected
from node.jobs.index import COMPLETE
from node.jobs.routing import Match
from node.jobs.schema import attempts, insert_once, reading, studies, workitems
from node.jobs.urgency import Sort, ordered, standing
from node.jobs.workitem import (
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    LOST,
    SCHEDULED,
    Workitem,
    backoff,
    dicom_uid,
    fresh_row,
    input_uid,
    untouched,
)

CANCELED_BY_PERSON = Reason("110500", "DCM", "Doctor canceled procedure")
ON_REQUEST = "canceled on request"
SUPERSEDED = "a later revision of the study has a workitem in its place"
HANDED_BACK = "the worker was stopped"
RESCHEDULED = Reason("110528", "DCM", "Discontinued Procedure Step rescheduled")


class NoSuchWorkitem(Rejected):
    """The UID names no workitem of this node."""

    http_status = 404


class WrongState(Rejected):
    """The verb does not fit the state the workitem is in."""

    http_status = 409


class Worklist:
    """Workitems and their attempts in the ledger."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._queries = reading(engine)
        self._jobs = jobs

    def schedule(
        self,
        study_instance_uid: str,
        matches: Sequence[tuple[Match, str]],
        *,
        evidence: Mapping[str, Any],
        explanation: Sequence[str],
    ) -> list[Workitem]:
        """Complete a study and create its workitems, in one transaction.

        UIDs are derived from the input, so doing it twice creates nothing twice. Workitems of an earlier
        revision whose input changed are superseded.

        Args:
            study_instance_uid: the study that is complete.
            matches: what the routes ask for, each with the version of its algorithm.
            evidence: what closed the study.
            explanation: a sentence for each route.

        Returns:
            The workitems that are now to be done.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            this = studies.c.study_instance_uid == study_instance_uid
            revision = connection.scalar(select(studies.c.revision).where(this))
            if revision is None:
                raise NoSuchWorkitem(f"no study {study_instance_uid} is in the ledger")
            connection.execute(
                update(studies)
                .where(this)
                .values(
                    state=COMPLETE, completed_at=now, evidence=dict(evidence), explanation=list(explanation)
                )
            )
            known = standing(connection, study_instance_uid)
            rows = [
                fresh_row(study_instance_uid, revision, match, version, known.get(match.route))
                for match, version in matches
            ]
            current = [_create(connection, row) for row in rows]
            _supersede(connection, study_instance_uid, revision, current, now)
            query = select(workitems).where(workitems.c.uid.in_(current), workitems.c.state == SCHEDULED)
            return [Workitem(**row._asdict()) for row in connection.execute(query)]

    def get(self, uid: str) -> Workitem:
        """One workitem.

        Raises:
            NoSuchWorkitem: there is none of that UID.
        """
        with self._queries.connect() as connection:
            return _get(connection, uid)

    def query(
        self,
        *,
        study_instance_uid: str | None = None,
        state: str | None = None,
        sort: Sort = "newest",
        limit: int = 100,
        offset: int = 0,
    ) -> list[Workitem]:
        """Workitems, the newest first, or those of urgent studies first."""
        query = ordered(select(workitems), sort)
        if study_instance_uid:
            query = query.where(workitems.c.study_instance_uid == study_instance_uid)
        if state:
            query = query.where(workitems.c.state == state)
        with self._queries.connect() as connection:
            rows = connection.execute(query.limit(limit).offset(offset))
            return [Workitem(**row._asdict()) for row in rows]

    def claim(self, uid: str, worker: str) -> Workitem | None:
        """Start the next attempt, if the workitem is due and nobody holds it.

        One compare-and-set in the database: of several workers exactly one gets it.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            claimed = connection.execute(
                update(workitems)
                .where(workitems.c.uid == uid, _due(now))
                .values(
                    state=IN_PROGRESS,
                    attempt=workitems.c.attempt + 1,
                    worker=worker,
                    lease_until=now + timedelta(seconds=self._jobs.lease_seconds),
                    started_at=func.coalesce(workitems.c.started_at, now),
                    message="",
                )
            )
            if claimed.rowcount != 1:
                return None
            item = _get(connection, uid)
            connection.execute(
                update(attempts)
                .where(attempts.c.workitem_uid == uid, attempts.c.ended_at.is_(None))
                .values(ended_at=now, outcome=LOST)
            )
            connection.execute(
                insert(attempts).values(workitem_uid=uid, number=item.attempt, worker=worker, started_at=now)
            )
            if end := self._end_of(connection, item):
                _end(connection, item, CANCELED, now, message=str(end), reason=end.reason)
                return None
            return item

    def _end_of(self, connection: Connection, item: Workitem) -> CancelRequested | AttemptsExhausted | None:
        """Why an attempt must not begin; None if it may."""
        if item.cancel_requested:
            return _cancel_request(item)
        if item.run_uid is not None:
            return None
        spent = select(func.count()).where(
            attempts.c.workitem_uid == item.uid,
            attempts.c.ended_at.is_not(None),
            attempts.c.outcome != HANDED_BACK,
        )
        if (connection.scalar(spent) or 0) < self._jobs.max_attempts:
            return None
        return AttemptsExhausted(f"{self._jobs.max_attempts} attempts were made, and none came to an end")

    def renew(self, item: Workitem, *, progress: float | None = None, stage: str | None = None) -> None:
        """Keep the lease, and say how far the attempt is.

        Raises:
            CancelRequested: the workitem is to stop.
            LeaseLost: it is final, or another attempt has it.
        """
        lease = datetime.now(UTC) + timedelta(seconds=self._jobs.lease_seconds)
        values: dict[str, Any] = {"lease_until": lease}
        if stage is not None:
            values |= {"progress": progress, "stage": stage}
        with self._engine.begin() as connection:
            kept = connection.execute(update(workitems).where(held(item)).values(**values)).rowcount == 1
            now = _get(connection, item.uid)
        if not kept:
            raise LeaseLost(f"attempt {item.attempt} at workitem {item.uid} lost its lease")
        if now.cancel_requested:
            raise _cancel_request(now)

    def complete(self, item: Workitem, seconds: Mapping[str, float]) -> None:
        """IN PROGRESS -> COMPLETED; an attempt that lost its lease changes nothing.

        Raises:
            WrongState: it was never claimed, or is final (PS3.4 Table CC.1.1-2).
        """
        _require_claimed(item)
        with self._engine.begin() as connection:
            _end(connection, item, COMPLETED, datetime.now(UTC), seconds=seconds)

    def cancel(self, item: Workitem, message: str, reason: Reason) -> None:
        """IN PROGRESS -> CANCELED, with a coded reason and a sentence; as `complete`.

        Raises:
            WrongState: it was never claimed, or is final.
        """
        _require_claimed(item)
        with self._engine.begin() as connection:
            _end(connection, item, CANCELED, datetime.now(UTC), message=message, reason=reason)

    def release(self, item: Workitem, message: str, not_before: datetime | None = None) -> None:
        """End the attempt; the next one starts after a growing wait, or at `not_before`.

        A workitem that is to stop gets no further attempt.
        """
        now = datetime.now(UTC)
        again = not_before or now + backoff(self._jobs, item.attempt)
        with self._engine.begin() as connection:
            values = {"lease_until": None, "not_before": again, "message": message}
            if connection.execute(update(workitems).where(held(item)).values(**values)).rowcount != 1:
                return
            _end_attempt(connection, item, now, message)
            if (left := _get(connection, item.uid)).cancel_requested:
                end = _cancel_request(left)
                _end(connection, left, CANCELED, now, message=str(end), reason=end.reason)

    def hand_back(self, item: Workitem) -> None:
        """End an attempt that was not its own fault: the next one starts at once, and it does not count."""
        self.release(item, HANDED_BACK, datetime.now(UTC))

    def request_cancel(self, uid: str) -> None:
        """Ask for a workitem to stop: at once if it is SCHEDULED, else at the worker's next step.

        Raises:
            NoSuchWorkitem: there is none of that UID.
            WrongState: it is COMPLETED or CANCELED already.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            item = _get(connection, uid)
            if item.state in (COMPLETED, CANCELED):
                raise WrongState(f"workitem {uid} is {item.state} already")
            connection.execute(update(workitems).where(workitems.c.uid == uid).values(cancel_requested=True))
            if item.lease_until is None or item.lease_until < now:
                _end(connection, item, CANCELED, now, message=ON_REQUEST, reason=CANCELED_BY_PERSON)

    def raise_priority(self, uid: str) -> Workitem:
        """Let a workitem that waits be done before others, and at once.

        Raises:
            NoSuchWorkitem: there is none of that UID.
            WrongState: it has begun or ended already.
        """
        values = {"priority": "stat", "not_before": datetime.now(UTC)}
        with self._engine.begin() as connection:
            if (item := _get(connection, uid)).state != SCHEDULED:
                raise WrongState(f"workitem {uid} is {item.state} already")
            connection.execute(update(workitems).where(workitems.c.uid == uid).values(**values))
            return _get(connection, uid)

    def rerun(self, uid: str) -> Workitem:
        """A new workitem for the same work; a final one stays as it is (PS3.4 Table CC.1.1-1).

        Raises:
            NoSuchWorkitem: there is none of that UID.
            WrongState: it is not final yet, or another workitem stands in its place.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            item = _get(connection, uid)
            if item.state not in (COMPLETED, CANCELED):
                raise WrongState(f"workitem {uid} is {item.state}; cancel it first, or wait until it ends")
            if item.superseded:
                raise WrongState(f"another workitem stands in the place of {uid} already")
            new_uid = dicom_uid(f"rerun of {uid}")
            fresh = untouched(new_uid, now)
            kept = {k: v for k, v in asdict(item).items() if k not in fresh}
            connection.execute(update(workitems).where(workitems.c.uid == uid).values(superseded=True))
            connection.execute(insert(workitems).values(**kept, **fresh))
            return _get(connection, new_uid)

    def due(self, limit: int = 100) -> list[Workitem]:
        """Workitems that wait for a worker: neither final, leased nor put off; stat first, then oldest."""
        stat_first = case((workitems.c.priority == "stat", 0), else_=1)
        query = select(workitems).where(_due(datetime.now(UTC)))
        query = query.order_by(stat_first, workitems.c.created_at).limit(limit)
        with self._queries.connect() as connection:
            return [Workitem(**row._asdict()) for row in connection.execute(query)]


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(
        workitems.c.state.in_((SCHEDULED, IN_PROGRESS)), workitems.c.not_before <= now, _unleased(now)
    )


def _unleased(now: datetime) -> ColumnElement[bool]:
    return or_(workitems.c.lease_until.is_(None), workitems.c.lease_until < now)


def held(item: Workitem) -> ColumnElement[bool]:
    """The condition that fences off a worker whose attempt has ended or is no longer the current one."""
    mine = and_(workitems.c.uid == item.uid, workitems.c.attempt == item.attempt)
    return and_(mine, workitems.c.state == IN_PROGRESS, workitems.c.lease_until.is_not(None))


def _get(connection: Connection, uid: str) -> Workitem:
    row = connection.execute(select(workitems).where(workitems.c.uid == uid)).first()
    if row is None:
        raise NoSuchWorkitem(f"no workitem {uid}; see `ainode workitems list`")
    return Workitem(**row._asdict())


def _end(
    connection: Connection,
    item: Workitem,
    state: str,
    now: datetime,
    *,
    message: str = "",
    reason: Reason | None = None,
    seconds: Mapping[str, float] | None = None,
) -> None:
    """Make a workitem final, unless it has changed since `item` was read."""
    values: dict[str, Any] = {"state": state, "ended_at": now, "lease_until": None, "message": message}
    values["reason"] = asdict(reason) if reason else None
    if seconds is not None:
        values["seconds"] = dict(seconds)
    unchanged = and_(
        workitems.c.uid == item.uid,
        workitems.c.attempt == item.attempt,
        workitems.c.state == item.state,
        workitems.c.lease_until.is_(None) == (item.lease_until is None),
    )
    ended = update(workitems).where(unchanged).values(**values)
    if connection.execute(ended).rowcount == 1:
        _end_attempt(connection, item, now, message or state)


def _end_attempt(connection: Connection, item: Workitem, now: datetime, outcome: str) -> None:
    this = and_(attempts.c.workitem_uid == item.uid, attempts.c.number == item.attempt)
    connection.execute(update(attempts).where(this).values(ended_at=now, outcome=outcome))


def _supersede(
    connection: Connection, study_instance_uid: str, revision: int, current: Sequence[str], now: datetime
) -> None:
    """Workitems of earlier revisions make room, unless their input is unchanged."""
    older = and_(
        workitems.c.study_instance_uid == study_instance_uid,
        workitems.c.revision < revision,
        workitems.c.uid.not_in(current),
    )
    connection.execute(update(workitems).where(older).values(superseded=True, cancel_requested=True))
    waiting = select(workitems).where(older, workitems.c.state.in_((SCHEDULED, IN_PROGRESS)), _unleased(now))
    for row in connection.execute(waiting).all():
        _end(connection, Workitem(**row._asdict()), CANCELED, now, message=SUPERSEDED, reason=RESCHEDULED)


def _create(connection: Connection, row: dict[str, Any]) -> str:
    """Create a workitem unless the study has one for the same input; the UID of the one that counts.

    One that was superseded counts again if it was COMPLETED, else it is done anew.
    """
    study = workitems.c.study_instance_uid == row["study_instance_uid"]
    latest_last = select(workitems).where(study).order_by(workitems.c.created_at)
    same = [w for w in connection.execute(latest_last).all() if input_uid(w._asdict()) == row["uid"]]
    if not same:
        insert_once(connection, workitems, row)
        return str(row["uid"])
    last = next((w for w in same if not w.superseded), same[-1])
    if last.superseded and last.state != COMPLETED:
        row["uid"] = dicom_uid(f"{last.uid} again in revision {row['revision']}")
        insert_once(connection, workitems, row)
        return str(row["uid"])
    connection.execute(update(workitems).where(workitems.c.uid == last.uid).values(superseded=False))
    return str(last.uid)


def _cancel_request(item: Workitem) -> CancelRequested:
    """Why a workitem is to stop: late images, or somebody's wish."""
    why = (SUPERSEDED, RESCHEDULED) if item.superseded else (ON_REQUEST, CANCELED_BY_PERSON)
    return CancelRequested(*why)


def _require_claimed(item: Workitem) -> None:
    if item.state != IN_PROGRESS:
        raise WrongState(f"workitem {item.uid} is {item.state}, not {IN_PROGRESS}")
