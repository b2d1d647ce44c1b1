"""The weights commands, as a person uses them."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from pydicom import dcmread

from algorithms.ct_fm.network import Architecture
from algorithms.weights import shapes_of
from tests.hub_server import COMMIT, serving
from tests.system.nodes import Node
from tests.unit.algorithms.adapters import published
from tests.weights_files import write_zeros

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
    assert all(
        f"ainode weights {'pull' if 'pull' in way else 'add'} {n}" in listed for n, way in ways.items()
    )
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
    assert refused.stderr.strip() == "ainode: to be got anew: segthor-task055"


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
        (("add", "ct-fm-tumor", __file__), "test_weights.py is neither .safetensors nor .ckpt"),
        (("verify", "bpr"), "the weights 'bpr' are not here; add them with: ainode weights add bpr FILE"),
        (("verify", "ct-fm-encoder"), "get them with: ainode weights pull ct-fm-encoder"),
        (("pull", "unicorn"), "there are no published weights 'unicorn'"),
        (("pull", "bpr"), "bpr cannot be pulled: public_bpr_model.zip at https://zenodo.org/records/5113483"),
    ],
)
def test_wrong_use_of_weights_ends_with_a_sentence(node: Node, arguments: tuple[str, ...], said: str) -> None:
    refused = node.run("weights", *arguments, status=2)
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def route_to(node: Node, folder: Path, algorithm: str, options: str = "") -> None:
    """The one route of the node."""
    routes = folder / "routes.toml"
    routes.write_text(
        f'[[routes]]\nname = "r"\nalgorithm = "{algorithm}"\noptions = {{ {options} }}\n\n[[routes.when]]\n'
        'keyword = "Modality"\nequals = "CT"\n'
    )
    node.environment["AINODE__ROUTES__FILE"] = str(routes)


def test_missing_weights_are_seen_before_any_study_arrives_and_are_mended_by_the_command_that_is_named(
    node: Node, tmp_path: Path
) -> None:
    route_to(node, tmp_path, "ct-retrieval", "weights = 'published'")
    checked = node.run("routes", "check").stdout
    assert "Route r cannot run yet: the weights ct-fm-encoder are missing; get them with: " in checked
    (row,) = json.loads(node.run("routes", "check", "--json").stdout)
    (lacking,) = row["weights missing"]
    assert lacking["name"] == "ct-fm-encoder"
    assert "ct-fm-encoder missing" in node.run("doctor", status=1).stdout
    command = lacking["mend"].split("ainode ")[1].split()
    with serving() as hub:
        file = write_zeros(tmp_path / "m.safetensors", shapes_of(Architecture().encoder))
        hub.files["project-lighter/ct_fm_feature_extractor/model.safetensors"] = file
        node.environment["AINODE__HUB__ENDPOINT"] = hub.url
        pulled = node.run(*command)
    assert pulled.stderr == ""
    assert "ct-fm-encoder pulled, 155.6 MB, SHA-256" in pulled.stdout
    assert states(node)["ct-fm-encoder"] == "present"
    assert "cannot run yet" not in node.run("routes", "check").stdout
    (verified,) = json.loads(node.run("weights", "verify", "ct-fm-encoder", "--json").stdout)
    assert (verified["state"], verified["what"]) == ("ok", "161 tensors")
    about = json.loads((node.state / "weights" / "ct-fm-encoder" / "model.json").read_text())
    assert about["card"]["revision"] == COMMIT


def test_a_workitem_whose_weights_are_missing_is_canceled_with_the_command_that_mends_it(
    node: Node, tmp_path: Path, phantom: Path
) -> None:
    route_to(node, tmp_path, "ct-wholebody")
    node.start()
    node.send(phantom / "dicom")
    first = dcmread(next((phantom / "dicom").iterdir()), stop_before_pixels=True)
    workitem = node.workitem(str(first.StudyInstanceUID), "CANCELED")
    assert "ainode weights pull ct-fm-wholebody" in workitem["message"]
    assert workitem["reason"]["value"] == "110527"


def test_the_algorithms_tell_the_state_of_their_weights(node: Node) -> None:
    rows = {row["name"]: row for row in json.loads(node.run("algorithms", "--json").stdout)}
    assert rows["ct-wholebody"]["weights"] == "ct-fm-wholebody missing"
    assert rows["body-part-regression"]["weights"] == "bpr-bundled bundled"
    assert rows["radiomics"]["weights"] == ""
    shown = json.loads(node.run("algorithms", "show", "ct-tumor", "--json").stdout)
    assert shown["weights"] == [
        {
            "name": "ct-fm-tumor",
            "state": "missing",
            "mend": "add them with: ainode weights add ct-fm-tumor FILE",
        }
    ]
    assert "ainode weights add ct-fm-tumor FILE" in node.run("algorithms", "show", "ct-tumor").stdout


def test_without_a_network_a_pull_ends_with_a_sentence_and_the_other_way(node: Node) -> None:
    node.environment |= {"AINODE__HUB__ENDPOINT": "http://127.0.0.1:9"}
    refused = node.run("weights", "pull", "ct-fm-encoder", status=1).stderr
    assert "cannot be downloaded" in refused
    assert "get the file elsewhere and add it" in refused
    assert len(refused.strip().splitlines()) == 1
    node.environment |= {"HF_HUB_OFFLINE": "1"}
    assert "HF_HUB_OFFLINE is set" in node.run("weights", "pull", "ct-fm-encoder", status=1).stderr
    node.environment |= {"AINODE__HUB__ENDPOINT": "hub"}
    assert (
        "hub.endpoint: it is no address of a web server"
        in node.run("weights", "pull", "ct-fm-encoder", status=2).stderr
    )
