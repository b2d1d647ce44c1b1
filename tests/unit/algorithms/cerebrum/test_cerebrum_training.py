"""The network learns from labelled heads, goes on where it was interrupted, and is CEREBRUM's in the end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.cerebrum import training
from algorithms.cerebrum.network import Architecture, CerebrumNetwork
from algorithms.cerebrum.randomisation import SHAPE, LabelledHead, draw
from algorithms.cerebrum.training import Guided, Recipe, loss_of, save, shares_of, train
from algorithms.protocol import Volume
from algorithms.weights import Store, check_shapes

NAMES = ("Grey matter", "Cerebellum")


@pytest.fixture(scope="module")
def heads() -> list[LabelledHead]:
    """Bright balls with two structures in them, at 4 mm."""
    made = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        index = np.stack(np.meshgrid(*(np.arange(52),) * 3, indexing="ij"), axis=-1)
        radius = np.linalg.norm(index - 26, axis=-1)
        labels = np.where(radius < 15, np.where(index[..., 0] < 22, 2, 1), 0).astype(np.uint8)
        hu = np.select([labels == 1, labels == 2, radius < 21], [60.0, 90.0, 30.0], 1.0)
        voxels = (hu + rng.normal(0, 2, hu.shape)).astype(np.float32)
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]], affine[3, 3] = 4.0, 1.0
        image = Volume(voxels, affine, "arbitrary", "MR", tuple(map(str, range(52))))
        made.append(LabelledHead.of(image, labels, NAMES))
    return made


def recipe(steps: int) -> Recipe:
    return Recipe.sized(NAMES, 2, steps, 5e-3, seed=1)


def test_a_drawn_head_follows_from_its_number(heads: list[LabelledHead]) -> None:
    (image, labels), (again, _), (other, _) = (
        draw(heads[0], np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert tuple(image.shape[2:]) == tuple(labels.shape[1:]) == SHAPE
    assert torch.equal(image, again)
    assert not torch.equal(image, other)
    assert set(labels.unique().tolist()) == {0, 1, 2}


def test_it_learns(heads: list[LabelledHead], tmp_path: Path) -> None:
    losses: list[float] = []
    network = train(heads, recipe(60), tmp_path / "state", lambda _step, loss: losses.append(loss))
    untrained = CerebrumNetwork(recipe(60).architecture).eval()
    scores = []
    for each in (network, untrained):
        image, classes = draw(heads[0], np.random.default_rng(99))
        with torch.inference_mode():
            scores.append(float(loss_of(each(image), shares_of(classes, 3, 1))))
    assert scores[0] < scores[1]
    assert losses


def test_an_interrupted_training_ends_as_one_that_was_not(heads, tmp_path, monkeypatch) -> None:
    from algorithms import optimisation

    monkeypatch.setattr(optimisation, "_EVERY", 1)
    whole = train(heads, recipe(3), tmp_path / "whole", lambda *_: None)

    class Stopped(Exception):
        pass

    def stop(step: int, _loss: float) -> None:
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(heads, recipe(3), tmp_path / "parts", stop)
    parts = train(heads, recipe(3), tmp_path / "parts", lambda *_: None)
    for key, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, parts.state_dict()[key], atol=1e-6), key


def test_norms_become_part_of_the_published_layers() -> None:
    torch.manual_seed(0)
    guided = Guided(CerebrumNetwork(Architecture(4, 5))).train()
    image = torch.randn(1, 1, 16, 16, 24)
    for _ in range(3):
        guided(image)
    guided.eval()
    with torch.inference_mode():
        wanted, _ = guided(image)
        network = guided.folded()
        assert (network(image) - wanted).abs().max() < 1e-5
    wanted_shapes = {k: tuple(v.shape) for k, v in CerebrumNetwork(Architecture(4, 5)).state_dict().items()}
    check_shapes({k: tuple(v.shape) for k, v in network.state_dict().items()}, wanted_shapes, "folded")


def test_saved_weights_say_how_they_look_at_a_head(tmp_path: Path) -> None:
    save(tmp_path, "cerebrum-3t", CerebrumNetwork(recipe(1).architecture), recipe(1), {"licence": "none"})
    config = Store((tmp_path,)).get("cerebrum-3t").config
    assert (config["spacing_mm"], config["standardised_over"]) == (2.0, "head")
    assert config["structures"] == list(NAMES)
    assert training.SPACING_MM == 2.0
