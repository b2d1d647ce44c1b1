"""The network of nnU-Net v1 (Isensee et al., Nature Methods 2021), with the keys of its checkpoints.

MONAI's DynUNet computes the same function, but its convolutions have no bias and its output has one, so
that half of the published tensors would have no place in it; here every published tensor has its own.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

Size = tuple[int, int, int]

_MOST_FEATURES = 320


class _ConvNormAct(nn.Module):
    """Convolution, instance normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding)
        self.instnorm = nn.InstanceNorm3d(outputs, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.leaky_relu(self.instnorm(self.conv(x)), 0.01, inplace=True)


class _Stage(nn.Module):
    """Convolutions in a row; the first one may stride."""

    def __init__(self, features: Sequence[int], kernel: Size, stride: Size = (1, 1, 1)) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                _ConvNormAct(inputs, outputs, kernel, stride if number == 0 else (1, 1, 1))
                for number, (inputs, outputs) in enumerate(pairwise(features))
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """The U-Net that nnU-Net v1 builds from a plan in three dimensions.

    Args:
        channels: of the input; the image, and for a cascade the one-hot map of the stage before.
        classes: of the output, background included.
        features: of the first stage; doubled at each pooling, 320 at most.
        pooling: strides of each pooling along the three axes.
        kernels: of each stage, one more than there are poolings.
    """

    def __init__(
        self, channels: int, classes: int, features: int, pooling: Sequence[Size], kernels: Sequence[Size]
    ) -> None:
        super().__init__()
        depth = len(pooling)
        widths = [min(features << stage, _MOST_FEATURES) for stage in range(depth + 1)]
        inputs = [channels, *widths]
        strides: list[Size] = [(1, 1, 1), *pooling]
        self.conv_blocks_context = nn.ModuleList(
            _Stage([inputs[s], widths[s], widths[s]], kernels[s], strides[s]) for s in range(depth)
        )
        bottom = widths[depth]
        self.conv_blocks_context.append(
            nn.Sequential(
                _Stage([widths[depth - 1], bottom], kernels[depth], strides[depth]),
                _Stage([bottom, bottom], kernels[depth]),
            )
        )
        upwards = range(depth, 0, -1)
        self.tu = nn.ModuleList(
            nn.ConvTranspose3d(widths[s], widths[s - 1], pooling[s - 1], pooling[s - 1], bias=False)
            for s in upwards
        )
        # The way up uses the kernel of the stage it comes from, as the published shapes show.
        self.conv_blocks_localization = nn.ModuleList(
            nn.Sequential(
                _Stage([2 * widths[s - 1], widths[s - 1]], kernels[s]),
                _Stage([widths[s - 1], widths[s - 1]], kernels[s]),
            )
            for s in upwards
        )
        self.seg_outputs = nn.ModuleList(nn.Conv3d(widths[s - 1], classes, 1, bias=False) for s in upwards)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, class, slice, row, column) of an input (batch, channel, slice, row, column).

        The deep-supervision outputs of lower resolution, used in training only, are left out.
        """
        skips = []
        for stage in self.conv_blocks_context:
            x = stage(x)
            skips.append(x)
        for up, stage, skip in zip(self.tu, self.conv_blocks_localization, skips[-2::-1], strict=True):
            x = stage(torch.cat((up(x), skip), dim=1))
        return self.seg_outputs[-1](x)  # type: ignore[no-any-return]
