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
    hu = torch.full((1, 1, 48, 128, 128), -1000.0)
    hu[..., 8:40, 20:108, 28:100] = 30.0 + 40.0 * torch.rand(32, 88, 72, generator=torch.manual_seed(6))
    return hu


@pytest.mark.parametrize("blocks_down", [(1, 2, 2, 4, 4), (2, 1, 1, 1, 1)])
@pytest.mark.parametrize(
    "box",
    [
        (slice(10, 15), slice(40, 56), slice(50, 66)),
        (slice(0, 7), slice(0, 9), slice(0, 11)),
        (slice(43, 53), slice(101, 133), slice(90, 122)),
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


class BrightVoxels(torch.nn.Module):
    """Stands for the last levels: counts what is white in the blood window."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.clamp(min=0).mean(dim=(1, 2, 3, 4))


def test_sensitivity_is_zero_outside_the_head_and_finite_in_it() -> None:
    found = occlusion_sensitivity(network_of((1, 1, 1, 1, 1)), head()[0, 0].numpy(), True, silent)
    assert found.shape == (48, 128, 128)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert not found[:, :2].any()
    assert found[8:40, 30:90, 40:90].any()
