"""Keras models of CEREBRUM in HDF5, read without TensorFlow.

A model is saved with its architecture and the state of its optimiser, or as weights alone. In both, the
arrays of a layer are `<layer>/<layer>/kernel:0` and `bias:0` (Keras 2). Kernels have the axes (depth, row,
column, in, out), those of transposed convolutions (depth, row, column, out, in); torch has them (out, in,
depth, row, column) and (in, out, depth, row, column).
"""

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt
import torch

from algorithms.cerebrum.network import AVERAGE, DEVIATION
from algorithms.protocol import Voxels
from algorithms.weights import WeightsFaulty

_WEIGHTS: Final = "model_weights"
_OPTIMISER: Final = "optimizer_weights"
_PARTS: Final = {"kernel": "weight", "bias": "bias"}


def tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a Keras file under the keys of torch: `<layer>.weight`, `<layer>.bias`.

    Raises:
        WeightsFaulty: it is no HDF5, or an array in it is no layer's of this kind; it is named.
    """
    try:
        with h5py.File(file, "r") as opened:
            arrays = _arrays(opened.get(_WEIGHTS, opened))
    except OSError:
        raise WeightsFaulty(f"{file.name} is no HDF5 file") from None
    found: dict[str, torch.Tensor] = {}
    for path, array in arrays.items():
        layer, part = path.split("/")[0], path.split("/")[-1].removesuffix(":0")
        if part not in _PARTS or array.ndim not in {1, 5} or array.dtype.kind != "f":
            raise WeightsFaulty(f"{path} of the shape {array.shape} is no kernel or bias of a 3D convolution")
        torch_order = array.transpose(4, 3, 0, 1, 2) if array.ndim == 5 else array
        found[f"{layer}.{_PARTS[part]}"] = torch.from_numpy(np.ascontiguousarray(torch_order, np.float32))
    return found


def average_head(mean: Voxels, deviation: Voxels) -> dict[str, torch.Tensor]:
    """The average head that a model came with, as tensors that are kept with it."""
    return {AVERAGE: torch.from_numpy(mean), DEVIATION: torch.from_numpy(deviation)}


def _arrays(group: h5py.Group) -> dict[str, npt.NDArray[Any]]:
    """Every array by its path below the layers; what the optimiser keeps is left out."""
    found: dict[str, npt.NDArray[Any]] = {}

    def visit(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not path.startswith(_OPTIMISER):
            found[path] = np.asarray(item)

    group.visititems(visit)
    return found
