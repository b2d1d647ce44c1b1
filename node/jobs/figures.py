"""What an operator asks at night, as figures of the ledger: what waits, what fails, how long things take."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Column, Connection, Engine, and_, func, select

from node.jobs.outbox import PENDING
from node.jobs.schema import attempts, conflicts, deliveries, instances, notices, reading, studies, workitems
from node.jobs.workitem import COMPLETED, IN_PROGRESS, LOST, SCHEDULED

_RECENT: Final = 500
"""Completed workitems that durations are taken from."""

QUANTILES: Final = (0.5, 0.95)


@dataclass(frozen=True)
class Figures:
    """Counts and ages; ages in seconds, 0 where nothing waits.

    Attributes:
        workitems: how many, by algorithm and state.
        waiting: how many are due and not begun, by priority, with the age of the oldest.
        lost_leases: attempts that ended because their worker was lost.
        durations: seconds of recent workitems by algorithm, stage and quantile.
        deliveries: how many, by destination and state.
        undelivered: age of the oldest delivery that is not confirmed, by destination.
        notices: how many, by state.
        studies: how many, by state.
        last_arrival: when the newest instance came; None before the first.
    """

    workitems: Mapping[tuple[str, str], int]
    waiting: Mapping[str, tuple[int, float]]
    lost_leases: int
    durations: Mapping[tuple[str, str, float], float]
    deliveries: Mapping[tuple[str, str], int]
    undelivered: Mapping[str, float]
    notices: Mapping[str, int]
    studies: Mapping[str, int]
    instances: int
    received_bytes: int
    conflicts: int
    last_arrival: datetime | None


def figures(engine: Engine) -> Figures:
    """Read them all, in one look at the ledger."""
    now = datetime.now(UTC)
    with reading(engine).connect() as connection:
        received = connection.execute(
            select(func.count(), func.sum(instances.c.size), func.max(instances.c.received_at))
        ).one()
        return Figures(
            workitems=_counted(connection, workitems.c.algorithm, workitems.c.state),
            waiting=_waiting(connection, now),
            lost_leases=_lost(connection),
            durations=_durations(connection),
            deliveries=_counted(connection, deliveries.c.destination, deliveries.c.state),
            undelivered=_undelivered(connection, now),
            notices=_counted(connection, notices.c.state),
            studies=_counted(connection, studies.c.state),
            instances=received[0],
            received_bytes=int(received[1] or 0),
            conflicts=connection.scalar(select(func.count()).select_from(conflicts)) or 0,
            last_arrival=received[2],
        )


def _counted(connection: Connection, *columns: Column[str]) -> dict[Any, int]:
    """Rows by one column, or by several as a tuple."""
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(row[0] if len(columns) == 1 else tuple(row[:-1])): int(row[-1]) for row in rows}


def _waiting(connection: Connection, now: datetime) -> dict[str, tuple[int, float]]:
    due = and_(workitems.c.state == SCHEDULED, workitems.c.not_before <= now)
    query = select(workitems.c.priority, func.count(), func.min(workitems.c.not_before)).where(due)
    rows = connection.execute(query.group_by(workitems.c.priority))
    return {priority: (int(number), (now - oldest).total_seconds()) for priority, number, oldest in rows}


def _undelivered(connection: Connection, now: datetime) -> dict[str, float]:
    query = select(deliveries.c.destination, func.min(workitems.c.started_at)).where(
        deliveries.c.state == PENDING,
        deliveries.c.workitem_uid == workitems.c.uid,
        workitems.c.state == IN_PROGRESS,
    )
    rows = connection.execute(query.group_by(deliveries.c.destination))
    return {destination: (now - oldest).total_seconds() for destination, oldest in rows}


def _lost(connection: Connection) -> int:
    lost = select(func.count()).select_from(attempts).where(attempts.c.outcome == LOST)
    return connection.scalar(lost) or 0


def _durations(connection: Connection) -> dict[tuple[str, str, float], float]:
    query = select(workitems.c.algorithm, workitems.c.seconds).where(workitems.c.state == COMPLETED)
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for algorithm, seconds in connection.execute(query.order_by(workitems.c.ended_at.desc()).limit(_RECENT)):
        for stage, value in seconds.items():
            spent[algorithm, stage].append(value)
    return {
        (algorithm, stage, quantile): float(value)
        for (algorithm, stage), values in spent.items()
        for quantile, value in zip(QUANTILES, _quantiles(values), strict=True)
    }


def _quantiles(values: Sequence[float]) -> Sequence[float]:
    found: list[float] = np.quantile(values, QUANTILES).tolist()
    return found
