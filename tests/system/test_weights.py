"""The weights commands, as a person uses them."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.system.nodes import Node
from tests.unit.algorithms.adapters import published

pytestmark = pytest.mark.system


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    return make_node()


def states(node: Node) -> dict[str, str]:
    rows = json.loads(node.run("weights", "list", "--json").stdout)
    return {row["name"]: row["state"] for row in rows}


def test_published_weights_are_listed_added_verified_and_found_faulty(node: Node, tmp_path: Path) -> None:
    assert states(node)["segthor-task055"] == "missing"
    rows = json.loads(node.run("weights", "list", "--json").stdout)
    ways = {row["name"]: row["get"] for row in rows if row["state"] == "missing"}
    assert ways["bpr"] == (
        "public_bpr_model.zip at https://zenodo.org/records/5113483; "
        "then: ainode weights add bpr public_bpr_model.zip"
    )
    listed = node.run("weights", "list").stdout
    assert "https://zenodo.org/records/4003545" in listed
    assert all(f"ainode weights add {name}" in listed for name in ways)
    file = published.write_archive(tmp_path / "Task055_SegTHOR.zip", {"3d_fullres": [published.fold(0)]})
    added = node.run("weights", "add", "segthor-task055", file).stdout
    assert "segthor-task055 added" in added
    assert states(node)["segthor-task055"] == "present"
    verified = json.loads(node.run("weights", "verify", "--json").stdout)
    (row,) = [row for row in verified if row["name"] == "segthor-task055"]
    assert row["state"] == "ok"
    assert row["sha256"] in added
    tensors = node.state / "weights" / "segthor-task055" / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"!")
    refused = node.run("weights", "verify", "segthor-task055", status=1)
    assert "SHA-256 differs" in refused.stdout
    assert refused.stderr.strip() == "ainode: to be added anew: segthor-task055"


class Attack:
    """A pickle that runs a program when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.command = f"touch {proof}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_a_malicious_archive_is_refused_with_the_name_of_what_it_asks_for(node: Node, tmp_path: Path) -> None:
    proof, file = tmp_path / "executed", tmp_path / "Task055_SegTHOR.zip"
    folder = f"3d_fullres/Task055_SegTHOR/{published.TRAINER}"
    with ZipFile(file, "w") as archive:
        archive.writestr(f"{folder}/plans.pkl", pickle.dumps({"plans_per_stage": Attack(proof)}))
    refused = node.run("weights", "add", "segthor-task055", file, status=2)
    assert f"{folder}/plans.pkl is refused: it asks for posix.system" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not proof.exists()
    assert states(node)["segthor-task055"] == "missing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "unicorn", "x.zip"), "there are no published weights 'unicorn'"),
        (("add", "bpr", "absent.zip"), "there is no file absent.zip"),
        (("verify", "bpr"), "ainode weights add bpr FILE"),
    ],
)
def test_wrong_use_of_weights_ends_with_a_sentence(node: Node, arguments: tuple[str, ...], said: str) -> None:
    refused = node.run("weights", *arguments, status=2)
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
