"""The composition root: the only place that knows every room and wires them together."""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from algorithms import CATALOGUE
from algorithms.catalogue import CatalogueEntry
from algorithms.weights import BUNDLED, Store
from node.config import Settings
from node.errors import ConfigurationError
from node.jobs import schema, tasks
from node.jobs.accounts import Accounts
from node.jobs.board import Board
from node.jobs.figures import figures
from node.jobs.gallery import Gallery
from node.jobs.index import Index
from node.jobs.matching import Matching
from node.jobs.notices import Notices
from node.jobs.outbox import Outbox
from node.jobs.reception import Reception
from node.jobs.retention import Retention
from node.jobs.routebook import RouteBook
from node.jobs.verdicts import Verdicts
from node.jobs.worker import Worker
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy import Engine

    from node.web.rooms import Rooms

log = structlog.get_logger()

_STOP_SECONDS = 15
_LISTENERS_SECONDS = 2
"""How long pages that listen for events may hold up a stop."""
_RESTART_SECONDS = 2
_PR_SET_PDEATHSIG = 1
_ROUTINE_NICENESS = 10
"""Where both compute on the same cores, an urgent workitem gets nine tenths of them."""


@dataclass(frozen=True)
class House:
    """The rooms of one node, built when they are first entered."""

    settings: Settings
    catalogue: Mapping[str, CatalogueEntry]

    @cached_property
    def engine(self) -> "Engine":
        """The ledger, brought to the newest schema."""
        make_folder(self.settings.state)
        engine = schema.connect(self.settings.ledger_url)
        schema.migrate(engine)
        return engine

    @cached_property
    def index(self) -> Index:
        """What arrived."""
        return Index(self.engine)

    @cached_property
    def worklist(self) -> Worklist:
        """What is to be done."""
        return Worklist(self.engine, self.settings.jobs)

    @cached_property
    def outbox(self) -> Outbox:
        """What was found."""
        return Outbox(self.engine, self.settings.jobs)

    @cached_property
    def gallery(self) -> Gallery:
        """What resembles what."""
        return Gallery(self.engine, self.settings.gallery)

    @cached_property
    def matching(self) -> Matching:
        """Which studies answer a query."""
        return Matching(self.engine)

    @cached_property
    def accounts(self) -> Accounts:
        """Who may enter."""
        return Accounts(self.engine)

    @cached_property
    def store(self) -> Store:
        """Weights: those added here, then those bundled with the program."""
        return Store((self.settings.weights, BUNDLED))

    @cached_property
    def broker(self) -> "Celery":
        """Who wakes the workers."""
        make_folder(self.settings.state)
        return tasks.application(self.settings)

    def wake(self, items: Sequence[Workitem]) -> None:
        """Send a message for each workitem."""
        tasks.wake(self.broker, items)

    def reach_broker(self) -> str:
        """Where the broker is, when it answers.

        Raises:
            Transient: it does not answer.
        """
        return tasks.reach(self.broker)

    @cached_property
    def routes(self) -> RouteBook:
        """What runs on which series."""
        file = Path(self.settings.routes.file) if self.settings.routes.file else None
        return RouteBook(file, self.catalogue, [d.name for d in self.settings.destinations])


def build(settings: Settings) -> House:
    """A node with the algorithms of the catalogue."""
    return House(settings, CATALOGUE)


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the state folder {folder} cannot be made: {error.strerror}; set `state` or AINODE_STATE"
        ) from None
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"the state folder {folder} is not writable; set `state` or AINODE_STATE")


def listen(settings: Settings) -> None:
    """The listening role, until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the port is taken, or another listener works on the same state folder.
    """
    house = build(settings)
    reception = Reception(
        settings,
        house.catalogue,
        house.index,
        house.worklist,
        house.routes,
        wake=house.wake,
    )
    stop = _stop_on_signals()
    with _alone(settings.state):
        for beside in (Notices(house.engine, settings), Retention(house.engine, settings, house.catalogue)):
            threading.Thread(target=beside.run, args=(stop,), daemon=True).start()
        reception.run(stop)


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the state folder against a second listener, which would take this one's files for leftovers."""
    make_folder(state)
    with (state / "listener.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another listener works on {state}; stop it, or set `state` or AINODE_STATE"
            ) from None
        yield


def work(settings: Settings, queues: Sequence[str], device: str) -> None:
    """The working role, until SIGTERM or SIGINT."""
    if "stat" not in queues:
        os.nice(_ROUTINE_NICENESS)
    house = build(settings)
    name = f"{'-'.join(queues)}-{os.getpid()}@{socket.gethostname()}"
    worker = Worker(
        settings,
        house.catalogue,
        house.store,
        house.index,
        house.worklist,
        house.outbox,
        house.gallery,
        name,
        device,
        wake=house.wake,
    )
    tasks.consume(house.broker, queues, name, worker.perform)


def serve(settings: Settings) -> None:
    """The serving role, until SIGTERM or SIGINT."""
    import uvicorn

    from node.web.app import create_app

    require_free(settings.http.host, settings.http.port, "http.port", "AINODE__HTTP__PORT")
    http = settings.http
    uvicorn.run(
        create_app(rooms(build(settings))),
        host=http.host,
        port=http.port,
        ssl_certfile=http.certificate,
        ssl_keyfile=http.key,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_LISTENERS_SECONDS,
    )


def rooms(house: House) -> "Rooms":
    """What the web side needs of a node."""
    from node.web.audit import Trail
    from node.web.rooms import Rooms

    settings = house.settings
    return Rooms(
        settings,
        house.catalogue,
        house.index,
        Board(house.engine),
        house.worklist,
        house.outbox,
        Verdicts(house.engine),
        house.gallery,
        house.matching,
        house.accounts,
        Trail(settings.state / "audit.log", settings.audit),
        figures=partial(figures, house.engine),
        wake=house.wake,
    )


def up(settings: Settings, arguments: Sequence[str]) -> None:
    """Every role in a process of its own, until SIGTERM or SIGINT; a role that dies is started again.

    Args:
        settings: of this node.
        arguments: what each role's command line ends with, such as `--config node.toml`.

    Raises:
        ConfigurationError: a port is taken, or the ledger or the routes cannot be opened.
        AINodeError: a role could not start.
    """
    require_free(settings.dicom.host, settings.dicom.port, "dicom.port", "AINODE__DICOM__PORT")
    require_free(settings.http.host, settings.http.port, "http.port", "AINODE__HTTP__PORT")
    house = build(settings)
    house.engine.dispose()
    _ = house.routes.routes
    roles = [["listen"], ["serve"], *(["work", "--queue", queue] for queue in tasks.QUEUES)]
    commands = [[sys.executable, "-m", "node", *role, *arguments] for role in roles]
    stop = _stop_on_signals()
    children = {index: _start(command) for index, command in enumerate(commands)}
    dicom = settings.dicom
    log.info(
        "the node starts",
        worklist=f"http://{settings.http.host}:{settings.http.port}/",
        dicom=f"{dicom.ae_title}@{dicom.host}:{dicom.port}",
    )
    try:
        while not stop.wait(0.2):
            for index, child in children.items():
                if child.poll() is not None:
                    _mourn(child, roles[index])
                    children[index] = _start(commands[index])
    finally:
        _stop(list(children.values()))


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a role that is told to stop when this process is gone, however it went."""
    return subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: PLW1509 - no threads run here


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _mourn(child: "subprocess.Popen[bytes]", role: Sequence[str]) -> None:
    """Wait a little before a dead role starts again; one that refuses its configuration ends the node."""
    if child.returncode == 2:
        raise ConfigurationError(f"`ainode {' '.join(role)}` could not start; its reason stands above")
    log.error("a role ended and starts again", role=" ".join(role), status=child.returncode)
    time.sleep(_RESTART_SECONDS)


def _stop(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Ask every child to stop; what a worker leaves half done loses its lease and is tried again."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def require_free(host: str, port: int, setting: str, variable: str) -> None:
    """Check that a port can be bound.

    Raises:
        ConfigurationError: it is taken, or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of {host} cannot be used: {error.strerror}; set {setting} or {variable}"
            ) from None


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
