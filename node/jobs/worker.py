"""One workitem's way, from the claim to COMPLETED: the second half of the line."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import structlog

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Findings, Volume
from algorithms.weights import Store
from node.config import Settings
from node.errors import (
    CancelRequested,
    DestinationRefused,
    IncompleteInput,
    LeaseLost,
    Permanent,
    ResourceInadequate,
    Transient,
)
from node.jobs import notices
from node.jobs.gallery import Gallery
from node.jobs.index import Index
from node.jobs.inputs import Input
from node.jobs.outbox import CONFIRMED, PENDING, REFUSED, Delivery, Outbox, Result
from node.jobs.production import Faulty, Means, Stopwatch, produce, provenance_of
from node.jobs.reception import study_in_spool
from node.jobs.schema import DatabaseUnavailable
from node.jobs.urgency import HIGH, most_urgent
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist
from node.outbound import delivery, document
from node.outbound.equipment import Provenance

log = structlog.get_logger()

_SAY_SECONDS = 0.3


@dataclass(frozen=True)
class Worker:
    """Performs workitems, one at a time."""

    settings: Settings
    catalogue: Mapping[str, CatalogueEntry]
    store: Store
    index: Index
    worklist: Worklist
    outbox: Outbox
    gallery: Gallery
    name: str
    device: str
    wake: Callable[[Sequence[Workitem]], None]

    def perform(self, uid: str) -> None:
        """Claim a workitem, compute, store, deliver, complete.

        Steps aside when somebody else holds it. Whatever becomes of it is written to the ledger; where that
        is away too, the lease lapses and the sweep brings the workitem back.
        """
        item = self.worklist.claim(uid, self.name)
        if item is None:
            return
        said = log.bind(workitem=uid, attempt=item.attempt, algorithm=item.algorithm)
        said.info("claimed")
        try:
            with Lease.on(self.worklist, item, self.settings.jobs.lease_seconds) as lease:
                if item.run_uid is None:
                    item = self._compute(item, lease)
                self._deliver(item)
        except LeaseLost as error:
            said.warning("left to another attempt", why=str(error))
        except (CancelRequested, Permanent) as error:
            said.warning("canceled", why=str(error), reason=error.reason.meaning)
            self.worklist.cancel(item, str(error), error.reason)
        except Transient as error:
            said.warning("will be tried again", why=str(error))
            self.worklist.release(item, str(error))
        except SystemExit:
            said.info("handed back, the worker is stopping")
            self.worklist.hand_back(item)
            raise
        except Exception as error:  # noqa: BLE001 - the process edge: an algorithm's fault must not stop the worker
            said.exception("attempt failed")
            self.worklist.release(item, f"{type(error).__name__}: {error}")

    def _compute(self, item: Workitem, lease: "Lease") -> Workitem:
        """Run the algorithm and store what it found; done already for the same input, it is not repeated."""
        entry = self.catalogue.get(item.algorithm)
        if entry is None or entry.version != item.version:
            raise ResourceInadequate(f"{item.algorithm} {item.version} is not installed on {self.name}")
        source = self._input(item, entry)
        provenance = provenance_of(entry, item.options, source.sop_instance_uids, self.store)
        waited = (datetime.now(UTC) - item.created_at).total_seconds()
        watch = Stopwatch({"wait": round(waited, 3)})
        stored = self.outbox.results(provenance.run_uid) or self._run(
            item, entry, source, provenance, lease, watch
        )
        self._keep(item, provenance.run_uid, stored, watch)
        return replace(item, run_uid=provenance.run_uid, seconds=watch.seconds)

    def _run(
        self,
        item: Workitem,
        entry: CatalogueEntry,
        source: Input,
        provenance: Provenance,
        lease: "Lease",
        watch: Stopwatch,
    ) -> list[Result]:
        source.refuse_incomplete()
        try:
            produced = produce(
                entry,
                source.images,
                provenance,
                Means(self.store, self.device, self.gallery.nearest),
                segmentation=source.segmentation,
                progress=lease.progress,
                watch=watch,
                announce=lambda findings: self._hasten(item, provenance.run_uid, findings),
            )
        except Faulty as error:
            error.save(self.settings.quarantine / item.uid)
            raise
        lease.progress(0.95, "store")
        with watch.stage("store"):
            produced.save(self.settings.results / provenance.run_uid)
            if (embedding := produced.findings.embedding) and isinstance(produced.image, Volume):
                slices = produced.image.sop_instance_uids
                self.gallery.add(item, provenance.run_uid, slices[len(slices) // 2], embedding)
        return [Result.of(encoded, provenance.run_uid) for encoded in produced.objects]

    def _hasten(self, item: Workitem, run_uid: str, findings: Findings) -> None:
        """Raise an urgent study and tell of it before its results are explained, encoded and proved."""
        score = most_urgent([document.score(each) for each in findings.scores])
        if score and score["urgency"] == HIGH:
            # Without the ledger or the broker it comes up later: when the results are kept.
            with contextlib.suppress(DatabaseUnavailable, Transient):
                self.wake(self.outbox.hasten(item, self._notice(item, run_uid, score)))

    def _keep(self, item: Workitem, run_uid: str, stored: Sequence[Result], watch: Stopwatch) -> None:
        """Record the results and how urgent they are; what an urgent study waits for comes next."""
        written = self.settings.results / run_uid / "findings.json"
        if not written.exists():
            raise IncompleteInput(f"the findings of run {run_uid} are gone from the results folder")
        score = most_urgent(json.loads(written.read_bytes())["scores"])
        urgency = score["urgency"] if score else None
        notice = self._notice(item, run_uid, score) if score else None
        lifted = self.outbox.keep(item, run_uid, stored, watch.seconds, urgency=urgency, notice=notice)
        # It is in the ledger: while the broker is away, the sweep wakes a worker.
        with contextlib.suppress(Transient):
            self.wake(lifted)

    def _notice(self, item: Workitem, run_uid: str, score: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the webhook is told of a score; None where it is not urgent, or nobody is to be told."""
        if not self.settings.notices.url or score["urgency"] != HIGH:
            return None
        return notices.fresh(item, run_uid, score)

    def _input(self, item: Workitem, entry: CatalogueEntry) -> Input:
        """The instances of the workitem; of a segmentation, the images it was made on too."""
        if "SEG" in entry.modalities:
            study = study_in_spool(self.settings.spool, self.index, item.study_instance_uid)
            (series,) = (s for s in study.series if s.series_instance_uid == item.series_instance_uid)
            return Input.of(series, study)
        paths = self.index.paths(item.study_instance_uid, item.sop_instance_uids)
        return Input(tuple(item.sop_instance_uids), tuple(self.settings.spool / path for path in paths))

    def _deliver(self, item: Workitem) -> None:
        """Send to every destination that is due, side by side, so that one that is down blocks no other.

        Raises:
            DestinationRefused: one will never take the results, and none is still waited for.
            IncompleteInput: the stored results are gone.
        """
        files = [self.settings.results / result.path for result in self.outbox.results(item.run_uid)]
        if missing := [file for file in files if not file.exists()]:
            raise IncompleteInput(
                f"{len(missing)} of {len(files)} stored results are gone, such as {missing[0]}"
            )
        watch = Stopwatch(item.seconds)
        now = datetime.now(UTC)
        waiting = self.outbox.deliveries(item.uid)
        due = [d for d in waiting if d.state == PENDING and d.not_before <= now]
        with watch.stage("deliver"), ThreadPoolExecutor(max_workers=len(due) or 1) as pool:
            list(pool.map(lambda d: self._send(item, files, d), due))
        after = self.outbox.deliveries(item.uid)
        still = [d for d in after if d.state == PENDING]
        refused = [d for d in after if d.state == REFUSED]
        if still:
            sentence = "; ".join(f"{d.destination}: {d.error}" for d in still)
            self.worklist.release(item, sentence, min(d.not_before for d in still))
        elif refused:
            raise DestinationRefused("; ".join(f"{d.destination}: {d.error}" for d in refused))
        else:
            self.worklist.complete(item, watch.seconds)
            log.info("completed", workitem=item.uid, **watch.seconds)

    def _send(self, item: Workitem, files: Sequence[Path], to: Delivery) -> None:
        destination = next((d for d in self.settings.destinations if d.name == to.destination), None)
        try:
            if destination is None:
                raise Transient(f"{to.destination} is not among the configured destinations")
            delivery.deliver(files, destination, self.settings.dicom.ae_title)
        except Transient as error:
            self.outbox.delivered(item, to.destination, PENDING, str(error))
        except DestinationRefused as error:
            self.outbox.delivered(item, to.destination, REFUSED, str(error))
        else:
            self.outbox.delivered(item, to.destination, CONFIRMED)


class Lease:
    """Keeps an attempt's lease while it runs, and passes progress and requests to cancel on."""

    def __init__(self, worklist: Worklist, item: Workitem) -> None:
        self._worklist = worklist
        self._item = item
        self._lost: CancelRequested | LeaseLost | None = None
        self._stage = ""
        self._said = 0.0

    @classmethod
    @contextlib.contextmanager
    def on(cls, worklist: Worklist, item: Workitem, seconds: float) -> Iterator[Self]:
        """Renew the lease in the background, three times in its length."""
        lease = cls(worklist, item)
        over = threading.Event()
        keeper = threading.Thread(target=lease._keep, args=(over, seconds / 3), daemon=True)
        keeper.start()
        try:
            yield lease
        finally:
            over.set()
            keeper.join()

    def progress(self, fraction: float, stage: str) -> None:
        """Say how far the attempt is, at each new stage and else a few times a second at most.

        Raises:
            CancelRequested: the workitem is to stop.
            LeaseLost: another attempt has it.
        """
        if self._lost:
            raise self._lost
        if stage != self._stage or time.monotonic() - self._said > _SAY_SECONDS:
            self._stage, self._said = stage, time.monotonic()
            # A ledger that is away for a moment is no reason to throw the attempt away.
            with contextlib.suppress(DatabaseUnavailable):
                self._worklist.renew(self._item, progress=fraction, stage=stage)

    def _keep(self, over: threading.Event, every: float) -> None:
        while not over.wait(every):
            try:
                self._worklist.renew(self._item)
            except DatabaseUnavailable:
                log.warning("the ledger is away, the lease is not renewed", workitem=self._item.uid)
            except (CancelRequested, LeaseLost) as error:
                self._lost = error
                return
