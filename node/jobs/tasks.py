"""Celery, which only wakes workers up: a message carries a workitem UID and nothing else.

Losing every message loses nothing: the sweep sends one again for each workitem that is due.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from celery.signals import worker_ready
from celery.worker import state
from kombu.exceptions import OperationalError

from node.config import Settings
from node.errors import Transient
from node.jobs.workitem import Workitem

QUEUES = ("stat", "routine")
_TASK = "ainode.perform"


def application(settings: Settings) -> Celery:
    """The Celery application on the configured broker.

    Without a broker URL kombu's filesystem transport is used in the state folder: no server is needed.
    """
    folder = settings.state.absolute() / "broker"
    app = Celery("ainode", broker=settings.broker.url or "filesystem://")
    app.conf.update(
        broker_transport_options={} if settings.broker.url else _folders(folder),
        broker_connection_retry_on_startup=True,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_pool="solo",
        task_default_queue="routine",
        accept_content=["json"],
    )
    return app


def _folders(folder: Path) -> dict[str, object]:
    messages, control = folder / "messages", folder / "control"
    for path in (messages, control):
        path.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "polling_interval": 0.1,  # seconds; the default of 1 s is most of a small workitem's waiting time
    }


def wake(app: Celery, items: Iterable[Workitem]) -> None:
    """Send a message for each workitem to the queue of its priority.

    Raises:
        Transient: the broker is away; the sweep sends them again.
    """
    try:
        for item in items:
            app.send_task(_TASK, args=[item.uid], queue=item.priority)
    except (OperationalError, CeleryOperationalError, OSError) as error:
        raise Transient(f"the broker is away: {error}") from error


def reach(app: Celery) -> str:
    """Where the broker is, when it answers.

    Raises:
        Transient: it does not answer.
    """
    try:
        with app.connection_for_write(connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1)
            folder = connection.transport_options.get("data_folder_in")
            return str(folder or connection.as_uri())
    except (OperationalError, OSError) as error:
        raise Transient(f"the broker is away: {error}; see broker.url") from error


def consume(app: Celery, queues: Iterable[str], name: str, perform: Callable[[str], None]) -> None:
    """Work off the queues, one workitem at a time, until SIGTERM or SIGINT.

    Celery would first wait for the workitem in hand; here it is interrupted by SystemExit, so that
    `perform` can hand it back and the node stops at once.
    """
    app.task(_interruptible(perform), name=_TASK)
    worker_ready.connect(_stop_on_signals, weak=False)
    arguments = ["--quiet", "worker", "--pool=solo", f"--queues={','.join(queues)}", f"--hostname={name}"]
    app.worker_main(
        [*arguments, "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )


def _interruptible(perform: Callable[[str], None]) -> Callable[[str], None]:
    """Celery cannot bear SystemExit within a task; it is told to stop after it.

    Messages that it has fetched by then are let go: the sweep sends them again.
    """

    def task(uid: str) -> None:
        if state.should_stop is not None:
            return
        try:
            perform(uid)
        except SystemExit:
            state.should_stop = os.EX_OK

    return task


def _stop_on_signals(**_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def _stop(*_: object) -> None:
    """Leave once: Ctrl-C comes from the terminal and again from the parent, in the midst of handing back."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    state.should_stop = os.EX_OK  # whatever becomes of the exception in the code of others
    sys.exit(os.EX_OK)
