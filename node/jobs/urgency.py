"""How soon a person should look at a study: what its findings say, and the worklist in that order.

The urgency of a study is the highest of its workitems, those that were superseded left out. A workitem
that stands in the place of another has that one's urgency until its own findings are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Select, and_, case, func, or_, select, update

from node.jobs.schema import workitems
from node.jobs.workitem import SCHEDULED, Workitem

HIGH: Final = "HIGH"
URGENCIES: Final = (HIGH, "MEDIUM", "LOW")
"""Scheduled Procedure Step Priority (0074,1200), the most urgent first."""

Sort = Literal["newest", "urgency"]

_RANK = case((workitems.c.urgency == HIGH, 0), (workitems.c.urgency == "MEDIUM", 1), else_=2)


def most_urgent(scores: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of the scores of a `findings.json`, the one to look at first; None where none is urgent at all."""
    urgent = [score for score in scores if score["urgency"] in URGENCIES]
    return min(urgent, key=lambda score: URGENCIES.index(score["urgency"]), default=None)


def study_rank(items: Iterable[Workitem]) -> int:
    """How early a study comes by its workitems: 0 for HIGH, 1 for MEDIUM, 2 for the rest."""
    urgencies = {item.urgency for item in items if not item.superseded}
    return next((rank for rank, urgency in enumerate(URGENCIES[:2]) if urgency in urgencies), 2)


def ordered(query: Select[Any], sort: Sort) -> Select[Any]:
    """Workitems, the newest first; or those of urgent studies first, each study's together.

    HIGH comes before MEDIUM and MEDIUM before the rest, whether LOW or unknown. Of studies of the same
    urgency, the one with the newest finding is first; within a study, the workitem that makes it urgent.
    """
    newest = (workitems.c.created_at.desc(), workitems.c.uid)
    if sort == "newest":
        return query.order_by(*newest)
    urgent = and_(workitems.c.superseded.is_(False), workitems.c.urgency.in_(URGENCIES[:2]))
    lifted = (
        select(
            workitems.c.study_instance_uid,
            func.min(_RANK).label("rank"),
            func.max(workitems.c.created_at).label("newest"),
        )
        .where(urgent)
        .group_by(workitems.c.study_instance_uid)
        .subquery()
    )
    own = case((workitems.c.superseded.is_(False), _RANK), else_=2)
    return query.outerjoin(lifted, workitems.c.study_instance_uid == lifted.c.study_instance_uid).order_by(
        func.coalesce(lifted.c.rank, 2),
        func.coalesce(lifted.c.newest, workitems.c.created_at).desc(),
        lifted.c.study_instance_uid,
        own,
        *newest,
    )


def standing(connection: Connection, study_instance_uid: str) -> dict[str, str]:
    """The urgency of a study's workitems by route, for those that will stand in their place."""
    query = select(workitems.c.route, workitems.c.urgency).where(
        workitems.c.study_instance_uid == study_instance_uid,
        workitems.c.superseded.is_(False),
        workitems.c.urgency.is_not(None),
    )
    return {row.route: row.urgency for row in connection.execute(query)}


def lift(connection: Connection, study_instance_uid: str) -> list[Workitem]:
    """Let nothing of a study wait behind others, nor for the night; the workitems that are to be woken."""
    now = datetime.now(UTC)
    waiting = and_(
        workitems.c.study_instance_uid == study_instance_uid,
        workitems.c.state == SCHEDULED,
        workitems.c.superseded.is_(False),
        or_(workitems.c.priority != "stat", workitems.c.not_before > now),
    )
    uids = list(connection.scalars(select(workitems.c.uid).where(waiting)))
    lifted = workitems.c.uid.in_(uids)
    connection.execute(update(workitems).where(lifted).values(priority="stat", not_before=now))
    rows = connection.execute(select(workitems).where(lifted).order_by(workitems.c.created_at))
    return [Workitem(**row._asdict()) for row in rows]
