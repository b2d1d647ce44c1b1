"""A published plan becomes plain data, or is refused by name."""

import json
import math
from typing import Any

import numpy as np
import pytest

from algorithms.adapters.nnunet_plan import Configuration, Plan, PlanUnknown
from tests.unit.algorithms.adapters import published


def as_json(value: Any) -> Any:
    """As the converter hands it over: text keys, lists, plain numbers."""
    plain = {np.ndarray: np.ndarray.tolist, np.float64: float, np.float32: float}
    return json.loads(json.dumps(value, default=lambda v: plain[type(v)](v)))


def read(configuration: Configuration = "3d_fullres", **changes: Any) -> Plan:
    plans = as_json(published.plans()) | changes
    return Plan.from_published(plans, published.postprocessing(), configuration)


def test_the_full_resolution_is_read_from_the_last_stage() -> None:
    assert read() == Plan(
        spacing_mm=(4.0, 3.0, 3.0),
        patch=(8, 24, 16),
        pooling=((1, 2, 2), (2, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        features=4,
        classes=5,
        axes=(0, 1, 2),
        low=-986.0,
        high=271.0,
        mean=20.78,
        sd=180.5,
        largest=((1, 2, 3, 4), (1,), (3,)),
        cascade=False,
    )


def test_the_low_resolution_is_the_first_stage_and_the_cascade_adds_channels() -> None:
    assert read("3d_lowres").spacing_mm == (6.0, 5.0, 5.0)
    cascade = read("3d_cascade_fullres")
    assert cascade.spacing_mm == (4.0, 3.0, 3.0)
    assert (read().channels, cascade.channels) == (1, 5)
    assert cascade.shapes()["conv_blocks_context.0.blocks.0.conv.weight"] == (4, 5, 1, 3, 3)


def test_shapes_are_those_of_the_tensors() -> None:
    assert read().shapes() == {key: tuple(t.shape) for key, t in published.fold(0).items()}


def test_a_plan_survives_json() -> None:
    assert Plan.from_config(json.loads(json.dumps(read().to_config()))) == read()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalization_schemes": {"0": "nonCT"}}, "is not one CT"),
        ({"num_modalities": 2}, "is not one CT"),
        ({"use_mask_for_norm": {"0": True}}, "inside the mask"),
        ({"conv_per_stage": 3}, "3 convolutions per stage"),
        ({"plans_per_stage": {}}, "not a plan of nnU-Net"),
        ({"dataset_properties": {}}, "intensityproperties"),
        ({"base_num_features": None}, "not a plan of nnU-Net"),
        ({"transpose_forward": [0, 1]}, "not a plan of nnU-Net"),
        ({"transpose_forward": [0, 1, 1]}, "its axes cannot be"),
        ({"plans_per_stage": [0]}, "not a plan of nnU-Net"),
        ({"num_classes": float("inf")}, "not a plan of nnU-Net"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanUnknown, match=said):
        read(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spacing_mm", (0.0, 3.0, 3.0)),
        ("spacing_mm", (math.nan, 3.0, 3.0)),
        ("patch", (8, 0, 16)),
        ("patch", (8, 10**9, 16)),
        ("pooling", ()),
        ("pooling", ((1, 2, 2), (2, 2, 0))),
        ("pooling", ((1, 2, 2),) * 100),
        ("kernels", ((3, 3, 3),) * 2),
        ("kernels", ((3, 3, 3), (3, 3, 3), (3, 2, 3))),
        ("features", 10**30),
        ("features", 0),
        ("classes", 1),
        ("axes", (0, 1, 3)),
        ("low", 271.0),
        ("mean", math.inf),
        ("sd", 0.0),
        ("largest", ((5,),)),
    ],
)
def test_a_plan_that_no_network_can_have_is_refused_by_the_value(name: str, value: Any) -> None:
    with pytest.raises(PlanUnknown, match=f"its {name} cannot be"):
        Plan.from_config(read().to_config() | {name: value})
