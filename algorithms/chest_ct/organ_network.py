"""The network for the bundled organs at risk: a small U-Net over 3 mm voxels.

A residual-free U-Net (Ronneberger et al. 2015; Cicek et al. 2016) with group norm, strided convolutions
down, transposed convolutions up, and skips that are added: sums cost half of what joined channels do.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import torch
from torch import nn

from algorithms.weights import WeightsFaulty

_CHANNELS_A_GROUP = 8


class OrganNetwork(nn.Module):
    """Scores of all classes for each voxel.

    Input: float (batch, channel, head, back, left); output: (batch, class, head, back, left), not
    normalised. Each of the last three axes must be a multiple of `multiple`.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...]) -> None:
        """Make it with random weights.

        Args:
            channels: of the input.
            classes: of the output.
            widths: channels at each resolution, the finest first; multiples of 8.

        Raises:
            ValueError: widths that are no multiples of 8.
        """
        super().__init__()
        if any(width % _CHANNELS_A_GROUP or width <= 0 for width in widths):
            raise ValueError(f"widths {widths}")
        steps = list(pairwise(widths))
        self.multiple = 2 ** len(steps)
        self.stem = _block(channels, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_block(fine, coarse, stride=2), _block(coarse, coarse)) for fine, coarse in steps
        )
        self.up = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, 2) for fine, coarse in steps)
        self.join = nn.ModuleList(_block(fine, fine) for fine, _ in steps)
        self.head = nn.Conv3d(widths[0], classes, 1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str) -> Self:
        """Build it as the configuration of its weights says.

        Raises:
            WeightsFaulty: the configuration is not that of such a network.
        """
        try:
            widths = tuple(int(width) for width in config["widths"])
            return cls(len(config["windows_hu"]), len(config["classes"]), widths)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsFaulty(f"{name}: the configuration has no valid {error}") from None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of all classes."""
        features = self.stem(image)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for level in range(len(skips) - 1, -1, -1):
            features = self.join[level](self.up[level](features) + skips[level])
        scores: torch.Tensor = self.head(features)
        return scores


def windowed(hu: torch.Tensor, windows_hu: tuple[tuple[float, float], ...]) -> torch.Tensor:
    """One channel for each window, -1 at its lower end and 1 at its upper, clipped.

    Args:
        hu: (batch, head, back, left).
        windows_hu: lower and upper end of each.
    """
    return torch.stack(
        [((hu - low) * (2 / (high - low)) - 1).clamp(-1, 1) for low, high in windows_hu], dim=1
    )


def _block(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, width, 3, stride, 1, bias=False),
        nn.GroupNorm(width // _CHANNELS_A_GROUP, width),
        nn.LeakyReLU(0.01, inplace=True),
    )
