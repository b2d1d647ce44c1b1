"""The loop of the recipe: steps that can be interrupted, and the running mean of the weights."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

_DECAY: Final = 0.98
_LONGEST_STEP: Final = 5.0  # norm of a gradient
_REPORT_EVERY, _SAVE_EVERY = 20, 100


@dataclass(frozen=True)
class Schedule:
    """How long and how fast it learns: one cycle, warm-up then cosine.

    Attributes:
        steps: of the optimiser.
        batch: cases of a step.
        peak: greatest learning rate.
        warm_up: steps until it is reached.
    """

    steps: int
    batch: int
    peak: float
    warm_up: int = 20

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        done = (step - self.warm_up) / (self.steps - self.warm_up)
        return self.peak * (0.505 + 0.495 * cos(pi * done))


def learn(
    module: nn.Module, batch_at: Callable[[int], tuple[torch.Tensor, ...]], schedule: Schedule, state: Path
) -> None:
    """Train a module, in place; at the end it has the running mean of its weights.

    Args:
        module: gives its losses, one axis, for the tensors of a batch.
        batch_at: the batch of a step; the same each time it is asked.
        schedule: how long and how fast.
        state: file of the unfinished training, read if it is there and rewritten now and then.
    """
    mean = {key: value.detach().clone() for key, value in module.state_dict().items()}
    optimizer = torch.optim.AdamW((p for p in module.parameters() if p.requires_grad), weight_decay=1e-2)
    first = _resume(state, module, optimizer, mean)
    module.train()
    losses, began = [], time.monotonic()
    for step in range(first, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        losses.append(_step(module, optimizer, batch_at(step)))
        decay = min(_DECAY, (1 + step) / (10 + step))
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                mean[key].lerp_(value, 1 - decay)
        if (step + 1) % _REPORT_EVERY == 0:
            pace = (time.monotonic() - began) / (step + 1 - first)
            parts = " ".join(f"{part:.3f}" for part in np.mean(losses[-_REPORT_EVERY:], axis=0))
            sys.stderr.write(f"{state.stem} {step + 1}: losses {parts}, {pace:.2f} s\n")
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == schedule.steps:
            _keep(state, step + 1, module, optimizer, mean)
    module.load_state_dict(mean)


def settle(module: nn.Module, batches: list[tuple[torch.Tensor, ...]]) -> None:
    """Give the batch norms the statistics of some batches under the weights as they are now."""
    kinds = nn.BatchNorm1d, nn.BatchNorm3d
    norms = [norm for norm in module.modules() if isinstance(norm, kinds) and norm.training]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for batch in batches:
            module(*batch)


def _step(
    module: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, ...]
) -> list[float]:
    losses: torch.Tensor = module(*batch)
    optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), _LONGEST_STEP)
    optimizer.step()
    return [float(loss) for loss in losses.detach()]


def _keep(
    file: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, mean: dict[str, torch.Tensor]
) -> None:
    state = {"step": step, "module": module.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def _resume(
    file: Path, module: nn.Module, optimizer: torch.optim.Optimizer, mean: dict[str, torch.Tensor]
) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    mean.update(state["mean"])
    return int(state["step"])
