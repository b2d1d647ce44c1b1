"""Pickles become data in another process; what asks for more is refused and nothing of it runs."""

import json
import os
import pickle
import re
import socket
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from algorithms.adapters import unpickle as converter
from node.conversion import LARGEST_JSON, isolation, unpack, unpickle
from node.errors import ConfigurationError

EVERYTHING = re.compile(".*")


class Calls:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> Any:
        return self.called


def write_attack(file: Path, call: Calls) -> None:
    """A checkpoint, or a plan, with the call hidden beside what belongs there."""
    if file.suffix == ".pkl":
        file.write_bytes(pickle.dumps({"num_stages": 2, "attack": call}))
    else:
        content = {"state_dict": {"weight": torch.zeros(2)}, "attack": call}
        torch.save(content, file, _use_new_zipfile_serialization=file.name == "new.model")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    packed.mkdir()
    plain.mkdir()
    return packed, plain


def test_plain_values_and_arrays_become_json(folders: tuple[Path, Path]) -> None:
    packed, plain = folders
    values = OrderedDict(
        [(0, np.array([[1, 2], [3, 4]])), ("sd", np.float64(0.1)), ("none", (None, True, {"a"}))]
    )
    (packed / "below").mkdir()
    (packed / "below" / "plans.pkl").write_bytes(pickle.dumps(values))
    unpickle(packed, plain)
    found = json.loads((plain / "below" / "plans.json").read_text())
    assert found == {"0": [[1, 2], [3, 4]], "sd": 0.1, "none": [None, True, ["a"]]}


@pytest.mark.parametrize("old", [True, False])
def test_tensors_of_a_checkpoint_become_safetensors(folders: tuple[Path, Path], old: bool) -> None:
    packed, plain = folders
    whole = torch.arange(12.0).reshape(3, 4)
    saved = {
        "state_dict": {"a": whole, "view": whole[:, 1]},
        "best_stuff": (np.float64(1), np.float32(2)),
        "epoch": 3,
    }
    torch.save(saved, packed / "final.model", _use_new_zipfile_serialization=not old)
    torch.save(saved["state_dict"], packed / "bare.pt", _use_new_zipfile_serialization=not old)
    unpickle(packed, plain)
    for name in ("final", "bare"):
        found = load_file(plain / f"{name}.safetensors")
        assert torch.equal(found["a"], whole)
        assert torch.equal(found["view"], whole[:, 1])


@pytest.mark.parametrize("name", ["plans.pkl", "new.model", "old.model"])
def test_a_malicious_pickle_is_refused_by_the_name_it_asks_for_and_nothing_runs(
    folders: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    packed, plain = folders
    write_attack(packed / name, Calls(os.system, f"touch {tmp_path / 'executed'}"))
    with pytest.raises(ConfigurationError, match=rf"{name} is refused: it asks for posix\.system"):
        unpickle(packed, plain)
    assert not (tmp_path / "executed").exists()
    assert list(plain.iterdir()) == []


@pytest.mark.parametrize("name", ["plans.pkl", "new.model", "old.model"])
@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (Calls(eval, "1 + 1"), "eval"),
        (Calls(getattr, "text", "upper"), "getattr"),
        (Calls(socket.create_connection, ("127.0.0.1", 1)), r"socket\.create_connection"),
        (Calls(torch.hub.load, "a/b", "c"), r"torch\.hub\.load"),
        (Calls(torch.load, "file"), r"torch\.(serialization\.)?load"),
        (Calls(np.load, "file"), r"numpy\.load"),
    ],
)
def test_no_function_but_the_constructors_is_looked_up(
    tmp_path: Path, name: str, call: Calls, asked: str
) -> None:
    file = tmp_path / name
    write_attack(file, call)
    read = converter.plain if file.suffix == ".pkl" else converter.state_dict
    with pytest.raises(converter.Refused, match=rf"it asks for (builtins\.)?{asked}$"):
        read(file)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("plans.pkl", b"not a pickle", "no pickle of plain values"),
        ("plans.pkl", b"", "no pickle of plain values"),
        ("plans.pkl", pickle.dumps(b"raw"), "it holds a bytes"),
        ("model.pt", b"not a checkpoint", "torch cannot read it"),
        ("model.pt", pickle.dumps([1, 2], protocol=2), "torch cannot read it"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(converter.Refused, match=said):
        (converter.plain if file.suffix == ".pkl" else converter.state_dict)(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(1)], "no tensors by name"),
        ({}, "no tensors by name"),
        ({"a": 1}, "'a' in it is not a plain tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(converter.Refused, match=said):
        converter.state_dict(tmp_path / "model.pt")


def nested(depth: int, width: int) -> Any:
    """Lists of one list of one list ...: a pickle of a few bytes that stands for width ** depth values."""
    value: Any = 0
    for _ in range(depth):
        value = [value] * width
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (nested(13, 10), "it holds more than 1000000 values"),
        ({"a": np.zeros(1_000_001, np.uint8)}, "it holds more than 1000000 values"),
        ({"a": 1 << 20_000}, "it is no pickle of plain values: Exceeds the limit"),
    ],
)
def test_what_a_small_pickle_stands_for_is_bounded(folders: tuple[Path, Path], value: Any, said: str) -> None:
    packed, plain = folders
    (packed / "plans.pkl").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(ConfigurationError, match=rf"plans\.pkl is refused: {said}"):
        unpickle(packed, plain)


def test_a_pickle_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    for name, content in (("loop", pickle.dumps(loop)), ("deep", b"]" * 100_000 + b"a" * 99_999 + b".")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(converter.Refused, match="no pickle of plain values: maximum recursion depth"):
            converter.plain(tmp_path / name)


@pytest.mark.parametrize("name", ["plans.pkl", "model.pt"])
def test_a_small_file_gets_no_more_memory_than_weights_need(folders: tuple[Path, Path], name: str) -> None:
    packed, plain = folders
    if name == "plans.pkl":
        value = Calls(np.ndarray, (6 << 30,))
        (packed / name).write_bytes(pickle.dumps(value))
    else:
        torch.save({"a": torch.zeros(1).expand(6 << 28)}, packed / name)
    with pytest.raises(ConfigurationError, match=rf"{name} is refused: it needs more than 4 GB of memory"):
        unpickle(packed, plain)
    assert list(plain.iterdir()) == []


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(2, dtype=torch.complex64),
    ],
    ids=["sparse", "meta", "complex"],
)
def test_only_plain_tensors_of_numbers_are_taken(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"a": tensor}, tmp_path / "model.pt")
    with pytest.raises(converter.Refused, match=r"'a' in it is not a plain tensor|torch cannot read it"):
        converter.state_dict(tmp_path / "model.pt")


@given(content=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_get_anything_else_than_plain_values_or_a_refusal(
    content: bytes, tmp_path_factory: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.pkl"
    file.write_bytes(content)
    try:
        json.loads(converter.plain(file))
    except converter.Refused:
        return


@pytest.mark.skipif(not isolation(), reason="this system does not let ordinary users take the network away")
def test_the_process_has_no_network() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        script = f"import socket; socket.create_connection({address!r}, 2)"
        free = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
        held = subprocess.run([*isolation(), sys.executable, "-c", script], check=False, capture_output=True)
    assert free.returncode == 0
    assert b"Network is unreachable" in held.stderr


def test_only_the_layout_is_unpacked(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("top/plans.pkl", "top/readme.md", "plans.pkl.txt"):
            archive.writestr(name, name)
    names = unpack(tmp_path / "a.zip", re.compile(r"(?:.*/)?plans\.pkl"), folders[0])
    assert [str(name) for name in names] == ["top/plans.pkl"]
    assert [p.relative_to(folders[0]) for p in folders[0].rglob("*") if p.is_file()] == [
        Path("top/plans.pkl")
    ]


@pytest.mark.parametrize("name", ["../evil.pkl", "/evil.pkl", "a/../../evil.pkl", "..\\evil.pkl"])
def test_a_name_that_leads_out_of_the_archive_is_refused(
    tmp_path: Path, folders: tuple[Path, Path], name: str
) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.pkl", b"")
        archive.writestr(name, b"evil")
    with pytest.raises(ConfigurationError, match="leads out of it"):
        unpack(tmp_path / "a.zip", EVERYTHING, folders[0])
    assert [p.name for p in tmp_path.rglob("*.pkl")] == []


def test_a_file_that_is_no_archive_or_is_cut_off_is_named(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(b"not a zip")
    with pytest.raises(ConfigurationError, match=r"a\.zip is not a zip archive"):
        unpack(file, EVERYTHING, folders[0])
    with ZipFile(file, "w") as archive:
        archive.writestr("plans.pkl", b"1" * 1000)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a\.zip is not a zip archive that can be read: Bad CRC"):
        unpack(file, EVERYTHING, folders[0])


def test_a_description_that_unpacks_to_more_than_a_megabyte_is_refused(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("top/postprocessing.json", " " * (LARGEST_JSON + 1))
    with pytest.raises(
        ConfigurationError,
        match=r"a\.zip is refused: top/postprocessing\.json in it unpacks to more than 1 MB",
    ):
        unpack(tmp_path / "a.zip", EVERYTHING, folders[0])
    assert list(folders[0].iterdir()) == []


def test_an_archive_that_says_it_is_larger_than_weights_are_is_refused_unread(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    file = tmp_path / "a.zip"
    with ZipFile(file, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.model", b"")
    entry, uncompressed_size = b"PK\x01\x02", 24  # of the central directory (APPNOTE 4.3.12)
    first, *entries = file.read_bytes().split(entry)
    said = (0xFFFF_FFFE).to_bytes(4, "little")
    changed = [e[: uncompressed_size - 4] + said + e[uncompressed_size:] for e in entries]
    file.write_bytes(entry.join((first, *changed)))
    with pytest.raises(ConfigurationError, match=r"a\.zip is refused: it unpacks to more than 8 GB"):
        unpack(file, EVERYTHING, folders[0])
    assert list(folders[0].iterdir()) == []
