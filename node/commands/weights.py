"""`weights`: what the algorithms run with, got once and checked at every load."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from algorithms.weights import BUNDLED, Checkpoint, Store, WeightsFaulty, WeightsMissing
from node import config, conversion, published
from node.commands.console import AsJson, Config, bar, say, show
from node.errors import AINodeError, ConfigurationError

weights = typer.Typer(help="The weights that the algorithms run with.", no_args_is_help=True)

_ILL = {"missing", "faulty"}

Name = Annotated[str, typer.Argument(help="Name of published weights; see `ainode weights list`.")]


@weights.command("list")
def list_weights(file: Config = None, as_json: AsJson = False) -> None:
    """List the weights that are here, and how to get those that are not."""
    store = _store(file)
    names = dict.fromkeys((*store.names(), *published.PUBLISHED))
    rows = [_row(store, name) for name in names]
    show("Weights", [row | _manifest(row["name"]) for row in rows] if as_json else rows, as_json)


@weights.command()
def pull(name: Name, file: Config = None) -> None:
    """Download published weights; a download that broke off goes on where it stopped."""
    settings = config.load(file)
    with bar(f"pull {name}") as progress:
        checkpoint = published.pull(name, settings.weights, settings.hub.endpoint or None, progress)
    _tell(checkpoint, "pulled")


@weights.command()
def add(
    name: Name,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The file, as downloaded or trained.")],
    file: Config = None,
) -> None:
    """Add weights from a file; pickles are converted in a process of their own."""
    if not conversion.isolation():
        say("Pickles are converted in a process that keeps its network: this system cannot take it away.")
    for checkpoint in published.add(name, source, config.load(file).weights):
        _tell(checkpoint, "added")


@weights.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")] = None,
    file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check digest, keys and shapes of the weights that are here."""
    store = _store(file)
    rows = [_verdict(store, name) for name in names or store.names()]
    show("Weights", rows, as_json)
    faulty = [row["name"] for row in rows if row["state"] != "ok"]
    if faulty:
        raise AINodeError(f"to be got anew: {', '.join(faulty)}")


def states(names: Iterable[str], store: Store) -> list[dict[str, str]]:
    """What is to be said of weights that something asks for: name, state, and the mend where one is due."""
    rows = [{"name": name, "state": state(name, store)} for name in names]
    return [row | {"mend": published.mend(row["name"]) if row["state"] in _ILL else ""} for row in rows]


def state(name: str, store: Store) -> str:
    """Whether weights are bundled, present, missing or faulty; digests are not compared."""
    try:
        return "bundled" if store.get(name).path.is_relative_to(BUNDLED) else "present"
    except WeightsMissing:
        return "missing"
    except WeightsFaulty:
        return "faulty"


def _tell(checkpoint: Checkpoint, done: str) -> None:
    size = sum(path.stat().st_size for path in checkpoint.path.iterdir())
    say(f"{checkpoint.weights.name} {done}, {size / 1e6:.1f} MB, SHA-256 {checkpoint.weights.sha256}")


def _store(file: Path | None) -> Store:
    return Store((config.load(file).weights, BUNDLED))


def _row(store: Store, name: str) -> dict[str, Any]:
    origin = published.PUBLISHED.get(name)
    row = {
        "name": name,
        "state": state(name, store),
        "algorithm": origin.algorithm if origin else "",
        "licence": origin.licence if origin else "",
        "get": origin.way if origin else "",
    }
    try:
        card = store.get(name).card
    except WeightsMissing:
        return row
    except WeightsFaulty as error:
        return row | {"get": str(error)}
    return row | {key: card.get(key, row[key]) for key in ("algorithm", "licence")} | {"get": ""}


def _manifest(name: str) -> dict[str, Any]:
    """What the manifest says of weights; nothing of those that are bundled."""
    origin = published.PUBLISHED.get(name)
    return {"manifest": {**origin.card, "known SHA-256": origin.sha256} if origin else None}


def _verdict(store: Store, name: str) -> dict[str, Any]:
    try:
        checkpoint = store.get(name)
        published.verify(checkpoint)
    except WeightsMissing as error:
        raise ConfigurationError(f"{error}; {published.mend(name)}") from None
    except WeightsFaulty as error:
        return {"name": name, "state": "FAULTY", "sha256": "", "what": str(error)}
    count = len(checkpoint.shapes())
    return {"name": name, "state": "ok", "sha256": checkpoint.weights.sha256, "what": f"{count} tensors"}
