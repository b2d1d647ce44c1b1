"""Photographs are erased once nobody here needs them: from the spool, and with them the pictures of results.

A face tells who somebody is, so that photographs need not stay as long as other images. Nothing is erased
before every workitem of the series has ended, its results confirmed by their destinations.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, func, or_, select

from algorithms.catalogue import CatalogueEntry
from node.config import Settings
from node.jobs.schema import DatabaseUnavailable, conflicts, instances, reading, results, workitems

log = structlog.get_logger()

_ENDED: Final = ("COMPLETED", "CANCELED")
_PICTURE: Final = "picture"
"""The role of the results that show the photograph."""


@dataclass(frozen=True)
class Retention:
    """Erases photographs, of the series that algorithms for photographs ran on."""

    engine: Engine
    settings: Settings
    catalogue: Mapping[str, CatalogueEntry]

    def run(self, stop: threading.Event) -> None:
        """Erase what is due, until told to stop; does nothing where photographs are kept."""
        while self.settings.photographs.keep_hours is not None and not stop.wait(
            self.settings.jobs.sweep_seconds
        ):
            try:
                self.erase_due(datetime.now(UTC))
            except DatabaseUnavailable:
                log.warning("the ledger is away, photographs stay for now")

    def erase_due(self, now: datetime) -> int:
        """Erase every photograph whose time is over; how many instances that were.

        Files go before their rows: after a crash between the two they are erased again.
        """
        hours = self.settings.photographs.keep_hours
        if hours is None:
            return 0
        due = self._due(now - timedelta(hours=hours))
        return sum(self._erase(series) for series in due)

    def _erase(self, series: str) -> int:
        with reading(self.engine).connect() as connection:
            items, runs = _workitems(connection, series)
            here = {table: _paths(connection, table, series, runs) for table in (instances, conflicts)}
        for path in (path for paths in here.values() for path in paths):
            (self.settings.spool / path).unlink(missing_ok=True)
        results_of = [self.settings.results / run_uid for run_uid in runs]
        for folder in (*results_of, *(self.settings.quarantine / uid for uid in items)):
            (folder / f"{_PICTURE}.dcm").unlink(missing_ok=True)
        with self.engine.begin() as connection:
            for table, paths in here.items():
                connection.execute(delete(table).where(table.c.path.in_(paths)))
            connection.execute(delete(results).where(_shows(runs)))
        log.info("photographs erased", series=series, instances=len(here[instances]))
        return len(here[instances])

    def _due(self, before: datetime) -> list[str]:
        """The series of photographs that are still here and whose last workitem ended before then."""
        algorithms = [name for name, entry in self.catalogue.items() if entry.photograph]
        held = select(instances.c.series_instance_uid)
        of_photographs = select(workitems.c.series_instance_uid).where(workitems.c.algorithm.in_(algorithms))
        series = workitems.c.series_instance_uid
        waiting = select(series).where(workitems.c.state.not_in(_ENDED))
        query = (
            select(series)
            .where(series.in_(of_photographs), series.in_(held), series.not_in(waiting))
            .group_by(series)
            .having(func.max(workitems.c.ended_at) < before)
        )
        with reading(self.engine).connect() as connection:
            return [row.series_instance_uid for row in connection.execute(query)]


def _shows(runs: Sequence[str]) -> ColumnElement[bool]:
    return and_(results.c.run_uid.in_(runs), results.c.role == _PICTURE)


def _paths(connection: Connection, table: Table, series: str, runs: Sequence[str]) -> list[str]:
    """Files of the series, and of the pictures of its results that came back from an archive."""
    photographs = select(instances.c.sop_instance_uid).where(instances.c.series_instance_uid == series)
    pictures = select(results.c.sop_instance_uid).where(_shows(runs))
    sop = table.c.sop_instance_uid
    query = select(table.c.path).where(or_(sop.in_(photographs), sop.in_(pictures)))
    return [row.path for row in connection.execute(query)]


def _workitems(connection: Connection, series: str) -> tuple[list[str], list[str]]:
    """UIDs of the workitems of the series, and of their runs."""
    query = select(workitems.c.uid, workitems.c.run_uid).where(workitems.c.series_instance_uid == series)
    rows = connection.execute(query).all()
    return [row.uid for row in rows], [row.run_uid for row in rows if row.run_uid]
