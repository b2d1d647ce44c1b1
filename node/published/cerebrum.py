"""Files of CEREBRUM: the size of the network is in the shapes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from algorithms.weights import Shapes, WeightsFaulty
from node.archives import Content, Tensors

KERAS: Final = frozenset({".h5", ".hdf5"})
"""Suffixes of Keras models."""

_WIDEST, _CLASSES = 96, 64


def fitted(given: Tensors, config: Mapping[str, Any]) -> Content:
    """The tensors, and a configuration that tells the size of the network.

    Raises:
        WeightsFaulty: the first or the last layer is missing, or larger than anybody's.
    """
    sizes = {}
    for name, key, most in (
        ("filters", "enc_lvl1_block1_conv.bias", _WIDEST),
        ("classes", "main_output.bias", _CLASSES),
    ):
        if key not in given:
            raise WeightsFaulty(f"tensor {key} is missing")
        sizes[name] = int(given[key].shape[0])
        if not 1 <= sizes[name] <= most:
            raise WeightsFaulty(f"tensor {key} has {sizes[name]} values; at most {most} are read")
    return given, {**config, **sizes}


def tensors(file: Path) -> Tensors:
    """The tensors of a Keras model under the keys of torch.

    Raises:
        WeightsFaulty: it is no such model.
    """
    from algorithms.cerebrum import keras

    return keras.tensors(file)


def shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors that a configuration asks for."""
    from algorithms.cerebrum.network import shapes as wanted

    return wanted(config)
