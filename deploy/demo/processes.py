"""The test PACS and the node as child processes, of which nothing is left afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
from places import DemonstrationFailed, Places

AINODE = Path(sys.executable).with_name("ainode")
PACS = Path(__file__).resolve().parents[2] / "orthanc" / "start.sh"
START_SECONDS = 60
STOP_SECONDS = 30

Children = Mapping[str, "subprocess.Popen[bytes]"]


@contextmanager
def running(places: Places) -> Iterator[Callable[[], None]]:
    """Run the test PACS and the node.

    Yields:
        A check that raises DemonstrationFailed when one of them has ended.
    """
    commands = {"the test PACS": ("pacs.log", [str(PACS)]), "the node": ("node.log", [str(AINODE), "up"])}
    children: dict[str, subprocess.Popen[bytes]] = {}

    def still_running() -> None:
        for name, child in children.items():
            if child.poll() is not None:
                raise DemonstrationFailed(
                    f"{name} has ended: {_last_words(places.state / commands[name][0])}"
                )

    try:
        for name, (log, command) in commands.items():
            children[name] = _start(command, places, places.state / log)
        yield still_running
    finally:
        _stop(children)


def _start(command: list[str], places: Places, log: Path) -> "subprocess.Popen[bytes]":
    # A session of its own, so that Ctrl-C reaches only the demonstration, which then stops the rest in order.
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=places.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    sentence = next((line for line in reversed(lines) if line.startswith("ainode: ")), None)
    return sentence.removeprefix("ainode: ") if sentence else f"see {log}"


def _stop(children: Children) -> None:
    """Stop what was started, the last first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for child in reversed(list(children.values())):
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_for(url: str, name: str, still_running: Callable[[], None]) -> None:
    """Wait until a server answers.

    Raises:
        DemonstrationFailed: it has ended, or does not answer within a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        still_running()
        try:
            if httpx2.get(url, timeout=5).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise DemonstrationFailed(f"{name} does not answer at {url} after {START_SECONDS} s")
