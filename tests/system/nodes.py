"""A whole node with a test PACS beside it: real processes on free ports of this machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.orthanc_server import Orthanc

WAIT_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, ask: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}")


@dataclass
class Node:
    """A node under test, in a process tree of its own."""

    state: Path
    environment: dict[str, str] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            **os.environ,
            "AINODE_STATE": str(self.state),
            "AINODE__HTTP__PORT": str(self.http_port),
            "AINODE__DICOM__PORT": str(self.dicom_port),
            "AINODE__COMPLETION__QUIET_SECONDS": "1",
            "AINODE__COMPLETION__INTERRUPTED_SECONDS": "2",
            "AINODE__JOBS__BACKOFF_SECONDS": "0.5",
            "AINODE__JOBS__LEASE_SECONDS": "3",
            "AINODE__JOBS__SWEEP_SECONDS": "0.5",
            **self.environment,
        }

    def start(self) -> "Node":
        with (self.state / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "up"],
                env=self.settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the node to be ready", self._ready, 60)
        return self

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        """As a power cut: every process of the tree at once."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def run(self, *arguments: object, status: int = 0, given: str = "") -> "subprocess.CompletedProcess[str]":
        """A command of `ainode` that must end with this exit status; `given` is its standard input."""
        done = subprocess.run(
            [sys.executable, "-m", "node", *map(str, arguments)],
            env=self.settings,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def get(self, path: str) -> Any:
        return httpx2.get(f"{self.url}{path}", timeout=30).raise_for_status().json()

    def send(self, folder: Path) -> None:
        self.run("send", folder, f"AINODE@127.0.0.1:{self.dicom_port}")

    def workitem(self, study: str, state: str) -> dict[str, Any]:
        """Wait until the study's current workitem is in this state."""

        def ask() -> dict[str, Any] | None:
            current = [i for i in self.get(f"/api/workitems?study={study}") if not i["superseded"]]
            return current[0] if current and current[0]["state"] == state else None

        return wait_for(f"a workitem that is {state}", ask)

    def _ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.state / "node.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.dicom_port), 1):
                return httpx2.get(f"{self.url}/readyz", timeout=5).is_success
        except (OSError, httpx2.HTTPError):
            return False


def destination(server: Orthanc, **changes: Any) -> str:
    """The setting that makes this PACS the destination of results."""
    pacs = {
        "name": "pacs",
        "dicomweb_url": f"{server.http_url}/dicom-web",
        "ae_title": server.ae_title,
        "host": "127.0.0.1",
        "port": server.dicom_port,
    }
    return json.dumps([{**pacs, **changes}])


def copy_of(folder: Path, target: Path, count: int | None = None) -> Path:
    """The first files of a folder, in a folder of their own."""
    target.mkdir(parents=True)
    for file in sorted(folder.iterdir())[:count]:
        shutil.copy(file, target)
    return target
