"""Findings of every kind on a small series, for tests of the sending side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom import Dataset

from algorithms.protocol import (
    Code,
    Embedding,
    Findings,
    Landmark,
    Region,
    SaliencyMap,
    Score,
    Similar,
    Volume,
)
from algorithms.terminology import NO_UNITS
from tests import synthetic_series

LIVER = Code("10200004", "SCT", "Liver")
KIDNEY = Code("64033007", "SCT", "Kidney")
L1 = Code("66794005", "SCT", "L1 vertebra")
ABDOMEN = Code("113345001", "SCT", "Abdomen")
CHEST = Code("51185008", "SCT", "Chest")
TOP = Code("421812003", "SCT", "Top")
CENTER = Code("111010", "DCM", "Center")
PROBABILITY = Code("122157", "DCM", "Probability")
NORMALITY = Code("121402", "DCM", "Normality")
ABNORMAL = Code("263654008", "SCT", "Abnormal")
SALIENCY = Code("130404", "DCM", "Saliency")
CT = "1.2.840.10008.5.1.4.1.1.2"


def findings(volume: Volume) -> Findings:
    """Findings of every kind.

    Segments and measurements, three landmarks on two slices, two regions that share a slice, a score that is
    calibrated and one that is not, three similar series of two other studies, and a saliency map. The volume
    has at least five slices; the first shows no landmark, the last no region.
    """
    uids = volume.sop_instance_uids
    landmarks = (
        Landmark("L1", L1, position(volume, 3), uids[3], 41.5, CENTER),
        Landmark("kidney", KIDNEY, position(volume, 3), uids[3], 37.6),
        Landmark("liver_end", LIVER, position(volume, 1), uids[1], 54.5, TOP),
    )
    regions = (Region("abdomen", ABDOMEN, uids[:3]), Region("chest", CHEST, uids[2:4]))
    return replace(
        synthetic_series.findings(volume),
        landmarks=landmarks,
        regions=regions,
        scores=scores(),
        embedding=embedding(),
        similar=similar(),
        saliency=saliency(volume),
    )


def scores() -> tuple[Score, Score]:
    """An answer with a probability, and a number that is none."""
    return (
        Score("Abnormality of the head CT", PROBABILITY, 0.9321, NO_UNITS, True, "HIGH", NORMALITY, ABNORMAL),
        Score("Certainty", PROBABILITY, 0.4, NO_UNITS, urgency="LOW"),
    )


def embedding() -> Embedding:
    """A vector of unit length."""
    return Embedding(np.full(4, 0.5, dtype=np.float32), "ct-fm-encoder 0123abcd mean")


def similar() -> tuple[Similar, ...]:
    """Three series, two of them of one study."""
    return tuple(
        Similar(f"2.25.200{study}", f"2.25.300{n}", CT, f"2.25.400{n}", similarity)
        for n, (study, similarity) in enumerate([(1, 0.93), (2, 0.87), (1, 0.51)])
    )


def saliency(volume: Volume) -> SaliencyMap:
    """A map on half as many voxels, as large as the volume; greatest in its middle, below 0 at a corner."""
    shape = tuple(-(-length // 2) for length in volume.voxels.shape)
    grid = np.indices(shape) - np.reshape([length // 2 for length in shape], (3, 1, 1, 1))
    voxels = np.exp(-0.3 * (grid**2).sum(axis=0)).astype(np.float32)
    voxels[0, 0, 0] = -0.25
    half = np.diag([2.0, 2.0, 2.0, 1.0])
    half[:3, 3] = 0.5
    upright = volume.affine_mm.copy()
    normal = np.cross(upright[:3, 1], upright[:3, 2])
    upright[:3, 0] = normal / np.linalg.norm(normal) * (upright[:3, 0] @ normal) / np.linalg.norm(normal)
    return SaliencyMap("Occlusion sensitivity", SALIENCY, NO_UNITS, voxels, upright @ half)


def position(volume: Volume, index: int) -> tuple[float, float, float]:
    """A point on a slice, patient LPS mm."""
    place = index if volume.slice_places is None else volume.slice_places[index]
    x, y, z = (volume.affine_mm @ [place, 2, 3, 1])[:3]
    return float(x), float(y), float(z)


def leaning(
    shape: tuple[int, int, int] = (6, 12, 13),
    *,
    lean_mm: float = 0.9,
    places: Sequence[float] | None = None,
    **attributes: Any,
) -> tuple[Volume, list[Dataset]]:
    """A stack whose slices slide along their columns from one to the next, as a tilted gantry leaves them.

    Args:
        shape: (slice, row, column).
        lean_mm: how far, for one step of the affine.
        places: where each slice lies, in such steps; evenly where None.
        attributes: of `synthetic_series.series`.
    """
    volume, sources = synthetic_series.series(shape, **attributes)
    affine = volume.affine_mm.copy()
    affine[:3, 0] += affine[:3, 1] / np.linalg.norm(affine[:3, 1]) * lean_mm
    steps = np.arange(shape[0], dtype=np.float64) if places is None else np.array(places, dtype=np.float64)
    for source, step in zip(sources, steps, strict=True):
        source.ImagePositionPatient = [round(float(mm), 6) for mm in affine[:3, 3] + step * affine[:3, 0]]
    return replace(volume, affine_mm=affine, slice_places=None if places is None else steps), sources
