"""A network whose score is known beforehand, and a volume for it."""

import numpy as np
import pytest
import torch

from algorithms import weights
from algorithms.body_part.network import SliceRegressor
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.body_part.scores import Reference
from algorithms.protocol import Volume

SPACING_MM = 8.0
LOWEST_SCORE, HIGHEST_SCORE = -20.0, 115.0
BRIGHTEST_HU = 200.0
SCORE_PER_HU = 0.4


def meter():
    """Network of the published kind that gives 1 for air, 0 for 250 HU, and a line between."""
    network = SliceRegressor((1, 1, 1, 1, 1), (1, 1, 1, 1, 1))
    tensors = {key: torch.zeros_like(tensor) for key, tensor in network.state_dict().items()}
    for key, tensor in tensors.items():
        if key.endswith("weight") and key.startswith("model"):
            tensor[0, 0, 1, 1] = 1.0
    tensors["model.0.weight"][0, 0, 1, 1] = -1.0
    tensors["conv6.weight"][:] = 1.0
    tensors["fc7.weight"][:] = -1250.0 * SCORE_PER_HU
    tensors["fc7.bias"][:] = (250.0 - BRIGHTEST_HU) * SCORE_PER_HU + HIGHEST_SCORE
    return tensors


def make_linear_volume(slices=146, *, spacing_mm=SPACING_MM, lowest=LOWEST_SCORE, descending=False):
    """Each slice all of one value, so that its score is known; the lowest is empty."""
    scores = lowest + 0.118 * SPACING_MM * np.arange(slices)
    hu = BRIGHTEST_HU + (scores - HIGHEST_SCORE) / SCORE_PER_HU
    hu[0] = -1000.0
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = spacing_mm, 7.0, 7.0, 1.0
    affine[:3, 3] = -224.0, -224.0, 100.0
    voxels = np.broadcast_to(hu[:, None, None], (slices, 64, 64)).astype(np.float32)
    uids = tuple(f"1.2.{i}" for i in range(slices))
    if descending:
        voxels, uids = voxels[::-1], uids[::-1]
        affine[2, 3] += (slices - 1) * spacing_mm
        affine[2, 0] = -spacing_mm
    return Volume(np.ascontiguousarray(voxels), affine, "HU", "CT", uids)


@pytest.fixture(scope="session")
def linear_regressor(tmp_path_factory):
    """Its scores are on the published scale already."""
    config = {
        "network": {"widths": [1] * 5, "convolutions": [1] * 5, "shrink": 1},
        "reference": Reference((0.0, 100.0)).as_config(),
    }
    checkpoint = weights.save(tmp_path_factory.mktemp("weights"), "linear", meter(), config, {})
    return BodyPartRegressor(checkpoint, "cpu")


@pytest.fixture(scope="session")
def linear_volume():
    return make_linear_volume
