"""The organ network: shapes, windows, and configurations that are not its own."""

import pytest
import torch

from algorithms.chest_ct.organ_network import OrganNetwork, windowed
from algorithms.weights import WeightsFaulty

CONFIG = {"windows_hu": [[-150, 250], [-1000, 1000]], "classes": ["a", "b", "c"], "widths": [8, 16, 24]}


def test_every_voxel_gets_a_score_for_every_class():
    network = OrganNetwork.from_config(CONFIG, "small")
    assert network.multiple == 4
    assert network(torch.zeros(2, 2, 8, 12, 16)).shape == (2, 3, 8, 12, 16)


def test_windows_end_at_minus_one_and_one():
    hu = torch.tensor([-2000.0, -150.0, 50.0, 250.0, 1000.0]).reshape(1, 1, 1, 5)
    soft, wide = windowed(hu, ((-150.0, 250.0), (-1000.0, 1000.0)))[0].reshape(2, 5)
    assert soft.tolist() == pytest.approx([-1, -1, 0, 1, 1], abs=1e-6)
    assert wide.tolist() == pytest.approx([-1, -0.15, 0.05, 0.25, 1], abs=1e-6)


@pytest.mark.parametrize("wrong", [{"widths": None}, {"widths": ["wide"]}, {"widths": [7, 16]}])
def test_a_configuration_of_something_else_is_refused_by_name(wrong):
    with pytest.raises(WeightsFaulty, match="small"):
        OrganNetwork.from_config(CONFIG | wrong, "small")


def test_a_configuration_without_windows_is_refused_by_name():
    with pytest.raises(WeightsFaulty, match="windows_hu"):
        OrganNetwork.from_config({"widths": [8, 16], "classes": ["a"]}, "small")
