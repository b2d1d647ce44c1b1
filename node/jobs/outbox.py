"""The outbox: encoded results, stored before their first send, and how far each has come."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, Engine, and_, select, update

from node.config import Jobs
from node.errors import LeaseLost
from node.jobs.schema import deliveries, insert_once, notices, reading, results, workitems
from node.jobs.urgency import HIGH, lift
from node.jobs.workitem import Workitem, backoff
from node.jobs.worklist import held
from node.outbound.equipment import ROLES, EncodedObject, Role, kind_of

PENDING = "PENDING"
CONFIRMED = "CONFIRMED"
REFUSED = "REFUSED"


@dataclass(frozen=True)
class Result:
    """An encoded object on disk; `path` is relative to the results folder."""

    sop_instance_uid: str
    run_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    role: Role
    path: str
    sha256: str
    created_at: datetime

    @property
    def kind(self) -> str:
        """The kind of object, as the contract names it."""
        return kind_of(self.role)

    @classmethod
    def of(cls, encoded: EncodedObject, run_uid: str) -> Self:
        """The record of an object in the folder of its run."""
        return cls(
            encoded.sop_instance_uid,
            run_uid,
            encoded.study_instance_uid,
            encoded.series_instance_uid,
            encoded.sop_class_uid,
            encoded.role,
            path=f"{run_uid}/{encoded.file}",
            sha256=hashlib.sha256(encoded.content).hexdigest(),
            created_at=datetime.now(UTC),
        )


@dataclass(frozen=True)
class Delivery:
    """How far the results of a workitem have come at one destination."""

    workitem_uid: str
    destination: str
    state: str
    tries: int
    not_before: datetime
    error: str
    confirmed_at: datetime | None


class Outbox:
    """Results and deliveries in the ledger."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._queries = reading(engine)
        self._jobs = jobs

    def keep(
        self,
        item: Workitem,
        run_uid: str,
        produced: Sequence[Result],
        seconds: Mapping[str, float],
        *,
        urgency: str | None = None,
        notice: Mapping[str, Any] | None = None,
    ) -> list[Workitem]:
        """Record results that are on disk; from here on the workitem only needs delivering.

        A result whose UID is known already stays as it was first recorded, and so does a notice of this run.
        Where the findings are of HIGH urgency, nothing else of the study waits behind others any more.

        Args:
            item: the workitem, claimed.
            run_uid: identity of the results.
            produced: the results.
            seconds: spent in each stage.
            urgency: of the findings.
            notice: what the webhook is to be told, see `node.jobs.notices`; None if nothing.

        Returns:
            Other workitems of the study that are to be woken.

        Raises:
            LeaseLost: the attempt lost its lease.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            for result in produced:
                insert_once(connection, results, asdict(result))
            for destination in item.destinations:
                delivery = Delivery(item.uid, destination, PENDING, 0, now, "", None)
                insert_once(connection, deliveries, asdict(delivery))
            if notice:
                insert_once(connection, notices, notice)
            values = {"run_uid": run_uid, "seconds": dict(seconds), "stage": "deliver", "progress": 1.0}
            return _urgent(connection, item, urgency, values)

    def hasten(self, item: Workitem, notice: Mapping[str, Any] | None) -> list[Workitem]:
        """Record, before there are results, that the findings are of HIGH urgency.

        A run that fails later leaves it so: a person is to look at the images all the same.

        Args:
            item: the workitem, claimed.
            notice: what the webhook is to be told; None if nothing.

        Returns:
            Other workitems of the study that are to be woken.

        Raises:
            LeaseLost: the attempt lost its lease.
        """
        with self._engine.begin() as connection:
            if notice:
                insert_once(connection, notices, notice)
            return _urgent(connection, item, HIGH, {})

    def results(self, run_uid: str | None) -> list[Result]:
        """The stored objects of a run, in the order they are to be sent: what is referred to first."""
        query = select(results).where(results.c.run_uid == run_uid)
        with self._queries.connect() as connection:
            found = [Result(**row._asdict()) for row in connection.execute(query)]
        return sorted(found, key=lambda result: ROLES.index(result.role))

    def deliveries(self, uid: str) -> list[Delivery]:
        """The deliveries of a workitem, one for each destination."""
        query = select(deliveries).where(deliveries.c.workitem_uid == uid).order_by(deliveries.c.destination)
        with self._queries.connect() as connection:
            return [Delivery(**row._asdict()) for row in connection.execute(query)]

    def delivered(self, item: Workitem, destination: str, state: str, error: str = "") -> None:
        """Record how a delivery went; a PENDING one is tried again after a growing wait, others are final."""
        now = datetime.now(UTC)
        this = and_(deliveries.c.workitem_uid == item.uid, deliveries.c.destination == destination)
        with self._engine.begin() as connection:
            tries = (connection.scalar(select(deliveries.c.tries).where(this)) or 0) + 1
            connection.execute(
                update(deliveries)
                .where(this, deliveries.c.state == PENDING)
                .values(
                    state=state,
                    tries=tries,
                    error=error,
                    not_before=now + backoff(self._jobs, tries),
                    confirmed_at=now if state == CONFIRMED else None,
                )
            )


def _urgent(
    connection: Connection, item: Workitem, urgency: str | None, values: Mapping[str, Any]
) -> list[Workitem]:
    """Record the urgency of a claimed workitem with other values; what is to be woken for it."""
    recorded = update(workitems).where(held(item)).values(**values, urgency=urgency)
    if connection.execute(recorded).rowcount != 1:
        raise LeaseLost(f"attempt {item.attempt} at workitem {item.uid} lost its lease")
    superseded = select(workitems.c.superseded).where(workitems.c.uid == item.uid)
    if urgency != HIGH or connection.scalar(superseded):
        return []
    return lift(connection, item.study_instance_uid)
