"""The demonstration behind `demo.sh`: starts the test PACS and the node, sends a study, and watches.

Exit status 0: the results are in the PACS. 1: something failed, said in one sentence.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn

import agreement
import findings
import pydicom
import watching
from places import DemonstrationFailed, Places, places_from_environment, prepare
from processes import AINODE, running, wait_for
from pydicom.errors import InvalidDicomError
from rich.console import Console

PHANTOMS = {"chest-ct": 1, "head-ct": 1}
"""Synthetic studies by kind, with their seeds. The head bleeds; it is sent last, and comes out on top."""

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    """Run the demonstration: `[--keep] -- [FOLDER]`; the exit status."""
    keep = "--keep" in arguments
    given = arguments[arguments.index("--") + 1 :]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        demonstrate(Path(given[0]).resolve() if given else None, keep)
    except DemonstrationFailed as failure:
        sys.stderr.write(f"demo: {failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted\n")
        return 130
    return 0


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def demonstrate(given: Path | None, keep: bool) -> None:
    """From four free ports to a table of results.

    Raises:
        DemonstrationFailed: at the first thing that goes wrong.
    """
    places = places_from_environment()
    studies = _study_uids(given) if given else []
    prepare(places)
    say = _stopwatch()
    with running(places) as still_running:
        wait_for(f"{places.pacs}/system", "the test PACS", still_running)
        say(f"test PACS up: ORTHANC@127.0.0.1:{places.pacs_dicom}, {places.pacs}")
        wait_for(f"{places.node}/readyz", "the node", still_running)
        say(f"node up: AINODE@127.0.0.1:{places.node_dicom}, {places.node}")
        folders = [given] if given else _phantoms(places, say)
        studies = studies or [uid for folder in folders for uid in _study_uids(folder)]
        for folder in folders:
            _ainode(places, "send", str(folder), f"ORTHANC@127.0.0.1:{places.pacs_dicom}")
            say(f"sent to the test PACS: {folder}")
        items = watching.watch(places, studies, say, still_running)
        say("every result is in the test PACS")
        _show(places, items)
        if given is None:
            console.print(agreement.table(places, items, folders[0].parent))
        console.print(f"Worklist: {places.node}/    Test PACS: {places.pacs}/app/explorer.html")
        if keep:
            _stay(still_running)


def _show(places: Places, items: list[watching.Json]) -> None:
    """The worklist, what was found, and what the PACS holds now."""
    console.print(watching.worklist(places))
    for item in items:
        console.print(f"[bold]{item['algorithm']}[/bold]")
        for table in findings.tables(places, item):
            console.print(table)
    for study in dict.fromkeys(item["study_instance_uid"] for item in items):
        console.print(watching.series_table(places, study))


def _stopwatch() -> Callable[[str], None]:
    """A function that prints a line with the seconds since now."""
    start = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - start:7.1f} s  {line}", markup=False)

    return say


def _study_uids(folder: Path) -> list[str]:
    """Study Instance UIDs of the DICOM files below a folder.

    Raises:
        DemonstrationFailed: there is none.
    """
    found: dict[str, None] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            header = pydicom.dcmread(path, specific_tags=["StudyInstanceUID"], stop_before_pixels=True)
        except (InvalidDicomError, OSError):
            continue
        if header.get("StudyInstanceUID"):
            found[str(header.StudyInstanceUID)] = None
    if not found:
        raise DemonstrationFailed(f"{folder} holds no DICOM file")
    return list(found)


def _phantoms(places: Places, say: Callable[[str], None]) -> list[Path]:
    """The folders of the synthetic studies, made side by side."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(partial(_phantom, places, say), PHANTOMS))


def _phantom(places: Places, say: Callable[[str], None], kind: str) -> Path:
    folder = places.state / "phantom" / kind
    _ainode(places, "phantom", kind, str(folder), "--seed", str(PHANTOMS[kind]))
    say(f"synthetic {kind} made: {folder / 'dicom'}")
    return folder / "dicom"


def _ainode(places: Places, *arguments: str) -> None:
    done = subprocess.run(
        [str(AINODE), *arguments], env=places.environment(), check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        detail = next(iter(done.stdout.splitlines()), "its reason stands above")
        raise DemonstrationFailed(f"`ainode {arguments[0]}` failed: {detail}")


def _stay(still_running: Callable[[], None]) -> None:
    console.print("Everything stays up until Ctrl-C.")
    try:
        while True:
            still_running()
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
