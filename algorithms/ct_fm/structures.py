"""The structures that the whole-body network tells apart, and how each is coded.

The table is that of TotalSegmentator v2, task `total` (Wasserthal et al., Radiology: AI 2023; Apache-2.0),
whose labels CT-FM was fine-tuned on: SNOMED CT types, sides and recommended colours. Twenty of the types,
among them each rib, are in no context group of DICOM; those groups are extensible.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy import ndimage

from algorithms.protocol import Code, Segment
from algorithms.spatial import Labels
from algorithms.terminology import ANATOMICAL_STRUCTURE, LEFT, RIGHT, Colour

ALTERED_STRUCTURE: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""Segmented Property Category (CID 7150) of what is no part of a healthy body."""

_TABLE = Path(__file__).with_name("structures.csv")
_SIDES = {"left": LEFT, "right": RIGHT, "": None}


@dataclass(frozen=True)
class Structure:
    """One class of the network.

    Attributes:
        channel: of the network's output; 0 is background.
        name: TotalSegmentator's name.
        type: Segmented Property Type.
        laterality: side of the type, or of the site where there is one.
        site: the part of the body that holds what is none itself: the kidney of a cyst.
        rgb: recommended display colour.
    """

    channel: int
    name: str
    type: Code
    laterality: Code | None
    site: Code | None
    rgb: Colour

    @property
    def category(self) -> Code:
        """Segmented Property Category."""
        return ALTERED_STRUCTURE if self.site else ANATOMICAL_STRUCTURE


def structures() -> tuple[Structure, ...]:
    """All 117, by channel."""
    with _TABLE.open(encoding="utf-8", newline="") as table:
        return tuple(_structure(row) for row in csv.DictReader(table))


def segments(labels: Labels, wanted: Sequence[Structure]) -> tuple[Segment, ...]:
    """A segment for each structure that has a voxel.

    Args:
        labels: channels, axes (slice, row, column).
        wanted: the structures.
    """
    boxes = dict(enumerate(ndimage.find_objects(labels), start=1))
    return tuple(
        Segment(
            structure.name,
            structure.category,
            structure.type,
            structure.rgb,
            np.equal(labels[box], structure.channel),
            (box[0].start, box[1].start, box[2].start),
            structure.laterality,
            site=structure.site,
        )
        for structure in wanted
        if (box := boxes.get(structure.channel))
    )


def _structure(row: dict[str, str]) -> Structure:
    return Structure(
        channel=int(row["channel"]),
        name=row["name"],
        type=Code(row["type"], "SCT", row["meaning"]),
        laterality=_SIDES[row["laterality"]],
        site=Code(row["site"], "SCT", row["site_meaning"]) if row["site"] else None,
        rgb=(int(row["red"]), int(row["green"]), int(row["blue"])),
    )
