"""The recipe of the bundled weights `thoracic-organs-bundled`.

python -m algorithms.chest_ct.organ_training --out FOLDER

Renders synthetic torsos into the folder, trains on random patches of them, and writes the weights to
`FOLDER/thoracic-organs-bundled`. All of it can be interrupted and started again; on one CPU core with
bfloat16 it takes about 45 minutes. The seeds of the torsos are used nowhere else.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from algorithms import weights
from algorithms.chest_ct.organ_network import OrganNetwork, windowed
from algorithms.chest_ct.organ_patches import CLASSES, Patch, Torso, draw
from algorithms.phantoms import torso

NAME: Final = "thoracic-organs-bundled"
CONFIG: Final[dict[str, Any]] = {
    "spacing_mm": 3.0,
    "windows_hu": [[-150.0, 250.0], [-1000.0, 1000.0]],
    "widths": [16, 32, 64, 128, 160],
    "classes": list(CLASSES),
}
CARD: Final = {
    "source": "trained from nothing on synthetic torsos by algorithms.chest_ct.organ_training",
    "licence": "Apache-2.0",
    "intended use": "Research use only: heart, aorta, esophagus and spinal cord in CT of the chest",
}
_FIRST_SEED = 500_000
_BOTTOM_MM, _TOP_MM = -330.0, 360.0  # of the torsos: from the hips to the neck
_SEED = 20
_IMPORTANCE = (0.5, 1.0, 3.0, 5.0, 5.0, 0.5, 2.0, 1.0, 2.0, 2.0, 0.7, 0.7)  # by class; small organs most
_DECAY = 0.998
_REPORT_EVERY = 50
_SAVE_EVERY = 250


@dataclass(frozen=True)
class Schedule:
    """How long and how fast it learns: one cycle, warm-up then cosine."""

    steps: int = 7500
    warm_up: int = 200
    peak: float = 1.2e-3

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        done = (step - self.warm_up) / (self.steps - self.warm_up)
        return self.peak * (0.5001 + 0.5 * cos(pi * done))

    def emphasis(self, step: int) -> float:
        """How far small organs are favoured: first they must be found, in the end their borders count."""
        return max(0.0, 1.0 - step / (0.75 * self.steps))


def render(folder: Path, count: int) -> list[Torso]:
    """Synthetic torsos with voxels of 3 mm; those that are in the folder are not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_torso(folder / f"{_FIRST_SEED + index}.npz", _FIRST_SEED + index) for index in range(count)]


def train(torsos: list[Torso], schedule: Schedule, state_file: Path) -> OrganNetwork:
    """Train, going on from the state file if it is there; returns the running mean of the weights."""
    torch.manual_seed(_SEED)
    network = OrganNetwork.from_config(CONFIG, NAME)
    mean = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    first = _resume(state_file, network, optimizer, mean)
    losses, began = [], time.monotonic()
    for step in range(first, schedule.steps):
        patch = draw(torsos, _SEED, step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        losses.append(_learn(network, optimizer, patch, schedule.emphasis(step)))
        decay = min(_DECAY, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            mean[key].lerp_(value, 1 - decay)
        if (step + 1) % _REPORT_EVERY == 0:
            pace = (time.monotonic() - began) / (step + 1 - first)
            sys.stderr.write(f"step {step + 1}: loss {np.mean(losses[-_REPORT_EVERY:]):.3f}, {pace:.2f} s\n")
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == schedule.steps:
            _keep(state_file, step + 1, network, optimizer, mean)
    network.load_state_dict(mean)
    return network


def loss_of(scores: torch.Tensor, classes: torch.Tensor, emphasis: float) -> torch.Tensor:
    """Cross entropy plus one minus the soft Dice of each class that is present.

    Args:
        scores: float32 (batch, class, head, back, left).
        classes: int64 (batch, head, back, left).
        emphasis: 1 weighs small organs more in the cross entropy, 0 all voxels alike.
    """
    count = scores.shape[1]
    importance = torch.tensor(_IMPORTANCE) ** emphasis
    logarithms = scores.log_softmax(dim=1)
    entropy = functional.nll_loss(logarithms, classes, weight=importance)
    probabilities = logarithms.exp()
    right = probabilities.gather(1, classes[:, None]).flatten()
    overlap = torch.zeros(count).index_add(0, classes.flatten(), right)
    voxels = torch.bincount(classes.flatten(), minlength=count)
    dice = (2 * overlap + 1) / (probabilities.sum(dim=(0, 2, 3, 4)) + voxels + 1)
    return entropy + (1 - dice)[voxels > 0].mean()


def _learn(network: OrganNetwork, optimizer: torch.optim.Optimizer, patch: Patch, emphasis: float) -> float:
    image = windowed(patch.hu[None], CONFIG["windows_hu"]).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(image)
    loss = loss_of(scores.float(), patch.classes[None], emphasis)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _torso(file: Path, seed: int) -> Torso:
    if not file.exists():
        made = torso(seed, spacing_mm=CONFIG["spacing_mm"], bottom_mm=_BOTTOM_MM, top_mm=_TOP_MM)
        partial = file.with_suffix(".part.npz")
        np.savez_compressed(partial, hu=made.hu.astype(np.int16), labels=made.labels)
        partial.replace(file)
    with np.load(file) as stored:
        return stored["hu"], stored["labels"]


def _keep(
    file: Path,
    step: int,
    network: OrganNetwork,
    optimizer: torch.optim.Optimizer,
    mean: dict[str, torch.Tensor],
) -> None:
    state = {"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def _resume(
    file: Path, network: OrganNetwork, optimizer: torch.optim.Optimizer, mean: dict[str, torch.Tensor]
) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    mean.update(state["mean"])
    return int(state["step"])


def main() -> None:
    """Make the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--torsos", type=int, default=200)
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    arguments = parser.parse_args()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    torsos = render(arguments.out / "torsos", arguments.torsos)
    network = train(torsos, Schedule(arguments.steps), arguments.out / "state.pt")
    tensors = {key: value.contiguous().half() for key, value in network.state_dict().items()}
    weights.save(arguments.out, NAME, tensors, CONFIG, CARD)


if __name__ == "__main__":
    main()
