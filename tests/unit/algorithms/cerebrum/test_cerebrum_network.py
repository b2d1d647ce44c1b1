"""The network of CEREBRUM has the published tensors, and slabs of it are the whole of it."""

import numpy as np
import pytest
import torch

from algorithms.cerebrum import whole_volume
from algorithms.cerebrum.network import Architecture, CerebrumNetwork, shapes
from algorithms.protocol import silent


@pytest.mark.parametrize(
    ("filters", "classes", "parameters"),
    [(24, 7, 1_233_631), (48, 7, 4_931_383), (48, 8, 4_931_432)],
)
def test_both_published_widths_have_the_published_number_of_parameters(filters, classes, parameters) -> None:
    found = shapes({"filters": filters, "classes": classes})
    assert sum(int(np.prod(shape)) for shape in found.values()) == parameters


def test_the_tensors_are_named_by_the_layers_of_the_keras_model() -> None:
    found = shapes({})
    assert found["enc_lvl1_block1_conv.weight"] == (24, 1, 3, 3, 3)
    assert found["down_1to2_conv.weight"] == (48, 24, 4, 4, 4)
    assert found["up_2to1_conv.weight"] == (48, 24, 4, 4, 4)
    assert found["main_output.weight"] == (7, 24, 1, 1, 1)


@pytest.mark.parametrize("planes", [8, 16, 24, 40])
def test_slabs_give_what_the_whole_network_gives(planes: int) -> None:
    torch.manual_seed(planes)
    network = CerebrumNetwork(Architecture(4, 5)).eval()
    voxels = np.random.default_rng(planes).standard_normal((planes, 16, 24)).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(voxels)[None, None])[0].numpy()
    found = whole_volume.logits_of(network, voxels, torch.device("cpu"), silent)
    assert np.abs(found - wanted).max() < 1e-5
    assert wanted.std() > 0.01
