"""The vertebral canal: what bone encloses in front, behind and at both sides.

All arrays are canonical, with axes to head, back and left, in cubic voxels.
"""

from typing import Final

import numpy as np
from scipy import ndimage

from algorithms.protocol import BoolMask, Voxels

BONE_HU: Final = 140.0
_REACH_MM = 18.0
_ALONG_MM = 6.0  # the gaps between the arches are about twice as high


def enclosed_by_bone(hu: Voxels, spacing_mm: float) -> BoolMask:
    """Voxels with bone in front, behind, left and right, each within 18 mm and 6 mm up or down.

    Args:
        hu: the image.
        spacing_mm: edge of the voxels.
    """
    along = 2 * round(_ALONG_MM / spacing_mm) + 1
    reach = round(_REACH_MM / spacing_mm)
    bone = ndimage.maximum_filter1d((hu > BONE_HU).astype(np.uint8), along, axis=0)
    enclosed = np.ones(hu.shape, dtype=np.bool_)
    for axis in (1, 2):
        for origin in (reach // 2, -(reach // 2)):
            seen = ndimage.maximum_filter1d(
                bone, 2 * (reach // 2) + 1, axis=axis, origin=origin, mode="constant"
            )
            enclosed &= seen > 0
    return enclosed
