"""Training that can be interrupted: the same ending either way."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from algorithms.weights import WeightsFaulty

Report = Callable[[int, float], None]
"""Called with the number of steps done and the loss."""

_EVERY = 100  # steps between two saved states


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns, by AdamW.

    Attributes:
        steps: of the optimiser.
        learning_rate: after the warm-up; it falls to nothing along a cosine.
        weight_decay: of AdamW.
        warm_up: share of the steps.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    warm_up: float = 0.02

    def rate(self, step: int) -> float:
        """Share of the learning rate at a step."""
        warm = self.warm_up * self.steps
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + cos(pi * (step - warm) / max(1.0, self.steps - warm)))


def optimise(
    network: torch.nn.Module,
    schedule: Schedule,
    loss_of: Callable[[int], torch.Tensor],
    state: Path,
    report: Report,
) -> None:
    """Train in place, or go on from a saved state.

    Args:
        network: in training mode.
        schedule: how long and how fast.
        loss_of: the loss of a step, by its number alone: what is drawn at random follows from it.
        state: file of the unfinished training, read if it is there and rewritten now and then.
        report: called with each saved state.

    Raises:
        WeightsFaulty: the saved state is damaged, or of another network.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule.rate)
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": rates}
    done = _restored(parts, state) if state.exists() else 0
    for step in range(done, schedule.steps):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rates.step()
        if (step + 1) % _EVERY == 0 or step + 1 == schedule.steps:
            _save({"done": step + 1} | {k: part.state_dict() for k, part in parts.items()}, state)
            report(step + 1, loss.item())


def _restored(parts: dict[str, Any], state: Path) -> int:
    """The number of steps done, the parts as they were then."""
    try:
        saved = torch.load(state, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        return int(saved["done"])
    except (RuntimeError, LookupError, TypeError, ValueError, EOFError, UnpicklingError):
        raise WeightsFaulty(
            f"{state} is damaged, or of another network; to begin anew, delete it or give another name"
        ) from None


def _save(content: dict[str, Any], state: Path) -> None:
    """Replace the file as a whole: an interruption while writing loses nothing."""
    beside = state.with_name(f"{state.name}.part")
    torch.save(content, beside)
    beside.replace(state)
