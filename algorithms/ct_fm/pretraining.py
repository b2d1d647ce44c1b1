"""Intra-sample contrastive pre-training (Pai et al., arXiv:2501.09001): no labels, any CT.

Crops of one scan, each seen twice with other position, contrast and noise: the two looks must be alike, and
unlike those at the other crops of the same scan. Nothing is compared between scans, so that the encoder
learns where in a body it looks rather than at whose body.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from algorithms import weights
from algorithms.ct_fm.cases import Case
from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.views import view
from algorithms.optimisation import Report, Schedule, optimise
from algorithms.spatial import Shape, Spacing

_CARD: Final = {
    "source": "trained by this project's recipe: ainode pretrain",
    "licence": "Apache-2.0",
    "intended use": "Research use only. Not for diagnosis.",
}


_PUBLISHED: Final = Architecture()
_LONG: Final = Schedule(steps=225_000, learning_rate=1e-4, weight_decay=1e-6)


@dataclass(frozen=True)
class Recipe:
    """What is trained, and for how long; as published unless said otherwise.

    Attributes:
        architecture: of the encoder.
        spacing_mm: towards head, back and left.
        patch: voxels along these axes.
        schedule: how long and how fast.
        scans: in each step (published: 4 on each of 4 devices).
        crops: of each scan.
        reach_mm: the crops of a scan lie within a part of it at most so high, drawn anew up to all of it: the
            smaller, the harder they are to tell apart (published: all of it).
        temperature: of the loss.
        seed: everything random follows from it.
    """

    architecture: Architecture = _PUBLISHED
    spacing_mm: Spacing = (3.0, 1.0, 1.0)
    patch: Shape = (32, 128, 128)
    schedule: Schedule = _LONG
    scans: int = 2
    crops: int = 15
    reach_mm: tuple[float, float] = (100.0, 2000.0)
    temperature: float = 0.1
    seed: int = 0

    @classmethod
    def sized(
        cls, filters: int, spacing_mm: float, patch: int, steps: int, learning_rate: float, seed: int
    ) -> Self:
        """For a network of another size, which looks at cubes; 0 millimetres or voxels are as published."""
        usual = cls()
        return replace(
            usual,
            architecture=Architecture(init_filters=filters),
            spacing_mm=(spacing_mm,) * 3 if spacing_mm else usual.spacing_mm,
            patch=(patch,) * 3 if patch else usual.patch,
            schedule=replace(usual.schedule, steps=steps, learning_rate=learning_rate),
            seed=seed,
        )

    @property
    def config(self) -> dict[str, Any]:
        """What the encoder needs to know beside the tensors; it looks at volumes as it was trained to."""
        shape = {"init_filters": self.architecture.init_filters, "blocks_down": self.architecture.blocks_down}
        if self.spacing_mm == Recipe.spacing_mm and self.patch == Recipe.patch:
            return shape
        looks = {"spacing_mm": self.spacing_mm, "patch": self.patch}
        return shape | {"embedding": looks | {"overlap": 0.875}, "search": looks | {"overlap": 0.75}}


class Projected(nn.Module):
    """An encoder and the head that the loss is taken behind; the head is thrown away afterwards."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        size = architecture.features
        self.encoder = architecture.encoder()
        self.head = nn.Sequential(nn.Linear(size, size // 2), nn.ReLU(), nn.Linear(size // 2, size // 4))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Points on a sphere (patch, size / 4) of patches (patch, 1, head, back, left)."""
        *upper, coarsest = (level for level in self.encoder.layers if isinstance(level, nn.ModuleDict))
        with torch.autocast(patches.device.type, dtype=torch.bfloat16):
            features = self.encoder.conv_init(patches)
            for level in upper:
                features = level["downsample"](level["blocks"](features))
        # Over so few voxels oneDNN gives gradients in bfloat16 that are not finite (torch 2.13).
        features = coarsest["blocks"](features.float())
        return functional.normalize(self.head(features.mean(dim=(2, 3, 4))), dim=1)


def pretrain(cases: Sequence[Case], recipe: Recipe, state: Path, report: Report, device: str) -> nn.Module:
    """Train, or go on from a saved state.

    The same cases and recipe give the same encoder on the same machine, interrupted or not.

    Args:
        cases: the scans.
        recipe: what to do.
        state: file of the unfinished training, read if it is there and rewritten now and then.
        report: called with each saved state.
        device: "cpu", "cuda:0".

    Returns:
        The encoder.
    """
    torch.manual_seed(recipe.seed)
    network = Projected(recipe.architecture).to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def loss_of(step: int) -> torch.Tensor:
        patches = draw(cases, recipe, np.random.default_rng((recipe.seed, step))).to(device)
        projected = network(patches.flatten(0, 2)[:, None])
        return nt_xent(projected.unflatten(0, patches.shape[:3]), recipe.temperature)

    optimise(network, recipe.schedule, loss_of, state, report)
    return network.encoder.eval()


def nt_xent(projected: torch.Tensor, temperature: float) -> torch.Tensor:
    """Normalised temperature-scaled cross entropy (SimCLR), within each scan.

    Args:
        projected: points on a sphere (scan, look, crop, feature), two looks.
        temperature: the smaller, the more the nearest wrong crops count.
    """
    scans, looks, crops, _ = projected.shape
    points = projected.flatten(1, 2)
    similarity = points @ points.transpose(1, 2) / temperature
    itself = torch.eye(looks * crops, dtype=torch.bool, device=points.device)
    similarity = similarity.masked_fill(itself, -torch.inf)
    partner = torch.arange(looks * crops, device=points.device).roll(crops).expand(scans, -1)
    return functional.cross_entropy(similarity.flatten(0, 1), partner.flatten())


def draw(cases: Sequence[Case], recipe: Recipe, rng: np.random.Generator) -> torch.Tensor:
    """Patches of random scans (scan, look, crop, head, back, left)."""
    scans = []
    for _ in range(recipe.scans):
        case = cases[int(rng.integers(len(cases)))]
        places = _places(case, recipe, rng)
        looks = [torch.stack([view(case, p, recipe.patch, rng) for p in places]) for _ in range(2)]
        scans.append(torch.stack(looks))
    return torch.stack(scans)


def _places(case: Case, recipe: Recipe, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The middles of the crops, within a part of the scan."""
    height = len(case.voxels) * case.spacing_mm[0]
    low, high = recipe.reach_mm
    reach = float(rng.uniform(min(low, height), min(high, height)))
    bottom = float(rng.uniform(0, height - reach))
    level_mm = case.places[:, 0] * case.spacing_mm[0]
    within = case.places[(level_mm >= bottom) & (level_mm <= bottom + reach)]
    return (within if len(within) >= recipe.crops else case.places)[
        rng.integers(len(within) if len(within) >= recipe.crops else len(case.places), size=recipe.crops)
    ]


def save(folder: Path, name: str, encoder: nn.Module, recipe: Recipe, cases: str) -> weights.Checkpoint:
    """Write an encoder into a folder of a store; convolutions as float16, which halves the file.

    Args:
        folder: of the store.
        name: of the weights.
        encoder: what `pretrain` returned.
        recipe: that it was trained by.
        cases: what it was trained on, for people.
    """
    tensors = {
        key: tensor.half() if tensor.ndim > 1 else tensor
        for key, tensor in encoder.cpu().state_dict().items()
    }
    card = _CARD | {"training": f"{cases}; {json.dumps(asdict(recipe))}"}
    return weights.save(folder, name, tensors, recipe.config, card)
