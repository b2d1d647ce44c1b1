"""`send` and `doctor`: the neighbours of the node."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from algorithms import CATALOGUE
from node import bootstrap, config
from node.commands import devices
from node.commands.console import Config, bar, say, show
from node.commands.worklist import lacks
from node.config import Settings
from node.errors import AINodeError
from node.jobs.figures import figures
from node.outbound import delivery

_LOW_SPACE_BYTES = 5 << 30


def send(
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM files.")],
    peer: Annotated[str, typer.Argument(metavar="AET@HOST:PORT", help="Where to send them.")],
    file: Config = None,
) -> None:
    """Send every DICOM file below a folder by C-STORE."""
    settings = config.load(file)
    with bar("send") as progress:
        report = delivery.send_folder(folder, delivery.parse_peer(peer), settings.dicom.ae_title, progress)
    for name, reason in report.failed:
        say(f"not sent: {name}: {reason}")
    if report.skipped:
        say(f"{len(report.skipped)} files are not DICOM instances, such as {report.skipped[0]}")
    say(f"{report.sent} instances sent to {peer}")
    if report.failed:
        raise AINodeError(f"{len(report.failed)} files were not sent")


def doctor(file: Config = None) -> None:
    """Check what the node stands on: a line each, with the mend."""
    settings = config.load(file)
    rows = [_look(name, check) for name, check in _checks(settings)]
    show("Doctor", rows, as_json=False)
    ill = [row["check"] for row in rows if row["state"] != "ok"]
    if ill:
        raise AINodeError(f"to be mended: {', '.join(ill)}")


def _look(name: str, check: Callable[[], str]) -> dict[str, str]:
    try:
        return {"check": name, "state": "ok", "what": check()}
    except AINodeError as error:
        return {"check": name, "state": "FAILED", "what": str(error)}


def _checks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    house = bootstrap.build(settings)
    yield "state folder", lambda: _space(settings.state)
    yield "ledger", lambda: f"{sum(figures(house.engine).workitems.values())} workitems"
    yield "broker", house.reach_broker
    yield "routes", lambda: f"{len(house.routes.routes)} in {house.routes.path}"
    yield "algorithms", lambda: ", ".join(CATALOGUE)
    yield "weights", lambda: _weights(house)
    yield "devices", lambda: "; ".join(devices.available().values())
    if not settings.destinations:
        yield "destinations", _no_destination
    for destination in settings.destinations:
        yield f"destination {destination.name}", partial(delivery.reach, destination, settings.dicom.ae_title)


def _weights(house: bootstrap.House) -> str:
    wanted = {row["name"]: row for route in house.routes.routes for row in lacks(house, route)}
    if wanted:
        raise AINodeError("; ".join(f"{name} {row['state']}, {row['mend']}" for name, row in wanted.items()))
    return "all that the routes ask for"


def _space(folder: Path) -> str:
    bootstrap.make_folder(folder)
    free = shutil.disk_usage(folder).free
    if free < _LOW_SPACE_BYTES:
        raise AINodeError(f"{free / 1e9:.1f} GB free in {folder}; make room or move the state folder")
    return f"{free / 1e9:.0f} GB free in {folder}"


def _no_destination() -> str:
    raise AINodeError("none is configured, so results stay in the node; add [[destinations]] to node.toml")
