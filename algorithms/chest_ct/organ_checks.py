"""What is in doubt about the organs that were found: volume, shape, position, content, what is missing.

All arrays are canonical, with axes to head, back and left, in cubic voxels. The limits are wide: they are
those of adult anatomy with room for disease, not of any data set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.chest_ct.organ_grid import OrganGrid
from algorithms.chest_ct.organ_rules import Margins, Organ, centres_of, pieces_of
from algorithms.protocol import BoolMask

_LEAST_ML = {Organ.HEART: 15.0, Organ.AORTA: 4.0, Organ.ESOPHAGUS: 1.0, Organ.SPINAL_CORD: 2.0}
_WHOLE_HEART_ML = (200.0, 1800.0)
_SECTION_MM2 = {  # median over the slices, least and most
    Organ.AORTA: (100.0, 3500.0),
    Organ.ESOPHAGUS: (50.0, 1500.0),
    Organ.SPINAL_CORD: (50.0, 550.0),
}
_GAP_MM = {Organ.AORTA: 6.0, Organ.ESOPHAGUS: 12.0, Organ.SPINAL_CORD: 9.0}
_JUMP_MM = {Organ.ESOPHAGUS: 18.0, Organ.SPINAL_CORD: 7.5}  # of the centre, from slice to slice
_AIR_HU = -300.0
_AIR_SHARE = {Organ.HEART: 0.06, Organ.AORTA: 0.1, Organ.SPINAL_CORD: 0.06}
_OUT_OF_CANAL = 0.25  # share of the slices
_CUT_VOXELS = 8
_HEART_BEFORE_CORD_MM = (45.0, 170.0)
_HEART_LEFT_OF_CORD_MM = (-15.0, 80.0)
_AORTA_LEFT_OF_CORD_MM = -15.0
_BESIDE_HEART_MISSING_MM = 20.0
_LUNG_HU = (-940.0, -600.0)
_APEX_MM2 = 2500.0


@dataclass(frozen=True)
class Doubts:
    """Sentences by organ: why a person should look, and why an organ is not given out at all."""

    review: Mapping[Organ, str]
    left_out: Mapping[Organ, str]


def doubts_of(margins: Margins, canal: BoolMask, grid: OrganGrid) -> Doubts:
    """Check all organs, each by itself and against the others.

    Args:
        margins: by organ, positive inside.
        canal: what bone encloses.
        grid: the image.
    """
    masks = {organ: margin > 0 for organ, margin in margins.items()}
    left_out = {}
    for organ, mask in masks.items():
        ml = _ml(mask, grid)
        if ml < _LEAST_ML[organ]:
            left_out[organ] = f"only {ml:.1f} ml was found" if ml else "not found"
    present = {organ: mask for organ, mask in masks.items() if organ not in left_out}
    review: dict[Organ, str] = {}
    for organ, mask in present.items():
        reasons = [*_of_itself(organ, mask, grid), *_beside_others(organ, present, grid)]
        if organ is Organ.SPINAL_CORD:
            reasons += _out_of_canal(mask, canal)
        if reasons:
            review[organ] = "; ".join(reasons)
    return Doubts(review, left_out)


def _of_itself(organ: Organ, mask: BoolMask, grid: OrganGrid) -> Iterator[str]:
    if _is_cut_off(mask, grid):
        yield "cut off by the edge of the field of view"
    air = float(np.mean(grid.hu[mask] < _AIR_HU))
    if air > _AIR_SHARE.get(organ, 1.0):
        yield f"{air:.0%} of it is air"
    if organ is Organ.HEART:
        yield from _heart_volume(mask, grid)
        return
    pieces = len(pieces_of(mask))
    if pieces > 1:
        yield f"in {pieces} pieces"
    slices = np.asarray(mask.any(axis=(1, 2)))
    gap_mm = _longest_gap(slices) * grid.spacing_mm
    if gap_mm > _GAP_MM[organ]:
        yield f"interrupted over {gap_mm:.0f} mm"
    section = float(np.median(mask.sum(axis=(1, 2))[slices])) * grid.spacing_mm**2
    least, most = _SECTION_MM2[organ]
    if not least <= section <= most:
        yield f"its cross-section of {section:.0f} mm2 is unusual"
    jump_mm = _largest_jump(mask) * grid.spacing_mm
    if jump_mm > _JUMP_MM.get(organ, np.inf):
        yield f"its course jumps by {jump_mm:.0f} mm between slices"


def _heart_volume(mask: BoolMask, grid: OrganGrid) -> Iterator[str]:
    ml = _ml(mask, grid)
    least, most = _WHOLE_HEART_ML
    whole = not mask[grid.seen[0]][0].any() and not mask[grid.seen[0]][-1].any()
    if ml > most or (whole and ml < least):
        yield f"its volume of {ml:.0f} ml is unusual"
    if not whole:
        yield "not all of it is in view"


def _beside_others(organ: Organ, masks: Mapping[Organ, BoolMask], grid: OrganGrid) -> Iterator[str]:
    cord, heart = masks.get(Organ.SPINAL_CORD), masks.get(Organ.HEART)
    mask = masks[organ]
    if cord is None:
        yield "there is no spinal cord to judge its position by"
    elif organ is Organ.HEART:
        before, left = (o * grid.spacing_mm for o in _offset_from(cord, mask))
        if not _HEART_BEFORE_CORD_MM[0] <= before <= _HEART_BEFORE_CORD_MM[1]:
            yield f"its centre lies {before:.0f} mm in front of the spinal cord"
        if not _HEART_LEFT_OF_CORD_MM[0] <= left <= _HEART_LEFT_OF_CORD_MM[1]:
            yield f"its centre lies {abs(left):.0f} mm to the {'left' if left > 0 else 'right'} of the spine"
    elif organ is Organ.AORTA:
        _, left = (o * grid.spacing_mm for o in _offset_from(cord, mask))
        if left < _AORTA_LEFT_OF_CORD_MM:
            yield f"it lies {-left:.0f} mm to the right of the spine"
    if heart is not None and organ is not Organ.HEART:
        expected = _beside(heart, grid) if organ is Organ.ESOPHAGUS else _beside(heart)
        missing = np.count_nonzero(expected & ~mask.any(axis=(1, 2))) * grid.spacing_mm
        if missing > _BESIDE_HEART_MISSING_MM:
            yield f"missing over {missing:.0f} mm beside the heart or above it"


def _beside(heart: BoolMask, up_to_apices: OrganGrid | None = None) -> npt.NDArray[np.bool_]:
    """Slices of the heart, less its lowest quarter, where the esophagus may have reached the stomach."""
    found = np.flatnonzero(heart.any(axis=(1, 2)))
    beside = np.zeros(len(heart), dtype=np.bool_)
    beside[found[len(found) // 4] : found[-1] + 1] = True
    if up_to_apices:
        hu = up_to_apices.hu
        lung = ndimage.binary_erosion(
            (hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1]), np.ones((1, 3, 3), dtype=np.bool_)
        )
        above = np.flatnonzero(lung.sum(axis=(1, 2)) * up_to_apices.spacing_mm**2 > _APEX_MM2)
        beside[found[-1] : above[-1] + 1 if above.size else None] = True
    return beside


def _offset_from(cord: BoolMask, mask: BoolMask) -> tuple[float, float]:
    """Voxels by which the middle of a mask lies in front of the cord and to the left of it."""
    slices = np.flatnonzero(cord.any(axis=(1, 2)))
    rows, columns = centres_of(cord)[slices].T
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    centres = centres_of(mask)[used]
    weights = mask.sum(axis=(1, 2))[used]
    before = np.interp(used, slices, rows) - centres[:, 0]
    left = centres[:, 1] - np.interp(used, slices, columns)
    return float(np.average(before, weights=weights)), float(np.average(left, weights=weights))


def _largest_jump(mask: BoolMask) -> float:
    steps = np.linalg.norm(np.diff(centres_of(mask), axis=0), axis=1)
    return float(np.max(steps[np.isfinite(steps)], initial=0.0))


def _longest_gap(slices: npt.NDArray[np.bool_]) -> int:
    used = np.flatnonzero(slices)
    return int(np.max(np.diff(used), initial=1)) - 1


def _out_of_canal(cord: BoolMask, canal: BoolMask) -> Iterator[str]:
    voxels, inside = cord.sum(axis=(1, 2)), (cord & canal).sum(axis=(1, 2))
    outside = float(np.mean(2 * inside[voxels > 0] < voxels[voxels > 0]))
    if outside > _OUT_OF_CANAL:
        yield f"not inside the vertebral canal in {outside:.0%} of its slices"


def _is_cut_off(mask: BoolMask, grid: OrganGrid) -> bool:
    seen = mask[grid.seen]
    edges = (seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1])
    return any(np.count_nonzero(edge) > _CUT_VOXELS for edge in edges)


def _ml(mask: BoolMask, grid: OrganGrid) -> float:
    return float(np.count_nonzero(mask) * grid.spacing_mm**3 / 1000)
