"""The segmentation network of CT-FM over a whole volume, in bounded memory.

What the network gives is linear in the features of its last level: the head is a 1 x 1 x 1 convolution.
So features are blended between tiles instead of the classes' scores, and the head is applied once to each
voxel, slice by slice as slices leave the sliding window. The scores are those of blended scores up to
rounding; for 118 classes memory and blending are 3.7 times less. Tiles lie, and are weighted, as in
MONAI's `SlidingWindowInferer`, which the weights were evaluated with.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch

from algorithms import sliding_window
from algorithms.ct_fm import openvino_trunk
from algorithms.ct_fm.network import Architecture
from algorithms.protocol import Progress, Voxels
from algorithms.sliding_window import Predict
from algorithms.spatial import Labels, Shape
from algorithms.weights import Checkpoint, WeightsFaulty, load_into

if TYPE_CHECKING:
    from monai.networks.nets.segresnet_ds import SegResNetDS

PATCH: Final[Shape] = (96, 160, 160)
OVERLAP: Final = 0.625
"""Size and least overlap of the tiles in the published evaluation."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """The network with its weights, ready to run.

    Attributes:
        features: the last level before the head, of tiles (batch, 1, *patch).
        weight: of the head, axes (class, feature).
        bias: of the head.
        patch: size of the tiles; multiples of 16.
        device: where tiles are predicted and blended.
        overlap: the least part of a tile that the next one covers again.
    """

    features: Predict
    weight: torch.Tensor
    bias: torch.Tensor
    patch: Shape
    device: str
    overlap: float = OVERLAP

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: str, *, classes: int | None = None) -> Self:
        """Build the network and load its weights.

        Args:
            checkpoint: keys as in the hub's repositories, the encoder's behind "encoder."; a `roi` in its
                configuration is the size of the tiles.
            device: as torch names it.
            classes: what the head must give, the background included; None takes what it gives.

        Raises:
            WeightsFaulty: a tensor is missing, is not known, or has another shape; tiles that do not fit.
        """
        found = Architecture.of_tensors(checkpoint.shapes())
        network = replace(found, out_channels=classes or found.out_channels).segmenter()
        load_into(network, checkpoint.tensors(), checkpoint.weights.name)
        slices, rows, columns = (int(size) for size in numbers(checkpoint, "roi", PATCH))
        patch = (slices, rows, columns)
        if min(patch) < 1 or any(size % 2 ** (len(found.blocks_down) - 1) for size in patch):
            raise WeightsFaulty(f"{checkpoint.weights.name}: the network takes no tiles of {patch} voxels")
        return cls.from_network(network, device, patch)

    @classmethod
    def from_network(cls, network: "SegResNetDS", device: str, patch: Shape = PATCH) -> Self:
        """Take the head off a network; on a CPU the trunk runs in OpenVINO where it is installed."""
        network = network.eval()
        last: Any = network.up_layers[-1]
        head = last["head"]
        if device == "cpu" and openvino_trunk.is_installed():
            features = openvino_trunk.compiled(network, patch)
        else:
            features = on_torch(network, device)
        weight = head.weight.detach()[:, :, 0, 0, 0].to(device)
        return cls(features, weight, head.bias.detach().to(device), patch, device)

    def labels(self, scaled: Voxels, progress: Progress) -> Labels:
        """The class with the greatest score at each voxel.

        Args:
            scaled: float32, axes (head, back, left), from 0 to 1.
            progress: told of every tile; may raise to cancel.

        Returns:
            uint8 on the same grid; 0 is background.
        """
        found = np.empty(scaled.shape, dtype=np.uint8)
        leaving = sliding_window.slices(
            torch.from_numpy(scaled)[None],
            self.features,
            patch=self.patch,
            overlap=self.overlap,
            places=sliding_window.stepped,
            blend=sliding_window.symmetric_gaussian,
            device=self.device,
            progress=progress,
        )
        for plane, features in zip(found, leaving, strict=True):
            voxels = features.flatten(1).T
            scores = torch.addmm(self.bias, voxels, self.weight.T)
            plane[:] = scores.argmax(1).reshape(plane.shape).to(torch.uint8).cpu().numpy()
        return found


class Trunk(torch.nn.Module):
    """All of a segmentation network but its heads."""

    def __init__(self, network: "SegResNetDS") -> None:
        super().__init__()
        self.encoder = network.encoder
        self.up_layers = network.up_layers

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features of the last level, (batch, feature, ...), of tiles (batch, 1, ...)."""
        levels: list[torch.Tensor] = self.encoder(tiles)
        features = levels.pop()
        up: Iterable[Any] = self.up_layers
        for level in up:
            features = level["blocks"](level["upsample"](features) + levels.pop())
        return features


def numbers(checkpoint: Checkpoint, key: str, usual: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers in the configuration of weights, or the usual ones.

    Raises:
        WeightsFaulty: they are not as many numbers as usual.
    """
    found = checkpoint.config.get(key, usual)
    try:
        values = tuple(float(value) for value in found)
    except (TypeError, ValueError):
        values = ()
    if len(values) != len(usual):
        raise WeightsFaulty(f"{checkpoint.weights.name}: {key} is {found!r}, not {len(usual)} numbers")
    return values


def on_torch(network: "SegResNetDS", device: str) -> Predict:
    """The trunk in torch; channels last is the faster layout of 3D convolutions on CPUs."""
    trunk = Trunk(network).to(device)
    trunk.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # not in its stubs

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = trunk(tiles.contiguous(memory_format=torch.channels_last_3d))
        return features

    return predict
