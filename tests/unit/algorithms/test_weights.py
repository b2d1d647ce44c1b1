"""Weights are what was recorded, or they are refused with the name of what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from algorithms.weights import Store, WeightsFaulty, WeightsMissing, load_into, save

CARD = {"source": "a test", "licence": "none"}


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def test_what_is_saved_is_found_again(tmp_path: Path) -> None:
    saved = save(tmp_path, "small", tensors(), {"classes": 2}, CARD)
    found = Store((tmp_path / "elsewhere", tmp_path)).get("small")
    assert found == saved
    assert dict(found.config) == {"classes": 2}
    assert dict(found.card) == CARD
    assert len(found.weights.sha256) == 64
    for key, tensor in found.tensors().items():
        assert torch.equal(tensor, tensors()[key])
    assert found.shapes() == {"weight": (2, 3), "bias": (2,)}
    assert sorted(p.name for p in (tmp_path / "small").iterdir()) == ["model.json", "model.safetensors"]


def test_the_first_folder_wins_and_names_are_told_once(tmp_path: Path) -> None:
    for folder, count in (("own", 1), ("bundled", 2)):
        save(tmp_path / folder, "small", tensors(), {"count": count}, CARD)
    save(tmp_path / "bundled", "other", tensors(), {}, CARD)
    store = Store((tmp_path / "own", tmp_path / "bundled"))
    assert store.get("small").config["count"] == 1
    assert store.names() == ("other", "small")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="the weights 'small' are not here") as missing:
        Store((tmp_path,)).get("small")
    assert missing.value.name == "small"


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_single_changed_byte_is_found_before_anything_is_loaded(tmp_path: Path, position: int) -> None:
    checkpoint = save(tmp_path, "small", tensors(), {}, CARD)
    file = tmp_path / "small" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsFaulty, match=r"model\.safetensors is not what was recorded"):
        checkpoint.tensors()


def test_a_lost_or_foreign_file_is_faulty(tmp_path: Path) -> None:
    checkpoint = save(tmp_path, "small", tensors(), {}, CARD)
    file = tmp_path / "small" / "model.safetensors"
    file.write_bytes(b"not tensors")
    with pytest.raises(WeightsFaulty, match="cannot be read"):
        checkpoint.shapes()
    file.unlink()
    with pytest.raises(WeightsFaulty, match="cannot be read"):
        checkpoint.tensors()


@pytest.mark.parametrize("about", ["", "[]", "{}", json.dumps({"name": "small", "sha256": "0", "config": 1})])
def test_a_description_that_cannot_be_read_is_faulty(tmp_path: Path, about: str) -> None:
    save(tmp_path, "small", tensors(), {}, CARD)
    (tmp_path / "small" / "model.json").write_text(about)
    with pytest.raises(WeightsFaulty, match=r"model\.json cannot be read"):
        Store((tmp_path,)).get("small")


def test_weights_that_are_replaced_stay_whole_for_whom_has_loaded_them(tmp_path: Path) -> None:
    loaded = save(tmp_path, "small", tensors(), {}, CARD).tensors()
    save(tmp_path, "small", {key: tensor * 0 for key, tensor in tensors().items()}, {}, CARD)
    assert torch.equal(loaded["weight"], tensors()["weight"])


def test_a_network_takes_exactly_its_tensors() -> None:
    network = torch.nn.Linear(3, 2)
    load_into(network, tensors(), "small")
    assert torch.equal(network.weight, tensors()["weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bias": None}, "small: tensor bias is missing"),
        (
            {"bias": None, "bais": torch.zeros(2)},
            "small: tensor bias is missing; bais is there, which is unknown",
        ),
        ({"extra": torch.zeros(1)}, "small: tensor extra belongs to another network"),
        ({"bias": torch.zeros(5)}, r"small: tensor bias has the shape \(5,\) instead of \(2,\)"),
    ],
)
def test_a_wrong_tensor_is_named(change: dict[str, torch.Tensor | None], said: str) -> None:
    given = {key: tensor for key, tensor in (tensors() | change).items() if tensor is not None}
    with pytest.raises(WeightsFaulty, match=said):
        load_into(torch.nn.Linear(3, 2), given, "small")
