"""The losses, the cases, and a training that ends the same whether interrupted or not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.body_part.anatomy import LANDMARKS
from algorithms.body_part.augmentation import augment
from algorithms.body_part.calibration import calibrate, raw_scores
from algorithms.body_part.cases import Case, read
from algorithms.body_part.losses import distance_loss, level_loss, order_loss
from algorithms.body_part.network import SliceRegressor
from algorithms.body_part.normalisation import NormalisedRegressor
from algorithms.body_part.scores import rescale, smooth
from algorithms.body_part.training import Recipe, draw, train

RECIPE = Recipe(
    shrink=1, widths=(2, 2, 4, 4, 4), convolutions=(1,) * 5, steps=6, volumes=2, slices=4, gap_mm=(5.0, 20.0)
)


@pytest.fixture(scope="module")
def cases():
    """A cone that widens from the feet to the head."""
    y, x = np.mgrid[:32, :32] - 15.5
    radius = np.linspace(3, 14, 40)[:, None, None]
    slices = np.where(x**2 + y**2 < radius**2, -0.58, -1.0).astype(np.float16)
    return [Case(slices, 5.0, {"pelvis_start": 2.0, "Th7": 20.0, "eyes_end": 36.0})]


@given(gap=st.floats(2, 50), slope=st.floats(0.01, 0.2))
def test_scores_that_rise_by_a_twentieth_of_the_gap_are_in_best_order(gap, slope):
    gaps = torch.tensor([gap])

    def loss(per_mm):
        return float(order_loss(torch.arange(8.0)[None] * per_mm * gap, gaps))

    assert loss(0.05) == pytest.approx(0, abs=1e-6)
    assert loss(slope) >= loss(0.05)
    assert loss(-slope) > loss(slope)


def test_equal_steps_have_no_distance_loss_and_unequal_ones_have():
    assert float(distance_loss(torch.arange(8.0)[None] * 3.7)) == pytest.approx(0, abs=1e-9)
    assert float(distance_loss(torch.tensor([[0.0, 1.0, 4.0]]))) > 0.1


def test_unknown_levels_do_not_count(cases):
    batch = draw([replace(cases[0], landmarks={})], RECIPE, np.random.default_rng(0))
    assert batch.levels.isnan().all()
    assert float(level_loss(torch.arange(8.0).reshape(2, 4), batch.levels)) == 0.0


def test_slices_are_drawn_upwards_at_one_gap(cases):
    for seed in range(20):
        batch = draw(cases, RECIPE, np.random.default_rng(seed))
        assert batch.slices.shape == (2, 4, 32, 32)
        steps = batch.levels.diff(dim=1)
        assert (steps[steps.isfinite()] > 0).all()
        assert ((batch.gaps_mm >= 5) & (batch.gaps_mm <= 20)).all()


def test_a_volume_shorter_than_the_gaps_is_used_whole(cases):
    short = Case(cases[0].slices[:5], 5.0, {})
    batch = draw([short], RECIPE, np.random.default_rng(0))
    assert batch.gaps_mm.tolist() == [5.0, 5.0]


def test_a_case_runs_from_the_feet_whatever_the_order_of_the_volume(linear_volume):
    heights = {"pelvis_start": 300.0, "eyes_end": 1150.0}
    upwards = Case.of(linear_volume(), heights)
    downwards = Case.of(linear_volume(descending=True), heights)
    assert np.array_equal(upwards.slices, downwards.slices)
    assert upwards.landmarks == pytest.approx(downwards.landmarks)
    assert upwards.landmarks["pelvis_start"] == 24.0  # the empty lowest slice is left out
    assert upwards.levels[24] == 0.0
    assert upwards.levels[14] == pytest.approx(-10 * 8.0 * 0.118)
    assert np.isnan(upwards.levels[11])


def test_a_case_is_read_from_a_file(linear_volume, tmp_path):
    volume = linear_volume()
    path = tmp_path / "body.npz"
    np.savez(
        path,
        voxels=volume.voxels.astype(np.int16),
        affine_mm=volume.affine_mm,
        landmarks=np.array(["pelvis_start"]),
        heights_mm=np.array([300.0]),
    )
    case = read(path)
    assert case.landmarks == {"pelvis_start": 24.0}
    assert case.slices.shape == (145, 128, 128)


def test_nothing_above_the_crown_is_kept(linear_volume):
    case = Case.of(linear_volume(), {"head_end": 1100.0})
    assert len(case.slices) == 125


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_augmentation_keeps_shape_and_range_and_follows_its_seed(seed):
    slices = torch.linspace(-1, 1, 128).expand(3, 128, 128).contiguous()
    once, again = (augment(slices, np.random.default_rng(seed)) for _ in range(2))
    assert once.shape == slices.shape
    assert torch.equal(once, again)
    assert float(once.min()) >= -1
    assert float(once.max()) <= 1


def test_normalisation_is_folded_without_a_change_of_the_scores():
    torch.manual_seed(0)
    network = NormalisedRegressor(SliceRegressor((3, 4, 5, 6, 7), (1, 1, 2, 1, 1)))
    for _ in range(3):
        network(torch.randn(4, 1, 64, 64) * 2 + 1)
    slices = torch.randn(5, 1, 64, 64)
    with torch.no_grad():
        before = network.eval()(slices)
        after = network.folded()(slices)
    assert after.numpy() == pytest.approx(before.numpy(), abs=1e-5)


def test_levels_count_less_after_two_fifths_of_the_steps():
    recipe = replace(RECIPE, steps=10, level_weights=(1.0, 0.1))
    assert [recipe.level_weight(step) for step in range(10)] == [1.0] * 4 + [0.1] * 6


def test_the_training_is_the_same_interrupted_or_not(cases, tmp_path, monkeypatch):
    whole = train(cases, RECIPE, tmp_path / "whole.pt", lambda *_: None)
    monkeypatch.setattr("algorithms.body_part.training._EVERY", 3)

    class Interrupted(Exception):
        pass

    def interrupt(done, _loss):
        if done == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(cases, RECIPE, tmp_path / "parts.pt", interrupt)
    resumed = train(cases, RECIPE, tmp_path / "parts.pt", lambda *_: None)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    recipe = replace(RECIPE, widths=(4, 8, 16, 16, 16), steps=100, learning_rate=1e-2, volumes=4, slices=6)
    return train(cases, recipe, tmp_path_factory.mktemp("training") / "state.pt", lambda *_: None)


def test_a_short_training_learns_the_order(cases, trained):
    scores = raw_scores(trained, 1, cases[0])
    assert np.corrcoef(scores, np.arange(len(scores)))[0, 1] > 0.9


def test_the_reference_puts_the_ends_at_0_and_100(cases, trained):
    reference = calibrate(trained, 1, cases)
    assert reference.landmarks["pelvis_start"] == pytest.approx(0, abs=1e-3)
    assert reference.landmarks["eyes_end"] == pytest.approx(100, abs=1e-3)
    assert reference.landmarks.keys() == LANDMARKS.keys()
    levels = smooth(rescale(raw_scores(trained, 1, cases[0]), reference), 5.0)
    assert reference.landmarks["Th7"] == pytest.approx(levels[20], abs=1e-2)
    between = [reference.landmarks[name] for name in ("L5", "Th7", "C4")]
    assert between == sorted(between)


def test_a_scale_without_an_end_is_refused(cases, trained):
    with pytest.raises(ValueError, match="eyes_end"):
        calibrate(trained, 1, [replace(cases[0], landmarks={"pelvis_start": 2.0, "Th7": 20.0})])
