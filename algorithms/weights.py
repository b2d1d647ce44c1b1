"""Weights as data: safetensors and JSON, with a digest that is checked at every load. Nothing is unpickled.

A store is a list of folders; each set of weights has a folder of its own name in one of them, with
`model.safetensors` and `model.json` (name, SHA-256, configuration of the network, model card).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from algorithms.protocol import Weights

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by their keys."""

BUNDLED: Final = Path(__file__).with_name("bundled")
"""The small weights that this project trained itself and ships."""

_TENSORS = "model.safetensors"
_ABOUT = "model.json"


class WeightsMissing(Exception):
    """Weights that are in no folder of the store."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the weights {name!r} are not here")
        self.name = name


class WeightsFaulty(Exception):
    """Weights that were changed, or do not fit the network; the message names the file or the tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """A set of weights that was found.

    Attributes:
        weights: its name, and the digest that was recorded when it was added.
        config: what the network needs to know beside the tensors.
        card: source, licence, intended use and the like, for people.
        path: the folder.
    """

    weights: Weights
    config: Mapping[str, Any]
    card: Mapping[str, str]
    path: Path

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The tensors by their keys, on the CPU.

        Raises:
            WeightsFaulty: the file is not the one that was added.
        """
        from safetensors.torch import load_file

        self.verify()
        return load_file(self.path / _TENSORS)  # mapped, not copied: an ensemble is large

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors by their keys; nothing else is read.

        Raises:
            WeightsFaulty: the file is not in the format of safetensors.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / _TENSORS, framework="numpy") as file:
                return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise WeightsFaulty(f"{self.path / _TENSORS} cannot be read: {error}") from None

    def verify(self) -> None:
        """Compare the file with the digest that was recorded.

        Raises:
            WeightsFaulty: they differ, or the file is not there.
        """
        try:
            with (self.path / _TENSORS).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WeightsFaulty(f"{self.path / _TENSORS} cannot be read: {error.strerror}") from None
        if digest != self.weights.sha256:
            raise WeightsFaulty(
                f"{self.path / _TENSORS} is not what was recorded: its SHA-256 differs; add it anew"
            )


@dataclass(frozen=True)
class Store:
    """Where weights are looked for; the first folder that has them wins."""

    folders: tuple[Path, ...]

    def names(self) -> tuple[str, ...]:
        """All weights that are here."""
        return tuple(sorted({about.parent.name for f in self.folders for about in f.glob(f"*/{_ABOUT}")}))

    def get(self, name: str) -> Checkpoint:
        """Find weights by name.

        Raises:
            WeightsMissing: they are in no folder.
            WeightsFaulty: their description cannot be read.
        """
        for folder in self.folders:
            if (folder / name / _ABOUT).exists():
                return _checkpoint(folder / name)
        raise WeightsMissing(name)


def save(
    folder: Path,
    name: str,
    tensors: "Mapping[str, torch.Tensor]",
    config: Mapping[str, Any],
    card: Mapping[str, str],
) -> Checkpoint:
    """Write weights into a folder of a store, and return them as they will be found.

    Files are replaced, never written over: a network that has them mapped keeps what it has loaded.
    """
    from safetensors.torch import save_file

    (folder / name).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder / name) as beside:
        written = Path(beside) / _TENSORS
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, written)
        with written.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        about = {"name": name, "sha256": digest, "config": dict(config), "card": dict(card)}
        (Path(beside) / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        written.chmod((Path(beside) / _ABOUT).stat().st_mode)  # safetensors lets the owner read only
        for file_name in (_TENSORS, _ABOUT):
            (Path(beside) / file_name).replace(folder / name / file_name)
    return _checkpoint(folder / name)


def load_into(module: "torch.nn.Module", tensors: "Mapping[str, torch.Tensor]", name: str) -> None:
    """Give a network its weights, all of them and no others.

    Raises:
        WeightsFaulty: a tensor is missing, is not known, or has another shape; it is named.
    """
    check_shapes(
        {key: tuple(tensor.shape) for key, tensor in tensors.items()},
        {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()},
        name,
    )
    module.load_state_dict(dict(tensors))


def shapes_of(build: "Callable[[], torch.nn.Module]") -> Shapes:
    """The tensors of a network, which is built without any memory for them."""
    import torch

    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in build().state_dict().items()}


def check_shapes(found: Shapes, wanted: Shapes, name: str) -> None:
    """Compare the tensors that are there with those of a network.

    Raises:
        WeightsFaulty: one is missing, is not known, or has another shape; it is named.
    """
    missing, foreign = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        instead = f"; {foreign[0]} is there, which is unknown" if foreign else ""
        raise WeightsFaulty(f"{name}: tensor {missing[0]} is missing{instead}")
    if foreign:
        raise WeightsFaulty(f"{name}: tensor {foreign[0]} belongs to another network")
    for key, shape in wanted.items():
        if found[key] != shape:
            raise WeightsFaulty(f"{name}: tensor {key} has the shape {found[key]} instead of {shape}")


def _checkpoint(path: Path) -> Checkpoint:
    try:
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        weights = Weights(about["name"], about["sha256"])
        return Checkpoint(weights, MappingProxyType(about["config"]), MappingProxyType(about["card"]), path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsFaulty(f"{path / _ABOUT} cannot be read: {error}; add the weights anew") from None
