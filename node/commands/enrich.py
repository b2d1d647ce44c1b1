"""`enrich`: one algorithm over a whole collection, without a PACS or a database."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from node import bootstrap, config
from node.commands.console import Config, Option, bar, dicom_files, make, options_of, say, say_aside
from node.commands.devices import Device, checked
from node.commands.science import entry_named
from node.errors import ConfigurationError
from node.inbound.collection import Archive, Collection, Folder
from node.jobs.enrichment import Enrichment
from node.jobs.manifest import FAILED, Outcome, alone
from node.jobs.production import provenance_of


def enrich(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|QUERY", help="DICOM files, or a QIDO-RS query: URL/studies?...")
    ],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Results, manifest, and one table.")],
    file: Config = None,
    algorithm: Annotated[
        str, typer.Option(help="Name of the algorithm; a route of it chooses the series.")
    ] = "chest-ct-annotation",
    option: Option = None,
    device: Device = "cpu",
) -> None:
    """Annotate a whole collection: resumable, with a manifest and one table of all features."""
    house = bootstrap.build(config.load(file))
    entry = entry_named(algorithm)
    routes = [route for route in house.routes.routes if route.algorithm == entry.name]
    if not routes:
        raise ConfigurationError(
            f"no route runs {entry.name}; add one to a routes file of your own and name it in node.toml"
        )
    options = options_of(option or [])
    for route in routes:  # what can never work is told before the first series
        provenance_of(entry, {**route.all_options, **options}, (), house.store)
    make(folder)
    enrichment = Enrichment(entry, routes, options, house.store, checked(device), folder)
    states: Counter[str] = Counter()
    with alone(folder):
        try:
            with bar(algorithm) as progress:
                for outcome in enrichment.run(_collection(source), progress):
                    states[outcome.state] += 1
                    if outcome.state == FAILED:
                        say_aside(f"{_subject(outcome)}: {outcome.reason}")
        finally:
            features = enrichment.gather()
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "nothing found"
    say(f"{counted}; see manifest.csv and {features} features in {folder}. Research use only.")
    if states[FAILED]:
        raise typer.Exit(1)


def _collection(source: str) -> Collection:
    if source.startswith(("http://", "https://")):
        return Archive.of(source)
    return Folder(tuple(dicom_files([Path(source)])))


def _subject(outcome: Outcome) -> str:
    if not outcome.series_instance_uid:
        return f"study {outcome.study_instance_uid}"
    return outcome.series_instance_uid
