"""Computing anew only what a covered box changes gives the logit of the whole network."""

import numpy as np
import pytest
import torch

from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_occlusion import BRAIN_HU, CoveredLogits, occlusion_sensitivity
from algorithms.ct_fm.triage_preparation import windowed
from algorithms.protocol import silent
from algorithms.saliency import Box


def network_of(blocks_down: tuple[int, ...]) -> TriageNetwork:
    torch.manual_seed(5)
    network = TriageNetwork(Architecture(init_filters=2, blocks_down=blocks_down))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    return network.eval()


def head() -> torch.Tensor:
    hu = torch.full((1, 1, 16, 80, 64), -1000.0)
    hu[..., 3:13, 10:70, 10:54] = 30.0 + 40.0 * torch.rand(10, 60, 44, generator=torch.manual_seed(6))
    return hu


@pytest.mark.parametrize("blocks_down", [(1, 2, 2, 4, 4), (2, 1, 1, 1, 1)])
@pytest.mark.parametrize(
    "box",
    [
        (slice(6, 9), slice(30, 46), slice(25, 41)),
        (slice(0, 5), slice(0, 19), slice(0, 21)),
        (slice(12, 22), slice(61, 93), slice(45, 77)),
    ],
)
def test_logit_of_a_covered_head_is_that_of_the_whole_network(blocks_down: tuple[int, ...], box: Box) -> None:
    network, hu = network_of(blocks_down), head()
    covered_hu = hu.clone()
    covered_hu[(..., *box)] = BRAIN_HU
    with torch.inference_mode():
        covered = CoveredLogits(network, hu)
        assert covered.base == pytest.approx(float(network(windowed(hu))), rel=1e-5)
        expected = float(network(windowed(covered_hu)))
        assert abs(expected - covered.base) > 1e-4
        assert covered.logit(box) - covered.base == pytest.approx(expected - covered.base, rel=2e-3)


def test_sensitivity_is_zero_outside_the_head_and_finite_in_it() -> None:
    found = occlusion_sensitivity(network_of((1, 1, 1, 1, 1)), head()[0, 0].numpy(), True, silent)
    assert found.shape == (16, 80, 64)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert not found[:, 75:, 60:].any()
    assert found[4:12, 20:60, 20:44].all()
