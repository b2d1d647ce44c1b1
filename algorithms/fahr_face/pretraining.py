"""Masked autoencoder: a quarter of the patches is seen, the others drawn (He et al., arXiv:2111.06377)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from algorithms.fahr_face.augmentation import batch_of
from algorithms.fahr_face.cases import Cases
from algorithms.fahr_face.network import Architecture, Block, FaceTransformer
from algorithms.optimisation import Report, Schedule, optimise

SEEN: Final = 0.25
"""Share of the patches that the encoder sees."""

_DECODER_DEPTH: Final = 1


@dataclass(frozen=True)
class Pretraining:
    """What is trained, and for how long.

    Attributes:
        architecture: of the network; its head stays as it was.
        schedule: how long and how fast.
        batch: faces in a step.
        seed: everything random follows from it.
    """

    architecture: Architecture
    schedule: Schedule
    batch: int = 64
    seed: int = 0


class MaskedAutoencoder(nn.Module):
    """The network as encoder, and a small decoder that is thrown away afterwards."""

    def __init__(self, network: FaceTransformer) -> None:
        super().__init__()
        a = network.architecture
        self.network = network
        self.mask_token = nn.Parameter(torch.zeros(1, 1, a.dimension))
        self.decoder_position = nn.Parameter(0.02 * torch.randn(1, a.grid**2, a.dimension))
        self.decoder = nn.ModuleList(
            Block(a.dimension, a.hidden, a.heads, a.epsilon) for _ in range(_DECODER_DEPTH)
        )
        self.pixels = nn.Linear(a.dimension, 3 * a.patch**2)

    def forward(self, pictures: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Mean square error over the hidden patches, each with its own mean and deviation taken out.

        Args:
            pictures: normalised, (picture, RGB, row, column).
            order: a permutation of the patches for each picture (picture, patch); the first are seen.
        """
        seen = round(SEEN * order.shape[1])
        patches = self.network.patches(pictures)
        width = patches.shape[2]
        shown = patches.gather(1, order[:, :seen, None].expand(-1, -1, width))
        encoded = self.network.norm(self.network.encoded(shown))[:, 1:]
        hidden = self.mask_token.expand(len(order), order.shape[1] - seen, -1)
        mixed = torch.cat([encoded, hidden], dim=1)
        tokens = mixed.gather(1, order.argsort(dim=1)[..., None].expand(-1, -1, width))
        tokens = tokens + self.decoder_position
        for block in self.decoder:
            tokens = block(tokens)
        error = ((self.pixels(tokens) - targets(pictures, self.network.architecture.patch)) ** 2).mean(dim=2)
        hidden_error: torch.Tensor = error.gather(1, order[:, seen:]).mean()
        return hidden_error


def targets(pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """The pixels of each patch with mean 0 and deviation 1: (picture, patch, 3 * patch * patch)."""
    pieces = torch.nn.functional.unfold(pictures, patch, stride=patch).transpose(1, 2)
    return (pieces - pieces.mean(dim=2, keepdim=True)) / (pieces.std(dim=2, keepdim=True) + 1e-3)


def pretrain(cases: Cases, recipe: Pretraining, state: Path, report: Report) -> FaceTransformer:
    """Train, or go on from a saved state.

    Args:
        cases: only the faces are used.
        recipe: what and how long.
        state: file of the unfinished training.
        report: called with each saved state.

    Raises:
        WeightsFaulty: the saved state is damaged, or of another network.
    """
    torch.manual_seed(recipe.seed)
    autoencoder = MaskedAutoencoder(FaceTransformer(recipe.architecture))

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng((recipe.seed, step))
        chosen = rng.integers(len(cases), size=recipe.batch)
        patches = recipe.architecture.grid**2
        order = torch.from_numpy(rng.random((recipe.batch, patches)).argsort(axis=1))
        error: torch.Tensor = autoencoder(batch_of(cases.faces[chosen], rng), order)
        return error

    optimise(autoencoder.train(), recipe.schedule, loss, state, report)
    return autoencoder.network.eval()
