"""A worker that is told to stop, with Celery and a broker in a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import os, signal, sys, time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from node.config import Settings
from node.jobs import tasks

folder, swallowed = Path(sys.argv[1]), sys.argv[2] == "swallowed"
app = tasks.application(Settings(state=folder))
tasks.wake(app, [SimpleNamespace(uid=str(number), priority="routine") for number in range(4)])

def perform(uid):
    with (folder / "performed").open("a") as performed:
        performed.write(f"{uid} ")
    with suppress(*[SystemExit] * swallowed):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

tasks.consume(app, tasks.QUEUES, "worker@here", perform)
"""


@pytest.mark.parametrize("exit_is", ["passed on", "swallowed"])
def test_a_worker_that_is_stopping_takes_up_no_other_workitem(tmp_path: Path, exit_is: str) -> None:
    """Libraries swallow SystemExit at times; then the workitem in hand is finished, and no other."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, tmp_path, exit_is],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "performed").read_text().split()) == 1
