"""The networks of CT-FM, as MONAI builds them, and the keys under which their weights are published.

A residual encoder of five levels (SegResNet, Myronenko 2018): each level halves every axis and doubles
the channels; every axis of the input must be divisible by 16. The embedding is the mean over space of
the last level (Pai et al., arXiv:2501.09001).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import mode
from typing import TYPE_CHECKING, Any, Final, Self

from algorithms.weights import Shapes

if TYPE_CHECKING:
    import torch
    from monai.networks.nets.segresnet_ds import SegResEncoder, SegResNetDS

HU_RANGE: Final = (-1024.0, 2048.0)
"""Hounsfield units that become 0 and 1; what is beyond is clipped."""

PREFIXES: Final = ("", "encoder.", "backbone.", "model.trunk.", "trunk.", "model.")
"""What published files put before the keys of a network; the hub's own files put nothing."""

_FIRST_LEVEL: Final = re.compile(r"(?:.*\.)?(?:conv_init|layers\.0\.blocks\..*)\.weight")
_BLOCK: Final = re.compile(r"(?:.*\.)?layers\.(\d)\.blocks\.(\d)\..*")
_HEAD: Final = re.compile(r"(?:.*\.)?up_layers\.(\d)\.head\.(?:weight|bias)")


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

    @classmethod
    def of_tensors(cls, shapes: Shapes) -> Self:
        """From the shapes of the tensors in a published file, whatever is before their keys.

        What the file does not tell is as published; whether it fits is for `check_shapes` to say.
        """
        usual = cls()
        filters = [shape[0] for key, shape in shapes.items() if _FIRST_LEVEL.fullmatch(key) and shape]
        blocks = [(int(found[1]), int(found[2]) + 1) for key in shapes if (found := _BLOCK.fullmatch(key))]
        heads = {int(found[1]): shape for key, shape in shapes.items() if (found := _HEAD.fullmatch(key))}
        last = heads[max(heads)] if heads else ()
        counts = [
            max((count for at, count in blocks if at == level), default=1)
            for level in range(1 + max((at for at, _ in blocks), default=-1))
        ]
        return cls(
            init_filters=mode(filters or [usual.init_filters]),
            blocks_down=tuple(counts) or usual.blocks_down,
            out_channels=last[0] if last else None,
            dsdepth=len(heads) or usual.dsdepth,
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


def canonical(keys: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """The keys of a network by those of a file that has it behind a prefix, or as a part of a segmenter.

    What stands beside the network is left out: the decoder where the encoder alone is wanted, the
    projection head of pre-training.

    Args:
        keys: of the tensors in the file.
        wanted: those of the network.
    """
    present = set(keys)
    prefixes = (*PREFIXES, *(f"{prefix}encoder." for prefix in PREFIXES if prefix))
    prefix = max(prefixes, key=lambda each: sum(each + key in present for key in wanted))
    return {key: key.removeprefix(prefix) for key in keys if key.startswith(prefix)}


def embed(encoder: "torch.nn.Module", patches: "torch.Tensor") -> "torch.Tensor":
    """Embeddings (batch, feature) of scaled patches (batch, 1, slice, row, column)."""
    coarsest: torch.Tensor = encoder(patches)[-1]
    return coarsest.mean(dim=(2, 3, 4))


def scaled(hu: "torch.Tensor") -> "torch.Tensor":
    """Hounsfield units as the networks see them, 0 to 1."""
    low, high = HU_RANGE
    return ((hu - low) / (high - low)).clamp(0, 1)
