"""Pickles turned into safetensors and JSON, in a process of its own that is thrown away afterwards.

Run as a script, `python -I unpickle.py IN OUT`, by the node, which itself never unpickles. It stands
alone: it imports nothing of this program. Each file below IN is read and becomes, at the same place
below OUT, `.safetensors` if torch wrote it (.model, .pt, .pth) or `.json` if pickle wrote it (.pkl).

What a pickle may ask for is a short list of constructors of tensors and arrays; whatever else it asks
for is named on standard error and nothing of it is called. What it stands for is bounded as well: a few
bytes can name one list a million million times. Exit status 3 means refused.
"""

import _codecs
import collections
import json
import pickle
import re
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import save_file

REFUSED = 3
_TORCH = {".model", ".pt", ".pth"}
_LARGEST_FILE = 2 << 30
_MEMORY = 4 << 30  # a fold of nnU-Net with its optimiser, 250 MB in its file, takes 0.7 GB
_MOST_VALUES = 10**6
_SECONDS = 900
_FORBIDDEN_EVENTS = ("os.", "pty.", "shutil.", "socket.", "subprocess.", "urllib.", "ctypes.")

_ALLOWED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": collections.OrderedDict,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": _codecs.encode,  # how numpy wrote bytes in protocol 2
    **{
        f"numpy.{core}.multiarray.{name}": getattr(multiarray, name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
}
_DTYPES: list[Callable[..., Any]] = [
    type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "bool")
]


_KINDS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_KINDS |= {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}

_MALFORMED = (  # what reading bytes that anyone wrote can end with
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Refused(Exception):
    """The file holds something that is not weights or plain values."""


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, texts, containers and arrays; no other class or function is ever looked up."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle declares it
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise Refused(f"it asks for {module}.{name}") from None


def plain(file: Path) -> str:
    """The values of a pickle in JSON: texts as keys, lists for arrays.

    Raises:
        Refused: it asks for a class or function, holds something else or too much, or is no pickle.
    """
    try:
        with file.open("rb") as stream:
            return json.dumps(_as_json(_PlainUnpickler(stream).load(), iter(range(_MOST_VALUES))))
    except _MALFORMED as error:
        raise Refused(_too_much(error) or f"it is no pickle of plain values: {error}") from None


def state_dict(file: Path) -> dict[str, torch.Tensor]:
    """The tensors in a file of torch, those under `state_dict` if it is a training checkpoint.

    Raises:
        Refused: it asks for a class or function, or holds no tensors by name.
    """
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [*_DTYPES]
    allowed += [(value, name) for name, value in _ALLOWED.items()]
    try:
        with torch.serialization.safe_globals(allowed):
            return _tensors(torch.load(file, map_location="cpu", weights_only=True))
    except _MALFORMED as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        said = str(error).partition("\n")[0].partition(". ")[0]
        reason = f"it asks for {asked[1]}" if asked else f"torch cannot read it: {said}"
        raise Refused(_too_much(error) or reason) from None


def _tensors(loaded: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - whatever torch has read
    found = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(found, Mapping) or not found:
        raise Refused("it holds no tensors by name")
    if foreign := [key for key, value in found.items() if not _is_plain(value)]:
        raise Refused(f"{foreign[0]!r} in it is not a plain tensor")
    return {str(key): tensor.detach().clone().contiguous() for key, tensor in found.items()}


def _is_plain(value: Any) -> bool:  # noqa: ANN401
    """Whether it is a tensor of numbers in memory, each of them there."""
    if not isinstance(value, torch.Tensor):
        return False
    return value.dtype in _KINDS and value.layout == torch.strided and value.device.type == "cpu"


def _as_json(value: Any, left: Iterator[int]) -> Any:  # noqa: ANN401
    """The value as JSON can hold it; each value in it takes one of those that are left."""
    size = value.size if isinstance(value, np.ndarray) else 1
    if size > _MOST_VALUES or next(left, None) is None:
        raise Refused(f"it holds more than {_MOST_VALUES} values")
    match value:
        case np.generic() | np.ndarray():
            return _as_json(value.tolist(), left)
        case Mapping():
            return {str(_as_json(key, left)): _as_json(item, left) for key, item in value.items()}
        case list() | tuple() | set():
            return [_as_json(item, left) for item in value]
        case str() | int() | float() | bool() | None:
            return value
        case _:
            raise Refused(f"it holds a {type(value).__name__}")


def _too_much(error: Exception) -> str | None:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return f"it needs more than {_MEMORY >> 30} GB of memory"
    return None


def _lock() -> None:
    """No programs, sockets or new files besides what is written here; so much memory and time, no more."""
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, _SECONDS),
        (resource.RLIMIT_DATA, _MEMORY),  # not the address space, in which torch maps its libraries
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_NPROC, 0),
    ]
    for kind, limit in limits:
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)  # noqa: PLW2901
        resource.setrlimit(kind, (limit, limit))
    sys.addaudithook(_refuse_event)


def _refuse_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(_FORBIDDEN_EVENTS) and event not in {"os.listdir", "os.scandir", "os.mkdir"}:
        raise Refused(f"it tried {event} {arguments}")


def _main(source: Path, target: Path) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for file in files:
        (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
    _lock()
    for file in files:
        name = target / file.relative_to(source)
        try:
            if file.suffix in _TORCH:
                save_file(state_dict(file), name.with_suffix(".safetensors"))
            else:
                name.with_suffix(".json").write_text(plain(file), encoding="utf-8")
        except Refused as error:
            sys.stderr.write(f"{file.relative_to(source)} is refused: {error}\n")
            sys.exit(REFUSED)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
