"""CTs and label maps as researchers keep them: NIfTI, read for training and never for a result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from algorithms.protocol import Affine, BoolMask, Volume
from algorithms.spatial import resample
from node.errors import UnsuitableImage

_MOST = 255
_MALFORMED = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError)
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI counts millimetres to the right and the front


def volume(path: Path) -> Volume:
    """A CT in Hounsfield units; its slices have no UIDs, only numbers.

    Raises:
        UnsuitableImage: the file cannot be read, or is no volume.
    """
    values, affine_mm = _read(path)
    voxels = np.ascontiguousarray(values.transpose(2, 1, 0), dtype=np.float32)
    column_row_slice = affine_mm[:, [2, 1, 0, 3]]
    return Volume(voxels, column_row_slice, "HU", "CT", tuple(str(n) for n in range(len(voxels))))


def labels(path: Path, image: Volume) -> dict[str, BoolMask]:
    """The structures of a label map by their names, on the grid of an image; the nearest label counts.

    Names are in a JSON file beside it, by number ("truth.json" for "truth.nii.gz"); without one, the
    numbers are the names.

    Raises:
        UnsuitableImage: a file cannot be read, or holds no whole numbers from 0 to 255; or the slices of the
            image are unevenly spaced.
    """
    on_grid = numbers(path, image)
    if on_grid.max() > _MOST:
        raise UnsuitableImage(f"{path} is no label map: it must hold whole numbers from 0 to {_MOST}")
    names = _names(path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json"))
    present = [int(number) for number in np.unique(on_grid) if number]
    return {names.get(str(number), str(number)): on_grid == number for number in present}


def numbers(path: Path, image: Volume) -> npt.NDArray[np.uint16]:
    """The numbers of a label map on the grid of an image; the nearest one counts.

    Raises:
        UnsuitableImage: the file cannot be read, or holds no whole numbers from 0 to 65535; or the slices of
            the image are unevenly spaced.
    """
    if image.slice_places is not None:
        raise UnsuitableImage(
            f"{path} cannot be laid on slices that are unevenly spaced; give the labels as a SEG"
        )
    values, affine_mm = _read(path)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max or (values != np.rint(values)).any():
        raise UnsuitableImage(f"{path} is no label map: it must hold whole numbers from 0 on")
    slices, rows, columns = image.voxels.shape
    stored: npt.NDArray[np.uint16] = values.astype(np.uint16)
    return resample(stored, affine_mm, (slices, rows, columns), image.affine_mm, order=0, outside=0)


def _names(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsuitableImage(f"{path} cannot be read: {error}") from None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UnsuitableImage(f"{path} must hold a name for each number")
    return named


def _read(path: Path) -> tuple[npt.NDArray[Any], Affine]:
    """Values of axes (column, row, slice) and their affine to patient LPS."""
    try:
        image = nibabel.nifti1.load(path)
        values = np.asarray(image.dataobj)
    except FileNotFoundError:
        raise UnsuitableImage(f"there is no file {path}") from None
    except _MALFORMED as error:
        raise UnsuitableImage(f"{path} cannot be read as NIfTI: {error}") from None
    if values.ndim != 3:
        raise UnsuitableImage(f"{path} has {values.ndim} axes; a volume has 3")
    return values, np.asarray(_TO_LPS @ image.affine, dtype=np.float64)
