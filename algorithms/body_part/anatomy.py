"""Landmarks, regions and body parts of body part regression, with their codes.

Scores are on the published scale, 0 at the lower end of the pelvis and 100 at the upper end of the
eyes (Schuhegger, arXiv:2110.09148; table of the public model). Codes are those of the published
annotations of NLST and NSCLC-Radiomics (Krishnaswamy et al., Sci Data 2024, 11:25) with their
mistyped values mended, and those of CID 4031 where the published ones are not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from algorithms.protocol import Code

CENTER: Final = Code("111010", "DCM", "Center")
TOP: Final = Code("421812003", "SCT", "Top")
BOTTOM: Final = Code("421610009", "SCT", "Bottom")

_PELVIS = Code("816092008", "SCT", "Pelvis")
_LUNG = Code("39607008", "SCT", "Lung")


@dataclass(frozen=True)
class Site:
    """What a landmark is.

    Attributes:
        score: its mean score in the published table; `spread` is the standard deviation.
        code: the anatomic site.
        modifier: which end of the site (Topographical modifier).
    """

    score: float
    spread: float
    code: Code
    modifier: Code | None


@dataclass(frozen=True)
class Part:
    """A part of the body, from one landmark to another.

    Attributes:
        code: as in CID 4031.
        begins: the landmark at its lower end; None for no limit.
        ends: the landmark at its upper end; None for no limit.
    """

    code: Code
    begins: str | None
    ends: str | None


@dataclass(frozen=True)
class Examined:
    """When a body part counts as examined.

    Attributes:
        landmarks: the landmarks that speak for it.
        fewest: how many of them must be in view.
        begins: landmark where the part begins if every slice may belong to one part only.
        ends: landmark where it ends then.
    """

    landmarks: tuple[str, ...]
    fewest: int
    begins: str
    ends: str


def _vertebra(score: float, spread: float, value: str, name: str) -> Site:
    return Site(score, spread, Code(value, "SCT", f"{name} vertebra"), CENTER)


LANDMARKS: Mapping[str, Site] = MappingProxyType(
    {
        "pelvis_start": Site(0.0, 1.983, _PELVIS, BOTTOM),
        "femur_end": Site(13.616, 1.198, Code("71341001", "SCT", "Femur"), TOP),
        "L5": _vertebra(25.532, 1.854, "49668003", "L5"),
        "pelvis_end": Site(28.824, 1.881, _PELVIS, TOP),
        "L4": _vertebra(29.414, 2.098, "11994002", "L4"),
        "L3": _vertebra(33.817, 2.290, "36470004", "L3"),
        "kidney": Site(37.597, 4.116, Code("64033007", "SCT", "Kidney"), None),
        "L2": _vertebra(37.763, 2.335, "14293000", "L2"),
        "L1": _vertebra(41.478, 2.276, "66794005", "L1"),
        "lung_start": Site(44.143, 4.385, _LUNG, BOTTOM),
        "Th12": _vertebra(44.952, 2.287, "23215003", "T12"),
        "Th11": _vertebra(47.725, 2.503, "12989004", "T11"),
        "Th10": _vertebra(51.069, 2.717, "7610001", "T10"),
        "Th9": _vertebra(53.994, 2.613, "82687006", "T9"),
        "liver_end": Site(54.479, 3.986, Code("10200004", "SCT", "Liver"), TOP),
        "Th8": _vertebra(56.856, 2.360, "11068009", "T8"),
        "Th7": _vertebra(59.851, 2.822, "62487009", "T7"),
        "Th6": _vertebra(63.177, 2.404, "45296009", "T6"),
        "Th5": _vertebra(65.964, 2.118, "56401006", "T5"),
        "Th4": _vertebra(68.499, 2.051, "73071006", "T4"),
        "Th3": _vertebra(70.973, 2.038, "1626008", "T3"),
        "Th2": _vertebra(73.401, 1.694, "53733008", "T2"),
        "lung_end": Site(75.389, 1.478, _LUNG, TOP),
        "Th1": _vertebra(75.794, 1.811, "64864005", "T1"),
        "C7": _vertebra(77.937, 1.849, "87391001", "C7"),
        "C6": _vertebra(79.497, 1.637, "36054005", "C6"),
        "C5": _vertebra(81.826, 1.527, "36978003", "C5"),
        "C4": _vertebra(83.817, 1.378, "5329002", "C4"),
        "C3": _vertebra(85.647, 1.472, "113205007", "C3"),
        "teeth": Site(
            86.908, 3.253, Code("28035005", "SCT", "Teeth, gums and supporting structures"), CENTER
        ),
        "C2": _vertebra(87.206, 1.327, "39976000", "C2"),
        "C1": _vertebra(89.234, 1.397, "14806007", "C1"),
        "nose": Site(92.567, 5.355, Code("45206002", "SCT", "Nose"), BOTTOM),
        "eyes_end": Site(100.0, 3.789, Code("81745001", "SCT", "Eye"), TOP),
        "head_end": Site(107.756, 1.785, Code("69536005", "SCT", "Head"), TOP),
    }
)
"""From the lowest to the highest."""

REGIONS: Mapping[str, Part] = MappingProxyType(
    {
        "legs": Part(Code("61685007", "SCT", "Lower limb"), None, "pelvis_start"),
        "pelvis": Part(_PELVIS, "pelvis_start", "pelvis_end"),
        "abdomen": Part(Code("818981001", "SCT", "Abdomen"), "L5", "Th8"),
        "chest": Part(Code("816094009", "SCT", "Chest"), "Th12", "Th1"),
        "shoulder-neck": Part(Code("45048000", "SCT", "Neck"), "Th3", "C2"),
        "head": Part(Code("69536005", "SCT", "Head"), "C5", None),
    }
)
"""A slice may belong to several; published bounds. 30021000, published for legs, is the lower leg only."""

EXAMINED: Mapping[str, Examined] = MappingProxyType(
    {
        "PELVIS": Examined(
            ("pelvis_start", "femur_end", "pelvis_end"), 2, begins="pelvis_start", ends="pelvis_end"
        ),
        "ABDOMEN": Examined(
            ("L5", "L4", "L3", "L2", "L1", "Th12", "Th11", "Th10", "Th9"), 7, begins="pelvis_end", ends="Th9"
        ),
        "CHEST": Examined(
            ("Th12", "Th11", "Th10", "Th9", "Th8", "Th7", "Th6", "Th5", "Th4", "Th3", "Th2", "Th1"),
            9,
            begins="Th9",
            ends="Th2",
        ),
        "NECK": Examined(
            ("Th3", "Th2", "Th1", "C7", "C6", "C5", "C4", "C3", "C2"), 6, begins="Th2", ends="C3"
        ),
        "HEAD": Examined(("C3", "C2", "C1", "eyes_end"), 3, begins="C3", ends="head_end"),
    }
)
"""The published rules of the tag "body part examined", from the lowest part to the highest."""
