"""`weights`: what the algorithms run with, added once and checked at every load."""

from pathlib import Path
from typing import Annotated, Any

import typer

from algorithms.weights import BUNDLED, Checkpoint, Store, WeightsFaulty, WeightsMissing
from node import config, conversion, published
from node.commands.console import AsJson, Config, say, show
from node.errors import AINodeError, ConfigurationError

weights = typer.Typer(help="The weights that the algorithms run with.", no_args_is_help=True)


@weights.command("list")
def list_weights(file: Config = None, as_json: AsJson = False) -> None:
    """List the weights that are here, and how to get the published ones that are not."""
    store = _store(file)
    names = dict.fromkeys((*store.names(), *published.PUBLISHED))
    show("Weights", [_row(store, name) for name in names], as_json)


@weights.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of published weights; see `ainode weights list`.")],
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The published file, as downloaded.")],
    file: Config = None,
) -> None:
    """Add published weights from a file; pickles are converted in a process of their own."""
    if not conversion.isolation():
        say("Pickles are converted in a process that keeps its network: this system cannot take it away.")
    for checkpoint in published.add(name, source, config.load(file).weights):
        size = sum(path.stat().st_size for path in checkpoint.path.iterdir())
        say(f"{checkpoint.weights.name} added, {size / 1e6:.1f} MB, SHA-256 {checkpoint.weights.sha256}")


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
        raise AINodeError(f"to be added anew: {', '.join(faulty)}")


def _store(file: Path | None) -> Store:
    return Store((config.load(file).weights, BUNDLED))


def _row(store: Store, name: str) -> dict[str, Any]:
    origin = published.PUBLISHED.get(name)
    row = {
        "name": name,
        "state": "missing",
        "algorithm": origin.algorithm if origin else "",
        "licence": origin.licence if origin else "",
        "get": origin.way if origin else "",
    }
    try:
        found = store.get(name)
    except WeightsMissing:
        return row
    except WeightsFaulty as error:
        return row | {"state": "faulty", "get": str(error)}
    return row | {
        "state": _where(found),
        "algorithm": found.card.get("algorithm", row["algorithm"]),
        "licence": found.card.get("licence", row["licence"]),
        "get": "",
    }


def _where(checkpoint: Checkpoint) -> str:
    return "bundled" if checkpoint.path.is_relative_to(BUNDLED) else "present"


def _verdict(store: Store, name: str) -> dict[str, Any]:
    try:
        checkpoint = store.get(name)
        published.verify(checkpoint)
    except WeightsMissing as error:
        raise ConfigurationError(str(error)) from None
    except WeightsFaulty as error:
        return {"name": name, "state": "FAULTY", "sha256": "", "what": str(error)}
    count = len(checkpoint.shapes())
    return {"name": name, "state": "ok", "sha256": checkpoint.weights.sha256, "what": f"{count} tensors"}
