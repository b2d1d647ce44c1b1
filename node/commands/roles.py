"""`up`, `listen`, `work`, `serve`: the node, whole or in parts."""

from typing import Annotated

import typer

from node import bootstrap, config
from node.commands.console import Config
from node.commands.devices import Device, checked
from node.errors import ConfigurationError
from node.jobs.tasks import QUEUES


def up(file: Config = None) -> None:
    """Run the whole node: listener, web server and workers. Stops on SIGTERM or Ctrl-C."""
    bootstrap.up(config.load(file), ["--config", str(file)] if file else [])


def listen(file: Config = None) -> None:
    """Run the DICOM listener, which also completes, routes and schedules studies."""
    bootstrap.listen(config.load(file))


def serve(file: Config = None) -> None:
    """Run the web server."""
    bootstrap.serve(config.load(file))


def work(
    file: Config = None,
    queue: Annotated[str, typer.Option(help="Queues to work off, separated by commas.")] = ",".join(QUEUES),
    device: Device = "cpu",
) -> None:
    """Run a worker, which performs one workitem at a time."""
    queues = [name.strip() for name in queue.split(",")]
    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise ConfigurationError(f"unknown queue {', '.join(unknown)}; there are {', '.join(QUEUES)}")
    bootstrap.work(config.load(file), queues, checked(device))
