"""The recipe: patches that follow from their number, a loss that knows a perfect answer, resuming."""

import numpy as np
import pytest
import torch

from algorithms.chest_ct import organ_patches, organ_training
from algorithms.chest_ct.organ_patches import CLASSES, PATCH, class_table, draw
from algorithms.chest_ct.organ_rules import ORGANS
from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label


@pytest.fixture(scope="module")
def torsos():
    made = torso(600_011, bottom_mm=-60.0, top_mm=300.0)
    return [(made.hu.astype(np.int16), made.labels)]


def test_a_patch_follows_from_seed_and_number(torsos):
    one, again, other = (draw(torsos, 5, number) for number in (7, 7, 8))
    assert one.hu.shape == one.classes.shape == PATCH
    assert torch.equal(one.hu, again.hu)
    assert torch.equal(one.classes, again.classes)
    assert not torch.equal(one.hu, other.hu)


def test_patches_show_every_class_in_its_own_range_of_hu(torsos):
    patches = [draw(torsos, 5, number) for number in range(16)]
    hu = torch.cat([patch.hu.flatten() for patch in patches])
    classes = torch.cat([patch.classes.flatten() for patch in patches])
    names = list(CLASSES)
    assert set(classes.unique().tolist()) == set(range(len(names)))
    mean = {name: float(hu[classes == number].mean()) for number, name in enumerate(names)}
    assert mean["lung"] < -500
    assert mean["airway"] < -500
    assert 0 < mean["esophagus"] < 120
    assert mean["vertebra"] > mean["spinal cord"] > -20
    assert float(hu.min()) >= -1024


def test_the_organs_are_classes_and_the_dural_sac_belongs_to_the_cord():
    assert [list(CLASSES).index(organ.lower()) for organ in ORGANS] == [1, 2, 3, 4]
    table = class_table()
    assert table[Label.CAUDA_EQUINA] == table[Label.SPINAL_CORD] == 4
    assert table[Label.FAT] == table[Label.AIR] == 0


def test_the_loss_is_zero_for_a_sure_and_right_answer_and_not_for_a_wrong_one():
    classes = torch.randint(0, 3, (1, 4, 4, 4))
    right = 40.0 * torch.nn.functional.one_hot(classes, len(CLASSES)).permute(0, 4, 1, 2, 3).float()
    assert float(organ_training.loss_of(right, classes, 1.0)) == pytest.approx(0.0, abs=1e-4)
    assert float(organ_training.loss_of(right, (classes + 1) % 3, 0.0)) > 1.0


def test_training_that_was_interrupted_ends_with_the_same_weights(torsos, tmp_path, monkeypatch):
    monkeypatch.setattr(organ_patches, "PATCH", (24, 32, 32))
    monkeypatch.setattr(organ_training, "_SAVE_EVERY", 2)
    monkeypatch.setattr(organ_training, "CONFIG", organ_training.CONFIG | {"widths": [8, 16]})
    schedule = organ_training.Schedule(steps=4, warm_up=2)
    whole = organ_training.train(torsos, schedule, tmp_path / "whole.pt")

    def power_cut(torsos, seed, number):
        if number == 3:
            raise KeyboardInterrupt
        return draw(torsos, seed, number)

    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr(organ_training, "draw", power_cut)
        organ_training.train(torsos, schedule, tmp_path / "parts.pt")
    resumed = organ_training.train(torsos, schedule, tmp_path / "parts.pt")
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_the_learning_rate_warms_up_and_goes_down_to_nothing():
    schedule = organ_training.Schedule(steps=1000, warm_up=100, peak=1e-3)
    rates = [schedule.rate(step) for step in range(1000)]
    assert max(rates) == pytest.approx(1e-3, rel=1e-3)
    assert np.all(np.diff(rates[:100]) > 0)
    assert np.all(np.diff(rates[100:]) < 0)
    assert 0 < rates[-1] < 1e-5
