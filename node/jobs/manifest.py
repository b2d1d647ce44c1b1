"""The table of what became of each series of a collection, and the folder that it stands in."""

import csv
import errno
import fcntl
import io
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from node.errors import AINodeError, ConfigurationError
from node.jobs.production import write

State = Literal["done", "failed", "not taken"]

DONE: Final[State] = "done"
FAILED: Final[State] = "failed"
NOT_TAKEN: Final[State] = "not taken"


class Unwritable(AINodeError):
    """Results cannot be kept, of this series or of any other: the run ends."""


@dataclass(frozen=True)
class Outcome:
    """What became of a series on one route: a row of the manifest.

    Attributes:
        series_instance_uid: empty, with no instances, where the headers of the study cannot be read.
        route: that took the series; empty where none did.
        run_uid: names the run; the same input, options and weights have the same.
        folder: of its results, relative to the manifest; empty where there are none.
        reason: why it failed, or why no route took it.
        seconds: of the whole run.
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    instances: int
    state: State
    route: str = ""
    run_uid: str = ""
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other outcomes of its study."""
        return self.series_instance_uid, self.route


COLUMNS: Final = [field.name for field in fields(Outcome)]


class Manifest:
    """The table of outcomes in a folder: a row is added for each change, and a later one replaces an earlier.

    Raises:
        ConfigurationError: the file is no manifest.
        Unwritable: it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "manifest.csv"
        self._studies: dict[str, dict[tuple[str, str], Outcome]] = {}
        for row in self._read():
            self._studies.setdefault(row.study_instance_uid, {})[row.key] = row

    @property
    def rows(self) -> tuple[Outcome, ...]:
        """The outcomes in the order in which the studies, and their series, were first met."""
        return tuple(row for study in self._studies.values() for row in study.values())

    def find(self, outcome: Outcome) -> Outcome | None:
        """What became of the series of this outcome on its route before."""
        return self._studies.get(outcome.study_instance_uid, {}).get(outcome.key)

    def begin(self, study_instance_uid: str, keys: Collection[tuple[str, str]]) -> None:
        """Forget what was said of a study, but for the outcomes that will be told of again."""
        known = self._studies.get(study_instance_uid, {})
        self._studies[study_instance_uid] = {key: row for key, row in known.items() if key in keys}

    def keep(self, outcome: Outcome) -> None:
        """Record what became of a series, durably, unless it stands there already."""
        if self.find(outcome) == outcome:
            return
        row = _as_csv([astuple(outcome)])
        with writing(self._file), self._file.open("ab", buffering=0) as file:
            whole = file.tell()
            if file.write(row) < len(row):
                file.truncate(whole)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        self._studies.setdefault(outcome.study_instance_uid, {})[outcome.key] = outcome

    def compact(self) -> None:
        """Write the file anew, without the rows that were replaced."""
        with writing(self._file):
            write(self._file, _as_csv([COLUMNS, *map(astuple, self.rows)]))

    def _read(self) -> list[Outcome]:
        """The rows of the file; one that was cut off as it was added is left out."""
        with writing(self._file):
            content = self._file.read_bytes() if self._file.exists() else b""
        if not content:
            return []
        try:
            text = content[: content.rfind(b"\n") + 1].decode()
            header, *rows = csv.reader(io.StringIO(text, newline=""))
            if header == COLUMNS:
                named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
                return TypeAdapter(list[Outcome]).validate_python(named)
        except (ValidationError, ValueError, csv.Error):
            pass
        raise ConfigurationError(f"{self._file} is not a manifest of this program; give another --out")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder of results against a second enrichment, which would overwrite what this one writes.

    Raises:
        ConfigurationError: another one works on it.
        Unwritable: it cannot be written to.
    """
    with writing(folder):
        lock = (folder / "enrich.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another enrichment works on {folder}; wait for it, or give another --out"
            ) from None
        yield


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Tell that something cannot be written here.

    Raises:
        Unwritable: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise Unwritable(
            f"{place} cannot be written: {error.strerror}; make room or give another --out"
        ) from None


def in_a_line(value: object) -> str:
    """Text without line breaks."""
    return " ".join(str(value).split())


def _as_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows of one line each, so that one that was cut off is known by its missing end."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([in_a_line(value) for value in row] for row in rows)
    return text.getvalue().encode(errors="backslashreplace")
