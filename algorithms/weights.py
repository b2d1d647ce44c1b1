"""Weights as data: safetensors and JSON, with a digest that is checked at every load. Nothing is unpickled.

A store is a list of folders; each set of weights has a folder of its own name in one of them, with
`model.safetensors` and `model.json` (name, SHA-256, configuration of the network, model card).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from algorithms.protocol import Weights

if TYPE_CHECKING:
    import torch

BUNDLED: Final = Path(__file__).with_name("bundled")
"""The small weights that this project trained itself and ships."""

_TENSORS = "model.safetensors"
_ABOUT = "model.json"


class WeightsMissing(Exception):
    """Weights that are in no folder of the store."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the weights {name!r} are not here; add them with: ainode weights add {name} FILE")
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
        from safetensors.torch import load

        content = (self.path / _TENSORS).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.weights.sha256:
            raise WeightsFaulty(
                f"{self.path / _TENSORS} is not what was recorded: its SHA-256 differs; add it anew"
            )
        return load(content)


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
    """Write weights into a folder of a store, and return them as they will be found."""
    from safetensors.torch import save as encode

    content = encode({key: tensor.contiguous() for key, tensor in tensors.items()})
    about = {
        "name": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "config": dict(config),
        "card": dict(card),
    }
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / _TENSORS).write_bytes(content)
    (folder / name / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    return _checkpoint(folder / name)


def load_into(module: "torch.nn.Module", tensors: "Mapping[str, torch.Tensor]", name: str) -> None:
    """Give a network its weights, all of them and no others.

    Raises:
        WeightsFaulty: a tensor is missing, is not known, or has another shape; it is named.
    """
    wanted = module.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in tensors:
            raise WeightsFaulty(f"{name}: tensor {key} is missing")
        if key not in wanted:
            raise WeightsFaulty(f"{name}: tensor {key} belongs to another network")
        if tensors[key].shape != wanted[key].shape:
            found, expected = tuple(tensors[key].shape), tuple(wanted[key].shape)
            raise WeightsFaulty(f"{name}: tensor {key} has the shape {found} instead of {expected}")
    module.load_state_dict(dict(tensors))


def _checkpoint(path: Path) -> Checkpoint:
    try:
        about = json.loads((path / _ABOUT).read_text())
        weights = Weights(about["name"], about["sha256"])
        return Checkpoint(weights, MappingProxyType(about["config"]), MappingProxyType(about["card"]), path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsFaulty(f"{path / _ABOUT} cannot be read: {error}; add the weights anew") from None
