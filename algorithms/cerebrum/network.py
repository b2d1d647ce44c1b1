"""The network of CEREBRUM: a whole head in, the structures of the brain out.

Layers have the names that they have in the published Keras models (Bontempi et al., arXiv:1909.05085;
`cerebrum7t`, `model_definition.py`), so that a file of theirs is converted by a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import nn
from torch.nn import functional

from algorithms.weights import Shapes, shapes_of

STRIDE: Final = 8
"""Every side of the input is a multiple of it: 4 from the first level to the second, 2 to the third."""


AVERAGE: Final = "average_subject"
DEVIATION: Final = "standard_deviation"
"""Tensors (head, back, left) beside those of the network, where weights come with an average head."""


@dataclass(frozen=True)
class Architecture:
    """What the network needs to know beside the tensors.

    Attributes:
        filters: channels of the first level; 24 in CEREBRUM-7T, 48 in CEREBRUM.
        classes: the background included; 7 as published with the code, 8 with cerebrospinal fluid.
        dropout: in training, at the second and the third level.
    """

    filters: int = 24
    classes: int = 7
    dropout: tuple[float, float] = (0.1, 0.1)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the configuration of a checkpoint; what it leaves out is as in CEREBRUM-7T."""
        return cls(int(config.get("filters", 24)), int(config.get("classes", 7)))


class CerebrumNetwork(nn.Module):
    """Three levels, strides 4 and 2, skips that are added, no normalisation."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        n, (second, third) = architecture.filters, architecture.dropout
        self.enc_lvl1_block1_conv = _convolution(1, n)
        self.down_1to2_conv = nn.Conv3d(n, 2 * n, 4, stride=4)
        self.enc_lvl2_block1_conv = _convolution(2 * n, 2 * n)
        self.enc_lvl2_block2_conv = _convolution(2 * n, 2 * n)
        self.down_2to3_conv = nn.Conv3d(2 * n, 4 * n, 2, stride=2)
        self.enc_lvl3_block1_conv = _convolution(4 * n, 4 * n)
        self.enc_lvl3_block2_conv = _convolution(4 * n, 4 * n)
        self.enc_lvl3_block3_conv = _convolution(4 * n, 4 * n)
        self.up_3to2_conv = nn.ConvTranspose3d(4 * n, 2 * n, 2, stride=2)
        self.dec_lvl2_block1_conv = _convolution(2 * n, 2 * n)
        self.dec_lvl2_block2_conv = _convolution(2 * n, 2 * n)
        self.up_2to1_conv = nn.ConvTranspose3d(2 * n, n, 4, stride=4)
        self.dec_lvl1_block1_conv = _convolution(n, n)
        self.main_output = nn.Conv3d(n, architecture.classes, 1)
        self._drop2, self._drop3 = nn.Dropout3d(second), nn.Dropout3d(third)
        for layer in self.children():
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of every voxel; a softmax over the classes makes them probabilities.

        Args:
            image: (batch, 1, head, back, left), standardised; each side a multiple of `STRIDE`.

        Returns:
            (batch, class, head, back, left).
        """
        first = functional.relu(self.enc_lvl1_block1_conv(image))
        inner = self.inner_levels(functional.relu(self.down_1to2_conv(first)))
        return self.last_level(first, inner)

    def last_level(self, first: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        """Logits, from the first level on the way down and what the inner levels give."""
        both = self.up_2to1_conv(inner) + first
        logits: torch.Tensor = self.main_output(functional.relu(self.dec_lvl1_block1_conv(both)))
        return logits

    def inner_levels(self, second: torch.Tensor) -> torch.Tensor:
        """What the second and the third level make of what comes down from the first.

        Args:
            second: (batch, 2 x filters, head / 4, back / 4, left / 4); so is the result.
        """
        second = functional.relu(self.enc_lvl2_block1_conv(second))
        second = self._drop2(functional.relu(self.enc_lvl2_block2_conv(second)))
        third = functional.relu(self.down_2to3_conv(second))
        third = functional.relu(self.enc_lvl3_block1_conv(third))
        third = functional.relu(self.enc_lvl3_block2_conv(third))
        third = self._drop3(functional.relu(self.enc_lvl3_block3_conv(third)))
        second = self.up_3to2_conv(third) + second
        second = functional.relu(self.dec_lvl2_block1_conv(second))
        return functional.relu(self.dec_lvl2_block2_conv(second))


def shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors that a configuration asks for."""
    of_network = shapes_of(lambda: CerebrumNetwork(Architecture.of(config)))
    if config.get("standardised_over") != "voxel":
        return of_network
    side_a, side_b, side_c = config["average_shape"]
    return {**of_network, **dict.fromkeys((AVERAGE, DEVIATION), (side_a, side_b, side_c))}


def _convolution(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, padding=1)
