"""How the network of CEREBRUM learns from heads and label maps, whoever or whatever made these.

As published (arXiv:1909.05085): whole volumes, one at a time, weak labels of another method, augmented on
the fly. Beside cross entropy there is one minus the soft Dice of each class, for few heads are not enough
for the small structures; and part of the heads are drawn in contrasts of their own (`randomisation`). Most
steps see a part of a head only, at a third of the price of a whole one; the last see whole heads.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from algorithms import weights
from algorithms.cerebrum.network import Architecture, CerebrumNetwork
from algorithms.cerebrum.randomisation import SPACING_MM, LabelledHead, draw
from algorithms.optimisation import Report, Schedule, optimise
from algorithms.spatial import Shape

_COARSER: Final = 4  # voxels of a cell of the second level
_GUIDANCE: Final = 0.5  # weight of what the inner levels say
_MOMENTUM: Final = 0.03  # of the statistics of the norms
_FROZEN: Final = 0.7  # of the steps; then the norms stand still
_PARTS: Final = 0.8  # of the steps; then heads are seen whole
_PART: Final[Shape] = (64, 72, 64)  # voxels, multiples of `STRIDE`
_CARD: Final = {"intended use": "Research use only. Not for diagnosis."}


@dataclass(frozen=True)
class Recipe:
    """What is trained, and for how long.

    Attributes:
        classes: names of the structures, in the order of their labels from 1.
        filters: channels of the first level.
        schedule: how long and how fast.
        seed: everything random follows from it.
    """

    classes: tuple[str, ...]
    filters: int
    schedule: Schedule
    seed: int = 0

    @classmethod
    def sized(
        cls, classes: tuple[str, ...], filters: int, steps: int, learning_rate: float, seed: int
    ) -> Self:
        """With the usual decay of weights."""
        return cls(classes, filters, Schedule(steps, learning_rate, weight_decay=1e-4), seed)

    @property
    def architecture(self) -> Architecture:
        """Of the network."""
        return Architecture(self.filters, len(self.classes) + 1)


def train(heads: Sequence[LabelledHead], recipe: Recipe, state: Path, report: Report) -> CerebrumNetwork:
    """Train, or go on from a saved state.

    Args:
        heads: at `SPACING_MM`.
        recipe: what and how long.
        state: file of the unfinished training.
        report: called with each saved state.

    Raises:
        WeightsFaulty: the saved state is damaged, or of another network.
    """
    torch.manual_seed(recipe.seed)
    guided = Guided(CerebrumNetwork(recipe.architecture))
    guided.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng((recipe.seed, step))
        torch.manual_seed(int(rng.integers(2**62)))  # of the dropout
        guided.keep(step / recipe.schedule.steps, step)
        image, classes = draw(heads[int(rng.integers(len(heads)))], rng)
        if step < _PARTS * recipe.schedule.steps:
            image, classes = part_of(image, classes, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fine, coarse = guided(image.contiguous(memory_format=torch.channels_last_3d))
        return loss_of(fine.float(), shares_of(classes, fine.shape[1], 1)) + _GUIDANCE * loss_of(
            coarse.float(), shares_of(classes, fine.shape[1], _COARSER)
        )

    optimise(guided.train(), recipe.schedule, loss, state, report)
    return guided.folded()


class Guided(nn.Module):
    """The network in training: every layer but the last has a batch norm, and the inner levels have a guide.

    The guide must name the structures too, coarsely. Norms stand still for the last part of the training
    (`keep`) and then become part of their layers (`folded`), so that the network in the end is the
    published one. Without either the inner levels are hardly heard for thousands of steps.
    """

    def __init__(self, network: CerebrumNetwork) -> None:
        super().__init__()
        self.network = network
        self._normed = [name for name, _ in network.named_children() if name.endswith("_conv")]
        for name in self._normed:
            layer = network.get_submodule(name)
            norm = nn.BatchNorm3d(int(layer.out_channels), momentum=_MOMENTUM)  # type: ignore[arg-type]
            setattr(network, name, nn.Sequential(layer, norm))
        last = network.main_output
        self.guide = nn.Conv3d(2 * last.in_channels, last.out_channels, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of every voxel, and of every cell of the second level."""
        network = self.network
        first = functional.relu(network.enc_lvl1_block1_conv(image))
        inner = network.inner_levels(functional.relu(network.down_1to2_conv(first)))
        return network.last_level(first, inner), self.guide(inner)

    def keep(self, done: float, step: int) -> None:
        """How norms keep statistics at a step: of all images so far, then of the latest, then no more."""
        for name in self._normed:
            norm = self.network.get_submodule(f"{name}.1").train(done < _FROZEN)
            norm.momentum = max(_MOMENTUM, 1 / (1 + step))  # type: ignore[assignment]

    def folded(self) -> CerebrumNetwork:
        """The network without norms; this one cannot be used any more."""
        for name in self._normed:
            layer, norm = self.network.get_submodule(name).children()
            setattr(self.network, name, _folded(layer, norm))
        return self.network.eval()


def _folded(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """The layer that does what layer and norm do."""
    transposed = isinstance(layer, nn.ConvTranspose3d)
    weight, bias = fuse_conv_bn_weights(
        layer.get_parameter("weight"),
        layer.get_parameter("bias"),
        norm.get_buffer("running_mean"),
        norm.get_buffer("running_var"),
        float(norm.eps),  # type: ignore[arg-type]
        norm.get_parameter("weight"),
        norm.get_parameter("bias"),
        transpose=transposed,
    )
    layer.weight, layer.bias = weight, bias
    return layer


def part_of(
    image: torch.Tensor, classes: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A part of a head, anywhere in it; what `draw` gives, smaller."""
    sides = zip(classes.shape[1:], _PART, strict=True)
    starts = [int(rng.integers(whole - part + 1)) for whole, part in sides]
    a, b, c = (slice(start, start + part) for start, part in zip(starts, _PART, strict=True))
    return image[..., a, b, c], classes[..., a, b, c]


def shares_of(classes: torch.Tensor, count: int, cell: int) -> torch.Tensor:
    """The share of each class in cells of so many voxels.

    Args:
        classes: int64 (1, head, back, left).
        count: of the classes.
        cell: voxels along each side.

    Returns:
        float32 (1, class, head / cell, back / cell, left / cell).
    """
    one_hot = torch.zeros(1, count, *classes.shape[1:]).scatter_(1, classes[:, None], 1.0)
    return functional.avg_pool3d(one_hot, cell) if cell > 1 else one_hot


def loss_of(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Cross entropy plus one minus the mean soft Dice of the classes that are present.

    Args:
        logits: float32 (1, class, head, back, left).
        shares: of each class, of the same shape.
    """
    logarithms = logits.log_softmax(dim=1)
    probabilities = logarithms.exp()
    there = shares.sum(dim=(0, 2, 3, 4))
    overlap = (probabilities * shares).sum(dim=(0, 2, 3, 4))
    square = (probabilities**2 + shares**2).sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + 1) / (square + 1)
    return -(shares * logarithms).sum(dim=1).mean() + (1 - dice)[there > 0].mean()


def save(folder: Path, name: str, network: CerebrumNetwork, recipe: Recipe, card: dict[str, str]) -> None:
    """Write the weights, with what an algorithm must know of them and what a person must."""
    config = {
        "filters": recipe.filters,
        "classes": len(recipe.classes) + 1,
        "structures": list(recipe.classes),
        "spacing_mm": SPACING_MM,
        "standardised_over": "head",
        "schedule": asdict(recipe.schedule),
        "seed": recipe.seed,
    }
    weights.save(folder, name, network.state_dict(), config, _CARD | card)
