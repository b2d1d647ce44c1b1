"""Published archives become weights that load, whatever else they hold; what is wrong in them is named."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from algorithms.adapters.nnunet import NNUNetSegmenter
from algorithms.adapters.nnunet_network import UNet
from algorithms.body_part.network import build
from algorithms.body_part.scores import Reference
from algorithms.weights import BUNDLED, Store, WeightsFaulty, save
from node.errors import ConfigurationError
from node.published import add as add_published
from node.published import verify
from tests.unit.algorithms.adapters import published


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "weights",))


def add(store: Store, name: str, file: Path) -> list[str]:
    return [added.weights.name for added in add_published(name, file, store.folders[0])]


@pytest.mark.parametrize("old", [True, False])
def test_a_published_archive_is_added_with_every_configuration_it_holds(
    tmp_path: Path, store: Store, old: bool
) -> None:
    folds = {
        "3d_fullres": [published.fold(0), published.fold(1)],
        "3d_lowres": [published.fold(2)],
        "3d_cascade_fullres": [published.fold(3, channels=5)],
    }
    file = published.write_archive(tmp_path / "Task055_SegTHOR.zip", folds, old=old)
    names = ["segthor-task055", "segthor-task055-lowres", "segthor-task055-cascade"]
    assert add(store, "segthor-task055", file) == names
    assert [p.name for p in store.folders[0].iterdir() if p.name.startswith(".")] == []
    for name, members in zip(names, folds.values(), strict=True):
        checkpoint = store.get(name)
        verify(checkpoint)
        found = checkpoint.tensors()
        assert len(found) == len(members) * len(members[0])
        for number, member in enumerate(members):
            for key, tensor in member.items():
                assert torch.equal(found[f"fold_{number}.{key}"], tensor)
        assert checkpoint.card["source"] == "https://zenodo.org/records/4003545"
    low = NNUNetSegmenter.from_checkpoint(store.get(names[1]))
    cascade = NNUNetSegmenter.from_checkpoint(store.get(names[2]), previous=low)
    assert cascade.plan.largest == ((1, 2, 3, 4), (1,), (3,))


def test_one_fold_with_exactly_the_published_keys_and_shapes_is_added_and_loads(
    tmp_path: Path, store: Store, shared_data: Path
) -> None:
    table = shared_data.parent / "reference" / "codes" / "statedict_nnunet_v1_task055_3d_fullres.json"
    facts = json.loads(table.read_text())
    plan = published.plans()
    plan["plans_per_stage"][1] |= {
        "current_spacing": np.array([2.5, 0.97656202, 0.97656202]),
        "patch_size": np.array([64, 192, 160]),
        "pool_op_kernel_sizes": facts["pool_op_kernel_sizes"],
        "conv_kernel_sizes": facts["conv_kernel_sizes"],
    }
    plan["base_num_features"] = 32
    tensors = {key: torch.full(shape, 0.01) for key, shape in facts["keys"].items()}
    file = published.write_archive(tmp_path / "Task055_SegTHOR.zip", {"3d_fullres": [tensors]}, plan=plan)
    assert add(store, "segthor-task055", file) == ["segthor-task055"]
    checkpoint = store.get("segthor-task055")
    shapes = {key.removeprefix("fold_0."): list(shape) for key, shape in checkpoint.shapes().items()}
    assert shapes == facts["keys"]
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 31_169_984
    segmenter = NNUNetSegmenter.from_checkpoint(checkpoint, tta=False)
    assert segmenter.plan.patch == (64, 192, 160)
    assert segmenter.predict(torch.zeros(1, 1, 32, 64, 64)).shape == (1, 5, 32, 64, 64)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tu.0.weight": None}, "segthor-task055: tensor fold_0.tu.0.weight is missing"),
        ({"module.extra": torch.zeros(1)}, "tensor fold_0.module.extra belongs to another network"),
        (
            {"seg_outputs.1.weight": torch.zeros(3, 4, 1, 1, 1)},
            r"has the shape \(3, 4, 1, 1, 1\) instead of \(5,",
        ),
    ],
)
def test_a_wrong_tensor_in_an_archive_is_named_and_nothing_is_added(
    tmp_path: Path, store: Store, change: dict[str, torch.Tensor | None], said: str
) -> None:
    tensors = {key: tensor for key, tensor in (published.fold(0) | change).items() if tensor is not None}
    file = published.write_archive(tmp_path / "a.zip", {"3d_fullres": [tensors]})
    with pytest.raises(ConfigurationError, match=said):
        add(store, "segthor-task055", file)
    assert store.names() == ()


def test_an_archive_without_these_weights_is_refused_with_where_to_get_them(
    tmp_path: Path, store: Store
) -> None:
    file = published.write_archive(tmp_path / "a.zip", {"3d_lowres": [published.fold(0)]})
    with pytest.raises(
        ConfigurationError, match=r"holds no segthor-task055; Task055_SegTHOR\.zip is at https"
    ):
        add(store, "segthor-task055", file)


def test_a_plan_that_asks_for_more_is_refused_by_name(tmp_path: Path, store: Store) -> None:
    plan = published.plans() | {"num_modalities": 2}
    file = published.write_archive(tmp_path / "a.zip", {"3d_fullres": [published.fold(0)]}, plan=plan)
    with pytest.raises(ConfigurationError, match=r"3d_fullres: input .* is not one CT"):
        add(store, "segthor-task055", file)


def inference_settings() -> dict[str, Any]:
    """What `inference-settings.json` holds."""
    landmarks = {
        name: {"mean": score, "std": 1.0} for name, score in Reference((-5.0, 6.0)).landmarks.items()
    }
    raw = landmarks | {"pelvis_start": {"mean": -5.1}, "eyes_end": {"mean": 6.2}}
    return {
        "slope_mean": 0.118,
        "lower_quantile_tangential_slope": -0.037,
        "upper_quantile_tangential_slope": 0.25,
        "lookuptable_train_val": {"original": raw, "transformed": landmarks},
        "settings": {"start-landmark": "pelvis_start", "end-landmark": "eyes_end"},
    }


def bpr_archive(file: Path, tensors: dict[str, torch.Tensor], text: str = "") -> Path:
    """A zip archive as published, with other settings than the usual if a text is given."""
    content = BytesIO()
    torch.save(tensors, content)
    text = text or json.dumps(inference_settings())
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("public_bpr_model/model.pt", content.getvalue())
        archive.writestr("public_bpr_model/config.json", "{}")
        archive.writestr("public_bpr_model/inference-settings.json", text)
    return file


def test_body_part_regression_is_added_with_its_reference_and_without_what_the_network_lacks(
    tmp_path: Path, store: Store
) -> None:
    tensors = dict(build({}).state_dict())
    file = bpr_archive(tmp_path / "public_bpr_model.zip", tensors | {"loss.weight": torch.zeros(1)})
    assert add(store, "bpr", file) == ["bpr"]
    checkpoint = store.get("bpr")
    verify(checkpoint)
    assert checkpoint.shapes().keys() == tensors.keys()
    assert Reference.from_config(checkpoint.config, "bpr").raw_ends == (-5.1, 6.2)


def test_body_part_regression_that_lacks_a_tensor_is_refused(tmp_path: Path, store: Store) -> None:
    tensors = dict(build({}).state_dict())
    del tensors["fc7.bias"]
    with pytest.raises(ConfigurationError, match=r"bpr: tensor fc7\.bias is missing"):
        add(store, "bpr", bpr_archive(tmp_path / "a.zip", tensors))


def test_weights_of_another_node_are_added_as_they_are(tmp_path: Path, store: Store) -> None:
    file = published.write_archive(tmp_path / "a.zip", {"3d_fullres": [published.fold(0)]})
    add(store, "segthor-task055", file)
    first = store.get("segthor-task055")
    other = Store((tmp_path / "other",))
    assert add(other, "segthor-task055", first.path / "model.safetensors") == ["segthor-task055"]
    assert other.get("segthor-task055").config == first.config
    assert other.get("segthor-task055").weights == first.weights


def test_tensors_without_their_plan_are_refused(tmp_path: Path, store: Store) -> None:
    save_file(published.fold(0), tmp_path / "alone.safetensors")
    with pytest.raises(ConfigurationError, match="its plan belongs beside the tensors"):
        add(store, "segthor-task055", tmp_path / "alone.safetensors")


DEEP = "[" * 200_000
PLAN: dict[str, Any] = {
    "spacing_mm": [4, 3, 3],
    "patch": [8, 24, 16],
    "pooling": [[1, 2, 2]],
    "kernels": [[1, 3, 3], [3, 3, 3]],
    "features": 4,
    "classes": 5,
    "axes": [0, 1, 2],
    "low": -986,
    "high": 271,
    "mean": 20.78,
    "sd": 180.5,
    "largest": [[1, 2], [3]],
    "cascade": False,
    "folds": ["fold_0"],
}
REGRESSOR: dict[str, Any] = {
    "network": {"widths": [4, 8], "convolutions": [1, 1], "shrink": 2},
    "reference": {"raw_ends": [-5.0, 6.0]},
}


@pytest.mark.parametrize(
    ("name", "description", "said"),
    [
        ("bpr", DEEP, "m.json cannot be read: it is nested too deeply"),
        ("bpr", "[]", "m.json holds no object"),
        ("bpr", b"\xff", "m.json cannot be read"),
        ("bpr", " " * (1 << 20) + "{}", "m.json cannot be read: it is larger than 1 MB"),
        ("bpr", {"config": 5}, "m.json holds no configuration"),
        ("bpr", {"config": {}}, "reference"),
        ("bpr", {"config": REGRESSOR | {"reference": 5}}, "reference"),
        ("bpr", {"config": REGRESSOR | {"reference": {"raw_ends": [0.0, 1.0], "landmarks": {}}}}, "landmark"),
        ("bpr", {"config": REGRESSOR | {"network": {"shrink": "x"}}}, r"network\.widths"),
        (
            "bpr",
            {"config": REGRESSOR | {"network": {"widths": [10**9], "convolutions": [1], "shrink": 1}}},
            r"network\.widths",
        ),
        (
            "bpr",
            {"config": REGRESSOR | {"network": {"widths": [4], "convolutions": [1, 1], "shrink": 1}}},
            "as many widths as convolutions",
        ),
        ("segthor-task055", {"config": PLAN | {"folds": 5}}, "its folds are not"),
        ("segthor-task055", {"config": PLAN | {"folds": [{}]}}, "its folds are not"),
        ("segthor-task055", {"config": PLAN | {"kernels": []}}, "its kernels cannot be"),
        ("segthor-task055", {"config": PLAN | {"features": 1e300}}, "its features cannot be"),
        ("segthor-task055", {"config": PLAN | {"features": float("inf")}}, "not a plan of nnU-Net"),
    ],
)
def test_a_malformed_description_beside_tensors_ends_with_a_sentence(
    tmp_path: Path, store: Store, name: str, description: Any, said: str
) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    if isinstance(description, dict):
        description = json.dumps(description)
    content = description if isinstance(description, bytes) else description.encode()
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"m\.safetensors is not what {name} asks for: .*{said}"):
        add(store, name, tmp_path / "m.safetensors")
    assert store.names() == ()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a description."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in places(inner, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The description with another value at one place."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@given(data=st.data(), name_and_config=st.sampled_from([("segthor-task055", PLAN), ("bpr", REGRESSOR)]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_in_a_description_is_anything_but_taken_or_refused_with_a_sentence(
    data: st.DataObject, name_and_config: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    name, config = name_and_config
    about = {"config": changed(config, data.draw(st.sampled_from(places(config))), data.draw(ANYTHING))}
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    (tmp_path / "m.json").write_text(json.dumps(about))
    with pytest.raises(ConfigurationError, match="is not what"):
        add_published(name, tmp_path / "m.safetensors", tmp_path / "weights")


@pytest.mark.parametrize(
    ("settings_text", "said"),
    [
        (DEEP, r"inference-settings\.json cannot be read: it is nested too deeply"),
        (" " * (2 << 20), r"inference-settings\.json in it unpacks to more than 1 MB"),
        ('{"lookuptable_train_val": []}', r"inference-settings\.json lacks"),
        (json.dumps({"lookuptable_train_val": "text"}), r"inference-settings\.json lacks"),
    ],
)
def test_malformed_settings_in_an_archive_end_with_a_sentence(
    tmp_path: Path, store: Store, settings_text: str, said: str
) -> None:
    file = bpr_archive(tmp_path / "a.zip", {"a": torch.zeros(2)}, settings_text)
    with pytest.raises(ConfigurationError, match=said):
        add(store, "bpr", file)


def test_a_reference_that_holds_no_numbers_is_refused(tmp_path: Path, store: Store) -> None:
    text = json.dumps(inference_settings() | {"slope_mean": "steep"})
    file = bpr_archive(tmp_path / "a.zip", dict(build({}).state_dict()), text)
    with pytest.raises(ConfigurationError, match=r"bpr: reference\.slope_per_mm"):
        add(store, "bpr", file)


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("unicorn", "a.zip", "there are no published weights 'unicorn'; there are segthor-task055"),
        ("bpr", "absent.zip", "there is no file"),
        ("bpr", "a.zip", "not a zip archive"),
        ("bpr", "a.safetensors", "not in the format of safetensors"),
        ("bpr", "a.bin", r"neither a zip archive nor \.safetensors nor"),
    ],
)
def test_a_wrong_name_or_file_is_named(tmp_path: Path, store: Store, name: str, file: str, said: str) -> None:
    for there in ("a.zip", "a.safetensors", "a.bin"):
        (tmp_path / there).write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match=said):
        add(store, name, tmp_path / file)


def test_verifying_finds_a_changed_byte_and_a_tensor_of_another_network(tmp_path: Path, store: Store) -> None:
    file = published.write_archive(tmp_path / "a.zip", {"3d_fullres": [published.fold(0)]})
    add(store, "segthor-task055", file)
    checkpoint = store.get("segthor-task055")
    foreign = {
        f"fold_0.{key}": tensor
        for key, tensor in UNet(1, 2, 4, [(2, 2, 2)], [(3, 3, 3)] * 2).state_dict().items()
    }
    with pytest.raises(WeightsFaulty, match="fold_0"):
        verify(save(tmp_path / "x", "segthor-task055", foreign, checkpoint.config, {}))
    tensors = checkpoint.path / "model.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(WeightsFaulty, match="SHA-256 differs"):
        verify(checkpoint)


def test_weights_that_say_another_name_are_refused(store: Store) -> None:
    bundled = BUNDLED / "bpr-bundled" / "model.safetensors"
    with pytest.raises(ConfigurationError, match="says 'bpr-bundled', not 'bpr'"):
        add(store, "bpr", bundled)
    assert store.names() == ()
