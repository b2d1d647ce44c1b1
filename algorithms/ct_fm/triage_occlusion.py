"""What a triage rests on: how far the logit drops while parts of the head are covered with plain brain.

Covering a box changes the first two levels of the encoder only near the box, so that only there they are
computed anew; the levels below, which are small, see the whole head each time. The result is that of
the whole network.
"""

from contextlib import AbstractContextManager
from typing import Final

import numpy as np
import torch

from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import WINDOWS_HU, windowed
from algorithms.protocol import Progress, Voxels, part
from algorithms.saliency import Box, Drops, boxes_over, drops_over
from algorithms.spatial import Shape

BRAIN_HU: Final = 32.0
"""What covers a box."""

_COARSE: Final[Shape] = (10, 32, 32)
_FINE: Final[Shape] = (5, 16, 16)
_OVERLAP = 0.25
_REFINED = 1  # coarse box that is looked at again with fine ones
_TISSUE_HU = -200.0
_LEAST_TISSUE = 0.5  # of a box
_STRIDE = 4  # of the third level


def occlusion_sensitivity(network: TriageNetwork, hu: Voxels, refine: bool, progress: Progress) -> Voxels:
    """How far the logit drops where the head is covered, on the grid of the prepared head.

    Args:
        network: in evaluation mode.
        hu: the prepared head (slice, row, column), Hounsfield units.
        refine: look again, with smaller boxes, where covering lowered the logit most.
        progress: told after each box.
    """
    tissue, shape = hu > _TISSUE_HU, (hu.shape[0], hu.shape[1], hu.shape[2])
    device = next(network.parameters()).device
    with torch.inference_mode(), _fast(device):
        covered = CoveredLogits(network, torch.from_numpy(hu)[None, None].to(device))
        coarse = boxes_over(tissue, _COARSE, _OVERLAP, _LEAST_TISSUE)
        drops = drops_over(coarse, covered.logit, covered.base, part(progress, 0.0, 0.5))
        if refine:
            fine = _finer(drops, shape)
            drops += drops_over(fine, covered.logit, covered.base, part(progress, 0.5, 1.0))
    return drops.on_grid(shape)


class CoveredLogits:
    """The logit of a head of which a box is covered.

    Attributes:
        base: the logit while nothing is covered.
    """

    def __init__(self, network: TriageNetwork, hu: torch.Tensor) -> None:
        """Look at the whole head once.

        Args:
            network: in evaluation mode.
            hu: (1, 1, slice, row, column), Hounsfield units.
        """
        self._encoder, self._head = network.encoder, network.head
        self._hu = hu
        first, second = self._encoder.blocks_down[:2]
        self._reach = 4 + 2 * first + 4 * second  # voxels that a voxel of the third level sees to each side
        self._margin = -(-self._reach // _STRIDE) * _STRIDE
        self._upper = self._first_levels(_in_channels_last(windowed(hu)))
        self.base: Final = self._answer(self._upper)

    def logit(self, box: Box) -> float:
        """The logit while the box is covered with plain brain."""
        hu = self._hu.clone()
        hu[0, 0, box[0], box[1], box[2]] = BRAIN_HU
        stack = windowed(hu)
        upper = self._upper.clone()
        slices = hu.shape[2]
        for window in range(len(WINDOWS_HU)):
            shifted = slice(box[0].start + window * slices, min(box[0].stop, slices) + window * slices)
            self._renew(upper, stack, (shifted, box[1], box[2]))
        return self._answer(upper)

    def _renew(self, upper: torch.Tensor, stack: torch.Tensor, changed: Box) -> None:
        """Compute, in place, what the changed box of the input changes on the third level."""
        seen: list[slice] = []
        inner, outer = [slice(None)] * 2, [slice(None)] * 2  # batch and channels
        for axis, extent in enumerate(changed):
            length = upper.shape[2 + axis]
            first = max(0, -((self._reach - extent.start) // _STRIDE))
            end = min(length, (min(extent.stop, stack.shape[2 + axis]) - 1 + self._reach) // _STRIDE + 1)
            start = max(0, first * _STRIDE - self._margin)
            seen.append(slice(start, min(stack.shape[2 + axis], end * _STRIDE + self._margin)))
            outer.append(slice(first, end))
            inner.append(slice(first - start // _STRIDE, end - start // _STRIDE))
        local = self._first_levels(_in_channels_last(stack[:, :, seen[0], seen[1], seen[2]]))
        upper[tuple(outer)] = local[tuple(inner)]

    def _first_levels(self, stack: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._encoder.conv_init(stack)
        for level in self._encoder.layers[:2]:
            features = level.get_submodule("downsample")(level.get_submodule("blocks")(features))
        return features

    def _answer(self, upper: torch.Tensor) -> float:
        features = upper
        for level in self._encoder.layers[2:]:
            features = level.get_submodule("downsample")(level.get_submodule("blocks")(features))
        return float(self._head(features))


def _finer(coarse: Drops, shape: Shape) -> tuple[Box, ...]:
    """Fine boxes in each of the coarse ones that matter most."""
    fine: list[Box] = []
    for box in coarse.strongest(_REFINED).boxes:
        region = np.zeros(shape, dtype=np.bool_)
        region[box] = True
        fine += boxes_over(region, _FINE, _OVERLAP, 0.0)
    return tuple(fine)


def _in_channels_last(stack: torch.Tensor) -> torch.Tensor:
    return stack.contiguous(memory_format=torch.channels_last_3d)


def _fast(device: torch.device) -> AbstractContextManager[object]:
    """Half precision where the device computes it at least twice as fast."""
    able = device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=able)
