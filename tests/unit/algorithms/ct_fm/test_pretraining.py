"""The loss, the views, and a training that ends the same whether interrupted or not."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import optimisation
from algorithms.ct_fm.cases import Case, mixed
from algorithms.ct_fm.embedding import Encoder
from algorithms.ct_fm.network import Architecture, embed
from algorithms.ct_fm.pretraining import Recipe, draw, nt_xent, pretrain, save
from algorithms.ct_fm.views import view
from algorithms.optimisation import Schedule
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.weights import Store

RECIPE = replace(
    Recipe.sized(filters=2, spacing_mm=8.0, patch=16, steps=4, learning_rate=1e-3, seed=5),
    architecture=Architecture(2, (1, 1, 1)),
    crops=3,
)


@pytest.fixture(scope="module")
def case():
    """A body of unlike spheres."""
    rng = np.random.default_rng(1)
    voxels = np.full((60, 40, 40), -1000.0, dtype=np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), axis=-1)
    for _ in range(30):
        centre, radius = rng.uniform(5, 35, 3) * (1.5, 1, 1), rng.uniform(3, 8)
        voxels[np.linalg.norm(grid - centre, axis=-1) < radius] = rng.uniform(-100, 900)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = 8.0, 8.0, 8.0, 1.0
    return Case.of(Volume(voxels, affine, "HU", "CT", tuple(map(str, range(60)))), RECIPE.spacing_mm)


def test_the_loss_is_that_of_the_paper():
    """Two crops at right angles, their looks alike: each look is told from two others."""
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).expand(1, 2, 2, 2)
    wanted = -log(np.exp(1 / 0.5) / (np.exp(1 / 0.5) + 2))
    assert float(nt_xent(points, 0.5)) == pytest.approx(wanted, rel=1e-6)


def test_other_scans_are_no_negatives():
    torch.manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(3, 2, 5, 8), dim=-1)
    alone = torch.stack([nt_xent(scan[None], 0.1) for scan in points]).mean()
    assert float(nt_xent(points, 0.1)) == pytest.approx(float(alone), rel=1e-5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16))
def test_views_keep_shape_and_range_and_follow_their_seed(case, seed):
    place = case.places[seed % len(case.places)]
    once, again = (view(case, place, (16, 16, 24), np.random.default_rng(seed)) for _ in range(2))
    assert once.shape == (16, 16, 24)
    assert torch.equal(once, again)
    assert float(once.min()) >= 0
    assert float(once.max()) <= 1


def test_two_looks_at_one_place_are_more_alike_than_at_two(case):
    alike, unlike = [], []
    for seed in range(20):
        looks = draw([case], replace(RECIPE, scans=1, crops=2), np.random.default_rng(seed))[0].flatten(2)
        (a, _), (c, d) = looks
        alike.append(np.corrcoef(a, c)[0, 1])
        unlike.append(np.corrcoef(a, d)[0, 1])
    assert np.nanmean(alike) > np.nanmean(unlike) + 0.2


def test_crops_are_taken_inside_the_body(case):
    assert (case.voxels[tuple(case.places.astype(int).T)] > 0.03).all()


def test_values_without_a_scale_are_not_learned_from():
    volume = Volume(np.zeros((20, 20, 20), np.float32), np.eye(4), "arbitrary", "CT", ("1",) * 20)
    with pytest.raises(Unsuitable, match="Hounsfield"):
        Case.of(volume, (4.0, 4.0, 4.0))


@pytest.mark.parametrize(("phantoms", "scans", "total"), [(12, 2, 16), (2, 3, 5), (0, 2, 2), (4, 0, 4)])
def test_few_scans_are_repeated_among_many_phantoms(case, phantoms, scans, total):
    assert len(mixed([case] * phantoms, [case] * scans)) == total


def test_the_rate_warms_up_and_falls_to_nothing():
    schedule = Schedule(steps=100, learning_rate=1.0, weight_decay=0.0, warm_up=0.1)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == 1.0
    assert rates[-1] < 1e-3


def test_the_training_is_the_same_interrupted_or_not(case, tmp_path, monkeypatch):
    whole = pretrain([case], RECIPE, tmp_path / "whole.state", lambda *_: None, "cpu")
    monkeypatch.setattr(optimisation, "_EVERY", 2)

    class Interrupted(Exception):
        pass

    def interrupt(done, _loss):
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        pretrain([case], RECIPE, tmp_path / "parts.state", interrupt, "cpu")
    resumed = pretrain([case], RECIPE, tmp_path / "parts.state", lambda *_: None, "cpu")
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def test_a_short_training_tells_places_apart(case, tmp_path, monkeypatch):
    losses = []
    monkeypatch.setattr(optimisation, "_EVERY", 1)
    recipe = replace(RECIPE, schedule=Schedule(40, 1e-2, 1e-6), crops=6)
    pretrain([case], recipe, tmp_path / "state", lambda _done, loss: losses.append(loss), "cpu")
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.2


def test_a_saved_encoder_gives_the_embeddings_it_gave(case, tmp_path):
    encoder = pretrain([case], RECIPE, tmp_path / "state", lambda *_: None, "cpu")
    save(tmp_path, "own", encoder, RECIPE, "a body of spheres")
    loaded = Encoder(Store((tmp_path,)).get("own"), "cpu")
    patches = np.random.default_rng(0).random((3, 16, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        wanted = embed(encoder, torch.from_numpy(patches)[:, None]).numpy()
    assert loaded.vectors(patches, 3, silent) == pytest.approx(wanted, abs=0.02 * float(np.abs(wanted).max()))
    assert loaded.search.spacing_mm == RECIPE.spacing_mm
    assert loaded.embedding.patch == RECIPE.patch
