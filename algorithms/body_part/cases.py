"""Volumes made ready for training: prepared slices, and where landmarks lie among them if that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from algorithms.body_part.anatomy import LANDMARKS
from algorithms.body_part.preprocessing import DENSEST_AIR, prepare, rises, spacing_mm
from algorithms.protocol import Volume

_SLOPE_PER_MM = 0.118  # published mean
_BEYOND_MM = 100.0
_SOFT = frozenset({"kidney", "lung_start", "liver_end", "lung_end", "teeth", "nose"})


@dataclass(frozen=True, eq=False)
class Case:
    """A volume made ready for training.

    Attributes:
        slices: float16 (slice, 128, 128), -1 to 1, from the feet to the head.
        spacing_mm: distance of the slices.
        landmarks: place of each known landmark in slices, with fractions.
    """

    slices: npt.NDArray[np.float16]
    spacing_mm: float
    landmarks: Mapping[str, float]

    @classmethod
    def of(cls, volume: Volume, heights_mm: Mapping[str, float]) -> Self:
        """Prepare a volume; empty slices at its ends, and those above a known crown, are left out.

        Args:
            volume: a CT with axial slices.
            heights_mm: patient z of the landmarks that are known.

        Raises:
            Unsuitable: the slices are not axial.
        """
        slices = np.concatenate(list(prepare(volume))).astype(np.float16)
        heights = _heights(volume)
        if not rises(volume):
            slices, heights = slices[::-1], heights[::-1]
        has_body = slices.max(axis=(1, 2)) > DENSEST_AIR
        with_body = np.flatnonzero(has_body & (heights <= heights_mm.get("head_end", np.inf)))
        shown = slice(with_body[0], with_body[-1] + 1)
        slices, heights = slices[shown], heights[shown]
        step = float(heights[1] - heights[0])
        places = {name: (z - float(heights[0])) / step for name, z in heights_mm.items()}
        return cls(slices, spacing_mm(volume), places)

    @property
    def levels(self) -> npt.NDArray[np.float64]:
        """Published score of each slice where it is known, else NaN.

        Between landmarks it is interpolated; beyond the outermost it goes on at the mean slope for
        100 mm. Organs lie higher or lower from one person to the next: they count only where no bone
        is known.
        """
        bones = {name: place for name, place in self.landmarks.items() if name not in _SOFT}
        known = bones if len(bones) > 1 else self.landmarks
        if len(known) < 2:
            return np.full(len(self.slices), np.nan)
        pairs = sorted((place, LANDMARKS[name].score) for name, place in known.items())
        places, scores = (np.array(column) for column in zip(*pairs, strict=True))
        index = np.arange(len(self.slices))
        beyond_mm = (index - np.clip(index, places[0], places[-1])) * self.spacing_mm
        levels = np.interp(index, places, scores) + beyond_mm * _SLOPE_PER_MM
        return np.where(np.abs(beyond_mm) <= _BEYOND_MM, levels, np.nan)


def read(path: Path) -> Case:
    """A case from a file made by `numpy.savez`.

    Args:
        path: with `voxels` (slice, row, column) in HU, `affine_mm` (4, 4) to patient LPS, and the names
            of `landmarks` with their patient z in `heights_mm`, both of any length.
    """
    with np.load(path, allow_pickle=False) as content:
        voxels = content["voxels"].astype(np.float32)
        heights = dict(zip(content["landmarks"].tolist(), content["heights_mm"].tolist(), strict=True))
        uids = tuple(str(index) for index in range(len(voxels)))
        return Case.of(Volume(voxels, content["affine_mm"], "HU", "CT", uids), heights)


def _heights(volume: Volume) -> npt.NDArray[np.float64]:
    """Patient z of the middle of each slice (slice,)."""
    slices, rows, columns = volume.voxels.shape
    middle = np.array([0.0, (rows - 1) / 2, (columns - 1) / 2, 1.0])
    return np.asarray((volume.affine_mm @ middle)[2] + np.arange(slices) * volume.affine_mm[2, 0])
