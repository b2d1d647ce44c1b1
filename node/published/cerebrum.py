"""Files of CEREBRUM: the size of the network is in the shapes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from algorithms.protocol import Voxels
from algorithms.weights import Shapes, WeightsFaulty
from node.archives import Content, Tensors

KERAS: Final = frozenset({".h5", ".hdf5"})
"""Suffixes of Keras models."""

_WIDEST, _CLASSES = 96, 64
_MEAN: Final = "*T1w_average_subject.nii*"
_SPREAD: Final = "*T1w_stdDev_subject.nii*"


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


def content(file: Path, config: dict[str, Any]) -> Content:
    """The tensors of a Keras model under the keys of torch, and the average head that lies beside it.

    Of CEREBRUM-7T that is `mean_std/_T1w_average_subject.nii.gz` and `_T1w_stdDev_subject.nii.gz`: each
    voxel is standardised by its own mean and deviation. Without them whole volumes are.

    Raises:
        WeightsFaulty: it is no such model, or what lies beside it is no average head.
    """
    from algorithms.cerebrum import keras

    found = keras.tensors(file)
    paths = [path for name in (_MEAN, _SPREAD) if (path := _beside(file, name))]
    if not paths:
        return found, config
    if len(paths) == 1:
        raise WeightsFaulty(f"of the average head there is only {paths[0].name}")
    spacings, voxels = zip(*map(_canonical, paths), strict=True)
    if spacings[0] != spacings[1] or voxels[0].shape != voxels[1].shape:
        raise WeightsFaulty("mean and deviation of the average head have not the same voxels")
    about = {
        "standardised_over": "voxel",
        "spacing_mm": spacings[0],
        "average_shape": list(voxels[0].shape),
    }
    return {**found, **keras.average_head(*voxels)}, {**config, **about}


def _beside(file: Path, name: str) -> Path | None:
    found = [*file.parent.glob(name), *file.parent.glob(f"mean_std/{name}")]
    return found[0] if found else None


def _canonical(path: Path) -> tuple[float, Voxels]:
    """Spacing and values, axes to head, back and left."""
    try:
        image = nibabel.as_closest_canonical(nibabel.nifti1.load(path))
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise WeightsFaulty(f"{path.name} cannot be read as NIfTI: {error}") from None
    spacing = [round(float(mm), 3) for mm in image.header.get_zooms()[:3]]
    if values.ndim != 3 or len(set(spacing)) > 1 or not np.isfinite(values).all():
        raise WeightsFaulty(f"{path.name} is no volume of cubes with a number in each")
    to_head_back_left = values.transpose(2, 1, 0)[:, ::-1, ::-1]
    return spacing[0], np.ascontiguousarray(to_head_back_left)


def shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors that a configuration asks for."""
    from algorithms.cerebrum.network import shapes as wanted

    return wanted(config)
