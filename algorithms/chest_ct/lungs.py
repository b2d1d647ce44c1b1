"""The lungs: air with the density of parenchyma, given to its side, closed over its vessels.

All arrays are canonical: axes to head, back and left.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from algorithms.chest_ct.body import IN_PLANE
from algorithms.chest_ct.morphology import box_around, closed, dilate, erode, opened
from algorithms.protocol import BoolMask, Unsuitable, Voxels
from algorithms.spatial import Spacing

LUNG_HU = -400.0
"""Half way between parenchyma and soft tissue."""

_PARENCHYMA_HU = (-965.0, -500.0)  # darker is gas in a bowel, brighter is no aerated lung
_INTERIOR_MM = 2.5  # away from the border, where partial volume counts
_GAS_MM = 5.0  # radius; noise and small bullae are not as wide
_PIECE_ML = 8.0
_CERTAIN_PIECE_ML = 300.0  # a smaller piece with a core as dark as gas is gas, a larger one may be emphysema
_ONE_LUNG_ML = 20.0
_WHOLE_ML = 60.0  # both lungs of a newborn; less is believed only where the view cuts them off
_OTHER_SIDE = 0.15  # share of a piece on the far side of the midline that makes it two lungs
_SEPARATIONS = tuple(  # (HU, millimetres): the threshold and erosion tried to part two lungs, mildest first
    (threshold, radius) for radius in (0.0, 2.0, 4.0, 7.0, 11.0) for threshold in (-600.0, -700.0, -750.0)
)
_VESSELS_MM = 6.0
_AIRWAY_WALL_MM = 2.0


@dataclass(frozen=True, eq=False)
class Lung:
    """One lung.

    Attributes:
        mask: parenchyma and the vessels within.
        parenchyma: the part of the mask that is below -400 HU.
    """

    mask: BoolMask
    parenchyma: BoolMask


@dataclass(frozen=True, eq=False)
class Lungs:
    """The lungs in view; one that is not there is None.

    Attributes:
        left: on the patient's left.
        right: on the patient's right.
        cut_at_midline: no line between them was found, so the midline was taken.
    """

    left: Lung | None
    right: Lung | None
    cut_at_midline: bool


def find_lungs(
    hu: Voxels, inside: BoolMask, airway: BoolMask | None, midline: float, spacing_mm: Spacing
) -> Lungs:
    """Left and right lung.

    Args:
        hu: the image in Hounsfield units.
        inside: the body with its cavities.
        airway: trachea and main bronchi, kept out of the lungs together with their wall.
        midline: column of the body's middle; larger columns are on the patient's left.
        spacing_mm: of the image.

    Raises:
        Unsuitable: nothing in the body looks like lung; the message says what was found instead.
    """
    air = inside & (hu < LUNG_HU)
    barrier = np.zeros_like(air) if airway is None else dilate(airway, _AIRWAY_WALL_MM, spacing_mm)
    parenchyma = _pieces_of_lung(air & ~barrier, hu, spacing_mm)
    left, right, doubtful = _by_side(parenchyma, hu, midline, spacing_mm)
    _must_be_a_chest(left, right, air, spacing_mm)
    closed_left = _over_vessels(left, inside & ~barrier & ~right, spacing_mm)
    closed_right = _over_vessels(right, inside & ~barrier & ~left & ~closed_left, spacing_mm)
    return Lungs(_lung(closed_left, left, spacing_mm), _lung(closed_right, right, spacing_mm), doubtful)


def volume_ml(mask: BoolMask, spacing_mm: Spacing) -> float:
    """Volume of a mask in millilitres."""
    return float(np.count_nonzero(mask) * np.prod(spacing_mm)) / 1000.0


def gas_ml(mask: BoolMask, hu: Voxels, spacing_mm: Spacing) -> float:
    """Millilitres of a lung that are too dark for tissue over more than a centimetre."""
    box = box_around(mask, 0.0, spacing_mm)
    dark = mask[box] & (hu[box] <= _PARENCHYMA_HU[0])
    return volume_ml(opened(dark, _GAS_MM, spacing_mm), spacing_mm)


def _pieces_of_lung(air: BoolMask, hu: Voxels, spacing_mm: Spacing) -> BoolMask:
    """The connected pieces of air whose interior has the density of lung."""
    labels = cc3d.connected_components(air, connectivity=6)
    interior = erode(air, _INTERIOR_MM, spacing_mm)
    low, high = _PARENCHYMA_HU
    count = int(labels.max()) + 1
    whole = np.bincount(labels.ravel(), minlength=count)
    inner = np.bincount(labels[interior], minlength=count)
    dark = np.bincount(labels[interior & (hu <= low)], minlength=count)
    bright = np.bincount(labels[interior & (hu >= high)], minlength=count)
    volumes_ml = whole * float(np.prod(spacing_mm)) / 1000.0
    emphysema = np.where(volumes_ml > _CERTAIN_PIECE_ML, 0.5, 0.05)
    keep = (volumes_ml > _PIECE_ML) & (inner > 0.05 * whole)
    keep &= (dark <= emphysema * inner) & (bright <= 0.4 * inner)
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _by_side(
    parenchyma: BoolMask, hu: Voxels, midline: float, spacing_mm: Spacing
) -> tuple[BoolMask, BoolMask, bool]:
    """Give each piece to the side of its centre; a piece on both sides is cut where it is densest.

    Returns:
        Left, right, and whether a piece had to be cut at the midline for want of a line between them.
    """
    left, right, doubtful = np.zeros_like(parenchyma), np.zeros_like(parenchyma), False
    labels = cc3d.connected_components(parenchyma, connectivity=6)
    columns = np.arange(parenchyma.shape[2])
    for number in range(1, int(labels.max()) + 1):
        piece = labels == number
        profile = piece.sum(axis=(0, 1))
        on_left = float(profile[columns > midline].sum()) / float(profile.sum())
        if _OTHER_SIDE < on_left < 1 - _OTHER_SIDE:
            cut = _cut(piece, hu, midline, spacing_mm)
            doubtful |= cut is None
            ours = piece & (columns > midline) if cut is None else cut
            left |= ours
            right |= piece & ~ours
        elif on_left > 0.5:
            left |= piece
        else:
            right |= piece
    return left, right, doubtful


def _cut(piece: BoolMask, hu: Voxels, midline: float, spacing_mm: Spacing) -> BoolMask | None:
    """The left part of two lungs that touch, cut along the bright line between them.

    The cores that the mildest threshold and erosion separate are flooded from dark to bright, so
    they meet on that line. None if nothing separates two cores.
    """
    box = box_around(piece, 0.0, spacing_mm)
    lungs, image = piece[box], hu[box]
    for threshold, radius in _SEPARATIONS:
        core = erode(lungs & (image < threshold), radius, spacing_mm)
        labels = cc3d.connected_components(core, connectivity=6)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        if np.count_nonzero(sizes) < 2:
            continue
        second, first = (int(i) for i in np.argsort(sizes)[-2:])
        centres = [float(np.flatnonzero((labels == i).any(axis=(0, 1))).mean()) for i in (first, second)]
        on_left = [centre + box[2].start > midline for centre in centres]
        if sizes[second] > _OTHER_SIDE * sizes.sum() and on_left[0] != on_left[1]:
            markers = np.zeros(lungs.shape, dtype=np.int32)
            markers[labels == first] = 1 if on_left[0] else 2
            markers[labels == second] = 1 if on_left[1] else 2
            left = np.zeros_like(piece)
            left[box] = watershed(image, markers, mask=lungs) == 1
            return left
    return None


def _must_be_a_chest(left: BoolMask, right: BoolMask, air: BoolMask, spacing_mm: Spacing) -> None:
    volumes = volume_ml(left, spacing_mm), volume_ml(right, spacing_mm)
    both = left | right
    cut_off = bool(both[0].any() or both[-1].any())
    two_bases = min(volumes) > _ONE_LUNG_ML and (cut_off or sum(volumes) > _WHOLE_ML)
    if not two_bases and max(volumes) < 10 * _ONE_LUNG_ML:
        found = volume_ml(air, spacing_mm)
        what = (
            "no air" if found < 1 else f"{found:.0f} ml of air, which is not lung by density, size or side,"
        )
        raise Unsuitable(f"no chest in view: {what} inside the body")


def _over_vessels(lung: BoolMask, allowed: BoolMask, spacing_mm: Spacing) -> BoolMask:
    """The lung with its vessels: small gaps closed, and all that an axial slice of it encloses."""
    if not lung.any():
        return lung
    box = box_around(lung, 2 * _VESSELS_MM, spacing_mm)
    result = np.zeros_like(lung)
    smooth = closed(lung[box], _VESSELS_MM, spacing_mm)
    outside, _ = ndimage.label(~smooth, structure=IN_PLANE)
    edge = np.concatenate([outside[:, 0], outside[:, -1], outside[:, :, 0], outside[:, :, -1]], axis=1)
    result[box] = (~np.isin(outside, np.unique(edge)) | smooth) & allowed[box]
    return result


def _lung(mask: BoolMask, parenchyma: BoolMask, spacing_mm: Spacing) -> Lung | None:
    return Lung(mask, parenchyma) if volume_ml(mask, spacing_mm) > _ONE_LUNG_ML else None
