"""The recipe learns, and an interrupted training ends as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.ct_fm import triage_training
from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.triage_augmentation import Head, augment
from algorithms.ct_fm.triage_heads import StoredHead
from algorithms.ct_fm.triage_learning import Schedule, learn, settle
from algorithms.ct_fm.triage_levels import LowerLevels, UpperLevels, coarser, shares_of, where_loss
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import SHAPE, windowed

SMALL = Architecture(init_filters=2, blocks_down=(1, 1, 1, 1, 1))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def skull(bleeds: bool, seed: int) -> Head:
    """A ball of brain in a shell of bone, with or without a cube of blood."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:48, :128, :128]
    radius = np.sqrt((5 * (z - 24)) ** 2 + (2 * (y - 64)) ** 2 + (2 * (x - 64)) ** 2)
    hu = np.select([radius < 70, radius < 76], [35.0, 900.0], -1000.0) + rng.normal(0, 3, SHAPE)
    bleed = np.zeros(SHAPE)
    if bleeds:
        at = rng.integers((20, 50, 50), (26, 70, 70))
        bleed[at[0] : at[0] + 4, at[1] : at[1] + 10, at[2] : at[2] + 10] = 1.0
    hu = np.where(bleed > 0, 70.0, hu)
    return Head(torch.from_numpy(hu).float(), torch.from_numpy(bleed).float())


@pytest.fixture
def heads(tmp_path: Path) -> list[StoredHead]:
    stored = []
    for seed in range(4):
        head, file = skull(seed % 2 == 1, seed), tmp_path / f"{seed}.npz"
        hu, bleed = head.hu.numpy().astype(np.int16), (255 * head.bleed).numpy().astype(np.uint8)
        np.savez(file, hu=hu, bleed=bleed, kind="cube" if seed % 2 else "")
        stored.append(StoredHead(file, seed % 2 == 1))
    return stored


class Line(torch.nn.Module):
    """Fits a line."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((self.layer(x) - y) ** 2).mean()[None]


def points(step: int) -> tuple[torch.Tensor, ...]:
    x = torch.randn(32, 1, generator=torch.Generator().manual_seed(step))
    return x, 3 * x - 1


def test_learning_finds_the_line(tmp_path) -> None:
    torch.manual_seed(0)
    line = Line()
    learn(line, points, Schedule(400, 32, 5e-2), tmp_path / "state.pt")
    assert line.layer.weight.item() == pytest.approx(3, abs=0.05)
    assert line.layer.bias.item() == pytest.approx(-1, abs=0.05)


def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path) -> None:
    class Interrupted(Exception):
        pass

    def until_interrupted(step: int) -> tuple[torch.Tensor, ...]:
        if step == 130:
            raise Interrupted
        return points(step)

    schedule = Schedule(150, 32, 1e-2)
    lines = []
    for _ in range(2):
        torch.manual_seed(0)
        lines.append(Line())
    learn(lines[0], points, schedule, tmp_path / "whole.pt")
    with pytest.raises(Interrupted):
        learn(lines[1], until_interrupted, schedule, tmp_path / "state.pt")
    learn(lines[1], points, schedule, tmp_path / "state.pt")
    torch.testing.assert_close(lines[1].state_dict(), lines[0].state_dict())


def test_rate_rises_then_falls_to_nearly_nothing() -> None:
    schedule = Schedule(100, 1, 1.0, warm_up=10)
    rates = [schedule.rate(step) for step in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 0.02


def test_settled_norms_have_the_statistics_of_the_batches() -> None:
    norm = torch.nn.BatchNorm3d(1)
    frozen = torch.nn.BatchNorm3d(1).eval()
    module = torch.nn.Sequential(norm, frozen)
    batches = [(5 + 2 * torch.randn(4, 1, 4, 4, 4, generator=torch.manual_seed(i)),) for i in range(20)]
    settle(module, batches)
    assert float(norm.running_mean) == pytest.approx(5, abs=0.2)
    assert float(norm.running_var) == pytest.approx(4, abs=0.4)
    assert float(frozen.running_mean) == 0.0


def test_both_parts_together_are_the_whole_network() -> None:
    torch.manual_seed(2)
    network = TriageNetwork(SMALL).eval()
    lower, upper = LowerLevels(network).eval(), UpperLevels(network).eval()
    hu = skull(True, 1).hu[None, 8:40, 32:96, 32:96]
    with torch.inference_mode():
        features = lower.below(hu)
        for level in upper.layers:
            features = level["downsample"](level["blocks"](features))
        torch.testing.assert_close(upper.head(features).flatten(), network(windowed(hu[:, None])))


def test_the_folded_head_says_what_the_scaled_one_said() -> None:
    torch.manual_seed(3)
    network = TriageNetwork(SMALL)
    upper = UpperLevels(network).eval()
    upper.scale.running_mean.normal_()
    upper.scale.running_var.uniform_(1e-4, 1e-2)
    features = torch.randn(2, 32, 2, 2, 2)
    pooled = features.mean(dim=(2, 3, 4))
    scaled = torch.nn.Sequential(upper.scale, *list(upper.head)[2:])(pooled)
    upper.fold()
    torch.testing.assert_close(network.head(features), scaled, rtol=1e-4, atol=1e-4)


def test_training_the_upper_levels_leaves_the_lower_ones_alone() -> None:
    network = TriageNetwork(SMALL)
    of_lower = {id(p) for p in network.encoder.layers[:3].parameters()}
    assert of_lower.isdisjoint(id(p) for p in UpperLevels(network).parameters())


def test_cells_with_a_little_blood_count_for_nothing() -> None:
    shares = torch.tensor([0.0, 0.1, 0.5]).reshape(1, 1, 1, 3)
    logits = torch.zeros(1, 1, 4, 1, 3)
    base = where_loss(logits, shares)
    for cell, changes in ((0, True), (1, False), (2, True)):
        other = logits.clone()
        other[..., :2, :, cell] = 3.0
        assert (where_loss(other, shares) != base) == changes
    other = logits.clone()
    other[:, :, 2:] = 3.0  # the two windows that do not show blood
    assert where_loss(other, shares) == base


def test_shares_are_of_cells_of_four_voxels_and_coarser_cells_have_the_greatest() -> None:
    bleed = torch.zeros(1, 16, 16, 16)
    bleed[0, :4, :4, :2] = 1.0
    shares = shares_of(bleed)
    assert shares.shape == (1, 4, 4, 4)
    assert float(shares[0, 0, 0, 0]) == 0.5
    assert coarser(shares, 4).flatten().tolist() == [0.5]


def test_half_of_the_pieces_of_a_bleeding_head_are_about_blood(heads) -> None:
    hu, bleed = triage_training.pieces_of(heads)
    assert hu.shape == bleed.shape == (4 * 12, 16, 32, 32)
    showing = (bleed > 0.5).flatten(1).any(1).reshape(4, 12).sum(1)
    assert showing[0] == showing[2] == 0
    assert showing[1] + showing[3] >= 8


def test_augmented_blood_stays_where_it_is_dense() -> None:
    head = skull(True, 5)
    for seed in range(6):
        changed = augment(head, np.random.default_rng(seed))
        assert changed.hu.shape == SHAPE
        assert changed.bleed_ml == pytest.approx(head.bleed_ml, rel=0.35)
        inside = changed.hu[changed.bleed > 0.9]
        assert float(inside.mean()) == pytest.approx(70, abs=9)


def test_augmentation_follows_from_the_seed() -> None:
    head = skull(True, 5)
    first, second, third = (augment(head, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.hu, second.hu)
    assert not torch.equal(first.hu, third.hu)


def test_a_stored_head_is_read_back(heads) -> None:
    read = heads[1].read()
    assert heads[1].kind == "cube"
    assert read.bleed_ml == pytest.approx(skull(True, 1).bleed_ml)
    assert float(read.hu[read.bleed > 0].mean()) == 70.0
