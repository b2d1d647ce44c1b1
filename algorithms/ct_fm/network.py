"""The networks of CT-FM, as MONAI builds them, and the keys under which their weights are published.

A residual encoder of five levels (SegResNet, Myronenko 2018): each level halves every axis and doubles
the channels; every axis of the input must be divisible by 16. The embedding is the mean over space of
the last level (Pai et al., arXiv:2501.09001).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import torch
    from monai.networks.nets.segresnet_ds import SegResEncoder, SegResNetDS

HU_RANGE: Final = (-1024.0, 2048.0)
"""Hounsfield units that become 0 and 1; what is beyond is clipped."""

PREFIXES: Final = ("model.trunk.encoder.", "model.trunk.", "trunk.", "backbone.", "encoder.", "model.")
"""What published files put before the keys, the longest first; the hub's own files have none."""


@dataclass(frozen=True)
class Architecture:
    """What the networks need to know beside the tensors.

    Attributes:
        init_filters: channels of the first level; the embedding has 16 times as many numbers.
        blocks_down: residual blocks of each level.
        out_channels: classes, the background included; None for the encoder alone.
        dsdepth: levels of the decoder that have a head; only the last one is used.
    """

    init_filters: int = 32
    blocks_down: tuple[int, ...] = (1, 2, 2, 4, 4)
    out_channels: int | None = None
    dsdepth: int = 1

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the configuration of a checkpoint; what it leaves out is as published."""
        usual = cls()
        return cls(
            int(config.get("init_filters", usual.init_filters)),
            tuple(int(n) for n in config.get("blocks_down", usual.blocks_down)),
            config.get("out_channels"),
            int(config.get("dsdepth", usual.dsdepth)),
        )

    @property
    def features(self) -> int:
        """Numbers in an embedding."""
        return int(self.init_filters * 2 ** (len(self.blocks_down) - 1))

    def encoder(self) -> "SegResEncoder":
        """The encoder; gives the feature maps of every level, the coarsest last."""
        from monai.networks.nets.segresnet_ds import SegResEncoder

        return SegResEncoder(
            spatial_dims=3, in_channels=1, init_filters=self.init_filters, blocks_down=self.blocks_down
        )

    def segmenter(self) -> "SegResNetDS":
        """Encoder and decoder; in evaluation mode it gives the logits at full resolution."""
        from monai.networks.nets.segresnet_ds import SegResNetDS

        return SegResNetDS(
            spatial_dims=3,
            in_channels=1,
            out_channels=self.out_channels or 2,
            init_filters=self.init_filters,
            blocks_down=self.blocks_down,
            dsdepth=self.dsdepth,
        )


def embed(encoder: "torch.nn.Module", patches: "torch.Tensor") -> "torch.Tensor":
    """Embeddings (batch, feature) of scaled patches (batch, 1, slice, row, column)."""
    coarsest: torch.Tensor = encoder(patches)[-1]
    return coarsest.mean(dim=(2, 3, 4))


def scaled(hu: "torch.Tensor") -> "torch.Tensor":
    """Hounsfield units as the networks see them, 0 to 1."""
    low, high = HU_RANGE
    return ((hu - low) / (high - low)).clamp(0, 1)
