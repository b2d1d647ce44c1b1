"""Findings of every kind on a small series, for tests of the sending side."""

from dataclasses import replace

from algorithms.protocol import Code, Findings, Landmark, Region, Volume
from tests import synthetic_series

LIVER = Code("10200004", "SCT", "Liver")
KIDNEY = Code("64033007", "SCT", "Kidney")
L1 = Code("66794005", "SCT", "L1 vertebra")
ABDOMEN = Code("113345001", "SCT", "Abdomen")
CHEST = Code("51185008", "SCT", "Chest")
TOP = Code("421812003", "SCT", "Top")
CENTER = Code("111010", "DCM", "Center")


def findings(volume: Volume) -> Findings:
    """Segments and measurements, three landmarks on two slices, two regions that share a slice.

    The volume has at least five slices; the first shows no landmark, the last no region.
    """
    uids = volume.sop_instance_uids
    landmarks = (
        Landmark("L1", L1, position(volume, 3), uids[3], 41.5, CENTER),
        Landmark("kidney", KIDNEY, position(volume, 3), uids[3], 37.6),
        Landmark("liver_end", LIVER, position(volume, 1), uids[1], 54.5, TOP),
    )
    regions = (Region("abdomen", ABDOMEN, uids[:3]), Region("chest", CHEST, uids[2:4]))
    return replace(synthetic_series.findings(volume), landmarks=landmarks, regions=regions)


def position(volume: Volume, index: int) -> tuple[float, float, float]:
    """A point on a slice, patient LPS mm."""
    x, y, z = (volume.affine_mm @ [index, 2, 3, 1])[:3]
    return float(x), float(y), float(z)
