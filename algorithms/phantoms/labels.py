"""What the voxels of a synthetic body are: one number for each tissue or organ."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Label(IntEnum):
    """Numbers of the label map.

    Conventions, where the field has more than one:
        AIRWAY: lumen of the trachea from the cricoid and of the main bronchi; lobar bronchi are lung.
        LEFT_LUNG, RIGHT_LUNG: with their vessels, tumours, consolidation; without effusion.
        HEART: chambers, myocardium and the fat between them inside the pericardium.
        AORTA: from the valve to the bifurcation, lumen and wall.
        PULMONARY_ARTERY: trunk from the valve, right and left artery to the hilum.
        ESOPHAGUS: wall and lumen from the cricoid to the stomach.
        SPINAL_CORD: cord and the fluid around it down to the conus medullaris (L1 or L2).
        CAUDA_EQUINA: the dural sac below it. TotalSegmentator's `spinal_cord` is both together.
    """

    AIR = 0
    FAT = 1
    MUSCLE = 2
    LEFT_LUNG = 3
    RIGHT_LUNG = 4
    AIRWAY = 5
    HEART = 6
    AORTA = 7
    ESOPHAGUS = 8
    SPINAL_CORD = 9
    PULMONARY_ARTERY = 10
    PULMONARY_VEIN = 11
    SUPERIOR_VENA_CAVA = 12
    INFERIOR_VENA_CAVA = 13
    AZYGOS_VEIN = 14
    VERTEBRA = 15
    BONE = 16
    LIVER = 17
    SPLEEN = 18
    KIDNEY = 19
    STOMACH = 20
    BOWEL = 21
    CAUDA_EQUINA = 22
    VESSEL = 23
    SOFT_TISSUE = 24
    BRAIN = 25
    UPPER_AIRWAY = 26
    EFFUSION = 27
    ARM = 28
    CEREBROSPINAL_FLUID = 29
    BLEED = 30
    GREY_MATTER = 31
    WHITE_MATTER = 32
    BASAL_GANGLIA = 33
    VENTRICLE = 34
    CEREBELLUM = 35
    BRAINSTEM = 36


LUNGS = (Label.LEFT_LUNG, Label.RIGHT_LUNG)

NAMES: Mapping[int, str] = MappingProxyType(
    {int(label): label.name.replace("_", " ").capitalize() for label in Label}
)
"""Number to name: "Left lung", "Pulmonary artery" and so on."""
