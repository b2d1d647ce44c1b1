"""What the commands share: options, tables, progress bars and errors as one sentence."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydicom.misc import is_dicom
from rich.console import Console
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from algorithms.protocol import Progress
from node.errors import ConfigurationError

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default $AINODE_CONFIG, else ./node.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines instead of a table.")]
Option = Annotated[list[str] | None, typer.Option(metavar="K=V", help="An option of the algorithm.")]

out = Console(width=None if sys.stdout.isatty() else 240)  # a pipe has no edge to fold at
err = Console(stderr=True)


def say(sentence: str) -> None:
    """A sentence on standard output."""
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def say_aside(sentence: str) -> None:
    """A sentence on standard error, beside a progress bar."""
    err.print(sentence, markup=False, highlight=False, soft_wrap=True)


def show(title: str, rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Rows as a table, or as a JSON list."""
    if as_json:
        out.print_json(json.dumps(list(rows), default=str))
        return
    if not rows:
        say(f"{title}: none")
        return
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column == "uid")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    out.print(table)


def dicom_files(inputs: Sequence[Path]) -> list[Path]:
    """The DICOM files among these files, and below these folders.

    Raises:
        ConfigurationError: one is not there, or there is no DICOM file.
    """
    missing = [path for path in inputs if not path.exists()]
    if missing:
        raise ConfigurationError(f"there is no file or folder {missing[0]}")
    folders = [
        sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] for path in inputs
    ]
    files = [path for folder in folders for path in folder if is_dicom(path)]
    if not files:
        raise ConfigurationError(
            f"{', '.join(map(str, inputs))} holds no DICOM file; give a folder that does"
        )
    return files


def options_of(texts: list[str]) -> dict[str, str]:
    """Options by name, from texts of the form key=value.

    Raises:
        ConfigurationError: a text is not of that form.
    """
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise ConfigurationError(f"option {wrong[0]!r} is not of the form key=value")
    return dict(text.split("=", 1) for text in texts)


def make(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        ConfigurationError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}; give another folder") from None


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress bar on a terminal; silence elsewhere."""
    with Bars(console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(title, total=1.0)

        def advance(fraction: float, stage: str) -> None:
            bars.update(task, completed=fraction, description=f"{title}: {stage}")

        yield advance
