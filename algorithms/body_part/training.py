"""The recipe of the weights.

    python -m algorithms.body_part.training --out FOLDER [--phantoms 64] [--volumes FOLDER] [--steps 3000]

Slices of one volume at equal gaps must score upwards and in equal steps, for which no labels are
needed; where the heights of landmarks are known, as in phantoms, they fix the scale (`losses`).
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algorithms import weights
from algorithms.body_part.augmentation import augment
from algorithms.body_part.calibration import calibrate
from algorithms.body_part.cases import Case, read
from algorithms.body_part.losses import distance_loss, level_loss, order_loss
from algorithms.body_part.network import SliceRegressor, shrink
from algorithms.body_part.normalisation import NormalisedRegressor
from algorithms.phantoms import torso
from algorithms.protocol import Volume

_log = logging.getLogger(__name__)

_EVERY = 100  # steps between two saved states
_LEVELS_FIRST = 0.4
_PHANTOM_MM = 3.5
_CARD = {
    "source": "trained by this project: python -m algorithms.body_part.training",
    "licence": "Apache-2.0",
    "intended use": "Research use only. Not for diagnosis.",
}


@dataclass(frozen=True)
class Recipe:
    """What is trained, and for how long.

    Attributes:
        shrink: pixels that become one along each axis before the network sees them.
        widths: channels before each pooling.
        convolutions: number of convolutions before each pooling.
        steps: of the optimiser.
        volumes: in each step.
        slices: of each volume.
        gap_mm: smallest and largest distance of neighbours among them.
        learning_rate: at the start; it falls to nothing along a cosine.
        distance_weight: of the distance loss beside the order loss.
        level_weights: of known levels, until two fifths of the steps and after: first where on the scale
            a slice belongs, then the order of all, those without known levels too.
        seed: everything random follows from it.
    """

    shrink: int = 2
    widths: tuple[int, ...] = (12, 24, 48, 96, 128)
    convolutions: tuple[int, ...] = (1, 1, 2, 2, 2)
    steps: int = 3000
    volumes: int = 8
    slices: int = 6
    gap_mm: tuple[float, float] = (4.0, 40.0)
    learning_rate: float = 1e-3
    distance_weight: float = 0.01
    level_weights: tuple[float, float] = (1.0, 0.1)
    seed: int = 0

    def level_weight(self, step: int) -> float:
        """Weight of known levels at a step."""
        return self.level_weights[step >= self.steps * _LEVELS_FIRST]


@dataclass(frozen=True, eq=False)
class Batch:
    """Slices (volume, slice, 128, 128), gaps in mm (volume,), levels (volume, slice) with NaN."""

    slices: torch.Tensor
    gaps_mm: torch.Tensor
    levels: torch.Tensor


def train(
    cases: Sequence[Case],
    recipe: Recipe,
    state: Path,
    report: Callable[[int, float], None],
) -> SliceRegressor:
    """Train, or go on from a saved state.

    The same cases and recipe give the same network on the same machine, interrupted or not.

    Args:
        cases: the volumes.
        recipe: what to do.
        state: file of the unfinished training, read if it is there and rewritten now and then.
        report: called with the number of steps done and the loss.
    """
    torch.manual_seed(recipe.seed)
    network = NormalisedRegressor(_initialised(SliceRegressor(recipe.widths, recipe.convolutions)))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": schedule}
    done = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        done = saved["done"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for step in range(done, recipe.steps):
        batch = draw(cases, recipe, np.random.default_rng((recipe.seed, step)))
        loss = total_loss(network, batch, recipe, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % _EVERY == 0 or step + 1 == recipe.steps:
            torch.save({"done": step + 1} | {k: part.state_dict() for k, part in parts.items()}, state)
            report(step + 1, loss.item())
    return network.folded()


def draw(cases: Sequence[Case], recipe: Recipe, rng: np.random.Generator) -> Batch:
    """A batch: of random volumes, slices at a random gap that fits, changed at random."""
    drawn = [_draw(cases[int(rng.integers(len(cases)))], recipe, rng) for _ in range(recipe.volumes)]
    slices, gaps, levels = zip(*drawn, strict=True)
    return Batch(torch.stack(slices), torch.tensor(gaps), torch.stack(levels))


def _draw(case: Case, recipe: Recipe, rng: np.random.Generator) -> tuple[torch.Tensor, float, torch.Tensor]:
    largest = (len(case.slices) - 1) // (recipe.slices - 1)
    low, high = (round(mm / case.spacing_mm) for mm in recipe.gap_mm)
    gap = int(rng.integers(max(1, min(low, largest)), max(1, min(high, largest)) + 1))
    first = int(rng.integers(len(case.slices) - gap * (recipe.slices - 1)))
    chosen = first + gap * np.arange(recipe.slices)
    slices = torch.from_numpy(case.slices[chosen].astype(np.float32))
    levels = torch.from_numpy(case.levels[chosen].astype(np.float32))
    return augment(shrink(slices, recipe.shrink), rng), gap * case.spacing_mm, levels


def total_loss(network: NormalisedRegressor, batch: Batch, recipe: Recipe, step: int) -> torch.Tensor:
    """Order, distance and levels together."""
    scores = network(batch.slices.flatten(0, 1)[:, None]).reshape(batch.levels.shape)
    return (
        order_loss(scores, batch.gaps_mm)
        + recipe.distance_weight * distance_loss(scores)
        + recipe.level_weight(step) * level_loss(scores, batch.levels)
    )


def _initialised(network: SliceRegressor) -> SliceRegressor:
    """He's initialisation, for ReLU."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    return network


def phantom_case(seed: int) -> Case:
    """A synthetic body from the pelvis to the head, whose landmarks are known."""
    phantom = torso(seed, spacing_mm=_PHANTOM_MM)
    uids = tuple(str(index) for index in range(len(phantom.hu)))
    volume = Volume(np.asarray(phantom.hu), phantom.affine_mm, "HU", "CT", uids)
    return Case.of(volume, phantom.levels_mm)


def main() -> None:
    """Make the cases, train, calibrate on the phantoms, and write weights into a folder of a store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    parser.add_argument("--name", default="bpr-bundled")
    parser.add_argument("--phantoms", type=int, default=64, help="seeds 0, 1, ...")
    parser.add_argument("--volumes", type=Path, help="folder of .npz files; see `cases.read`")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = Recipe(steps=chosen.steps, seed=chosen.seed)
    phantoms = [phantom_case(seed) for seed in range(chosen.phantoms)]
    volumes = [read(path) for path in sorted(chosen.volumes.glob("*.npz"))] if chosen.volumes else []
    repeats = max(1, len(phantoms) // (3 * len(volumes))) if volumes else 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    network = train(
        phantoms + volumes * repeats,
        recipe,
        chosen.out / f"{chosen.name}.state",
        lambda done, loss: _log.info("%d of %d steps, loss %.4f", done, recipe.steps, loss),
    )
    config = {
        "network": {
            "widths": recipe.widths,
            "convolutions": recipe.convolutions,
            "shrink": recipe.shrink,
        },
        "reference": calibrate(network, recipe.shrink, phantoms).as_config(),
    }
    card = _CARD | {
        "training": f"{len(phantoms)} phantoms, {len(volumes)} other volumes; {json.dumps(asdict(recipe))}"
    }
    weights.save(chosen.out, chosen.name, network.state_dict(), config, card)


if __name__ == "__main__":
    main()
