"""The reception: arrivals into the ledger, studies completed, routed and scheduled, and the sweep."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from algorithms.catalogue import CatalogueEntry
from node.config import Settings
from node.errors import IncompleteInput, Permanent, Transient
from node.inbound import volumes
from node.inbound.association import Listener
from node.inbound.instances import Outcome, Spool, Stored
from node.inbound.studies import Completeness, CompleteStudy
from node.jobs import routing
from node.jobs.index import Index
from node.jobs.routebook import RouteBook
from node.jobs.schema import DatabaseUnavailable
from node.jobs.series import Study, study_of
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist

log = structlog.get_logger()

_TICK_SECONDS = 0.2


def study_in_spool(spool: Path, index: Index, study_instance_uid: str) -> Study:
    """A study of the spool, from its headers.

    Raises:
        IncompleteInput: the spool holds none of it.
    """
    paths = index.paths(study_instance_uid)
    if not paths:
        raise IncompleteInput(f"the spool holds no study {study_instance_uid}; send it again")
    return study_of(volumes.headers(spool / path for path in paths))


@dataclass
class Reception:
    """Receives, indexes, completes, routes, and sweeps.

    Association threads only put arrivals on a queue. One thread does all writing, so arrivals are in the
    ledger before their study is judged complete.
    """

    settings: Settings
    catalogue: Mapping[str, CatalogueEntry]
    index: Index
    worklist: Worklist
    routes: RouteBook
    wake: Callable[[Sequence[Workitem]], None]
    _arrivals: queue.SimpleQueue[Stored] = field(default_factory=queue.SimpleQueue)
    _unrecorded: list[Stored] = field(default_factory=list)
    _unscheduled: list[CompleteStudy] = field(default_factory=list)
    _woken: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    _next_sweep: float = 0.0

    def __post_init__(self) -> None:
        self._spool = Spool(self.settings.spool, self.settings.dicom.max_instance_bytes)
        self._completeness = Completeness(
            self.settings.completion.quiet_seconds, self.settings.completion.interrupted_seconds
        )

    def run(self, stop: threading.Event) -> None:
        """Receive until told to stop; nothing accepted is left behind.

        Raises:
            ConfigurationError: the port is taken.
        """
        self._recover()
        listener = Listener(
            self.settings.dicom, self._spool, self._arrived, self._completeness.association_ended
        )
        listener.start()
        try:
            while not stop.wait(_TICK_SECONDS):
                self._tick()
        finally:
            listener.stop()
            self._record()

    def _arrived(self, stored: Stored, association: str) -> None:
        self._arrivals.put(stored)
        if stored.outcome is Outcome.NEW and not stored.instance.own_result:
            self._completeness.arrived(stored.instance.study_instance_uid, association, time.monotonic())

    def _recover(self) -> None:
        """After a crash: index what the ledger missed, and watch the studies that were still open."""
        for instance in self._spool.reconcile(self.index.known):
            self._arrivals.put(Stored(instance, Outcome.NEW))
        self._record()
        for study_instance_uid in self.index.unfinished():
            self._completeness.restore(study_instance_uid, time.monotonic())

    def _tick(self) -> None:
        try:
            _ = self.routes.routes  # a changed file is taken, or refused, as soon as it is there
            self._unscheduled += self._completeness.due(time.monotonic())
            self._record()
            while self._unscheduled:
                self._schedule(self._unscheduled[0])
                self._unscheduled.pop(0)
            self._sweep()
        except (Transient, DatabaseUnavailable) as error:
            log.warning("will be tried again", why=str(error).splitlines()[0])

    def _record(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._unrecorded.append(self._arrivals.get_nowait())
        if self._unrecorded:
            for study_instance_uid in self.index.record(self._unrecorded):
                self._completeness.restore(study_instance_uid, time.monotonic())
            self._unrecorded = []

    def _schedule(self, complete: CompleteStudy) -> None:
        """Route a complete study and wake the workers; one that cannot be read says so in the worklist."""
        now = datetime.now().astimezone()
        verdicts: Sequence[routing.Verdict] = ()
        try:
            study = study_in_spool(self.settings.spool, self.index, complete.study_instance_uid)
            verdicts = routing.explain(study, self.routes.routes, now)
            explanation = [str(verdict) for verdict in verdicts]
        except Permanent as error:
            explanation = [str(error)]
        except (Transient, DatabaseUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - the process edge: what is in one study must not stop the reception
            # The message may quote the header, so only its class is told.
            explanation = [f"the headers cannot be read: {type(error).__name__}"]
            log.warning("study not routed", study=complete.study_instance_uid, why=explanation[0])
        items = self.worklist.schedule(
            complete.study_instance_uid,
            [(match, self.catalogue[match.algorithm].version) for match in routing.matches(verdicts)],
            evidence={
                "quiet_seconds": round(complete.evidence.quiet_seconds, 3),
                "instances": complete.evidence.instances,
                "associations": complete.evidence.associations,
                "interrupted": complete.evidence.interrupted,
            },
            explanation=explanation,
        )
        log.info("study complete", study=complete.study_instance_uid, workitems=len(items))
        self._wake(items)

    def _sweep(self) -> None:
        """Send again for what is due, in case its message was lost; for the same attempt ever more rarely.

        A long queue is due all the time, and must not fill the broker with copies of its messages.
        """
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + self.settings.jobs.sweep_seconds
        due = self.worklist.due()
        keys = {(item.uid, item.attempt) for item in due}
        self._woken = {key: woken for key, woken in self._woken.items() if key in keys}
        self._wake([item for item in due if self._next_wake(item) <= now])

    def _next_wake(self, item: Workitem) -> float:
        last, times = self._woken.get((item.uid, item.attempt), (0.0, 0))
        return last + self.settings.jobs.lease_seconds * 2 ** (times - 1) if times else last

    def _wake(self, items: Sequence[Workitem]) -> None:
        try:
            self.wake(items)
        except Transient as error:
            # The ledger has the work, so a broker that is away keeps no other study waiting.
            log.warning("workers are not woken, the sweep tries again", why=str(error))
            return
        for item in items:
            _, times = self._woken.get((item.uid, item.attempt), (0.0, 0))
            self._woken[item.uid, item.attempt] = (time.monotonic(), times + 1)
