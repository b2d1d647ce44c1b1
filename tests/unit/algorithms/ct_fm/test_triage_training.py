"""The recipe learns, and an interrupted training ends as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.ct_fm import triage_training
from algorithms.ct_fm.triage_augmentation import Head, augment
from algorithms.ct_fm.triage_heads import StoredHead
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import SHAPE
from algorithms.ct_fm.triage_training import Schedule, draw, losses_of, train_encoder, train_head

SHORT = Schedule(steps=4, piece=(16, 32, 32), heads=2, pieces=1, warm_up=1)


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
        np.savez(file, hu=hu, bleed=bleed, kind="")
        stored.append(StoredHead(file, seed % 2 == 1))
    return stored


def test_an_interrupted_training_ends_as_if_it_had_not_been(heads, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(triage_training, "_SETTLING", 1)
    monkeypatch.setattr(triage_training, "_SAVE_EVERY", 2)
    whole = train_encoder(heads, SHORT, tmp_path / "whole.pt")

    class Interrupted(Exception):
        pass

    def draw_until_interrupted(stored, schedule, step):
        if step == 3:
            raise Interrupted
        return draw(stored, schedule, step)

    with monkeypatch.context() as patched:
        patched.setattr(triage_training, "draw", draw_until_interrupted)
        with pytest.raises(Interrupted):
            train_encoder(heads, SHORT, tmp_path / "state.pt")
    resumed = train_encoder(heads, SHORT, tmp_path / "state.pt")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value)


def test_as_many_pieces_of_bleeding_heads_as_of_others_are_drawn(heads) -> None:
    schedule = Schedule(piece=(16, 32, 32), heads=4, pieces=2)
    pieces = [piece for step in range(5) for piece in draw(heads, schedule, step)]
    assert len(pieces) == 40
    assert {piece.hu.shape for piece in pieces} == {(16, 32, 32)}
    showing = [piece.bleed_ml > 0 for piece in pieces]
    assert 5 <= sum(showing) <= 20
    assert not any(shown for number, shown in enumerate(showing) if number // 2 % 2 == 0)


def test_losses_are_least_where_the_guides_are_right() -> None:
    class Perfect(torch.nn.Module):
        def __init__(self, truth: Head) -> None:
            super().__init__()
            self.bleed = truth.bleed[None, None]

        def forward(self, _windows: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
            cells = [(torch.nn.functional.max_pool3d(self.bleed, 2**k) >= 0.5).float() for k in (2, 3, 4)]
            four = [torch.cat([c, c, 0 * c, 0 * c], dim=2) for c in cells]
            return [40 * c - 20 for c in four[:2]], four[2]

    truth, other = skull(True, 1), skull(True, 3)
    right = losses_of(Perfect(truth), [truth])
    wrong = losses_of(Perfect(truth), [other])
    assert (right < 1e-3).all()
    assert (wrong > 0.01).all()


def test_the_head_learns_the_word_from_pooled_features() -> None:
    torch.manual_seed(1)
    network = TriageNetwork.from_config({"init_filters": 2, "blocks_down": [1, 1, 1, 1, 1]})
    positive = torch.arange(60) % 2 == 1
    features = 1e-3 * torch.randn(60, 32) + 5
    features[positive, 7] += 4e-3
    train_head(network, features, positive)
    logits = torch.nn.Sequential(*list(network.head)[2:])(features).flatten()
    assert ((logits > 0) == positive).float().mean() > 0.95


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
