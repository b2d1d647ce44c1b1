"""What of the network's answer can be the organ: pieces large enough, joined across short gaps.

A margin is a field on the organ grid that is positive inside the organ; all arrays are canonical, with
axes to head, back and left.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import cc3d
import numpy as np
from scipy import ndimage

from algorithms.protocol import BoolMask, Voxels

Margins = Mapping["Organ", Voxels]


class Organ(StrEnum):
    """The organs at risk; the value is the label of the segment."""

    HEART = "Heart"
    AORTA = "Aorta"
    ESOPHAGUS = "Esophagus"
    SPINAL_CORD = "Spinal cord"


ORGANS: Final = tuple(Organ)

_ONE_PIECE = (Organ.HEART,)
_PIECE_ML = {Organ.AORTA: 1.5, Organ.ESOPHAGUS: 0.4, Organ.SPINAL_CORD: 0.8}
_PIECE_SHARE = 0.04  # of the largest piece
_WEAK = -0.6  # a margin that may join two pieces, but is no piece by itself
_BARELY = np.float32(0.01)
_OUTSIDE = np.float32(-1.0)


def keep_plausible(margins: Margins, spacing_mm: float) -> dict[Organ, Voxels]:
    """The margins of all organs with what cannot be the organ taken out.

    Args:
        margins: by organ; at most one is positive in any voxel.
        spacing_mm: edge of the cubic voxels.
    """
    taken = np.zeros(next(iter(margins.values())).shape, dtype=np.bool_)
    for margin in margins.values():
        taken |= margin > 0
    kept = {}
    for organ, margin in margins.items():
        joined = margin if organ in _ONE_PIECE else _joined(margin, taken)
        kept[organ] = _pieces(organ, joined, spacing_mm)
    filled = ndimage.binary_fill_holes(kept[Organ.HEART] > 0) & ~taken
    kept[Organ.HEART][filled] = _BARELY
    return kept


def pieces_of(mask: BoolMask) -> list[int]:
    """Voxels of each connected piece, the largest first."""
    labels = cc3d.connected_components(mask, connectivity=26)
    return sorted(np.bincount(labels.ravel())[1:].tolist(), reverse=True)


def _pieces(organ: Organ, margin: Voxels, spacing_mm: float) -> Voxels:
    labels = cc3d.connected_components(margin > 0, connectivity=26)
    voxels = np.bincount(labels.ravel())
    voxels[0] = 0
    if not voxels.any():
        return margin
    if organ in _ONE_PIECE:
        good = voxels == voxels.max()
    else:
        least = _PIECE_ML[organ] * 1000 / spacing_mm**3
        good = voxels >= max(least, _PIECE_SHARE * voxels.max())
    wrong = (labels > 0) & ~good[labels]
    return np.where(wrong, _OUTSIDE, margin)


def _joined(margin: Voxels, taken: BoolMask) -> Voxels:
    """Weak voxels that connect two pieces along the body become part of the organ."""
    strong = margin > 0
    weak = cc3d.connected_components(strong | ((margin > _WEAK) & ~taken), connectivity=26)
    pieces = cc3d.connected_components(strong, connectivity=26)
    pairs = np.unique(np.stack([weak[strong], pieces[strong]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if not several.size:
        return margin
    empty = np.logical_not(strong.any(axis=(1, 2), keepdims=True))
    bridge = np.isin(weak, several) & ~strong & empty
    return np.where(bridge, np.maximum(margin, _BARELY), margin)
