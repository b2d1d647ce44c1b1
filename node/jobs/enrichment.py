"""A whole collection through one algorithm: resumable, and no failure of one series stops the others.

Each series that a route takes has a folder of results. `manifest.csv` says of every series what became
of it and is whole at any moment, so that a run which was broken off goes on where it stopped.
"""

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from algorithms.protocol import CatalogueEntry, Progress
from algorithms.weights import Store
from node.errors import AINodeError, ConfigurationError
from node.inbound.collection import Collection
from node.inbound.instances import check_uid
from node.jobs import routing
from node.jobs.production import Faulty, Stopwatch, produce, provenance_of, write
from node.jobs.routebook import Route
from node.jobs.series import Series, study_of
from node.outbound import tables

State = Literal["done", "failed", "not taken"]

DONE: Final[State] = "done"
FAILED: Final[State] = "failed"
NOT_TAKEN: Final[State] = "not taken"


@dataclass(frozen=True)
class Outcome:
    """What became of a series: a row of the manifest.

    Attributes:
        run_uid: names the run; the same input, options and weights have the same.
        folder: of its results, relative to the manifest; empty where there are none.
        reason: why it failed, or why the route did not take it.
        seconds: of the whole run.
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    instances: int
    state: State
    run_uid: str = ""
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0


class Manifest:
    """The table of outcomes in a folder, one row for each series, written anew after each change."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "manifest.csv"
        self._rows = {row.series_instance_uid: row for row in self._read()}

    @property
    def rows(self) -> tuple[Outcome, ...]:
        """The outcomes in the order in which the series were first met."""
        return tuple(self._rows.values())

    def done(self, series_instance_uid: str, run_uid: str) -> Outcome | None:
        """The outcome of this very run on this series, if it was finished before."""
        row = self._rows.get(series_instance_uid)
        return row if row is not None and row.state == DONE and row.run_uid == run_uid else None

    def keep(self, outcome: Outcome) -> None:
        """Record what became of a series."""
        self._rows[outcome.series_instance_uid] = outcome
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, [field.name for field in fields(Outcome)])
        table.writeheader()
        table.writerows(asdict(row) for row in self.rows)
        write(self._file, text.getvalue().encode())

    def _read(self) -> list[Outcome]:
        if not self._file.exists():
            return []
        with self._file.open(newline="", encoding="utf-8") as file:
            try:
                return TypeAdapter(list[Outcome]).validate_python(list(csv.DictReader(file)))
            except (ValidationError, csv.Error, UnicodeDecodeError):
                raise ConfigurationError(
                    f"{self._file} is not a manifest of this program; give another --out"
                ) from None


@dataclass(frozen=True)
class Enrichment:
    """One algorithm over a collection.

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

    def run(self, collection: Collection, progress: Progress) -> Iterator[Outcome]:
        """Go through all studies; yields what became of each series, in this run or an earlier one."""
        manifest = Manifest(self.folder)
        studies = collection.studies()
        for number, uid in enumerate(studies):
            for outcome in self._study(uid, collection, manifest, _part(progress, number, len(studies))):
                manifest.keep(outcome)
                yield outcome

    def gather(self) -> int:
        """Put the features of all series that are done into one table; the number of its rows."""
        done = (row for row in Manifest(self.folder).rows if row.state == DONE)
        files = [self.folder / row.folder / tables.PARQUET for row in done]
        return tables.concatenate((file for file in files if file.exists()), self.folder)

    def _study(
        self, uid: str, collection: Collection, manifest: Manifest, progress: Progress
    ) -> Iterator[Outcome]:
        progress(0.0, "headers")
        try:
            study = study_of(collection.headers(uid))
        except AINodeError as error:
            yield Outcome(uid, "", "", 0, FAILED, reason=str(error))
            return
        verdicts = routing.explain(study, self.routes, datetime.now().astimezone())
        for series in study.series:
            facts = (uid, series.series_instance_uid, series.modality, series.facts.slices)
            concerning = [verdict for verdict in verdicts if verdict.series is series]
            matches = routing.matches(concerning)
            if matches:
                yield self._series(
                    Outcome(*facts, FAILED), series, matches[0], collection, manifest, progress
                )
            else:
                yield Outcome(*facts, NOT_TAKEN, reason="; ".join(v.reason for v in concerning))

    def _series(
        self,
        outcome: Outcome,
        series: Series,
        match: routing.Match,
        collection: Collection,
        manifest: Manifest,
        progress: Progress,
    ) -> Outcome:
        folder = Path(outcome.study_instance_uid, outcome.series_instance_uid)
        started = time.monotonic()
        try:
            check_uid("StudyInstanceUID", outcome.study_instance_uid)
            check_uid("SeriesInstanceUID", outcome.series_instance_uid)
            options = {**match.options, **self.options}
            provenance = provenance_of(self.entry, options, match.sop_instance_uids, self.store)
            if earlier := manifest.done(outcome.series_instance_uid, provenance.run_uid):
                return earlier
            with collection.files(series.headers) as paths:
                produced = produce(
                    self.entry,
                    paths,
                    provenance,
                    store=self.store,
                    device=self.device,
                    progress=progress,
                    watch=Stopwatch(),
                )
            produced.save(self.folder / folder)
        except Faulty as verdict:
            verdict.save(self.folder / folder / "quarantine")
            return replace(outcome, reason=str(verdict), folder=str(folder / "quarantine"))
        except AINodeError as error:
            return replace(outcome, reason=str(error))
        seconds = round(time.monotonic() - started, 1)
        return replace(outcome, state=DONE, run_uid=provenance.run_uid, folder=str(folder), seconds=seconds)


def _part(progress: Progress, number: int, of: int) -> Progress:
    """Progress of one study, as progress of all."""
    return lambda fraction, stage: progress((number + fraction) / of, f"study {number + 1} of {of}: {stage}")
