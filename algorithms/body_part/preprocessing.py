"""Axial slices as the published network saw them: 128 x 128 at 3.5 mm, -1000 to 1500 HU as -1 to 1.

Gaussian filter, bilinear resize and centring are linear and act on one axis at a time, so that each
axis needs one small matrix for the whole volume (`nifti2npy.py` of bpreg 1.1.0 gives the parameters).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.protocol import Unsuitable, Volume, Voxels
from algorithms.spatial import Orientation, spacing_of

SIZE = 128
"""Rows and columns of a slice."""

LOWEST_HU, HIGHEST_HU = -1000.0, 1500.0
DENSEST_AIR = (-800.0 - LOWEST_HU) * 2.0 / (HIGHEST_HU - LOWEST_HU) - 1.0
"""A slice that shows nothing brighter is empty."""

_PIXEL_MM = 3.5
_SIGMA_AT_A_QUARTER = 0.8  # pixels of the source, when four become one
_TRUNCATE = 3.0
_BATCH = 200


def spacing_mm(volume: Volume) -> float:
    """Distance of the slices."""
    return volume.spacing_mm[0]


def rises(volume: Volume) -> bool:
    """Whether the slices are stored from the feet to the head.

    Raises:
        Unsuitable: the slices are not axial.
    """
    orientation = Orientation.closest(volume.affine_mm)
    if orientation.axes[0] != 0:
        raise Unsuitable("the slices are not axial")
    return not orientation.flips[0]


def prepare(volume: Volume) -> Iterator[Voxels]:
    """The slices in the order of the volume, up to 200 at a time.

    Yields:
        float32, axes (slice, towards the left, towards the front), values -1 to 1.

    Raises:
        Unsuitable: the slices are not axial.
    """
    rises(volume)
    orientation = Orientation.closest(volume.affine_mm)
    in_order = Orientation(orientation.axes, (False, *orientation.flips[1:]))
    canonical = in_order.apply(volume.voxels)[:, ::-1]
    slices, depth, width = canonical.shape
    _, along_depth, along_width = spacing_of(in_order.affine(volume.affine_mm, (slices, depth, width)))
    to_front, to_left = _axis_matrix(depth, along_depth), _axis_matrix(width, along_width)
    for first in range(0, slices, _BATCH):
        hu = np.clip(canonical[first : first + _BATCH], LOWEST_HU, HIGHEST_HU)
        above_air = (hu - LOWEST_HU) * np.float32(2.0 / (HIGHEST_HU - LOWEST_HU))
        yield np.ascontiguousarray((to_front @ above_air @ to_left.T).transpose(0, 2, 1) - np.float32(1.0))


def _axis_matrix(length: int, spacing: float) -> npt.NDArray[np.float32]:
    """Filter, resize and centre along one axis: (SIZE, length). What lies beyond the image is 0."""
    resized = int(length * spacing / _PIXEL_MM + 0.5)
    if resized == 0:
        raise Unsuitable(f"{length} pixels of {spacing:.2f} mm are too few")
    sigma = _SIGMA_AT_A_QUARTER * 0.25 * length / resized
    smooth = ndimage.gaussian_filter1d(np.eye(length), sigma, axis=0, truncate=_TRUNCATE)
    centres = np.clip((np.arange(resized) + 0.5) * length / resized - 0.5, 0, length - 1)
    low = np.minimum(centres.astype(int), max(length - 2, 0))
    share = (centres - low)[:, None]
    weights = smooth[low] * (1 - share) + smooth[np.minimum(low + 1, length - 1)] * share
    matrix = np.zeros((SIZE, length), dtype=np.float32)
    if resized > SIZE:
        start = (resized - SIZE) // 2
        matrix[:] = weights[start : start + SIZE]
    else:
        before = (SIZE - resized) // 2
        matrix[before : before + resized] = weights
    return matrix
