"""The worklist as people see it: studies with their workitems, searched, sorted and paged in the database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, case, exists, func, or_, select

from node.jobs.outbox import Delivery
from node.jobs.schema import deliveries, instances, reading, studies, workitems
from node.jobs.urgency import URGENCIES
from node.jobs.workitem import IN_PROGRESS, SCHEDULED, Workitem

PAGE: Final = 25
"""Studies on a page."""

Order = Literal["urgency", "newest", "oldest"]

_SEARCHED: Final = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription")
_ESCAPE: Final = "\\"


@dataclass(frozen=True)
class View:
    """Which studies are wanted; what is empty asks for nothing.

    Attributes:
        text: part of the patient's name or ID, the accession number or the description.
        since: day of arrival, the first that counts, in UTC.
        until: the last day that counts.
        page: from 1.
    """

    text: str = ""
    modality: str = ""
    algorithm: str = ""
    state: str = ""
    urgency: str = ""
    since: date | None = None
    until: date | None = None
    order: Order = "urgency"
    page: int = 1


@dataclass(frozen=True)
class Listing:
    """A page of studies.

    Attributes:
        uids: Study Instance UIDs, in order.
        total: how many there are on all pages.
        workitems: of each study, the newest first.
        deliveries: of each workitem.
    """

    uids: Sequence[str]
    total: int
    workitems: Mapping[str, Sequence[Workitem]]
    deliveries: Mapping[str, Sequence[Delivery]]

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.total // PAGE))


class Board:
    """Views of the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._queries = reading(engine)

    def listing(self, view: View) -> Listing:
        """A page: urgent findings first, those that wait longest before others; then the latest arrivals."""
        rank = case((workitems.c.urgency == URGENCIES[0], 0), else_=1)
        urgent = and_(workitems.c.superseded.is_(False), workitems.c.urgency.in_(URGENCIES[:2]))
        lifted = (
            select(workitems.c.study_instance_uid, func.min(rank).label("rank"))
            .where(urgent)
            .group_by(workitems.c.study_instance_uid)
            .subquery()
        )
        query = select(studies.c.study_instance_uid).where(*_conditions(view))
        with self._queries.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(query.subquery())) or 0
            if view.order == "urgency":
                same = studies.c.study_instance_uid == lifted.c.study_instance_uid
                waiting = case((lifted.c.rank.is_not(None), studies.c.first_arrival_at))
                query = query.outerjoin(lifted, same).order_by(func.coalesce(lifted.c.rank, 2), waiting)
            arrival = studies.c.last_arrival_at
            query = query.order_by(
                arrival.asc() if view.order == "oldest" else arrival.desc(), studies.c.study_instance_uid
            )
            uids = list(connection.scalars(query.limit(PAGE).offset((view.page - 1) * PAGE)))
            items = _by_study(connection.execute(_of(uids)))
            of_items = deliveries.c.workitem_uid.in_([item.uid for each in items.values() for item in each])
            sent = defaultdict(list)
            for row in connection.execute(select(deliveries).where(of_items)):
                sent[row.workitem_uid].append(Delivery(**row._asdict()))
        return Listing(uids, total, items, sent)

    def modalities(self) -> list[str]:
        """Those of the instances that are held."""
        with self._queries.connect() as connection:
            return sorted(filter(None, connection.scalars(select(instances.c.modality).distinct())))

    def pulse(self) -> int:
        """A number that changes when anything on the board does."""
        unfinished = workitems.c.state.in_((SCHEDULED, IN_PROGRESS))
        asked: tuple[Select[Any], ...] = (
            select(func.max(studies.c.last_arrival_at)),
            select(studies.c.state, func.count()).group_by(studies.c.state),
            select(workitems.c.state, func.count()).group_by(workitems.c.state),
            select(workitems.c.uid, workitems.c.progress, workitems.c.stage, workitems.c.priority).where(
                unfinished
            ),
            select(workitems.c.urgency, func.count()).group_by(workitems.c.urgency),
            select(deliveries.c.state, func.count(), func.sum(deliveries.c.tries)).group_by(
                deliveries.c.state
            ),
        )
        with self._queries.connect() as connection:
            return hash(tuple(tuple(map(tuple, connection.execute(query))) for query in asked))


def _of(uids: Sequence[str]) -> Select[Any]:
    query = select(workitems).where(workitems.c.study_instance_uid.in_(uids))
    return query.order_by(workitems.c.created_at.desc(), workitems.c.uid)


def _by_study(rows: Iterable[Row[Any]]) -> dict[str, list[Workitem]]:
    found = defaultdict(list)
    for row in rows:
        found[row.study_instance_uid].append(Workitem(**row._asdict()))
    return found


def _conditions(view: View) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if view.text:
        pattern = f"%{_literal(view.text)}%"
        searched = (studies.c.attributes[keyword].as_string() for keyword in _SEARCHED)
        conditions.append(or_(*(each.ilike(pattern, escape=_ESCAPE) for each in searched)))
    if view.modality:
        conditions.append(
            exists().where(
                instances.c.study_instance_uid == studies.c.study_instance_uid,
                instances.c.modality == view.modality,
            )
        )
    asked = {"algorithm": view.algorithm, "state": view.state, "urgency": view.urgency}
    of_items = [workitems.c[name] == value for name, value in asked.items() if value]
    if of_items:
        same = workitems.c.study_instance_uid == studies.c.study_instance_uid
        conditions.append(exists().where(same, workitems.c.superseded.is_(False), *of_items))
    if view.since:
        conditions.append(studies.c.last_arrival_at >= _midnight(view.since))
    if view.until:
        conditions.append(studies.c.last_arrival_at < _midnight(view.until + timedelta(days=1)))
    return conditions


def _literal(text: str) -> str:
    """Text without a meaning of its own in a pattern of LIKE."""
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
