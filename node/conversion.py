"""Archives of published weights, unpacked with care and turned into safetensors and JSON.

The node never unpickles. Pickles go to `algorithms/adapters/unpickle.py` in a process of its own, with
no network where the system allows that, no environment, and limits on what it may use; what comes back
is data in formats that cannot hold code.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import BadZipFile, ZipFile, ZipInfo

import algorithms
from node.errors import AINodeError, ConfigurationError

LARGEST_JSON: Final = 1 << 20
"""Bytes of a description beside tensors; published ones have some kilobytes."""

_UNPICKLE: Final = Path(algorithms.__file__).with_name("adapters") / "unpickle.py"
_REFUSED: Final = 3
_NO_NETWORK: Final = ("unshare", "--user", "--map-root-user", "--net", "--")
_ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_LARGEST_BYTES: Final = 8 << 30  # three configurations of five folds, with what training left in them: 3.8 GB
_SECONDS: Final = 1800


def unpack(archive: Path, layout: re.Pattern[str], into: Path) -> tuple[PurePosixPath, ...]:
    """Write the members of a zip archive whose names match a layout; the rest stays packed.

    Returns:
        The names of the members, which are their paths below the folder.

    Raises:
        ConfigurationError: it is no zip archive, a name in it leads out of it, or it is too large.
        AINodeError: there is no room.
    """
    try:
        with ZipFile(archive) as packed:
            for name in packed.namelist():
                _refuse_a_way_out(archive, name)
            wanted = [member for member in packed.infolist() if layout.fullmatch(member.filename)]
            _refuse_too_much(archive, wanted)
            for member in wanted:
                file = into / member.filename
                file.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, file.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{archive} is not a zip archive that can be read: {error}") from None
    except OSError as error:
        raise AINodeError(f"{archive} cannot be unpacked: {error.strerror}; make room") from None
    return tuple(PurePosixPath(member.filename) for member in wanted)


def unpickle(folder: Path, into: Path) -> None:
    """Turn every file below a folder into one of the same name, `.safetensors` or `.json`.

    Raises:
        ConfigurationError: a file asks for a class or function that weights do not need; both are named.
        AINodeError: the conversion failed or took too long.
    """
    command = (
        *isolation(),
        sys.executable,
        "-I",
        str(_UNPICKLE),
        str(folder.absolute()),
        str(into.absolute()),
    )
    try:
        done = subprocess.run(
            command,
            env=_ENVIRONMENT,
            cwd=into,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AINodeError(f"the conversion took more than {_SECONDS // 60} minutes") from None
    said = done.stderr.strip().splitlines() or ["it said nothing"]
    if done.returncode == _REFUSED:
        raise ConfigurationError(said[-1])
    if done.returncode:
        raise AINodeError(f"the conversion ended with status {done.returncode}: {said[-1]}")


@cache
def isolation() -> tuple[str, ...]:
    """What to put before a command so that it has no network; nothing where the system does not allow it."""
    if shutil.which(_NO_NETWORK[0]) is None:
        return ()
    tried = subprocess.run((*_NO_NETWORK, "true"), capture_output=True, check=False)
    return () if tried.returncode else _NO_NETWORK


def _refuse_too_much(archive: Path, members: Sequence[ZipInfo]) -> None:
    """By the sizes that the archive states; beyond these zipfile reads nothing."""
    if sum(member.file_size for member in members) > _LARGEST_BYTES:
        raise ConfigurationError(
            f"{archive.name} is refused: it unpacks to more than {_LARGEST_BYTES >> 30} GB"
        )
    for member in members:
        if member.filename.endswith(".json") and member.file_size > LARGEST_JSON:
            raise ConfigurationError(
                f"{archive.name} is refused: {member.filename} in it unpacks to more than "
                f"{LARGEST_JSON >> 20} MB"
            )


def _refuse_a_way_out(archive: Path, name: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise ConfigurationError(f"{archive.name} is refused: the name {name!r} in it leads out of it")
