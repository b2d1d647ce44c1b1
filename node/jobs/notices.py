"""Notices of urgent findings: an HTTP POST for each run that found one.

A notice is a row of the ledger, written with the urgency of its workitem, before there are results. The
listening role works them off, so a receiver that is down keeps no workitem waiting, and a restart of the
node loses no notice.
A crash between the answer and its record sends one twice.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import structlog
from sqlalchemy import Engine, and_, select, update

from node.config import Settings
from node.jobs.schema import DatabaseUnavailable, notices, reading
from node.jobs.workitem import Workitem, backoff

log = structlog.get_logger()

PENDING = "PENDING"
SENT = "SENT"
GIVEN_UP = "GIVEN UP"

_WORTH_SENDING: Final = timedelta(days=1)
"""A notice older than this wakes nobody up any more."""

_LONGEST_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Notice:
    """A notice and how far it has come.

    Attributes:
        body: study, series, workitem, algorithm, finding, verdict and urgency; nothing of the patient.
    """

    run_uid: str
    body: Mapping[str, Any]
    state: str
    tries: int
    not_before: datetime
    error: str
    created_at: datetime
    sent_at: datetime | None


def fresh(item: Workitem, run_uid: str, score: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a new notice.

    Args:
        item: the workitem that found something.
        run_uid: there is one notice for each run.
        score: the score of `findings.json` that is urgent.
    """
    now = datetime.now(UTC)
    body = {
        "study": item.study_instance_uid,
        "series": item.series_instance_uid,
        "workitem": item.uid,
        "algorithm": item.algorithm,
        "finding": _meaning(score.get("finding")) or score["name"],
        "verdict": _meaning(score.get("verdict")),
        "urgency": score["urgency"],
    }
    return {
        "run_uid": run_uid,
        "body": body,
        "state": PENDING,
        "tries": 0,
        "not_before": now,
        "error": "",
        "created_at": now,
    }


def _meaning(code: Mapping[str, str] | None) -> str | None:
    return code["meaning"] if code else None


class Notices:
    """Sends the notices of the ledger."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._queries = reading(engine)
        self._settings = settings

    def run(self, stop: threading.Event) -> None:
        """Send what is due, until told to stop; does nothing where nobody is to be told."""
        while self._settings.notices.url and not stop.wait(self._settings.jobs.sweep_seconds):
            try:
                self.send_due()
            except DatabaseUnavailable:
                log.warning("the ledger is away, notices wait")

    def send_due(self) -> None:
        """Try each notice that is due once."""
        due = and_(notices.c.state == PENDING, notices.c.not_before <= datetime.now(UTC))
        with self._queries.connect() as connection:
            query = select(notices).where(due).order_by(notices.c.created_at)
            waiting = [Notice(**row._asdict()) for row in connection.execute(query)]
        for notice in waiting:
            if self._claim(notice):
                self._record(notice, self._post(notice))

    def of_run(self, run_uid: str) -> Notice | None:
        """The notice of a run, or None."""
        with self._queries.connect() as connection:
            row = connection.execute(select(notices).where(notices.c.run_uid == run_uid)).first()
            return Notice(**row._asdict()) if row else None

    def _claim(self, notice: Notice) -> bool:
        """Put the next try off before this one begins; of several senders one gets it."""
        unchanged = and_(
            notices.c.run_uid == notice.run_uid,
            notices.c.state == PENDING,
            notices.c.tries == notice.tries,
        )
        tries = notice.tries + 1
        answered_by_then = timedelta(seconds=2 * self._settings.notices.timeout_seconds)
        wait = max(min(backoff(self._settings.jobs, tries), _LONGEST_WAIT), answered_by_then)
        put_off = {"tries": tries, "not_before": datetime.now(UTC) + wait}
        with self._engine.begin() as connection:
            return connection.execute(update(notices).where(unchanged).values(**put_off)).rowcount == 1

    def _post(self, notice: Notice) -> str:
        """Send; an empty string, or what went wrong. Redirects are not followed."""
        told = self._settings.notices
        try:
            with httpx2.stream("POST", told.url, json=notice.body, timeout=told.timeout_seconds) as answer:
                status = answer.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"{urlsplit(told.url).hostname}: {str(error) or type(error).__name__}"
        return "" if httpx2.codes.is_success(status) else f"{urlsplit(told.url).hostname} answered {status}"

    def _record(self, notice: Notice, error: str) -> None:
        now = datetime.now(UTC)
        values: dict[str, Any] = {"error": error}
        said = log.bind(run=notice.run_uid, workitem=notice.body["workitem"])
        if not error:
            values |= {"state": SENT, "sent_at": now}
            said.info("notice sent")
        elif now - notice.created_at > _WORTH_SENDING:
            values["state"] = GIVEN_UP
            said.error("notice given up", why=error)
        else:
            said.warning("notice will be sent again", why=error)
        this = notices.c.run_uid == notice.run_uid
        with self._engine.begin() as connection:
            connection.execute(update(notices).where(this).values(**values))
