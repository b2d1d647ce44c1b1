"""The recipe of the bundled weights `ct-fm-head-triage-bundled`.

python -m algorithms.ct_fm.triage_training --out FOLDER

Renders synthetic heads into the folder. The encoder learns on pieces of them where there is blood, which
teaches far more from each head than one word for all of it. Then the head of the network learns that word
from the pooled features of whole heads, and the calibration is fitted on heads that neither has seen. All
of it can be interrupted and started again.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from algorithms import weights
from algorithms.ct_fm.calibration import Calibration, Values
from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.triage_augmentation import Head, augment
from algorithms.ct_fm.triage_heads import StoredHead, render
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import SHAPE, WINDOWS_HU, windowed
from algorithms.spatial import Shape

NAME: Final = "ct-fm-head-triage-bundled"
CONFIG: Final[dict[str, Any]] = {"init_filters": 4, "blocks_down": [1, 2, 2, 4, 4]}
POPULATION: Final = "synthetic heads"
CARD: Final = {
    "source": "trained from nothing on synthetic heads by algorithms.ct_fm.triage_training",
    "licence": "Apache-2.0",
    "intended use": "Research use only: whether a head CT without contrast shows a fresh bleed",
}
FIRST_TRAINED, FIRST_CALIBRATED = 500_000, 600_000
THRESHOLDS: Final = {"normal_below": 0.3, "abnormal_from": 0.7}
_SEED = 20
_DECAY = 0.98
_GUIDED, _LAST = (2, 3), 4  # levels of the encoder
_SHOWING = 2  # the first of the four windows show blood: blood and subdural
_CELL_WEIGHT = 5.0  # of a cell with blood
_LONGEST_STEP = 5.0  # norm of a gradient
_SETTLING = 32  # batches whose statistics the batch norms keep
_HEAD_STEPS, _HEAD_DECAY = 400, 0.1
_REPORT_EVERY, _SAVE_EVERY = 20, 50


@dataclass(frozen=True)
class Schedule:
    """How long and how fast the encoder learns: one cycle, warm-up then cosine.

    Attributes:
        steps: of the optimiser.
        piece: slices, rows and columns of what is cut out of a head, multiples of 16.
        heads: of a step, as many with a bleed as without.
        pieces: of each head; half of those of a bleeding one are about blood.
        peak: greatest learning rate.
        warm_up: steps until it is reached.
    """

    steps: int = 700
    piece: Shape = (16, 48, 48)
    heads: int = 2
    pieces: int = 4
    peak: float = 3e-3
    warm_up: int = 40

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        done = (step - self.warm_up) / (self.steps - self.warm_up)
        return self.peak * (0.505 + 0.495 * cos(pi * done))


class Guided(nn.Module):
    """The encoder, and beside it guides that say which cells of a level's grid hold blood.

    The guide of the last level is linear: what is linear can be averaged over the whole head, as the
    triage network does, and still tells how much of it there is. Norms keep the guides' gradients small
    beside features that nothing else keeps small.
    """

    def __init__(self, encoder: nn.Module, filters: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.guides = nn.ModuleList(
            nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, 1, 1))
            for width in (filters * 2**level for level in _GUIDED)
        )
        self.last = nn.Sequential(nn.BatchNorm3d(filters * 2**_LAST), nn.Conv3d(filters * 2**_LAST, 1, 1))

    def forward(self, windows: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Logits for the guided levels and a number for the last, each (batch, 1, slice, row, column)."""
        features = self.encoder(windows)
        cells = [guide(features[level]) for guide, level in zip(self.guides, _GUIDED, strict=True)]
        return cells, self.last(features[-1])


def train_encoder(heads: Sequence[StoredHead], schedule: Schedule, state_file: Path) -> Guided:
    """Learn where blood is, going on from the state file if it is there.

    Returns:
        The running mean of the weights, with the statistics of the batch norms that belong to it.
    """
    torch.manual_seed(_SEED)
    guided = Guided(Architecture.of(CONFIG).encoder(), CONFIG["init_filters"])
    guided.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    mean = {key: value.detach().clone() for key, value in guided.state_dict().items()}
    optimizer = torch.optim.AdamW(guided.parameters(), weight_decay=1e-2)
    first = _resume(state_file, guided, optimizer, mean)
    losses, began = [], time.monotonic()
    for step in range(first, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        losses.append(_learn(guided, optimizer, draw(heads, schedule, step)))
        decay = min(_DECAY, (1 + step) / (10 + step))
        for key, value in guided.state_dict().items():
            if value.is_floating_point():
                mean[key].lerp_(value, 1 - decay)
        if (step + 1) % _REPORT_EVERY == 0:
            pace = (time.monotonic() - began) / (step + 1 - first)
            parts = " ".join(f"{part:.3f}" for part in np.mean(losses[-_REPORT_EVERY:], axis=0))
            sys.stderr.write(f"step {step + 1}: losses by level {parts}, {pace:.2f} s\n")
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == schedule.steps:
            _keep(state_file, step + 1, guided, optimizer, mean)
    guided.load_state_dict(mean)
    settle(guided, [draw(heads, schedule, schedule.steps + extra) for extra in range(_SETTLING)])
    return guided


def draw(heads: Sequence[StoredHead], schedule: Schedule, step: int) -> list[Head]:
    """The pieces of heads that a step learns from, augmented."""
    rng = np.random.default_rng((_SEED, step))
    drawn = []
    for number in range(schedule.heads):
        kind = [head for head in heads if head.positive == bool(number % 2)]
        head = augment(kind[int(rng.integers(len(kind)))].read(), rng)
        drawn += [_piece(head, schedule.piece, rng) for _ in range(schedule.pieces)]
    return drawn


def losses_of(guided: Guided, pieces: Sequence[Head]) -> torch.Tensor:
    """How wrong each guide is about which cells hold blood, the last level's guide last.

    Cells of the blood and the subdural window are to say so, those of the other two are left alone, or
    are to be zero on the last level.
    """
    cells, last = guided(_stack(pieces))
    bleed = torch.stack([piece.bleed for piece in pieces])[:, None]
    losses = []
    for level, logits in zip(_GUIDED, cells, strict=True):
        target = _cells(bleed, 2**level).repeat(1, 1, _SHOWING, 1, 1)
        shown = logits[:, :, : target.shape[2]]
        weight = 1 + (_CELL_WEIGHT - 1) * target
        losses.append(functional.binary_cross_entropy_with_logits(shown, target, weight))
    target = _cells(bleed, 2**_LAST)
    target = torch.cat([target] * _SHOWING + [torch.zeros_like(target)] * (len(WINDOWS_HU) - _SHOWING), dim=2)
    weight = 1 + (_CELL_WEIGHT - 1) * target
    losses.append((weight * (last - target) ** 2).mean())
    return torch.stack(losses)


def settle(guided: Guided, batches: Sequence[Sequence[Head]]) -> None:
    """Give the batch norms the statistics of pieces under the weights as they are now."""
    norms = [module for module in guided.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    guided.train()
    with torch.no_grad():
        for pieces in batches:
            guided(_stack(pieces))
    guided.eval()


def pooled(network: TriageNetwork, heads: Iterable[Head]) -> torch.Tensor:
    """What the head of the network gets of whole heads: (head, feature)."""
    with torch.inference_mode():
        return torch.stack(
            [network.encoder(_stack([head]))[-1][0].mean(dim=(1, 2, 3)) for head in heads]
        ).clone()


def train_head(network: TriageNetwork, features: torch.Tensor, positive: torch.Tensor) -> None:
    """Learn the word for a whole head from its pooled features, in place.

    Args:
        network: whose last two layers learn.
        features: (head, feature), as `pooled`.
        positive: bool (head,).
    """
    torch.manual_seed(_SEED)
    middle, spread = features.mean(0), features.std(0) + 1e-6
    first, _, second = network.head[2], network.head[3], network.head[4]
    layers = nn.Sequential(first, nn.ReLU(), second)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-3, weight_decay=_HEAD_DECAY)
    for _ in range(_HEAD_STEPS):
        logits = layers((features - middle) / spread).flatten()
        loss = functional.binary_cross_entropy_with_logits(logits, positive.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():  # the features are not standardised when the network runs: the layer does it
        first.weight /= spread
        first.bias -= first.weight @ middle


def logits_of(network: TriageNetwork, heads: Iterable[Head]) -> Values:
    """One logit for each whole head."""
    with torch.inference_mode():
        return np.array([float(network(_stack([head]))) for head in heads])


def _stack(heads: Sequence[Head]) -> torch.Tensor:
    stack = windowed(torch.stack([head.hu for head in heads])[:, None])
    return stack.contiguous(memory_format=torch.channels_last_3d)


def _cells(bleed: torch.Tensor, size: int) -> torch.Tensor:
    return (functional.max_pool3d(bleed, size) >= 0.5).float()


def _piece(head: Head, shape: Shape, rng: np.random.Generator) -> Head:
    """A part of a head: half of the time about blood, if there is any, else about any tissue."""
    blood = head.bleed > 0.5
    where = torch.nonzero(blood if rng.random() < 0.5 and blood.any() else head.hu > 0)
    middle = where[int(rng.integers(len(where)))].tolist()
    moved = [
        at + int(rng.integers(-(size // 4), size // 4 + 1)) for at, size in zip(middle, shape, strict=True)
    ]
    box = tuple(
        slice(start := min(max(0, at - size // 2), whole - size), start + size)
        for at, size, whole in zip(moved, shape, SHAPE, strict=True)
    )
    return Head(head.hu[box], head.bleed[box])


def _learn(guided: Guided, optimizer: torch.optim.Optimizer, pieces: Sequence[Head]) -> list[float]:
    losses = losses_of(guided, pieces)
    optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(guided.parameters(), _LONGEST_STEP)
    optimizer.step()
    return [float(loss) for loss in losses.detach()]


def _keep(
    file: Path, step: int, guided: Guided, optimizer: torch.optim.Optimizer, mean: dict[str, torch.Tensor]
) -> None:
    state = {"step": step, "network": guided.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def _resume(
    file: Path, guided: Guided, optimizer: torch.optim.Optimizer, mean: dict[str, torch.Tensor]
) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    guided.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    mean.update(state["mean"])
    return int(state["step"])


def main() -> None:
    """Make the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=400)
    parser.add_argument("--calibration-heads", type=int, default=120)
    arguments = parser.parse_args()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    folder = arguments.out / "heads"
    heads = render(folder, range(FIRST_TRAINED, FIRST_TRAINED + arguments.heads))
    others = render(folder, range(FIRST_CALIBRATED, FIRST_CALIBRATED + arguments.calibration_heads))
    guided = train_encoder(heads, Schedule(), arguments.out / "state.pt")
    make(arguments.out, guided, heads, others)


def make(folder: Path, guided: Guided, heads: Sequence[StoredHead], others: Sequence[StoredHead]) -> None:
    """Train the head on the one heads, calibrate on the others, and write the weights."""
    network = TriageNetwork.from_config(CONFIG).eval()
    network.encoder.load_state_dict(guided.encoder.state_dict())
    seen = (augment(head.read(), np.random.default_rng((_SEED, i))) for i, head in enumerate(heads))
    train_head(network, pooled(network, seen), torch.tensor([head.positive for head in heads]))
    positive = np.array([head.positive for head in others])
    calibration = Calibration.fit(logits_of(network, (h.read() for h in others)), positive, POPULATION)
    fitted = {"calibration": calibration.as_config(), "thresholds": THRESHOLDS}
    weights.save(folder, NAME, network.state_dict(), CONFIG | fitted, CARD)


if __name__ == "__main__":
    main()
