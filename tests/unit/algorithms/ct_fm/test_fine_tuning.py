"""Segmentation learned from labelled CTs, from an encoder on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms import optimisation
from algorithms.ct_fm.fine_tuning import FineTuning, LabelledCase, draw, finetune, save
from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.tumour import Tumour
from algorithms.optimisation import Schedule
from algorithms.protocol import Volume, silent
from algorithms.weights import Store, WeightsFaulty

ENCODER = Architecture(4, (1, 1, 1))
RECIPE = FineTuning.sized(ENCODER, 2, 4.0, 16, 4, 2e-3, seed=3)


@pytest.fixture(scope="module")
def ball():
    """A dense ball in soft tissue, stored from the head down."""
    grid = np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), axis=-1)
    labels = (np.linalg.norm(grid - (14, 18, 15), axis=-1) < 6).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 20, labels.shape)
    affine = np.array([[0, 0, 4.0, -60], [0, 4.0, 0, -60], [-4.0, 0, 0, 60], [0, 0, 0, 1]])
    voxels = (30 + 600.0 * labels + noise).astype(np.float32)
    return Volume(voxels, affine, "HU", "CT", tuple(f"1.{i}" for i in range(32))), labels


@pytest.fixture(scope="module")
def case(ball):
    return LabelledCase.of(*ball, RECIPE)


def test_labels_follow_the_image_onto_the_grid_of_the_network(ball, case):
    assert case.labels.sum() == ball[1].sum()
    assert case.voxels[case.labels == 1].astype(float).mean() > 1.2 * case.voxels[case.labels == 0].mean()
    assert (case.labels[tuple(case.places.T)] == 1).all()


def test_patches_come_with_their_labels(case):
    images, labels = draw([case], replace(RECIPE, patches=6), np.random.default_rng(0))
    assert images.shape == labels.shape == (6, 1, 16, 16, 16)
    assert float(images[labels == 1].mean()) > float(images[labels == 0].mean())


def test_the_training_is_the_same_interrupted_or_not(case, tmp_path, monkeypatch):
    whole = finetune([case], RECIPE, None, tmp_path / "whole.state", lambda *_: None, "cpu")
    monkeypatch.setattr(optimisation, "_EVERY", 2)

    class Interrupted(Exception):
        pass

    def interrupt(done, _loss):
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        finetune([case], RECIPE, None, tmp_path / "parts.state", interrupt, "cpu")
    resumed = finetune([case], RECIPE, None, tmp_path / "parts.state", lambda *_: None, "cpu")
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def test_the_network_starts_from_the_encoder(case, tmp_path):
    torch.manual_seed(11)
    encoder = ENCODER.encoder().state_dict()
    still = replace(RECIPE, schedule=Schedule(1, 0.0, 0.0))
    network = finetune([case], still, encoder, tmp_path / "state", lambda *_: None, "cpu")
    assert torch.equal(network.encoder.conv_init.weight, encoder["conv_init.weight"])


def test_an_encoder_of_another_size_is_refused(case, tmp_path):
    other = Architecture(2, (1, 1, 1)).encoder().state_dict()
    with pytest.raises(WeightsFaulty, match="shape"):
        finetune([case], RECIPE, other, tmp_path / "state", lambda *_: None, "cpu")


def test_what_was_learned_is_found_by_the_algorithm_that_loads_it(ball, case, tmp_path):
    recipe = replace(RECIPE, schedule=Schedule(60, 5e-3, 1e-5))
    network = finetune([case], recipe, None, tmp_path / "state", lambda *_: None, "cpu")
    save(tmp_path, "ct-fm-tumor", network, recipe, ["tumor"], "a ball")
    volume, labels = ball
    found = Tumour.from_options({}, "cpu", Store((tmp_path,))).run(volume, silent).segments
    mask = found[0].on_grid(labels.shape)
    assert 2 * (mask & (labels == 1)).sum() / (mask.sum() + labels.sum()) > 0.8
