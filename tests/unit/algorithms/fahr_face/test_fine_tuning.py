"""Faces are learnt from; an interrupted training ends like one that was not."""

from dataclasses import replace
from itertools import pairwise
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.fahr_face.cases import Cases, followed, synthetic
from algorithms.fahr_face.fine_tuning import (
    FineTuning,
    balanced_shares,
    concordance,
    cox_loss,
    learn_age,
    learn_survival,
)
from algorithms.fahr_face.network import Architecture, FaceTransformer
from algorithms.fahr_face.pretraining import Pretraining, pretrain, targets
from algorithms.optimisation import Schedule

SMALL = Architecture(dimension=16, depth=1, hidden=16, patch=16, grid=7, outputs=1, heads=2)
RECIPE = FineTuning(Schedule(2, 1e-3, weight_decay=0.01), batch=4)


@pytest.fixture(scope="module")
def cases() -> Cases:
    return synthetic(range(8))


def network() -> FaceTransformer:
    torch.manual_seed(1)
    return FaceTransformer(SMALL)


def silently(_step: int, _loss: float) -> None:
    pass


def test_the_partial_likelihood_is_that_of_a_case_done_by_hand() -> None:
    risk, years = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    first = 0.5 - log(exp(0.5) + exp(-1.0) + exp(2.0))
    second = -1.0 - log(exp(-1.0) + exp(2.0))
    loss = cox_loss(risk, years, torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx(-(first + second) / 2, abs=1e-6)


def test_a_step_in_which_nobody_died_teaches_nothing() -> None:
    risk = torch.zeros(3, requires_grad=True)
    cox_loss(risk, torch.arange(3.0), torch.zeros(3, dtype=torch.bool)).backward()
    assert risk.grad is not None
    assert not risk.grad.any()


def test_concordance_is_the_share_of_pairs_in_the_right_order() -> None:
    years, died = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])
    assert concordance(-years, years, died) == 1
    assert concordance(years, years, died) == 0
    assert concordance(np.zeros(4), years, died) == 0.5
    assert concordance(np.array([3.0, 4.0, 1.0, 2.0]), years, died) == pytest.approx(4 / 5)


def test_concordance_without_a_known_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair"):
        concordance(np.zeros(2), np.ones(2), np.zeros(2, dtype=np.bool_))


def test_every_decade_is_drawn_as_often() -> None:
    ages = np.array([21.0, 25, 29, 33, 35, 71])
    shares = balanced_shares(ages)
    assert shares.sum() == pytest.approx(1)
    assert [shares[ages // 10 == decade].sum() for decade in (2, 3, 7)] == pytest.approx([1 / 3] * 3)


def test_survival_follows_the_hazard() -> None:
    ends = [
        np.mean([followed(hazard, np.random.default_rng(seed))[1] for seed in range(300)])
        for hazard in (0.01, 0.1, 1.0)
    ]
    assert all(later > earlier + 0.2 for earlier, later in pairwise(ends))


@pytest.mark.parametrize("learn", [learn_age, learn_survival])
def test_an_interrupted_training_ends_the_same(learn, cases: Cases, tmp_path: Path) -> None:
    whole = learn(network(), cases, RECIPE, tmp_path / "whole", silently)

    class Interrupted(Exception):
        pass

    def interrupt(_step: int, _loss: float) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        learn(network(), cases, RECIPE, tmp_path / "parts", interrupt)
    resumed = learn(network(), cases, RECIPE, tmp_path / "parts", silently)
    for key, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], tensor, rtol=0, atol=0)


def test_a_network_learns_the_ages_of_a_few_faces(cases: Cases, tmp_path: Path) -> None:
    few = replace(cases, age_years=np.linspace(20, 90, len(cases), dtype=np.float32))
    recipe = FineTuning(Schedule(60, 3e-3, weight_decay=0.0), batch=8)
    losses: list[float] = []
    learn_age(
        network(),
        few,
        FineTuning(replace(recipe.schedule, steps=1), 8),
        tmp_path / "1",
        lambda _step, loss: losses.append(loss),
    )
    learn_age(network(), few, recipe, tmp_path / "60", lambda _step, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_the_autoencoder_learns_to_draw_what_is_hidden(cases: Cases, tmp_path: Path) -> None:
    losses: list[float] = []
    for steps in (1, 40):
        recipe = Pretraining(SMALL, Schedule(steps, 3e-3, weight_decay=0.0), batch=8)
        pretrain(cases, recipe, tmp_path / str(steps), lambda _step, loss: losses.append(loss))
    assert losses[1] < 0.9 * losses[0]


def test_the_pixels_of_a_patch_are_drawn_without_their_mean_and_deviation() -> None:
    pieces = targets(torch.randn(2, 3, 112, 112) * 3 + 1, 16)
    assert pieces.shape == (2, 49, 768)
    torch.testing.assert_close(pieces.mean(dim=2), torch.zeros(2, 49), atol=1e-4, rtol=0)
    torch.testing.assert_close(pieces.std(dim=2), torch.ones(2, 49), atol=1e-2, rtol=0)
