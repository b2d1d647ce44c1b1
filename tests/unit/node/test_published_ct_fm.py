"""Files of CT-FM get into the store whatever their prefix; what is wrong in them is named."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from algorithms.ct_fm.network import PREFIXES, Architecture
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.protocol import silent
from algorithms.weights import Store, WeightsFaulty, load_into, save, shapes_of
from node.errors import AINodeError, ConfigurationError
from node.published import PUBLISHED, add, mend, pull, verify
from node.published.manifest import Repository
from tests.hub_server import COMMIT, serving
from tests.weights_files import write_zeros

Tensors = dict[str, torch.Tensor]

SMALL = Architecture(init_filters=4, blocks_down=(1, 2, 1), out_channels=3, dsdepth=2)
NETWORKS = {"ct-fm-encoder": "segresencoder", "ct-fm-wholebody": "segresnetds_118"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "weights",))


@pytest.fixture(scope="session")
def documented(shared_data: Path) -> Callable[[str], dict[str, tuple[int, ...]]]:
    """The published keys and shapes by the name in the store."""

    def read(name: str) -> dict[str, tuple[int, ...]]:
        table = shared_data.parent / "reference" / "codes" / f"statedict_ctfm_{NETWORKS[name]}.json"
        return {key: tuple(shape) for key, shape in json.loads(table.read_text())["keys"].items()}

    return read


def small() -> Tensors:
    return {key: tensor.clone() for key, tensor in SMALL.segmenter().state_dict().items()}


def triage(prefix: str, first: str, second: str) -> Tensors:
    """A triage network as a training framework writes it."""
    network = TriageNetwork(SMALL).state_dict()
    renamed = {
        f"{prefix}{key.removeprefix('encoder.')}": key for key in network if key.startswith("encoder.")
    }
    renamed |= {f"{first}.{part}": f"head.2.{part}" for part in ("weight", "bias")}
    renamed |= {f"{second}.{part}": f"head.4.{part}" for part in ("weight", "bias")}
    return {name: network[key] for name, key in renamed.items()}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_published_keys_and_shapes_are_added_in_every_prefix_form(
    tmp_path: Path,
    store: Store,
    documented: Callable[[str], dict[str, tuple[int, ...]]],
    name: str,
    prefix: str,
) -> None:
    shapes = documented(name)
    file = write_zeros(tmp_path / "m.safetensors", {prefix + key: s for key, s in shapes.items()})
    (checkpoint,) = add(name, file, store.folders[0])
    assert checkpoint.shapes() == shapes
    assert Architecture.of(checkpoint.config).features == 512
    (checkpoint.path / "model.safetensors").unlink()


def test_what_was_added_loads_into_the_network_of_its_configuration(
    tmp_path: Path, store: Store, documented: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    file = write_zeros(tmp_path / "m.safetensors", documented("ct-fm-wholebody"))
    (checkpoint,) = add("ct-fm-wholebody", file, store.folders[0])
    verify(checkpoint)
    network = Architecture.of(checkpoint.config).segmenter()
    load_into(network, checkpoint.tensors(), "ct-fm-wholebody")
    assert sum(p.numel() for p in network.parameters()) == 87_220_344
    assert not any(bool(p.any()) for p in network.parameters())


def test_the_encoder_is_taken_out_of_a_whole_segmenter(
    tmp_path: Path, store: Store, documented: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    shapes = {f"backbone.{key}": shape for key, shape in documented("ct-fm-wholebody").items()}
    (checkpoint,) = add("ct-fm-encoder", write_zeros(tmp_path / "m.safetensors", shapes), store.folders[0])
    assert checkpoint.shapes() == documented("ct-fm-encoder")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv_init.weight": None}, "tensor conv_init.weight is missing"),
        (
            {"conv_init.weight": None, "conv_inti.weight": (32, 1, 3, 3, 3)},
            "tensor conv_init.weight is missing; conv_inti.weight is there, which is unknown",
        ),
        (
            {"layers.4.blocks.3.norm2.running_var": None},
            "tensor layers.4.blocks.3.norm2.running_var is missing",
        ),
        ({"layers.4.blocks.9.norm2.bias": (512,)}, "tensor layers.4.blocks.9.norm2.bias belongs to another"),
        (
            {"layers.0.downsample.weight": (64, 16, 3, 3, 3)},
            r"tensor layers.0.downsample.weight has the shape \(64, 16, 3, 3, 3\) instead of \(64, 32,",
        ),
        ({"conv_init.weight": (16, 1, 3, 3, 3)}, r"conv_init.weight has the shape \(16, 1, 3, 3, 3\)"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "model.trunk."])
def test_a_damaged_or_renamed_key_is_named_and_what_was_there_stays(
    tmp_path: Path,
    store: Store,
    documented: Callable[[str], dict[str, tuple[int, ...]]],
    change: dict[str, tuple[int, ...] | None],
    said: str,
    prefix: str,
) -> None:
    before = save(store.folders[0], "ct-fm-encoder", {"old": torch.ones(1)}, {}, {})
    changed = documented("ct-fm-encoder") | change
    shapes = {prefix + key: shape for key, shape in changed.items() if shape is not None}
    with pytest.raises(
        ConfigurationError, match=f"is not what ct-fm-encoder asks for: ct-fm-encoder: {said}|{said}"
    ):
        add("ct-fm-encoder", write_zeros(tmp_path / "m.safetensors", shapes), store.folders[0])
    before.verify()
    assert store.get("ct-fm-encoder") == before
    assert [path.name for path in store.folders[0].iterdir()] == ["ct-fm-encoder"]


def test_a_segmenter_of_other_classes_is_not_taken_for_the_whole_body(
    tmp_path: Path, store: Store, documented: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    shapes = {
        key: (2, *shape[1:]) if ".head." in key else shape
        for key, shape in documented("ct-fm-wholebody").items()
    }
    with pytest.raises(
        ConfigurationError, match=r"up_layers.0.head.weight has the shape \(2, .* instead of \(118,"
    ):
        add("ct-fm-wholebody", write_zeros(tmp_path / "m.safetensors", shapes), store.folders[0])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_tumour_segmenter_of_any_size_tells_its_own(
    tmp_path: Path, store: Store, suffix: str, prefix: str
) -> None:
    tensors = {prefix + key: tensor for key, tensor in small().items()}
    file = tmp_path / f"best{suffix}"
    if suffix == ".safetensors":
        save_file(tensors, file)
    else:
        torch.save({"epoch": 7, "state_dict": tensors}, file)
    (checkpoint,) = add("ct-fm-tumor", file, store.folders[0])
    verify(checkpoint)
    assert Architecture.of(checkpoint.config) == SMALL
    for key, tensor in checkpoint.tensors().items():
        assert torch.equal(tensor, small_of(tensors, prefix)[key])


def small_of(tensors: Tensors, prefix: str) -> Tensors:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("prefix", "first", "second"),
    [
        ("model.trunk.", "model.head.2", "model.head.4"),
        ("trunk.", "classifier.fc1", "classifier.fc2"),
        ("encoder.", "head.2", "head.4"),
        ("", "fc.0", "fc.1"),
    ],
)
def test_a_triage_network_is_added_whatever_its_head_is_called(
    tmp_path: Path, store: Store, prefix: str, first: str, second: str
) -> None:
    tensors = triage(prefix, first, second)
    save_file(tensors, tmp_path / "best.safetensors")
    (tmp_path / "best.json").write_text(json.dumps({"config": {"calibration": [1.5, -0.5]}}))
    (checkpoint,) = add("ct-fm-head-triage", tmp_path / "best.safetensors", store.folders[0])
    verify(checkpoint)
    network = TriageNetwork.from_config(checkpoint.config)
    load_into(network, checkpoint.tensors(), "ct-fm-head-triage")
    assert torch.equal(network.state_dict()["head.2.weight"], tensors[f"{first}.weight"])
    assert torch.equal(network.state_dict()["head.4.bias"], tensors[f"{second}.bias"])
    assert checkpoint.config["calibration"] == [1.5, -0.5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"head.4.weight": None},
            r"the head is not two linear layers .*there is head\.2\.weight \(256, 16\)$",
        ),
        ({"head.2.weight": None, "head.4.weight": None}, "there is none"),
        ({"head.4.weight": torch.zeros(2, 256)}, r"head\.4\.weight \(2, 256\)"),
        ({"other.weight": torch.zeros(1, 256)}, r"other\.weight \(1, 256\)"),
        ({"head.4.bias": None}, r"tensor head\.4\.bias is missing"),
        ({"encoder.conv_init.weight": None}, r"tensor encoder\.conv_init\.weight is missing"),
    ],
)
def test_a_head_of_other_layers_is_named(
    tmp_path: Path, store: Store, change: dict[str, torch.Tensor | None], said: str
) -> None:
    changed = triage("encoder.", "head.2", "head.4") | change
    save_file({k: t for k, t in changed.items() if t is not None}, tmp_path / "best.safetensors")
    with pytest.raises(ConfigurationError, match=said):
        add("ct-fm-head-triage", tmp_path / "best.safetensors", store.folders[0])
    assert store.names() == ()


class Attack:
    """A pickle that runs a program when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("notes.txt", r"notes\.txt is neither \.safetensors nor \.ckpt, \.h5, \.hdf5, \.model, \.pt, \.pth"),
        ("text.safetensors", "not in the format of safetensors"),
        ("text.pt", r"text\.pt is refused: torch cannot read it"),
        ("attack.ckpt", r"attack\.ckpt\.pt is refused: it asks for posix\.system"),
        (
            "other.safetensors",
            r"tensor encoder\.conv_init\.weight is missing; weight is there, which is unknown",
        ),
    ],
)
def test_what_is_no_file_of_weights_is_refused_with_a_sentence(
    tmp_path: Path, store: Store, file: str, said: str
) -> None:
    for name in ("notes.txt", "text.safetensors", "text.pt"):
        (tmp_path / name).write_text("not weights")
    torch.save({"state_dict": Attack()}, tmp_path / "attack.ckpt")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigurationError, match=said):
        add("ct-fm-tumor", tmp_path / file, store.folders[0])
    assert store.names() == ()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from(sorted(asdict(SMALL))), value=ANYTHING)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_size_of_a_network_is_anything_but_taken_or_refused_with_a_sentence(
    tmp_path: Path, field: str, value: Any
) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    (tmp_path / "m.json").write_text(json.dumps({"config": {field: value}}))
    for name in ("ct-fm-tumor", "ct-fm-head-triage"):
        with pytest.raises(ConfigurationError, match=f"is not what {name} asks for"):
            add(name, tmp_path / "m.safetensors", tmp_path / "weights")


def test_published_weights_are_pulled_checked_and_kept_with_where_they_are_from(
    tmp_path: Path, store: Store, documented: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    file = write_zeros(tmp_path / "m.safetensors", documented("ct-fm-encoder"))
    with serving() as hub:
        hub.files["project-lighter/ct_fm_feature_extractor/model.safetensors"] = file
        checkpoint = pull("ct-fm-encoder", store.folders[0], hub.url, silent)
        assert checkpoint.card["file SHA-256"] == hub.digest(file)
    verify(checkpoint)
    assert checkpoint.card["revision"] == COMMIT
    assert checkpoint.card["source"] == "https://huggingface.co/project-lighter/ct_fm_feature_extractor"
    assert checkpoint.card["licence"].startswith("Apache-2.0")
    assert [path.name for path in store.folders[0].iterdir()] == ["ct-fm-encoder"]


def test_weights_are_pulled_again_only_when_the_hub_has_others_or_they_are_damaged(
    tmp_path: Path, store: Store, documented: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    name, published = "ct-fm-encoder", "project-lighter/ct_fm_feature_extractor/model.safetensors"
    older = write_zeros(tmp_path / "older.safetensors", documented(name))
    newer = tmp_path / "newer.safetensors"
    save_file({key: tensor + 1 for key, tensor in load_file(older).items()}, newer)
    with serving() as hub:

        def downloads() -> int:
            before = len(hub.ranges)
            pull(name, store.folders[0], hub.url, silent).verify()
            return len(hub.ranges) - before

        hub.files[published] = older
        assert [downloads(), downloads()] == [1, 0]
        hub.files[published] = newer
        assert [downloads(), downloads()] == [1, 0]
        damaged = store.folders[0] / name / "model.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        assert [downloads(), downloads()] == [1, 0]
        hub.etag = "c" * 40  # proves nothing, so that it is got
        assert downloads() == 1
    assert [path.name for path in store.folders[0].iterdir()] == [name]


def test_weights_that_are_here_stay_when_those_of_the_hub_are_for_another_network(
    tmp_path: Path, store: Store
) -> None:
    before = save(store.folders[0], "ct-fm-wholebody", {"old": torch.ones(1)}, {}, {})
    save_file(small(), tmp_path / "m.safetensors")
    with serving() as hub:
        hub.files["project-lighter/whole_body_segmentation/model.safetensors"] = tmp_path / "m.safetensors"
        with pytest.raises(
            AINodeError, match=r"whole_body_segmentation holds other weights than expected: .*tensor"
        ):
            pull("ct-fm-wholebody", store.folders[0], hub.url, silent)
    before.verify()
    assert store.get("ct-fm-wholebody") == before
    assert [path.name for path in store.folders[0].iterdir()] == ["ct-fm-wholebody"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unicorn", "there are no published weights 'unicorn'"),
        ("segthor-task055", "segthor-task055 cannot be pulled: Task055_SegTHOR.zip at https://zenodo.org"),
        (
            "ct-fm-tumor",
            "ct-fm-tumor cannot be pulled: not published: .* ainode weights add ct-fm-tumor FILE",
        ),
    ],
)
def test_what_is_on_no_hub_cannot_be_pulled(store: Store, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pull(name, store.folders[0], None, silent)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AINodeError, match="cannot be written: Not a directory; make room"):
        pull("ct-fm-encoder", tmp_path / "file" / "weights", None, silent)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_mend_is_the_command_that_gets_the_weights(name: str) -> None:
    verb = "pull" if isinstance(PUBLISHED[name].source, Repository) else "add"
    assert f"ainode weights {verb} {name}" in mend(name)
    assert f"ainode weights {verb} {name}" in PUBLISHED[name].way


def test_bundled_weights_are_mended_by_installing_again() -> None:
    assert mend("bpr-bundled") == "they come with the program: install it again"


def test_bundled_weights_are_verified_against_the_network_of_the_published(tmp_path: Path) -> None:
    tensors = dict(SMALL.encoder().state_dict())
    right = save(tmp_path, "ct-fm-encoder-bundled", tensors, asdict(SMALL), {})
    assert right.shapes() == shapes_of(SMALL.encoder)
    verify(right)
    del tensors["conv_init.weight"]
    with pytest.raises(WeightsFaulty, match=r"ct-fm-encoder-bundled: tensor conv_init\.weight is missing"):
        verify(save(tmp_path, "ct-fm-encoder-bundled", tensors, asdict(SMALL), {}))
