"""The structures of the brain that CEREBRUM knows, with their codes and colours.

Names and order are those of `cerebrum7t` (`testing.py`) and LOD-Brain; the paper (arXiv:1909.05085) has
cerebrospinal fluid too. Codes are of CID 7140 and CID 7153; "Basal ganglion" is in no context group of DICOM.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from algorithms.protocol import Code
from algorithms.terminology import ANATOMICAL_STRUCTURE, Colour

_BODY_SUBSTANCE = Code("91720002", "SCT", "Body Substance")  # CID 7150


@dataclass(frozen=True)
class Structure:
    """A structure.

    Attributes:
        label: for people, and in the configuration of weights.
        type: Segmented Property Type.
        rgb: display colour, 0 to 255.
        category: Segmented Property Category.
        paired: whether it has a left and a right half that may be compared.
    """

    label: str
    type: Code
    rgb: Colour
    category: Code = ANATOMICAL_STRUCTURE
    paired: bool = True


STRUCTURES: Final[Mapping[str, Structure]] = MappingProxyType(
    {
        each.label: each
        for each in (
            Structure("Grey matter", Code("40146001", "SCT", "Cerebral Gray Matter"), (205, 62, 78)),
            Structure("Basal ganglia", Code("32610002", "SCT", "Basal ganglion"), (236, 176, 31)),
            Structure("White matter", Code("68523003", "SCT", "Cerebral White Matter"), (230, 230, 225)),
            Structure("Ventricles", Code("35764002", "SCT", "Brain ventricle"), (120, 18, 134)),
            Structure("Cerebellum", Code("113305005", "SCT", "Cerebellum"), (0, 148, 120)),
            Structure("Brainstem", Code("119238007", "SCT", "Brain Stem"), (119, 159, 176), paired=False),
            Structure(
                "Cerebrospinal fluid",
                Code("65216001", "SCT", "Cerebrospinal Fluid"),
                (60, 110, 220),
                _BODY_SUBSTANCE,
                paired=False,
            ),
        )
    }
)

PUBLISHED: Final = tuple(STRUCTURES)[:6]
"""The classes after the background in the published models."""
