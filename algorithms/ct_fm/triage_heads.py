"""Synthetic head CTs with and without bleeds, prepared for the triage network and kept in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from algorithms.ct_fm.triage_augmentation import Head
from algorithms.ct_fm.triage_preparation import SHAPE, PreparedHead
from algorithms.phantoms import head_ct
from algorithms.spatial import resample

_PIXELS = 192  # in a row: finer than the 2 mm that the network sees, and soon made
_SPACINGS_MM = (5.0, 5.0, 4.0, 3.0, 6.0)  # of slices; by seed
_WHOLE = 255.0


@dataclass(frozen=True)
class StoredHead:
    """A prepared head in a file: voxels in whole Hounsfield units, blood in parts of 255.

    Attributes:
        file: an .npz with `hu` (int16) and `bleed` (uint8), both (48, 128, 128), and `kind`.
        positive: whether there is a bleed.
    """

    file: Path
    positive: bool

    @property
    def kind(self) -> str:
        """What kind of bleed; empty if there is none."""
        with np.load(self.file) as stored:
            return str(stored["kind"])

    def read(self) -> Head:
        """Into memory."""
        with np.load(self.file) as stored:
            hu, bleed = stored["hu"].astype(np.float32), stored["bleed"].astype(np.float32)
        return Head(torch.from_numpy(hu), torch.from_numpy(bleed / _WHOLE))


def render(folder: Path, seeds: Sequence[int]) -> list[StoredHead]:
    """Heads by their seeds: odd ones bleed. Those that are in the folder are not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_stored(folder / f"{seed}.npz", seed) for seed in seeds]


def prepared(seed: int) -> tuple[Head, str]:
    """A synthetic head as the network sees it, and what kind of bleed it has."""
    phantom = head_ct(seed, columns=_PIXELS, slice_spacing_mm=_SPACINGS_MM[seed // 2 % len(_SPACINGS_MM)])
    head = PreparedHead.of(phantom.volume)
    bleed = np.zeros(SHAPE, dtype=np.float32)
    if "Bleed" in phantom.truth:
        mask = phantom.truth["Bleed"].astype(np.float32)
        bleed = resample(mask, phantom.volume.affine_mm, SHAPE, head.affine_mm, order=1, outside=0.0)
    return Head(torch.from_numpy(head.hu), torch.from_numpy(bleed)), str(phantom.bleed or "")


def _stored(file: Path, seed: int) -> StoredHead:
    if not file.exists():
        head, kind = prepared(seed)
        partial = file.with_suffix(".part.npz")
        hu, bleed = head.hu.round().numpy().astype(np.int16), (head.bleed * _WHOLE).numpy().astype(np.uint8)
        np.savez(partial, hu=hu, bleed=bleed, kind=kind)
        partial.replace(file)
    return StoredHead(file, seed % 2 == 1)
