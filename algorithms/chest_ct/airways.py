"""Trachea and main bronchi: a tube of air followed from slice to slice, then grown past the carina.

All arrays are canonical: axes to head, back and left.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.chest_ct.body import IN_PLANE
from algorithms.chest_ct.morphology import opened
from algorithms.protocol import BoolMask, Voxels
from algorithms.spatial import Spacing

_AIR_HU = -500.0  # half way between air and the wall
_AREA_MM2 = (50.0, 900.0)  # lumen of a trachea, children to tracheomegaly
_STEP_MM = 9.0  # how far its centre moves between neighbouring slices, at most
_LENGTH_MM = 30.0  # shorter tubes are not believed
_OFF_MIDLINE_MM = 45.0
_BRONCHI_MM = 55.0  # from the carina to the end of the left main bronchus, which is the longer one
_BRONCHI_ML = 45.0  # more than this beyond the trachea is lung: the growth has leaked
_NARROWEST_MM = 3.0  # radius; bronchi beyond the main ones are narrower
_LUNG_HU = (-950.0, -600.0)
_LUNG_SHARE = 0.1  # of the largest section of the lungs; where there is less, a tube is bowel
_ABOVE_APEX_MM = 60.0  # where the larynx begins


@dataclass(frozen=True, eq=False)
class Tube:
    """Air cross-sections that follow one another downwards.

    Attributes:
        mask: their voxels.
        first: index of the lowest slice.
        last: index of the highest slice.
        carina: (slice, row, column) of the centre of the lowest cross-section.
    """

    mask: BoolMask
    first: int
    last: int
    carina: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class _Sections:
    labels: npt.NDArray[np.int32]
    slices: npt.NDArray[np.int64]
    centres_mm: npt.NDArray[np.float64]
    areas_mm2: npt.NDArray[np.float64]


def find_trachea(
    hu: Voxels, inside: BoolMask, middles: tuple[float, ...], spacing_mm: Spacing
) -> Tube | None:
    """The longest chain of round, dark, central cross-sections inside the body.

    Args:
        hu: the image in Hounsfield units.
        inside: the body with its cavities.
        middles: columns of which the trachea is near one: the spine, the middle of the body.
        spacing_mm: of the image.
    """
    sections = _cross_sections(hu, inside, middles, spacing_mm)
    chain = _longest_chain(sections, spacing_mm)
    if len(chain) * spacing_mm[0] < _LENGTH_MM or len(chain) < 3:
        return None
    low, high = int(sections.slices[chain[0]]), int(sections.slices[chain[-1]])
    row, column = sections.centres_mm[chain[0]] / spacing_mm[1:]
    return Tube(np.isin(sections.labels, chain), low, high, (low, round(row), round(column)))


def grow_main_bronchi(hu: Voxels, inside: BoolMask, trachea: Tube, spacing_mm: Spacing) -> BoolMask:
    """Trachea and main bronchi: the widest air threshold that does not leak into the lung.

    Bounded by distance from the carina, by volume, and to tubes at least 6 mm wide.
    """
    reach = np.ceil(_BRONCHI_MM / np.array(spacing_mm)).astype(int)
    low = np.maximum(np.array(trachea.carina) - reach, 0)
    high = np.minimum(np.array(trachea.carina) + reach + 1, hu.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    near = _ball(tuple(high - low), np.array(trachea.carina) - low, spacing_mm)
    seed, image, body = trachea.mask[box], hu[box], inside[box]
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    grown = seed
    for threshold in (-950.0, -925.0, -900.0, -875.0, -850.0, -825.0, -800.0, -775.0, -750.0, -700.0, -650.0):
        candidate = _connected_to(seed, ((image < threshold) & body & near) | seed)
        if np.count_nonzero(candidate & ~seed) * voxel_ml > _BRONCHI_ML:
            break
        grown = candidate
    wide = _connected_to(seed, opened(grown, _NARROWEST_MM, spacing_mm) | seed)
    mask = trachea.mask.copy()
    mask[box] |= wide
    return mask


def below_larynx(airway: BoolMask, apex: int, spacing_mm: Spacing) -> BoolMask:
    """The airway without what lies more than 60 mm above the top of the lungs (slice `apex`)."""
    result = airway.copy()
    result[apex + 1 + int(_ABOVE_APEX_MM / spacing_mm[0]) :] = False
    return result


def _cross_sections(
    hu: Voxels, inside: BoolMask, middles: tuple[float, ...], spacing_mm: Spacing
) -> _Sections:
    labels, count = ndimage.label((hu < _AIR_HU) & inside, structure=IN_PLANE)
    flat = labels.ravel()
    voxels = np.bincount(flat, minlength=count + 1)
    total = np.maximum(voxels, 1)
    slices, rows, columns = (
        np.bincount(flat, np.broadcast_to(index, hu.shape).ravel(), minlength=count + 1) / total
        for index in np.ix_(*(np.arange(n) for n in hu.shape))
    )
    darkness = np.bincount(flat, hu.ravel(), minlength=count + 1) / total
    areas = voxels * spacing_mm[1] * spacing_mm[2]
    boxes = ndimage.find_objects(labels)
    fill = np.array([0.0, *(voxels[i + 1] / max(1, _square(box)) for i, box in enumerate(boxes))])
    good = (areas > _AREA_MM2[0]) & (areas < _AREA_MM2[1]) & (darkness < -750) & (fill > 0.45)
    off_middle = np.min([np.abs(columns - middle) for middle in middles], axis=0)
    good &= off_middle * spacing_mm[2] < _OFF_MIDLINE_MM
    good &= slices >= _lowest_lung(hu, inside)
    good[0] = False
    kept = np.flatnonzero(good)
    number = np.full(count + 1, -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    centres = np.stack([rows[kept] * spacing_mm[1], columns[kept] * spacing_mm[2]], axis=1)
    return _Sections(
        number[labels], np.rint(slices[kept]).astype(np.int64), centres, areas[kept].astype(np.float64)
    )


def _lowest_lung(hu: Voxels, inside: BoolMask) -> int:
    """The first slice with a sizeable section of lung."""
    sections = np.count_nonzero(inside & (hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1]), axis=(1, 2))
    return int(np.argmax(sections >= _LUNG_SHARE * sections.max()))


def _square(box: tuple[slice, ...] | None) -> int:
    """Area in voxels of the square around a cross-section: a flat one fills little of it."""
    if box is None:
        return 1
    return int(max(box[1].stop - box[1].start, box[2].stop - box[2].start) ** 2)


def _longest_chain(sections: _Sections, spacing_mm: Spacing) -> list[int]:
    """Section numbers from the lowest to the highest; each links to the best one just below it."""
    step = _STEP_MM + spacing_mm[0] / 2
    order = np.argsort(sections.slices, kind="stable")
    by_slice: dict[int, list[int]] = {}
    length: dict[int, float] = {}
    below: dict[int, int] = {}
    for number in (int(n) for n in order):
        here = int(sections.slices[number])
        by_slice.setdefault(here, []).append(number)
        length[number] = float(sections.areas_mm2[number])
        for other in by_slice.get(here - 1, []):
            moved = float(np.linalg.norm(sections.centres_mm[number] - sections.centres_mm[other]))
            ratio = float(sections.areas_mm2[number] / sections.areas_mm2[other])
            longer = length[other] + float(sections.areas_mm2[number])
            if moved < step and 0.4 < ratio < 2.5 and longer > length[number]:
                length[number], below[number] = longer, other
    if not length:
        return []
    chain = [max(length, key=lambda number: length[number])]
    while chain[-1] in below:
        chain.append(below[chain[-1]])
    return chain[::-1]


def _connected_to(seed: BoolMask, mask: BoolMask) -> BoolMask:
    labels = cc3d.connected_components(mask, connectivity=6)
    touched = np.unique(labels[seed & mask])
    return np.isin(labels, touched[touched > 0])


def _ball(shape: tuple[int, ...], centre: npt.NDArray[np.int64], spacing_mm: Spacing) -> BoolMask:
    offsets = np.indices(shape, sparse=True)
    squared = sum(((o - c) * s) ** 2 for o, c, s in zip(offsets, centre, spacing_mm, strict=True))
    return np.asarray(squared <= _BRONCHI_MM**2, dtype=np.bool_)
