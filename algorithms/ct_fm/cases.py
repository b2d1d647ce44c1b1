"""Scans made ready for training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from algorithms.ct_fm.network import HU_RANGE
from algorithms.ct_fm.patches import Grid
from algorithms.phantoms import torso
from algorithms.protocol import Unsuitable, Volume
from algorithms.spatial import Spacing

_THINNEST_HU = -920.0  # lung is inside the body, the air around it is not
_PLACES = 1 << 15
_PHANTOM_MM = 4.0
_FEWER = 3  # real scans are repeated until there is one for so many phantoms


@dataclass(frozen=True, eq=False)
class Case:
    """A scan made ready for pre-training.

    Attributes:
        voxels: float16, axes to head, back and left, scaled to 0 to 1.
        spacing_mm: along these axes.
        places: int16 (place, 3), voxels inside the body, at random, from which crops are taken.
    """

    voxels: npt.NDArray[np.float16]
    spacing_mm: Spacing
    places: npt.NDArray[np.int16]

    @classmethod
    def of(cls, volume: Volume, spacing_mm: Spacing) -> Self:
        """Make a CT ready.

        Raises:
            Unsuitable: the values are not in Hounsfield units, or there is no body in it.
        """
        grid = Grid.of(volume, spacing_mm).cropped()
        low, high = HU_RANGE
        inside = np.argwhere(grid.voxels > (_THINNEST_HU - low) / (high - low))
        if not len(inside):
            raise Unsuitable("there is no body in the image")
        chosen = np.random.default_rng(0).permutation(len(inside))[:_PLACES]
        return cls(grid.voxels.astype(np.float16), spacing_mm, inside[chosen].astype(np.int16))


def phantom(seed: int, spacing_mm: Spacing) -> Case:
    """A synthetic body from the pelvis to the crown, made ready."""
    body = torso(seed, spacing_mm=_PHANTOM_MM)
    uids = tuple(str(index) for index in range(len(body.hu)))
    return Case.of(Volume(np.asarray(body.hu), body.affine_mm, "HU", "CT", uids), spacing_mm)


def mixed(phantoms: Sequence[Case], scans: Sequence[Case]) -> list[Case]:
    """Phantoms and real scans, which are repeated where they are few: a quarter of all."""
    repeats = max(1, len(phantoms) // (_FEWER * len(scans))) if scans else 0
    return [*phantoms, *list(scans) * repeats]
