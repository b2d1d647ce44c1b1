"""What the node holds: studies and instances, as the ledger knows them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    func,
    select,
    update,
)

from node.inbound.instances import Outcome, Stored
from node.jobs.schema import conflicts, insert_once, instances, reading, studies, workitems

RECEIVING = "RECEIVING"
COMPLETE = "COMPLETE"


@dataclass(frozen=True)
class StudyRecord:
    """A study as the worklist shows it.

    Attributes:
        attributes: header values by keyword, from the first instance that arrived.
        revision: 1 at first; one more each time images arrive after completion.
        evidence: what closed the study; None while it is RECEIVING.
        explanation: why each route did or did not match.
        conflicts: instances that came again with other bytes and wait for a person.
        routed: workitems of the current revision.
    """

    study_instance_uid: str
    attributes: Mapping[str, str]
    state: str
    revision: int
    first_arrival_at: datetime
    last_arrival_at: datetime
    completed_at: datetime | None
    evidence: Mapping[str, Any] | None
    explanation: Sequence[str] | None
    instances: int
    series: int
    modalities: tuple[str, ...]
    conflicts: int
    routed: int


class Index:
    """Studies and instances in the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queries = reading(engine)

    def record(self, batch: Sequence[Stored]) -> set[str]:
        """Write a batch of arrivals in one transaction; what is already known changes nothing.

        A new instance of a completed study opens the study again, as its next revision.

        Returns:
            Studies that a mere duplicate added to: a crash had come between its file and the ledger.
        """
        missed = set()
        with self._engine.begin() as connection:
            for stored in batch:
                if stored.outcome is Outcome.CONFLICT:
                    _insert_conflict(connection, stored)
                elif _insert_instance(connection, stored) and stored.outcome is Outcome.DUPLICATE:
                    missed.add(stored.instance.study_instance_uid)
        return missed

    def known(self, path: str) -> bool:
        """Whether the instance at this path of the spool is in the ledger."""
        with self._queries.connect() as connection:
            query = select(instances.c.path).where(instances.c.path == path)
            return connection.execute(query).first() is not None

    def paths(self, study_instance_uid: str, sop_instance_uids: Iterable[str] | None = None) -> list[str]:
        """Spool paths of a study's instances, or of those named."""
        query = select(instances.c.path, instances.c.sop_instance_uid).where(
            instances.c.study_instance_uid == study_instance_uid
        )
        with self._queries.connect() as connection:
            rows = connection.execute(query.order_by(instances.c.path)).all()
        wanted = None if sop_instance_uids is None else set(sop_instance_uids)
        return [row.path for row in rows if wanted is None or row.sop_instance_uid in wanted]

    def unfinished(self) -> dict[str, datetime]:
        """Studies that are not complete, with their last arrival."""
        query = select(studies.c.study_instance_uid, studies.c.last_arrival_at).where(
            studies.c.state == RECEIVING
        )
        with self._queries.connect() as connection:
            return {row.study_instance_uid: row.last_arrival_at for row in connection.execute(query)}

    def study(self, study_instance_uid: str) -> StudyRecord | None:
        """One study, or None."""
        found = self._records(select(studies).where(studies.c.study_instance_uid == study_instance_uid))
        return found[0] if found else None

    def studies(self, limit: int = 100, offset: int = 0) -> list[StudyRecord]:
        """Studies, the latest arrival first."""
        newest_first = select(studies).order_by(studies.c.last_arrival_at.desc())
        return self._records(newest_first.limit(limit).offset(offset))

    def among(self, study_instance_uids: Sequence[str]) -> list[StudyRecord]:
        """These studies, in this order."""
        wanted = select(studies).where(studies.c.study_instance_uid.in_(study_instance_uids))
        found = {record.study_instance_uid: record for record in self._records(wanted)}
        return [found[uid] for uid in study_instance_uids if uid in found]

    def _records(self, query: Select[Any]) -> list[StudyRecord]:
        """Four queries, however many studies."""
        with self._queries.connect() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            uids = [row["study_instance_uid"] for row in rows]
            series = _series(connection, uids)
            in_conflict = _count_by_study(connection, conflicts, conflicts.c.study_instance_uid.in_(uids))
            current = and_(workitems.c.study_instance_uid.in_(uids), workitems.c.superseded.is_(False))
            routed = _count_by_study(connection, workitems, current)
        return [
            StudyRecord(
                **row,
                instances=sum(part.number for part in series[uid]),
                series=len({part.series_instance_uid for part in series[uid]}),
                modalities=tuple(sorted({part.modality for part in series[uid]})),
                conflicts=in_conflict.get(uid, 0),
                routed=routed.get(uid, 0),
            )
            for uid, row in zip(uids, rows, strict=True)
        ]


def _series(connection: Connection, uids: Sequence[str]) -> Mapping[str, list[Row[Any]]]:
    """How many instances of each series and modality, by study."""
    columns = (instances.c.study_instance_uid, instances.c.series_instance_uid, instances.c.modality)
    held = select(*columns, func.count().label("number"))
    held = held.where(instances.c.study_instance_uid.in_(uids)).group_by(*columns)
    found = defaultdict(list)
    for row in connection.execute(held):
        found[row.study_instance_uid].append(row)
    return found


def _count_by_study(connection: Connection, table: Table, condition: ColumnElement[bool]) -> dict[str, int]:
    study = table.c.study_instance_uid
    counted = connection.execute(select(study, func.count()).where(condition).group_by(study))
    return {uid: int(number) for uid, number in counted}


def _insert_conflict(connection: Connection, stored: Stored) -> None:
    instance = stored.instance
    insert_once(
        connection,
        conflicts,
        {
            "path": instance.path,
            "sop_instance_uid": instance.sop_instance_uid,
            "study_instance_uid": instance.study_instance_uid,
            "sha256": instance.sha256,
            "calling_ae_title": instance.calling_ae_title,
            "received_at": instance.received_at,
        },
    )


def _insert_instance(connection: Connection, stored: Stored) -> bool:
    """Insert unless it is known; whether it was new and its study is to be looked at."""
    instance = stored.instance
    study = {
        "study_instance_uid": instance.study_instance_uid,
        "attributes": dict(instance.attributes),
        "state": COMPLETE if instance.own_result else RECEIVING,
        "revision": 1,
        "first_arrival_at": instance.received_at,
        "last_arrival_at": instance.received_at,
    }
    first = insert_once(connection, studies, study)
    row = {
        column.name: getattr(instance, column.name)
        for column in instances.columns
        if column.name != "modality"
    }
    row["modality"] = instance.attributes.get("Modality", "")
    new = insert_once(connection, instances, row) and not instance.own_result
    if new and not first:
        _reopen(connection, instance.study_instance_uid, instance.received_at)
    return new


def _reopen(connection: Connection, study_instance_uid: str, received_at: datetime) -> None:
    this = studies.c.study_instance_uid == study_instance_uid
    connection.execute(
        update(studies)
        .where(this, studies.c.state == COMPLETE)
        .values(state=RECEIVING, revision=studies.c.revision + 1, completed_at=None, evidence=None)
    )
    connection.execute(
        update(studies)
        .where(this, studies.c.last_arrival_at < received_at)
        .values(last_arrival_at=received_at)
    )
