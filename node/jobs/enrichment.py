"""A whole collection through one algorithm: resumable, and no failure of one series stops the others.

Each series that a route takes has a folder of results. `manifest.csv` says of every series what became
of it as soon as that is known, so that a run which was broken off goes on where it stopped.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Progress
from algorithms.weights import Store
from node.errors import AINodeError
from node.inbound.collection import Collection
from node.inbound.instances import check_uid
from node.jobs import routing
from node.jobs.inputs import Input
from node.jobs.manifest import DONE, FAILED, NOT_TAKEN, Manifest, Outcome, Unwritable, in_a_line, writing
from node.jobs.production import Faulty, Means, Stopwatch, produce, provenance_of
from node.jobs.routebook import Route
from node.jobs.series import Series, Study, study_of
from node.outbound import tables
from node.outbound.equipment import Provenance


@dataclass(frozen=True)
class _Errand:
    """What is to be done: a series on a route that took it.

    Attributes:
        outcome: as it is where the errand fails.
        folder: for its results, relative to the manifest.
    """

    outcome: Outcome
    study: Study
    series: Series
    match: routing.Match
    folder: Path


@dataclass(frozen=True)
class Enrichment:
    """One algorithm over a collection; hold the folder with `alone` meanwhile.

    Attributes:
        routes: those of the algorithm; they choose the series of each study, and order.
        options: override those of the route.
        folder: where results and the manifest go.
    """

    entry: CatalogueEntry
    routes: Sequence[Route]
    options: Mapping[str, str]
    store: Store
    device: str
    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """What became of each series, in this run and in those before."""
        return Manifest(self.folder)

    def run(self, collection: Collection, progress: Progress) -> Iterator[Outcome]:
        """Go through all studies; yields what became of each series, in this run or an earlier one.

        Raises:
            ConfigurationError: what is in the folder is no manifest.
            Transient: the archive does not tell its studies.
            Unwritable: results cannot be kept.
        """
        self.manifest.begin("", ())  # files that could not be read may have been mended
        self.manifest.compact()
        studies = collection.studies()
        for number, uid in enumerate(studies):
            for outcome in self._study(uid, collection, _part(progress, number, len(studies))):
                self.manifest.keep(outcome)
                yield outcome

    def gather(self) -> int:
        """Put the manifest in order and the features of all that is done into one table; its rows.

        Raises:
            ConfigurationError: what is in the folder is no manifest.
            Unwritable: they cannot be written.
        """
        self.manifest.compact()
        # Two routes may have ordered the very same.
        done = {
            (row.study_instance_uid, row.series_instance_uid, row.run_uid): row
            for row in self.manifest.rows
            if row.state == DONE
        }
        files = [self.folder / row.folder / tables.PARQUET for row in done.values()]
        with writing(self.folder):
            return tables.concatenate((file for file in files if file.exists()), self.folder)

    def _study(self, uid: str, collection: Collection, progress: Progress) -> Iterator[Outcome]:
        progress(0.0, "headers")
        try:
            with _told():
                study = study_of(collection.headers(uid))
                planned = list(_plan(uid, study, self.routes))
        except AINodeError as error:
            yield Outcome(uid, "", "", 0, FAILED, reason=in_a_line(error))
            return
        outcomes = [task.outcome if isinstance(task, _Errand) else task for task in planned]
        self.manifest.begin(uid, {outcome.key for outcome in outcomes})
        for task in planned:
            yield self._run(task, collection, progress) if isinstance(task, _Errand) else task

    def _run(self, errand: _Errand, collection: Collection, progress: Progress) -> Outcome:
        """Run one errand; whatever fails fails for this errand alone."""
        try:
            with _told():
                return self._done_before_or_now(errand, collection, progress)
        except Unwritable:
            raise
        except Faulty as verdict:
            quarantine = errand.folder / "quarantine"
            with writing(self.folder):
                verdict.save(self.folder / quarantine)
            return replace(errand.outcome, reason=in_a_line(verdict), folder=str(quarantine))
        except AINodeError as error:
            return replace(errand.outcome, reason=in_a_line(error))

    def _done_before_or_now(self, errand: _Errand, collection: Collection, progress: Progress) -> Outcome:
        started = time.monotonic()
        check_uid("StudyInstanceUID", errand.outcome.study_instance_uid)
        check_uid("SeriesInstanceUID", errand.outcome.series_instance_uid)
        source = self._input(errand)
        options = {**errand.match.options, **self.options}
        provenance = provenance_of(self.entry, options, source.sop_instance_uids, self.store)
        if earlier := self._earlier(errand.outcome, provenance):
            return earlier
        files = {*source.images, *([source.segmentation] if source.segmentation else [])}
        headers = [h for series in errand.study.series for h in series.headers if Path(h.filename) in files]
        with collection.files(headers) as folder:
            produced = produce(
                self.entry,
                [folder / path for path in source.images],
                provenance,
                Means(self.store, self.device),
                segmentation=folder / source.segmentation if source.segmentation else None,
                progress=progress,
                watch=Stopwatch(),
            )
        with writing(self.folder):
            produced.save(self.folder / errand.folder)
        return replace(
            errand.outcome,
            state=DONE,
            run_uid=provenance.run_uid,
            folder=str(errand.folder),
            seconds=round(time.monotonic() - started, 1),
        )

    def _input(self, errand: _Errand) -> Input:
        """The instances of the series; of a segmentation, the images it was made on too."""
        if "SEG" in self.entry.modalities:
            return Input.of(errand.series, errand.study)
        return Input(errand.series.sop_instance_uids, errand.series.paths)

    def _earlier(self, outcome: Outcome, provenance: Provenance) -> Outcome | None:
        """The outcome of this very run, if it was done before and its results still lie there."""
        row = self.manifest.find(outcome)
        if row is None or row.state != DONE or row.run_uid != provenance.run_uid:
            return None
        # Written last, this file stands for all.
        return row if (self.folder / row.folder / "findings.json").exists() else None


def _plan(uid: str, study: Study, routes: Sequence[Route]) -> Iterator[_Errand | Outcome]:
    """An errand for each series and each route that takes it; an outcome where none does."""
    verdicts = routing.explain(study, routes, datetime.now().astimezone())
    for series in study.series:
        facts = (uid, series.series_instance_uid, series.modality, series.facts.slices)
        concerning = [verdict for verdict in verdicts if verdict.series is series]
        matches = routing.matches(concerning)
        for match in matches:
            folder = Path(uid, series.series_instance_uid)
            if len(matches) > 1:
                folder /= f"route-{quote(match.route, safe='')}"
            yield _Errand(Outcome(*facts, FAILED, match.route), study, series, match, folder)
        if not matches:
            yield Outcome(*facts, NOT_TAKEN, reason="; ".join(v.reason for v in concerning))


@contextmanager
def _told() -> Iterator[None]:
    """Tell what nobody foresaw as an error of this program."""
    try:
        yield
    except AINodeError:
        raise
    except Exception as error:  # the edge of one series: its fault must not stop the others
        raise AINodeError(f"{type(error).__name__}: {error}") from error


def _part(progress: Progress, number: int, of: int) -> Progress:
    """Progress of one study, as progress of all."""
    return lambda fraction, stage: progress((number + fraction) / of, f"study {number + 1} of {of}: {stage}")
