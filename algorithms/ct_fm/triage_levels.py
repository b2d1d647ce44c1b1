"""The triage network in two parts, each with what it is taught by.

Most of the work of the encoder is in its first three levels, which see no farther than some centimetres:
they learn on small pieces of heads which cells hold blood. With those levels fixed, the rest is so small
that it learns on whole heads: whether there is blood at all, and again where.
"""

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import windowed

SPLIT: Final = 3
"""Levels of the encoder that learn on pieces."""

_SHOWING = 2  # the first of the four windows show blood: blood and subdural
_CELL_WEIGHT = 5.0  # of a cell with blood


class LowerLevels(nn.Module):
    """The first levels, and a guide that says which cells of the last of them hold blood."""

    def __init__(self, network: TriageNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.guide = _guide(network.encoder.init_filters * 2 ** (SPLIT - 1))

    def forward(self, hu: torch.Tensor, bleed: torch.Tensor) -> torch.Tensor:
        """The loss (1,) of pieces.

        Args:
            hu: (batch, slice, row, column), Hounsfield units.
            bleed: share of blood in each voxel, of the same shape.
        """
        features = self.features(hu)
        return where_loss(self.guide(features), cells_of(bleed, 2 ** (SPLIT - 1)))[None]

    def features(self, hu: torch.Tensor) -> torch.Tensor:
        """What the guide sees: (batch, feature, cell, cell, cell)."""
        stack = windowed(hu[:, None]).contiguous(memory_format=torch.channels_last_3d)
        features: torch.Tensor = self.encoder.conv_init(stack)
        for number, level in enumerate(self.encoder.layers[:SPLIT]):
            features = level.get_submodule("blocks")(features)
            if number < SPLIT - 1:
                features = level.get_submodule("downsample")(features)
        return features

    def below(self, hu: torch.Tensor) -> torch.Tensor:
        """What the levels below get."""
        below: torch.Tensor = self.encoder.layers[SPLIT - 1].get_submodule("downsample")(self.features(hu))
        return below


class UpperLevels(nn.Module):
    """The other levels and the head of the network, and a guide for each of those levels."""

    def __init__(self, network: TriageNetwork) -> None:
        super().__init__()
        self.layers = network.encoder.layers[SPLIT:]
        self.head = network.head
        widths = (network.encoder.init_filters * 2 ** (SPLIT + i) for i in range(len(self.layers)))
        self.guides = nn.ModuleList(_guide(width) for width in widths)

    def forward(self, below: torch.Tensor, bleed: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """The losses of whole heads: of the one word, then of where, level by level.

        Args:
            below: what the lower levels give, (batch, feature, cell, cell, cell).
            bleed: 0 or 1 for each of those cells, of one window, (batch, cell, cell, cell).
            positive: 0 or 1 for each head.
        """
        losses, features = [], below
        for number, (level, guide) in enumerate(zip(self.layers, self.guides, strict=True)):
            features = level.get_submodule("blocks")(features)
            losses.append(where_loss(guide(features), cells_of(bleed, 2**number)))
            features = level.get_submodule("downsample")(features)
        word = functional.binary_cross_entropy_with_logits(self.head(features).flatten(), positive)
        return torch.stack([word, *losses])


def cells_of(bleed: torch.Tensor, size: int) -> torch.Tensor:
    """Whether cells of `size` voxels along each axis hold blood: 0 or 1, (batch, cell, cell, cell)."""
    return (functional.max_pool3d(bleed[:, None], size)[:, 0] >= 0.5).float()


def where_loss(logits: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Weighted cross entropy over the copies of the head, one for each window, that show blood.

    Args:
        logits: (batch, 1, 4 x cell, cell, cell).
        cells: the truth for one copy, (batch, cell, cell, cell).
    """
    target = cells.repeat(1, _SHOWING, 1, 1)[:, None]
    weight = 1 + (_CELL_WEIGHT - 1) * target
    return functional.binary_cross_entropy_with_logits(logits[:, :, : target.shape[2]], target, weight)


def _guide(width: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, 1, 1))
