"""Batch normalisation while training, folded into the convolutions afterwards.

The published network has none, and learns slowly for it. Between a convolution and its ReLU it is
linear once trained, so the finished network has the published keys and shapes all the same.
"""

import torch
from torch import nn

from algorithms.body_part.network import SliceRegressor


class NormalisedRegressor(nn.Module):
    """A slice regressor with normalisation after every convolution that has a bias to fold it into."""

    def __init__(self, plain: SliceRegressor) -> None:
        super().__init__()
        self.plain = plain
        self.norms = nn.ModuleDict(
            {
                str(index): nn.BatchNorm2d(layer.out_channels)
                for index, layer in enumerate(plain.model)
                if isinstance(layer, nn.Conv2d) and layer.bias is not None
            }
        )
        self.norm6 = nn.BatchNorm2d(plain.conv6.out_channels)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Slices (slice, 1, row, column) to scores (slice,)."""
        features = slices
        for index, layer in enumerate(self.plain.model):
            features = layer(features)
            if str(index) in self.norms:
                features = self.norms[str(index)](features)
        features = torch.relu(self.norm6(self.plain.conv6(features)))
        scores: torch.Tensor = self.plain.fc7(features.mean(dim=(2, 3)))
        return scores[:, 0]

    def folded(self) -> SliceRegressor:
        """The plain network that gives the same scores in evaluation; `plain` itself, changed."""
        with torch.no_grad():
            for index, norm in self.norms.items():
                _fold(self.plain.model[int(index)], norm)
            _fold(self.plain.conv6, self.norm6)
        return self.plain.eval()


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"cannot fold {type(norm).__name__} into {type(convolution).__name__}")
    mean, variance = norm.running_mean, norm.running_var
    if convolution.bias is None or mean is None or variance is None:
        raise ValueError("a convolution without bias, or a normalisation without statistics")
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    convolution.weight *= scale[:, None, None, None]
    convolution.bias.copy_((convolution.bias - mean) * scale + norm.bias)
