"""The network of `head-ct-triage`: the encoder of CT-FM and a head of two layers.

Keys of its tensors: those of the encoder behind `encoder.` (`encoder.conv_init.weight`, ...), and
`head.2.weight`, `head.2.bias`, `head.4.weight`, `head.4.bias` of the head's two layers, of the shapes
(256, features), (256,), (1, 256) and (1,).
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import torch
from monai.networks.nets.segresnet_ds import SegResEncoder
from torch import nn

from algorithms.ct_fm.network import Architecture

HIDDEN: Final = 256
"""Units of the first layer of the head."""


class TriageNetwork(nn.Module):
    """One logit for a head CT: the higher, the more likely it is abnormal."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.encoder: SegResEncoder = architecture.encoder()
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(architecture.features, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """With random weights, of the architecture that the configuration of a checkpoint names."""
        return cls(Architecture.of(config))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Logits (batch,) of windowed heads (batch, 1, 4 windows x 48 slices, 128, 128)."""
        logits: torch.Tensor = self.head(self.encoder(windows)[-1])
        return logits.flatten()
