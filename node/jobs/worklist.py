"""The worklist: workitems with the states and verbs of a Unified Procedure Step (PS3.4 Annex CC).

SCHEDULED -> IN PROGRESS -> COMPLETED or CANCELED; nothing goes back. The node holds the claim, not a
worker: each try is an attempt with a lease of its own. The attempt's number fences writers off: a
worker that lost its lease can no longer change the workitem.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, insert, or_, select, update

from node.config import Jobs
from node.errors import AttemptsExhausted, CancelRequested, Reason, Rejected
from node.jobs.index import COMPLETE
from node.jobs.routing import Match
from node.jobs.schema import attempts, insert_once, reading, studies, workitems
from node.jobs.workitem import (
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    SCHEDULED,
    STATES,
    Workitem,
    dicom_uid,
    fresh_row,
    untouched,
)

CANCELED_BY_PERSON = Reason("110500", "DCM", "Doctor canceled procedure")
ON_REQUEST = "canceled on request"
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
            rows = [fresh_row(study_instance_uid, revision, match, version) for match, version in matches]
            for row in rows:
                insert_once(connection, workitems, row)
            current = [row["uid"] for row in rows]
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
        limit: int = 100,
        offset: int = 0,
    ) -> list[Workitem]:
        """Workitems, the newest first."""
        query = select(workitems).order_by(workitems.c.created_at.desc(), workitems.c.uid)
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
                .values(ended_at=now, outcome="the worker was lost")
            )
            connection.execute(
                insert(attempts).values(workitem_uid=uid, number=item.attempt, worker=worker, started_at=now)
            )
            if item.run_uid is None and item.attempt > self._jobs.max_attempts:
                error = AttemptsExhausted(
                    f"{self._jobs.max_attempts} attempts were made, and none came to an end"
                )
                _end(connection, item, CANCELED, now, message=str(error), reason=error.reason)
                return None
            return item

    def renew(self, item: Workitem, *, progress: float | None = None, stage: str | None = None) -> None:
        """Keep the lease, and say how far the attempt is.

        Raises:
            CancelRequested: somebody asked for the workitem to be canceled, or the lease is lost.
        """
        lease = datetime.now(UTC) + timedelta(seconds=self._jobs.lease_seconds)
        values: dict[str, Any] = {"lease_until": lease}
        if stage is not None:
            values |= {"progress": progress, "stage": stage}
        with self._engine.begin() as connection:
            kept = connection.execute(update(workitems).where(held(item)).values(**values)).rowcount == 1
            asked = kept and _get(connection, item.uid).cancel_requested
        if not kept:
            raise CancelRequested(f"attempt {item.attempt} at workitem {item.uid} lost its lease")
        if asked:
            raise CancelRequested(ON_REQUEST)

    def complete(self, item: Workitem, seconds: Mapping[str, float]) -> None:
        """IN PROGRESS -> COMPLETED."""
        with self._engine.begin() as connection:
            _end(connection, item, COMPLETED, datetime.now(UTC), seconds=seconds)

    def cancel(self, item: Workitem, message: str, reason: Reason) -> None:
        """IN PROGRESS -> CANCELED, with a coded reason and a sentence."""
        with self._engine.begin() as connection:
            _end(connection, item, CANCELED, datetime.now(UTC), message=message, reason=reason)

    def release(self, item: Workitem, message: str, not_before: datetime | None = None) -> None:
        """End the attempt; the next one starts after a growing wait, or at `not_before`."""
        now = datetime.now(UTC)
        again = not_before or now + backoff(self._jobs, item.attempt)
        with self._engine.begin() as connection:
            values = {"lease_until": None, "not_before": again, "message": message}
            connection.execute(update(workitems).where(held(item)).values(**values))
            _end_attempt(connection, item, now, message)

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

    def rerun(self, uid: str) -> Workitem:
        """A new workitem for the same work; a final one stays as it is (PS3.4 Table CC.1.1-1).

        Raises:
            NoSuchWorkitem: there is none of that UID.
            WrongState: it is not final yet.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            item = _get(connection, uid)
            if item.state not in (COMPLETED, CANCELED):
                raise WrongState(f"workitem {uid} is {item.state}; cancel it first, or wait until it ends")
            new_uid = dicom_uid(f"rerun of {uid} at {now.isoformat()}")
            fresh = untouched(new_uid, now)
            kept = {k: v for k, v in asdict(item).items() if k not in fresh}
            connection.execute(insert(workitems).values(**kept, **fresh))
            connection.execute(update(workitems).where(workitems.c.uid == uid).values(superseded=True))
            return _get(connection, new_uid)

    def due(self, limit: int = 1000) -> list[Workitem]:
        """Workitems that wait for a worker: neither final, nor leased, nor put off; for the sweep."""
        query = select(workitems).where(_due(datetime.now(UTC))).order_by(workitems.c.created_at).limit(limit)
        with self._queries.connect() as connection:
            return [Workitem(**row._asdict()) for row in connection.execute(query)]

    def counts(self) -> dict[str, int]:
        """Workitems by state, for the metrics."""
        query = select(workitems.c.state, func.count()).group_by(workitems.c.state)
        with self._queries.connect() as connection:
            found = {state: int(n) for state, n in connection.execute(query)}
        return {state: found.get(state, 0) for state in STATES}


def backoff(jobs: Jobs, tries: int) -> timedelta:
    """How long to wait after so many tries: doubling, an hour at most."""
    wait = timedelta(seconds=jobs.backoff_seconds * 2 ** min(tries - 1, 20))
    return min(wait, timedelta(hours=1))


def _due(now: datetime) -> ColumnElement[bool]:
    free = or_(workitems.c.lease_until.is_(None), workitems.c.lease_until < now)
    return and_(workitems.c.state.in_((SCHEDULED, IN_PROGRESS)), workitems.c.not_before <= now, free)


def held(item: Workitem) -> ColumnElement[bool]:
    """The condition that fences off a worker whose attempt is no longer the current one."""
    mine = and_(workitems.c.uid == item.uid, workitems.c.attempt == item.attempt)
    return and_(mine, workitems.c.state == IN_PROGRESS, workitems.c.worker == item.worker)


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
    """Make a workitem final, unless another attempt has taken it over."""
    values: dict[str, Any] = {"state": state, "ended_at": now, "lease_until": None, "message": message}
    values["reason"] = asdict(reason) if reason else None
    if seconds is not None:
        values["seconds"] = dict(seconds)
    mine = and_(workitems.c.uid == item.uid, workitems.c.attempt == item.attempt)
    ended = update(workitems).where(mine, workitems.c.state.in_((SCHEDULED, IN_PROGRESS))).values(**values)
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
    waiting = connection.execute(select(workitems).where(older, workitems.c.state == SCHEDULED)).all()
    for row in waiting:
        message = f"superseded by revision {revision} of the study"
        _end(connection, Workitem(**row._asdict()), CANCELED, now, message=message, reason=RESCHEDULED)
