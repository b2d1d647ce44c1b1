"""A whole head through the network at once, in less time and memory than layer by layer.

The first level is as large as the image and many channels deep, but it sees only one voxel far. So it is
computed slab by slab, and of the maps of its size one is kept, where the plain network has several. The
other levels, 64 and 512 times smaller, are computed whole. All lie channels last. Labels are those of the
plain network; bfloat16 would be quicker still, but changes 0.3 % of the labels inside a brain.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from algorithms.cerebrum.network import STRIDE, CerebrumNetwork
from algorithms.protocol import Progress, Voxels

_SLAB: Final = 2 * STRIDE  # planes
_DOWN: Final = 4  # from the first level to the second


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
    planes = len(voxels)
    slabs = [(start, min(planes, start + _SLAB)) for start in range(0, planes, _SLAB)]
    image = torch.from_numpy(voxels)[None, None].to(device)
    shape = (1, network.main_output.in_channels, *voxels.shape)
    first = torch.empty(shape, device=device, memory_format=torch.channels_last_3d)
    logits = np.empty((network.main_output.out_channels, *voxels.shape), dtype=np.float32)
    with torch.inference_mode():
        below = []
        for start, stop in slabs:
            progress(0.5 * start / planes, "on the way down")
            first[:, :, start:stop] = _convolved(network.enc_lvl1_block1_conv, image, start, stop)
            below.append(functional.relu_(network.down_1to2_conv(first[:, :, start:stop])))
        inner = network.inner_levels(torch.cat(below, dim=2))
        for start, stop in slabs:
            first[:, :, start:stop] += network.up_2to1_conv(inner[:, :, start // _DOWN : stop // _DOWN])
        for start, stop in slabs:
            progress(0.5 + 0.5 * start / planes, "on the way up")
            decoded = network.main_output(_convolved(network.dec_lvl1_block1_conv, first, start, stop))
            logits[:, start:stop] = decoded[0].cpu().numpy()
    return logits


def _convolved(layer: torch.nn.Conv3d, planes: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Some planes of a 3 x 3 x 3 convolution and its ReLU; beyond the first and the last are zeros."""
    low, high = max(0, start - 1), min(planes.shape[2], stop + 1)
    missing = (low - (start - 1), stop + 1 - high)
    part = planes[:, :, low:high]
    if any(missing):
        part = functional.pad(part, (0, 0, 0, 0, *missing))
    return functional.relu_(functional.conv3d(part, layer.weight, layer.bias, padding=(0, 1, 1)))
