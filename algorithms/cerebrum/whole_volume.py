"""A whole head through the network at once, in little memory.

Most of the memory of the plain network is its first level, which is as large as the image and many channels
deep. That level sees one voxel far, so that it is computed slab by slab, twice: on the way down and again on
the way up. The other levels, 64 and 512 times smaller, are computed whole. The result is that of the
plain network.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from algorithms.cerebrum.network import STRIDE, CerebrumNetwork
from algorithms.protocol import Progress, Voxels

_SLAB: Final = 2 * STRIDE  # planes
_DOWN = 4  # from the first level to the second


def logits_of(
    network: CerebrumNetwork, voxels: Voxels, device: torch.device, progress: Progress
) -> npt.NDArray[np.float32]:
    """Logits of every voxel.

    Args:
        network: on the device, laid out channels last.
        voxels: float32 (head, back, left), each side a multiple of `STRIDE`.
        device: where the network is.
        progress: told while it goes on.

    Returns:
        float32 (class, head, back, left).
    """
    image = torch.from_numpy(voxels)[None, None].to(device)
    logits = np.empty((network.main_output.out_channels, *voxels.shape), dtype=np.float32)
    with torch.inference_mode(), _precision(device):
        below = []
        for start, stop in _slabs(len(voxels)):
            progress(0.4 * start / len(voxels), "on the way down")
            below.append(functional.relu(network.down_1to2_conv(_first_level(network, image, start, stop))))
        inner = network.inner_levels(torch.cat(below, dim=2))
        for start, stop in _slabs(len(voxels)):
            progress(0.5 + 0.5 * start / len(voxels), "on the way up")
            slab = _last_level(network, image, inner, start, stop)
            logits[:, start:stop] = slab[0].float().cpu().numpy()
    return logits


def _first_level(network: CerebrumNetwork, image: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Planes of the first level on the way down."""
    return functional.relu(_convolved(network.enc_lvl1_block1_conv, image, start, stop))


def _last_level(
    network: CerebrumNetwork, image: torch.Tensor, inner: torch.Tensor, start: int, stop: int
) -> torch.Tensor:
    """Logits of some planes: the first level again, what the inner ones say of it, and the last layers."""
    low, high = max(0, start - 1), min(image.shape[2], stop + 1)
    first, last = low // _DOWN, -(-high // _DOWN)
    up = network.up_2to1_conv(inner[:, :, first:last])[:, :, low - first * _DOWN : high - first * _DOWN]
    both = up.add_(_first_level(network, image, low, high))
    decoded = functional.relu(_convolved(network.dec_lvl1_block1_conv, both, start - low, stop - low))
    logits: torch.Tensor = network.main_output(decoded)
    return logits


def _convolved(layer: torch.nn.Conv3d, planes: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """A convolution of 3 x 3 x 3, of some planes only; beyond the first and the last there is nothing."""
    low, high = max(0, start - 1), min(planes.shape[2], stop + 1)
    missing = (low - (start - 1), stop + 1 - high)
    part = functional.pad(planes[:, :, low:high], (0, 0, 0, 0, *missing))
    return functional.conv3d(
        part.contiguous(memory_format=torch.channels_last_3d), layer.weight, layer.bias, padding=(0, 1, 1)
    )


def _slabs(planes: int) -> Iterator[tuple[int, int]]:
    return ((start, min(planes, start + _SLAB)) for start in range(0, planes, _SLAB))


def _precision(device: torch.device) -> torch.autocast:
    """bfloat16 where the processor multiplies it; labels are the same on more than 99.9 % of voxels."""
    quick = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=quick)
