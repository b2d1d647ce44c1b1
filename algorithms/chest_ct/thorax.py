"""Body, lungs and central airways of a chest CT, by intensity, topology and anatomy; no weights.

The anatomy is found on a coarse canonical image of about 2 mm, whatever the plane of the source;
the borders are then placed on the source grid itself.
"""

from dataclasses import dataclass

import numpy as np

from algorithms import terminology
from algorithms.chest_ct.airways import Tube, below_larynx, find_trachea, grow_main_bronchi
from algorithms.chest_ct.body import find_body, find_midline, is_cut_off, must_be_median
from algorithms.chest_ct.borders import Masks, Part, refine
from algorithms.chest_ct.lungs import Lungs, find_lungs, gas_ml, volume_ml
from algorithms.protocol import BoolMask, Progress, Segment, Unsuitable, Volume, Voxels
from algorithms.spatial import CoarseImage, Labels, Spacing

BODY = "Body"
AIRWAY = "Trachea and main bronchi"

_COARSE_MM = 1.9
_AIR_HU = -1024.0  # scanners pad with anything from -1024 to -3024
_FEWEST = 4  # voxels along each axis
_SMALL_SHARE = 0.3  # of the other lung
_UPSIDE_DOWN = 2.0  # section of the lungs at the upper end of the trachea to that at its lower end
_MUCH_GAS_ML = 30.0
_CUT_OFF = "cut off by the edge of the field of view"


@dataclass(frozen=True, eq=False)
class _Anatomy:
    labels: Labels
    review: dict[Part, str]


def find_thorax(image: Volume, progress: Progress) -> tuple[Segment, ...]:
    """Segment the body, the lungs, and the trachea with the main bronchi, where they are in view.

    Raises:
        Unsuitable: not a CT in Hounsfield units, or no chest in view.
    """
    _must_be_ct(image)
    progress(0.0, "reducing")
    coarse = CoarseImage.of(image, _COARSE_MM, outside=_AIR_HU)
    progress(0.2, "finding body, airways and lungs")
    anatomy = _find_anatomy(coarse.voxels, coarse.spacing_mm)
    progress(0.7, "placing borders")
    masks = refine(coarse.to_source(anatomy.labels), image.voxels, image.spacing_mm, coarse.step_mm)
    progress(1.0, "body, airways and lungs done")
    return _segments(masks, anatomy.review)


def _must_be_ct(image: Volume) -> None:
    if image.modality != "CT" or image.unit != "HU":
        raise Unsuitable(f"not a CT in Hounsfield units: modality {image.modality}, unit {image.unit}")
    if min(image.voxels.shape) < _FEWEST:
        size = " x ".join(str(n) for n in image.voxels.shape)
        raise Unsuitable(f"too little to be a chest: {size} voxels")
    darkest, brightest = float(image.voxels.min()), float(image.voxels.max())
    if darkest > -700 or brightest < 0:
        raise Unsuitable(
            f"no air and tissue in view: values from {darkest:.0f} to {brightest:.0f} HU; "
            "either there is no chest, or the values are not Hounsfield units"
        )


def _find_anatomy(hu: Voxels, spacing_mm: Spacing) -> _Anatomy:
    body = find_body(hu, spacing_mm)
    midline = find_midline(hu, body, spacing_mm)
    trachea = find_trachea(hu, body, (midline, _middle_column(body)), spacing_mm)
    if trachea is not None:
        midline = _middle_column(trachea.mask)
    airway = None if trachea is None else grow_main_bronchi(hu, body, trachea, spacing_mm)
    lungs = find_lungs(hu, body, airway, midline, spacing_mm)
    if trachea is None:
        must_be_median(midline, hu, body, spacing_mm)
    else:
        _must_be_upright(trachea, lungs)
    labels = body.astype(np.uint8)
    for lung, part, vessels in (
        (lungs.left, Part.LEFT, Part.LEFT_VESSELS),
        (lungs.right, Part.RIGHT, Part.RIGHT_VESSELS),
    ):
        if lung is not None:
            labels[lung.mask] = vessels
            labels[lung.parenchyma] = part
    if airway is not None:
        labels[below_larynx(airway, _apex(lungs), spacing_mm)] = Part.AIRWAY
    return _Anatomy(labels, _doubts(hu, body, lungs, spacing_mm))


def _must_be_upright(trachea: Tube, lungs: Lungs) -> None:
    """Lungs widen from the top of the trachea downwards; else the header lies, and about the sides too."""
    sections = sum(lung.mask.sum(axis=(1, 2)) for lung in (lungs.left, lungs.right) if lung is not None)
    if sections[trachea.last] > _UPSIDE_DOWN * sections[trachea.first]:
        raise Unsuitable("head and feet are exchanged: the lungs are widest at the upper end of the trachea")


def _middle_column(mask: BoolMask) -> float:
    columns = mask.sum(axis=(0, 1))
    return float(np.average(np.arange(len(columns)), weights=columns))


def _apex(lungs: Lungs) -> int:
    present = [lung.mask for lung in (lungs.left, lungs.right) if lung is not None]
    return max(int(np.flatnonzero(mask.any(axis=(1, 2)))[-1]) for mask in present)


def _doubts(hu: Voxels, body: BoolMask, lungs: Lungs, spacing_mm: Spacing) -> dict[Part, str]:
    """Why a person should look at a segment first."""
    front_or_back, sides = is_cut_off(body, axis=1), is_cut_off(body, axis=2)
    reasons = {part: [_CUT_OFF] if front_or_back else [] for part in Part}
    if sides and not front_or_back:
        reasons[Part.BODY].append(_CUT_OFF)
    present = {part: lung.mask for part, lung in ((Part.LEFT, lungs.left), (Part.RIGHT, lungs.right)) if lung}
    largest = max(volume_ml(mask, spacing_mm) for mask in present.values())
    for part, mask in present.items():
        doubts = {
            _CUT_OFF: bool(mask[:, :, (0, -1)].any()) and not front_or_back,
            "no line between the lungs was found; they were cut at the midline": lungs.cut_at_midline,
            "the other lung was not found": len(present) == 1,
            "much smaller than the other lung": volume_ml(mask, spacing_mm) < _SMALL_SHARE * largest,
            "holds much gas without lung tissue: emphysema, air in the pleura, or bowel": (
                gas_ml(mask, hu, spacing_mm) > _MUCH_GAS_ML
            ),
        }
        reasons[part] += [doubt for doubt, is_so in doubts.items() if is_so]
    return {part: "; ".join(found) for part, found in reasons.items() if found}


def _segments(masks: Masks, review: dict[Part, str]) -> tuple[Segment, ...]:
    category = terminology.ANATOMICAL_STRUCTURE
    rows = (
        (BODY, masks.body, terminology.ENTIRE_BODY, None, terminology.BODY_COLOUR, Part.BODY),
        (
            "Left lung",
            masks.left,
            terminology.LUNG,
            terminology.LEFT,
            terminology.LEFT_LUNG_COLOUR,
            Part.LEFT,
        ),
        (
            "Right lung",
            masks.right,
            terminology.LUNG,
            terminology.RIGHT,
            terminology.RIGHT_LUNG_COLOUR,
            Part.RIGHT,
        ),
        (
            AIRWAY,
            masks.airway,
            terminology.TRACHEA_AND_BRONCHUS,
            None,
            terminology.AIRWAY_COLOUR,
            Part.AIRWAY,
        ),
    )
    return tuple(
        Segment.from_mask(
            mask,
            label=label,
            category=category,
            type=kind,
            rgb=colour,
            laterality=laterality,
            review=review.get(part),
        )
        for label, mask, kind, laterality, colour, part in rows
        if mask.any()
    )
