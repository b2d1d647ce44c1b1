"""Blended features give the labels of blended scores, in either back end, within bounded memory."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets.segresnet_ds import SegResNetDS

from algorithms.ct_fm import openvino_trunk
from algorithms.ct_fm.segmenter import Segmenter, numbers, on_torch
from algorithms.protocol import silent
from algorithms.sliding_window import Predict
from algorithms.weights import WeightsFaulty, save
from tests.unit.algorithms.ct_fm.random_weights import SMALL, segmenter, stored

PATCH = (16, 32, 32)

BACK_ENDS: dict[str, Callable[[SegResNetDS], Predict]] = {
    "torch": lambda network: on_torch(network, "cpu"),
    "OpenVINO": lambda network: openvino_trunk.compiled(network, PATCH),
}


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("shape", [(30, 45, 50), (16, 32, 100), (9, 40, 20)])
def test_labels_equal_those_of_plain_monai(shape: tuple[int, int, int], back_end: str) -> None:
    network = segmenter({**SMALL, "out_channels": 118})
    image = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        scores = SlidingWindowInferer(PATCH, overlap=0.625, mode="gaussian")(image, network)
    expected = scores[0].argmax(0).numpy()
    ours = replace(
        Segmenter.from_network(network, "cpu", PATCH), features=BACK_ENDS[back_end](network)
    ).labels(image[0, 0].numpy(), silent)
    assert np.mean(ours == expected) >= 0.9999
    assert len(np.unique(expected)) > 40


def test_the_published_network_gives_the_scores_of_monai_in_either_back_end() -> None:
    network = segmenter({"out_channels": 118, "dsdepth": 4})
    tile = torch.rand(1, 1, 16, 32, 32, generator=torch.Generator().manual_seed(2))
    head: Any = network.up_layers[-1]
    with torch.inference_mode():
        expected = network(tile)
        for features in (on_torch(network, "cpu"), openvino_trunk.compiled(network, (16, 32, 32))):
            torch.testing.assert_close(head["head"](features(tile)), expected, rtol=1e-4, atol=1e-3)


def test_memory_grows_with_the_tile_and_the_plane_but_not_with_the_length_of_the_patient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: dict[int, int] = {}
    make = torch.empty
    features = torch.zeros(1, 8, *PATCH).contiguous(memory_format=torch.channels_last_3d)
    ours = Segmenter(lambda _: features, torch.rand(118, 8), torch.rand(118), PATCH, "cpu")
    for length in (32, 640):

        def counted(*size: Any, length: int = length, **settings: Any) -> torch.Tensor:
            made = make(*size, **settings)
            taken[length] = max(taken.get(length, 0), made.numel())
            return made

        monkeypatch.setattr(torch, "empty", counted)
        labels = ours.labels(np.zeros((length, 40, 48), dtype=np.float32), silent)
        assert labels.nbytes == length * 40 * 48
    assert taken[32] == taken[640] == 8 * PATCH[0] * 40 * 48


def test_openvino_is_the_back_end_of_a_cpu_and_sends_no_statistics() -> None:
    network = segmenter({**SMALL, "out_channels": 3})
    ours = Segmenter.from_network(network, "cpu", PATCH)
    assert openvino_trunk.is_installed()
    assert ours.features.__module__ == openvino_trunk.__name__
    assert sys.modules["openvino_telemetry"] is None


def test_without_openvino_torch_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_trunk, "is_installed", lambda: False)
    network = segmenter({**SMALL, "out_channels": 3})
    ours = Segmenter.from_network(network, "cpu", PATCH)
    assert ours.features.__module__ == on_torch.__module__


def test_the_run_is_cancelled_between_tiles() -> None:
    ours = Segmenter.from_network(segmenter({**SMALL, "out_channels": 3}), "cpu", PATCH)

    def cancel(_fraction: float, stage: str) -> None:
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="tile 1 of 16"):
        ours.labels(np.zeros((16, 60, 60), dtype=np.float32), cancel)


def test_what_the_tensors_say_of_the_network_is_believed(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path, "any", {**SMALL, "out_channels": 5, "roi": [8, 16, 16]})
    ours = Segmenter.from_checkpoint(checkpoint, "cpu")
    assert ours.weight.shape == (5, 8)
    assert ours.patch == (8, 16, 16)


def test_half_precision_tensors_load(tmp_path: Path) -> None:
    tensors = segmenter({**SMALL, "out_channels": 5}).half().state_dict()
    checkpoint = save(tmp_path, "half", tensors, {"roi": PATCH}, {})
    assert Segmenter.from_checkpoint(checkpoint, "cpu").weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roi": [8, 16, 18]}, r"takes no tiles of \(8, 16, 18\)"),
        ({"roi": [0, 16, 16]}, "takes no tiles"),
        ({"roi": [8, 16]}, r"roi is \[8, 16\], not 3 numbers"),
        ({"roi": "large"}, "roi is 'large', not 3 numbers"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    checkpoint = stored(tmp_path, "any", {**SMALL, "out_channels": 3, **change})
    with pytest.raises(WeightsFaulty, match=message):
        Segmenter.from_checkpoint(checkpoint, "cpu")


def test_a_renamed_tensor_and_another_number_of_classes_are_named(tmp_path: Path) -> None:
    tensors = segmenter({**SMALL, "out_channels": 5}).state_dict()
    with pytest.raises(WeightsFaulty, match=r"head\.weight has the shape \(5, .* instead of \(118, "):
        Segmenter.from_checkpoint(save(tmp_path, "five", tensors, {}, {}), "cpu", classes=118)
    tensors["stem.weight"] = tensors.pop("encoder.conv_init.weight")
    with pytest.raises(WeightsFaulty, match=r"encoder\.conv_init\.weight"):
        Segmenter.from_checkpoint(save(tmp_path, "renamed", tensors, {}, {}), "cpu")


def test_numbers_of_a_configuration_replace_the_usual_ones(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path, "any", {**SMALL, "out_channels": 2, "hu_range": [-100, 400]})
    assert numbers(checkpoint, "hu_range", (0.0, 1.0)) == (-100.0, 400.0)
    assert numbers(checkpoint, "spacing_mm", (1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
