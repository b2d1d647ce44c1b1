"""The network of body part regression: VGG features, a 1 x 1 convolution, a mean, one number.

The published network is VGG16 with one input channel and no bias in its first convolution; a
narrower one of the same family has other widths. Keys and shapes are the published ones.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

VGG16: Mapping[str, Any] = {
    "widths": (64, 128, 256, 512, 512),
    "convolutions": (2, 2, 3, 3, 3),
    "shrink": 1,
}
"""The published network: channels and number of convolutions before each pooling; pixels as they are."""


class SliceRegressor(nn.Module):
    """Slices (slice, 1, 128, 128) to scores (slice,)."""

    def __init__(self, widths: Sequence[int], convolutions: Sequence[int]) -> None:
        super().__init__()
        self.conv6 = nn.Conv2d(widths[-1], widths[-1], 1)
        self.fc7 = nn.Linear(widths[-1], 1)
        layers: list[nn.Module] = []
        for (before, width), repeats in zip(pairwise((1, *widths)), convolutions, strict=True):
            for repeat in range(repeats):
                channels = width if repeat else before
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=bool(layers)), nn.ReLU(inplace=True)]
            layers.append(nn.MaxPool2d(2))
        self.model = nn.Sequential(*layers)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Scores before any scaling."""
        features = torch.relu(self.conv6(self.model(slices)))
        scores: torch.Tensor = self.fc7(features.mean(dim=(2, 3)))
        return scores[:, 0]


def shrink(slices: torch.Tensor, factor: int) -> torch.Tensor:
    """Means of blocks of pixels, for a narrow network that is quick on a CPU. (slice, row, column)."""
    return slices if factor == 1 else functional.avg_pool2d(slices[:, None], factor)[:, 0]


def build(config: Mapping[str, Any]) -> SliceRegressor:
    """The network that a checkpoint's configuration describes; without a description, the published one."""
    shape = config.get("network", VGG16)
    return SliceRegressor(shape["widths"], shape["convolutions"])
