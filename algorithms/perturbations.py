"""Small changes to a CT that leave the patient as he is: another position, noise, kernel, range or spacing.

For measuring how steady a result is, and for measuring retrieval. Each function gives a new volume; what is
in patient space stays where it is, so that findings before and after compare through the affine. Where a
grid reaches beyond the image, the nearest voxel is repeated.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.protocol import Affine, Volume, Voxels
from algorithms.spatial import Spacing

_Places = npt.NDArray[np.floating[Any]]

_DETAIL_MM = 0.8  # width of what a sharp kernel lifts


def shifted(volume: Volume, steps: tuple[float, float, float]) -> Volume:
    """The image as it would be with the scanner's grid moved against the patient.

    Args:
        volume: the image, uneven stacks too.
        steps: how far along (slice, row, column), in steps of the affine, with fractions.
    """
    places = _places(volume)
    voxels = _at(volume.voxels, np.interp(places + steps[0], places, np.arange(len(places))), 0)
    for axis in (1, 2):
        voxels = _at(voxels, np.arange(voxels.shape[axis]) + steps[axis], axis)
    return replace(volume, voxels=voxels, affine_mm=_moved(volume.affine_mm, steps))


def noisy(volume: Volume, sigma: float, seed: int) -> Volume:
    """The image with more noise: white, with a standard deviation in the unit of the voxels."""
    grain = np.random.default_rng(seed).standard_normal(volume.voxels.shape, dtype=np.float32)
    grain *= np.float32(sigma)
    grain += volume.voxels
    return replace(volume, voxels=grain)


def cropped(volume: Volume, first: int, last: int) -> Volume:
    """The image without so many slices at its beginning and at its end.

    Raises:
        ValueError: nothing is left.
    """
    kept = slice(first, len(volume.voxels) - last)
    places = _places(volume)[kept]
    if not len(places):
        raise ValueError(f"{first} and {last} of {len(volume.voxels)} slices leave nothing")
    return replace(
        volume,
        voxels=volume.voxels[kept],
        affine_mm=_moved(volume.affine_mm, (float(places[0]), 0.0, 0.0)),
        sop_instance_uids=volume.sop_instance_uids[kept],
        slice_places=None if volume.slice_places is None else places - places[0],
    )


def other_kernel(volume: Volume, sharpness: float) -> Volume:
    """The image by another reconstruction kernel, slice by slice.

    Args:
        volume: the image.
        sharpness: below 0, a blur of that many millimetres (one standard deviation); above 0, how much of
            the detail finer than 0.8 mm (at least a pixel) is added once more.
    """
    pixel = np.array(volume.spacing_mm[1:])
    width = np.maximum(_DETAIL_MM, pixel) if sharpness > 0 else np.full(2, -sharpness)
    smooth = ndimage.gaussian_filter(volume.voxels, (0.0, *(width / pixel)), mode="nearest")
    if sharpness <= 0:
        return replace(volume, voxels=smooth)
    return replace(volume, voxels=volume.voxels + np.float32(sharpness) * (volume.voxels - smooth))


def resampled(volume: Volume, spacing_mm: Spacing) -> Volume:
    """The image at another spacing, evenly spaced; a coarser voxel averages what it covers.

    Args:
        volume: the image, uneven stacks too.
        spacing_mm: along (slice, row, column). Each new slice bears the UID of the one nearest to it.
    """
    places, index = _places(volume), np.arange(len(volume.voxels))
    voxels, affine = volume.voxels, volume.affine_mm.copy()
    uids = volume.sop_instance_uids
    for axis, (old, new) in enumerate(zip(volume.spacing_mm, spacing_mm, strict=True)):
        extent = places[-1] if axis == 0 else voxels.shape[axis] - 1.0
        wanted = np.arange(0.0, extent + 1e-6, new / old)
        if axis == 0:
            wanted = np.interp(wanted, places, index)
            uids = tuple(uids[int(place)] for place in np.rint(wanted))
        if new > old:
            width = 0.4 * np.sqrt((new / old) ** 2 - 1)
            voxels = ndimage.gaussian_filter1d(voxels, width, axis=axis, mode="nearest")
        voxels = _at(voxels, wanted, axis)
        affine[:3, axis] *= new / old
    return replace(volume, voxels=voxels, affine_mm=affine, sop_instance_uids=uids, slice_places=None)


def _places(volume: Volume) -> _Places:
    return np.arange(float(len(volume.voxels))) if volume.slice_places is None else volume.slice_places


def _moved(affine_mm: Affine, steps: tuple[float, float, float]) -> Affine:
    moved = affine_mm.copy()
    moved[:, 3] = affine_mm @ (*steps, 1.0)
    return moved


def _at(voxels: Voxels, places: _Places, axis: int) -> Voxels:
    """Linear interpolation at places along one axis, given in voxels."""
    last = voxels.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.minimum(places.astype(np.intp), max(last - 1, 0))
    share = (places - low).astype(np.float32)
    if not share.any():
        return voxels.take(low, axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    below: Voxels = voxels.take(low, axis)
    above: Voxels = voxels.take(np.minimum(low + 1, last), axis)
    above -= below
    above *= share.reshape(shape)
    above += below
    return above
