"""What of the network's answer can be the organ: large enough, in one course, and where it belongs.

A margin is a field on the organ grid that is positive inside the organ; all arrays are canonical, with
axes to head, back and left, in cubic voxels. The spinal cord is settled first, for it lies most surely;
the others must lie in front of it.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.chest_ct.morphology import dilate, opened
from algorithms.protocol import BoolMask, Voxels

Margins = Mapping["Organ", Voxels]


class Organ(StrEnum):
    """The organs at risk; the value is the label of the segment."""

    HEART = "Heart"
    AORTA = "Aorta"
    ESOPHAGUS = "Esophagus"
    SPINAL_CORD = "Spinal cord"


ORGANS: Final = tuple(Organ)

_PIECE_ML = {Organ.HEART: 4.0, Organ.AORTA: 1.0, Organ.ESOPHAGUS: 0.3, Organ.SPINAL_CORD: 0.5}
_REACH_MM = {Organ.HEART: 0.0, Organ.AORTA: 24.0, Organ.ESOPHAGUS: 60.0, Organ.SPINAL_CORD: 18.0}
_BEFORE_CORD_MM = {Organ.HEART: (20.0, 190.0), Organ.AORTA: (0.0, 150.0), Organ.ESOPHAGUS: (5.0, 125.0)}
_ASIDE_MM = {Organ.HEART: 130.0, Organ.AORTA: 75.0, Organ.ESOPHAGUS: 70.0}
_BEYOND_CORD_MM = 24.0
_ENCLOSED = 0.4
_BELOW_LUNGS_MM = {Organ.HEART: 15.0, Organ.ESOPHAGUS: 30.0}  # below the lowest lung beside the spine
_BESIDE_SPINE_MM = (10.0, 20.0, 110.0)  # behind and before the cord, and to its side: there is no bowel
_LUNG_HU = (-960.0, -500.0)
_LUNG_MM2 = 400.0
_GAP_MM = 45.0
_WEAK = -0.6  # a margin that may join two pieces, but is no piece by itself
_FAT_HU = (-200.0, -60.0)
_SHEET_MM = 4.3  # radius of the ball that must fit into the aorta
_BARELY = np.float32(0.01)
_OUTSIDE = np.float32(-1.0)


def keep_plausible(margins: Margins, hu: Voxels, canal: BoolMask, spacing_mm: float) -> dict[Organ, Voxels]:
    """The margins of all organs with what cannot be the organ taken out, in the order of `ORGANS`.

    Args:
        margins: by organ; at most one is positive in any voxel.
        hu: the image.
        canal: what bone encloses.
        spacing_mm: edge of the voxels.
    """
    taken = np.zeros(margins[Organ.HEART].shape, dtype=np.bool_)
    for margin in margins.values():
        taken |= margin > 0
    cord = _enclosed(margins[Organ.SPINAL_CORD], canal)
    kept = {Organ.SPINAL_CORD: _course(Organ.SPINAL_CORD, cord, taken, spacing_mm)}
    elsewhere = _Elsewhere(kept[Organ.SPINAL_CORD] > 0, hu, spacing_mm)
    for organ in (Organ.HEART, Organ.AORTA, Organ.ESOPHAGUS):
        margin = np.where(elsewhere.of(organ), _OUTSIDE, margins[organ])
        if organ is Organ.AORTA:
            margin = _vessel(margin, hu, spacing_mm)
        kept[organ] = _course(organ, margin, taken, spacing_mm)
    filled = ndimage.binary_fill_holes(kept[Organ.HEART] > 0) & ~taken
    kept[Organ.HEART][filled] = _BARELY
    return {organ: kept[organ] for organ in ORGANS}


def pieces_of(mask: BoolMask) -> list[int]:
    """Voxels of each connected piece, the largest first."""
    labels = cc3d.connected_components(mask, connectivity=26)
    return sorted(np.bincount(labels.ravel())[1:].tolist(), reverse=True)


def centres_of(mask: BoolMask) -> npt.NDArray[np.float64]:
    """Row and column of the middle of each slice; nan where there is none."""
    voxels = mask.sum(axis=(1, 2))
    centres = np.full((len(mask), 2), np.nan)
    used = voxels > 0
    for axis in (1, 2):
        positions = mask.sum(axis=3 - axis) @ np.arange(mask.shape[axis])
        centres[used, axis - 1] = positions[used] / voxels[used]
    return centres


class _Elsewhere:
    """Where an organ cannot be, seen from the spinal cord."""

    def __init__(self, cord: BoolMask, hu: Voxels, spacing_mm: float) -> None:
        slices = np.flatnonzero(cord.any(axis=(1, 2)))
        self._shape, self._known = cord.shape, bool(slices.size)
        if self._known:
            rows, columns = (np.interp(np.arange(len(cord)), slices, c) for c in centres_of(cord)[slices].T)
            beyond = np.maximum(slices[0] - np.arange(len(cord)), np.arange(len(cord)) - slices[-1])
            self._beyond = beyond[:, None, None] * spacing_mm
            self._before = (rows[:, None] - np.arange(cord.shape[1]))[:, :, None] * spacing_mm
            self._aside = np.abs(columns[:, None] - np.arange(cord.shape[2]))[:, None, :] * spacing_mm
            behind, before, aside = _BESIDE_SPINE_MM
            beside = (self._before > -behind) & (self._before < before) & (self._aside < aside)
            lung = ((hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1]) & beside).sum(axis=(1, 2)) * spacing_mm**2
            lowest = np.flatnonzero(lung > _LUNG_MM2)[:1]
            below = (lowest[0] if lowest.size else len(cord)) - np.arange(len(cord))
            self._below_lungs = below[:, None, None] * spacing_mm

    def of(self, organ: Organ) -> BoolMask:
        """The voxels too far from the cord in any direction; none where there is no cord."""
        if not self._known:
            return np.zeros(self._shape, dtype=np.bool_)
        low, high = _BEFORE_CORD_MM[organ]
        outside = (self._before < low) | (self._before > high)
        outside = outside | (self._aside > _ASIDE_MM[organ]) | (self._beyond > _BEYOND_CORD_MM)
        if organ in _BELOW_LUNGS_MM:
            outside |= self._below_lungs > _BELOW_LUNGS_MM[organ]
        return np.asarray(outside, dtype=np.bool_)


def _enclosed(margin: Voxels, canal: BoolMask) -> Voxels:
    """The pieces of which bone encloses enough."""
    labels = cc3d.connected_components(margin > 0, connectivity=26)
    voxels = np.bincount(labels.ravel())
    inside = np.bincount(labels[canal], minlength=len(voxels))
    return np.where((inside < _ENCLOSED * voxels)[labels] & (labels > 0), _OUTSIDE, margin)


def _course(organ: Organ, margin: Voxels, taken: BoolMask, spacing_mm: float) -> Voxels:
    """The largest piece, and those that go on where it ends."""
    reach_mm = _REACH_MM[organ]
    if reach_mm:
        margin = _joined(margin, taken, spacing_mm)
    labels = cc3d.connected_components(margin > 0, connectivity=26)
    voxels = np.bincount(labels.ravel())
    voxels[0] = 0
    if not voxels.any():
        return margin
    least = _PIECE_ML[organ] * 1000 / spacing_mm**3
    kept = labels == int(voxels.argmax())
    candidates = [piece for piece in np.argsort(-voxels)[1:] if voxels[piece] >= least]
    for piece in candidates if reach_mm else ():
        other = labels == piece
        fresh = other.any(axis=(1, 2)) & ~kept.any(axis=(1, 2))
        goes_on = np.count_nonzero(fresh) * 2 > np.count_nonzero(other.any(axis=(1, 2)))
        goes_on |= organ is Organ.AORTA  # the ascending lies beside the descending
        if goes_on and (dilate(kept, reach_mm, (spacing_mm,) * 3) & other).any():
            kept |= other
    return np.where((labels > 0) & ~kept, _OUTSIDE, margin)


def _vessel(margin: Voxels, hu: Voxels, spacing_mm: float) -> Voxels:
    """Without fat, and without sheets such as the crura of the diaphragm."""
    inside = (margin > 0) & ((hu > _FAT_HU[1]) | (hu < _FAT_HU[0]))
    removed = (margin > 0) & ~opened(inside, _SHEET_MM, (spacing_mm,) * 3)
    return np.where(removed, np.float32(-0.5), margin)


def _joined(margin: Voxels, taken: BoolMask, spacing_mm: float) -> Voxels:
    """Weak voxels that connect two pieces across a short gap become part of the organ."""
    strong = margin > 0
    weak = cc3d.connected_components(strong | ((margin > _WEAK) & ~taken), connectivity=26)
    pieces = cc3d.connected_components(strong, connectivity=26)
    pairs = np.unique(np.stack([weak[strong], pieces[strong]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if not several.size:
        return margin
    bridge = np.isin(weak, several) & ~strong & _short_gaps(strong, spacing_mm)[:, None, None]
    return np.where(bridge, np.maximum(margin, _BARELY), margin)


def _short_gaps(mask: BoolMask, spacing_mm: float) -> npt.NDArray[np.bool_]:
    """Slices without the mask, few of them between slices with it."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    gaps = np.zeros(len(mask), dtype=np.bool_)
    for last, following in pairwise(used):
        if (following - last - 1) * spacing_mm <= _GAP_MM:
            gaps[last + 1 : following] = True
    return gaps
