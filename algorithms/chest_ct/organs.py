"""Organs at risk by the bundled network and rules of anatomy: heart, aorta, esophagus, spinal cord.

A small network scores cubes of 3 mm in the middle of the trunk; rules keep what can be the organ and say
what is in doubt; the borders are interpolated onto the source grid, so that they are smooth there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from algorithms.chest_ct.canal import enclosed_by_bone
from algorithms.chest_ct.organ_checks import doubts_of
from algorithms.chest_ct.organ_grid import AIR_HU, OrganGrid
from algorithms.chest_ct.organ_network import OrganNetwork, windowed
from algorithms.chest_ct.organ_rules import ORGANS, Margins, Organ, keep_plausible
from algorithms.protocol import BoolMask, Progress, Volume, Voxels, Weights
from algorithms.weights import Checkpoint, WeightsFaulty, load_into

_TILE = 64  # slices
_OVERLAP = 32


@dataclass(frozen=True, eq=False)
class FoundOrgan:
    """An organ, kept as the box that encloses it on the source grid.

    Attributes:
        organ: which.
        mask: bool, axes (slice, row, column) of the source, cropped.
        origin: source index of the box's first corner.
        review: why a person should look at it first; None if there is no doubt.
    """

    organ: Organ
    mask: BoolMask
    origin: tuple[int, int, int]
    review: str | None


@dataclass(frozen=True, eq=False)
class FoundOrgans:
    """What was found, no voxel twice, and why the others are left out."""

    organs: tuple[FoundOrgan, ...]
    left_out: Mapping[Organ, str]


class OrganSegmenter:
    """The organ network with its weights.

    Attributes:
        weights: what it runs with.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load the network.

        Args:
            checkpoint: the weights `thoracic-organs-bundled`, or others made by the same recipe.
            device: "cpu", "cuda:0".

        Raises:
            WeightsFaulty: the tensors or the configuration do not fit.
        """
        self.weights: Final[Weights] = checkpoint.weights
        network = OrganNetwork.from_config(checkpoint.config, checkpoint.weights.name)
        load_into(network, checkpoint.tensors(), checkpoint.weights.name)
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        try:
            self._spacing_mm = float(checkpoint.config["spacing_mm"])
            self._windows = tuple((float(low), float(high)) for low, high in checkpoint.config["windows_hu"])
            self._channels = [checkpoint.config["classes"].index(organ.lower()) for organ in ORGANS]
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsFaulty(f"{checkpoint.weights.name}: the configuration has no {error}") from None

    def find(self, image: Volume, progress: Progress) -> FoundOrgans:
        """Segment the organs that are in view.

        Args:
            image: a CT in HU of any plane and direction.
            progress: told how far it is.
        """
        progress(0.0, "preparing organs")
        grid = OrganGrid.of(image, self._spacing_mm)
        margins = self._margins(grid.hu, progress)
        progress(0.8, "checking organs")
        canal = enclosed_by_bone(grid.hu, grid.spacing_mm)
        plausible = keep_plausible(margins, grid.hu, canal, grid.spacing_mm)
        doubts = doubts_of(plausible, canal, grid)
        progress(0.9, "placing borders of organs")
        found = []
        for organ, margin in plausible.items():
            if organ not in doubts.left_out:
                mask, origin = grid.to_source(margin, image)
                found.append(FoundOrgan(organ, mask, origin, doubts.review.get(organ)))
        progress(1.0, "organs done")
        return FoundOrgans(tuple(found), doubts.left_out)

    def _margins(self, hu: Voxels, progress: Progress) -> Margins:
        """For each organ, its probability less the greatest other: at most one is positive anywhere."""
        short = max(0, _TILE - len(hu))
        padded = np.pad(hu, ((0, short), (0, 0), (0, 0)), constant_values=AIR_HU)
        starts = sorted({*range(0, len(padded) - _TILE, _TILE - _OVERLAP), len(padded) - _TILE})
        total = np.zeros((len(ORGANS), *padded.shape), dtype=np.float32)
        weight = np.zeros((len(padded), 1, 1), dtype=np.float32)
        ramp = np.minimum(np.arange(1, _TILE + 1), np.arange(_TILE, 0, -1)).astype(np.float32)[:, None, None]
        for number, start in enumerate(starts):
            part = slice(start, start + _TILE)
            total[:, part] += ramp * self._scores(padded[part])
            weight[part] += ramp
            progress(0.1 + 0.7 * (number + 1) / len(starts), "finding organs")
        return dict(zip(ORGANS, (total / weight)[:, : len(hu)], strict=True))

    def _scores(self, hu: Voxels) -> Voxels:
        with torch.inference_mode():
            tile = torch.from_numpy(np.ascontiguousarray(hu)).to(self._device)
            image = windowed(tile[None], self._windows).contiguous(memory_format=torch.channels_last_3d)
            probabilities = self._network(image)[0].softmax(dim=0)
            best, second = probabilities.topk(2, dim=0).values
            wanted = probabilities[self._channels]
            margins = torch.where(wanted == best, wanted - second, wanted - best)
        return np.asarray(margins.cpu().numpy(), dtype=np.float32)
