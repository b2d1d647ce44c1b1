"""The published network, key by key, and weights that do not fit it."""

import numpy as np
import pytest
import torch

from algorithms import weights
from algorithms.body_part.network import VGG16, SliceRegressor, build
from algorithms.body_part.preprocessing import prepare
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.body_part.scores import Reference
from algorithms.protocol import Volume
from algorithms.weights import WeightsFaulty

PUBLISHED = {
    0: (64, 1),
    2: (64, 64),
    5: (128, 64),
    7: (128, 128),
    10: (256, 128),
    12: (256, 256),
    14: (256, 256),
    17: (512, 256),
    19: (512, 512),
    21: (512, 512),
    24: (512, 512),
    26: (512, 512),
    28: (512, 512),
}
"""Index in `model` and channels of each convolution of the published state_dict."""


def published_tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = {f"model.{i}.weight": (*channels, 3, 3) for i, channels in PUBLISHED.items()}
    shapes |= {f"model.{i}.bias": (channels[0],) for i, channels in PUBLISHED.items() if i}
    shapes |= {
        "conv6.weight": (512, 512, 1, 1),
        "conv6.bias": (512,),
        "fc7.weight": (1, 512),
        "fc7.bias": (1,),
    }
    return {key: torch.randn(shape, generator=generator) * 0.02 for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = {"reference": {"raw_ends": [1.0, 43.0]}}
    return weights.save(tmp_path_factory.mktemp("weights"), "bpr", published_tensors(), config, {})


def test_the_published_keys_and_shapes_are_those_of_the_network():
    network = build({})
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == {
        k: tuple(v.shape) for k, v in published_tensors().items()
    }
    assert sum(p.numel() for p in network.parameters()) == 14_976_641


def test_the_layers_pool_where_vgg16_does():
    kinds = [type(layer).__name__ for layer in SliceRegressor(VGG16["widths"], VGG16["convolutions"]).model]
    assert [i for i, kind in enumerate(kinds) if kind == "MaxPool2d"] == [4, 9, 16, 23, 30]


def test_published_weights_are_loaded_and_give_their_scores(checkpoint, tmp_path):
    regressor = BodyPartRegressor(checkpoint, "cpu")
    network = build({})
    network.load_state_dict(published_tensors())
    volume = _volume()
    slices = torch.from_numpy(_prepared(volume))[:, None]
    with torch.inference_mode():
        expected = network(slices).double().numpy()
    assert regressor.scores(volume, lambda *_: None) == pytest.approx(expected, rel=1e-5)
    assert regressor.reference.raw_ends == (1.0, 43.0)
    assert regressor.reference.landmarks["Th7"] == 59.851


@pytest.mark.parametrize("key", ["fc7.bias", "model.28.weight"])
def test_a_missing_tensor_is_named(tmp_path, key):
    tensors = published_tensors()
    del tensors[key]
    faulty = weights.save(tmp_path, "bpr", tensors, {"reference": {"raw_ends": [0, 1]}}, {})
    with pytest.raises(WeightsFaulty, match=key):
        BodyPartRegressor(faulty, "cpu")


def test_a_configuration_without_the_ends_of_the_scale_is_refused(tmp_path):
    faulty = weights.save(tmp_path, "bpr", published_tensors(), {}, {})
    with pytest.raises(WeightsFaulty, match="pelvis_start"):
        BodyPartRegressor(faulty, "cpu")


def test_a_configuration_without_a_landmark_is_refused():
    config = {"reference": {"raw_ends": [0, 1], "landmarks": {"L5": 25.0}}}
    with pytest.raises(WeightsFaulty, match="landmark C1"):
        Reference.from_config(config, "bpr")


def _volume():
    voxels = np.random.default_rng(0).normal(0, 300, (3, 40, 50)).astype(np.float32)
    return Volume(voxels, np.diag([5.0, 4.0, 4.0, 1.0])[[2, 1, 0, 3]], "HU", "CT", ("1", "2", "3"))


def _prepared(volume):
    return np.concatenate(list(prepare(volume)))
