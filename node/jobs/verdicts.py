"""What people think of a workitem's results: accepted or rejected, by whom, when and why; never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Engine, insert, select

from node.jobs.schema import reading, verdicts

Judgement = Literal["accepted", "rejected"]


@dataclass(frozen=True)
class Verdict:
    """One person's judgement; the latest counts."""

    workitem_uid: str
    judgement: Judgement
    comment: str
    person: str
    given_at: datetime


class Verdicts:
    """Judgements in the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queries = reading(engine)

    def give(self, workitem_uid: str, judgement: Judgement, comment: str, person: str) -> None:
        """Add a judgement to those that were given before."""
        row = {"workitem_uid": workitem_uid, "judgement": judgement, "comment": comment, "person": person}
        with self._engine.begin() as connection:
            connection.execute(insert(verdicts).values(**row, given_at=datetime.now(UTC)))

    def of(self, workitem_uid: str) -> Sequence[Verdict]:
        """The judgements of a workitem, the latest first."""
        columns = [column for column in verdicts.columns if column.name != "number"]
        query = select(*columns).where(verdicts.c.workitem_uid == workitem_uid)
        with self._queries.connect() as connection:
            rows = connection.execute(query.order_by(verdicts.c.number.desc()))
            return [Verdict(**row._asdict()) for row in rows]
