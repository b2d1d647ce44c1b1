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
_LEAST_SHARE = 0.3  # of a cell that is said to hold blood


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
        return where_loss(self.guide(features), shares_of(bleed))[None]

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
    """The other levels and the head of the network, and a guide for each of those levels.

    Blood fills few cells, so that the mean over all of them hardly moves: while it learns, the head gets
    the mean on the scale of its own spread. `fold` then makes that part of the head's first layer.
    """

    def __init__(self, network: TriageNetwork) -> None:
        super().__init__()
        self.layers = network.encoder.layers[SPLIT:]
        self.head = network.head
        widths = (network.encoder.init_filters * 2 ** (SPLIT + i) for i in range(len(self.layers)))
        self.guides = nn.ModuleList(_guide(width) for width in widths)
        self.scale = nn.BatchNorm1d(self.head.get_parameter("2.weight").shape[1], affine=False)

    def forward(self, below: torch.Tensor, shares: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """The losses of whole heads: of the one word, then of where, level by level.

        Args:
            below: what the lower levels give, (batch, feature, cell, cell, cell).
            shares: of blood, as `shares_of`.
            positive: 0 or 1 for each head.
        """
        losses, features = [], below
        for number, (level, guide) in enumerate(zip(self.layers, self.guides, strict=True)):
            features = level.get_submodule("blocks")(features)
            losses.append(where_loss(guide(features), coarser(shares, 2 ** (number + 1))))
            features = level.get_submodule("downsample")(features)
        pool, flatten, *layers = self.head
        logits = nn.Sequential(pool, flatten, self.scale, *layers)(features).flatten()
        return torch.stack([functional.binary_cross_entropy_with_logits(logits, positive), *losses])

    def fold(self) -> None:
        """Let the first layer of the head do, once and for all, what scaled its input."""
        weight, bias = self.head.get_parameter("2.weight"), self.head.get_parameter("2.bias")
        mean, variance = self.scale.get_buffer("running_mean"), self.scale.get_buffer("running_var")
        with torch.no_grad():
            weight.div_((variance + self.scale.eps).sqrt())
            bias.sub_(weight @ mean)


def shares_of(bleed: torch.Tensor) -> torch.Tensor:
    """The share of blood in the cells that the guide of the lower levels speaks of.

    Args:
        bleed: share of blood in each voxel, (batch, slice, row, column).
    """
    return functional.avg_pool3d(bleed[:, None], 2 ** (SPLIT - 1))[:, 0]


def coarser(shares: torch.Tensor, factor: int) -> torch.Tensor:
    """The greatest share among the cells that become one."""
    return functional.max_pool3d(shares[:, None], factor)[:, 0]


def where_loss(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Weighted cross entropy over the copies of the head, one for each window, that show blood.

    Cells that hold a little blood count for nothing.

    Args:
        logits: (batch, 1, 4 x cell, cell, cell).
        shares: of blood, in one copy, (batch, cell, cell, cell).
    """
    target = (shares >= _LEAST_SHARE).float()
    weight = (shares == 0).float() + _CELL_WEIGHT * target
    target, weight = (t.repeat(1, _SHOWING, 1, 1)[:, None] for t in (target, weight))
    return functional.binary_cross_entropy_with_logits(logits[:, :, : target.shape[2]], target, weight)


def _guide(width: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, 1, 1))
