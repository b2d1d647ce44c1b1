"""How a pre-trained network learns ages, and how it learns survival.

Ages in two stages: on the faces as they come, then with every decade of age as likely as the others, more
slowly. Survival by the partial likelihood of Cox (Breslow 1974), over the faces of a step.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from algorithms.fahr_face.augmentation import batch_of
from algorithms.fahr_face.cases import Cases
from algorithms.fahr_face.network import FaceTransformer
from algorithms.optimisation import Report, Schedule, optimise

_MIDDLE_YEARS: Final = 50.0
_SPREAD_YEARS: Final = 25.0
_BALANCED_RATE: Final = 0.3


@dataclass(frozen=True)
class FineTuning:
    """For how long a network learns.

    Attributes:
        schedule: how long and how fast; the balanced stage of the ages is half as long.
        batch: faces in a step.
        seed: everything random follows from it.
    """

    schedule: Schedule
    batch: int = 64
    seed: int = 0


def learn_age(
    network: FaceTransformer, cases: Cases, recipe: FineTuning, state: Path, report: Report
) -> FaceTransformer:
    """Train in place, or go on from a saved state; the network then says years.

    Args:
        network: with one output.
        cases: faces and ages.
        recipe: how long.
        state: file of the unfinished first stage; that of the second has `.balanced` behind its name.
        report: called with each saved state.

    Raises:
        WeightsFaulty: the saved state is damaged, or of another network.
    """
    truth = (torch.from_numpy(cases.age_years) - _MIDDLE_YEARS) / _SPREAD_YEARS
    evenly = np.full(len(cases), 1 / len(cases))
    for stage, shares in enumerate((evenly, balanced_shares(cases.age_years))):

        def loss(step: int, shares: npt.NDArray[Any] = shares, stage: int = stage) -> torch.Tensor:
            rng = np.random.default_rng((recipe.seed, stage, step))
            chosen = rng.choice(len(cases), size=recipe.batch, p=shares)
            said = network(batch_of(cases.faces[chosen], rng))
            return functional.smooth_l1_loss(said, truth[chosen], beta=0.1)

        schedule = recipe.schedule if stage == 0 else _balanced(recipe.schedule)
        file = state if stage == 0 else state.with_name(f"{state.name}.balanced")
        optimise(network.train(), schedule, loss, file, report)
    with torch.no_grad():
        network.head.weight *= _SPREAD_YEARS
        network.head.bias.mul_(_SPREAD_YEARS).add_(_MIDDLE_YEARS)
    return network.eval()


def learn_survival(
    network: FaceTransformer, cases: Cases, recipe: FineTuning, state: Path, report: Report
) -> FaceTransformer:
    """Train in place, or go on from a saved state; the network then says a logarithm of relative risk.

    Args:
        network: with one output.
        cases: faces, years of follow-up and deaths.
        recipe: how long.
        state: file of the unfinished training.
        report: called with each saved state.

    Raises:
        WeightsFaulty: the saved state is damaged, or of another network.
    """
    years, died = torch.from_numpy(cases.years), torch.from_numpy(cases.died)

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng((recipe.seed, step))
        chosen = rng.integers(len(cases), size=recipe.batch)
        return cox_loss(network(batch_of(cases.faces[chosen], rng)), years[chosen], died[chosen])

    optimise(network.train(), recipe.schedule, loss, state, report)
    return network.eval()


def cox_loss(risk: torch.Tensor, years: torch.Tensor, died: torch.Tensor) -> torch.Tensor:
    """Minus the mean logarithm of the partial likelihood (Cox 1972; ties as by Breslow).

    Args:
        risk: logarithm of relative risk, float (person,).
        years: until death or the end of the follow-up.
        died: bool, whether it was death.

    Returns:
        0 where nobody died.
    """
    at_risk = years[None, :] >= years[:, None]
    together = risk[None, :].masked_fill(~at_risk, -torch.inf).logsumexp(dim=1)
    return ((together - risk) * died).sum() / died.sum().clamp(min=1)


def concordance(risk: npt.NDArray[Any], years: npt.NDArray[Any], died: npt.NDArray[np.bool_]) -> float:
    """Harrell's C: of the pairs whose order is known, the share in which who died first had more risk.

    Raises:
        ValueError: the order of no pair is known.
    """
    known = died[:, None] & (years[:, None] < years[None, :])
    if not known.any():
        raise ValueError("there is no pair of which it is known who died first")
    right = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return float(right[known].mean())


def balanced_shares(age_years: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How likely each face is drawn so that every decade of age is as likely as the others."""
    _, decade, count = np.unique(age_years // 10, return_inverse=True, return_counts=True)
    return np.asarray(1 / (count[decade] * len(count)), dtype=np.float64)


def _balanced(schedule: Schedule) -> Schedule:
    return replace(
        schedule, steps=max(1, schedule.steps // 2), learning_rate=_BALANCED_RATE * schedule.learning_rate
    )
