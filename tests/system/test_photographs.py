"""Photographs with a real PACS: a route of one's own takes them, and report and picture come back."""

import json
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydicom import Dataset, dcmread

from algorithms.weights import save
from node.inbound import pictures
from tests.orthanc_server import Orthanc
from tests.system.nodes import Node, destination, wait_for
from tests.system.test_line import fetch, in_pacs
from tests.unit.node.web.test_photograph_storing import METADATA, TYPE, message

pytestmark = pytest.mark.system

ROUTE = """
[[routes]]
name = "face-age"
algorithm = "face-age"

[[routes.when]]
series = "modality"
equals = "XC"
"""
SYNTHETIC = """
[routes.options]
weights = "synthetic"
"""
SAID = {"PatientName": "Möller^Ada", "PatientID": "P-7", "PatientAge": "043Y", "StudyDate": "20210815"}


@pytest.fixture
def portrait(shared_data: Path) -> bytes:
    """A portrait of an astronaut, in the public domain."""
    return (shared_data / "faces" / "others" / "astronaut.png").read_bytes()


@pytest.fixture
def node_with(make_node: Callable[..., Node], pacs: Orthanc, tmp_path: Path) -> Callable[..., Node]:
    """A node that has this route alone."""

    def make(route: str, **environment: str) -> Node:
        routes = tmp_path / "photographs.toml"
        routes.write_text(route)
        settings = {"AINODE__DESTINATIONS": destination(pacs), "AINODE__ROUTES__FILE": str(routes)}
        return make_node(**settings, **environment)

    return make


def untrained(state: Path) -> None:
    """Weights of a small network that has learned nothing."""
    from algorithms.fahr_face.network import Architecture, FaceTransformer

    architecture = Architecture(16, 1, 32, patch=16, grid=7, outputs=1, heads=2)
    tensors = FaceTransformer(architecture).state_dict()
    save(state / "weights", "fahr-face-age-synthetic", tensors, asdict(architecture), {"source": "this test"})


def stored(folder: Path, portrait: bytes) -> Dataset:
    """A VL Photographic Image of the portrait, as a file in a folder of its own."""
    folder.mkdir()
    instance = pictures.wrap(portrait, SAID)
    (folder / "photograph.dcm").write_bytes(pictures.written(instance))
    return instance


def of_kind(item: dict[str, Any], kind: str) -> str:
    return next(r["sop_instance_uid"] for r in item["results"] if r["kind"] == kind)


def test_a_photograph_in_the_archive_comes_back_as_report_and_picture_and_leaves_the_spool(
    node_with: Callable[..., Node], pacs: Orthanc, portrait: bytes, tmp_path: Path
) -> None:
    node = node_with(ROUTE + SYNTHETIC, AINODE__PHOTOGRAPHS__KEEP_HOURS="0.0005")
    untrained(node.state)
    node.start()
    instance = stored(tmp_path / "camera", portrait)
    study = str(instance.StudyInstanceUID)
    node.send(tmp_path / "camera")
    item = node.workitem(study, "COMPLETED")
    assert {d["state"] for d in item["deliveries"]} == {"CONFIRMED"}
    assert {each["00080018"]["Value"][0] for each in in_pacs(pacs, study)} == {
        r["sop_instance_uid"] for r in item["results"]
    }
    report = dcmread(BytesIO(fetch(pacs, of_kind(item, "sr"))))
    text = "\n".join(str(report).splitlines())
    assert "Subject Age" in text
    assert str(instance.SOPInstanceUID) in text
    comment = report.ContentSequence[-1].ContentSequence[0].ContentSequence[-1].TextValue
    assert "fahr-face-age-synthetic were trained on synthetic faces" in comment
    picture = dcmread(BytesIO(fetch(pacs, of_kind(item, "sc"))))
    assert picture.pixel_array.shape == (512, 512, 3)
    spooled = node.state / "spool" / study / str(instance.SeriesInstanceUID)
    wait_for("the photograph to be erased", lambda: not list(spooled.glob("*.dcm")), 30)
    assert "Ada" not in (node.state / "node.log").read_text()


def test_without_weights_the_workitem_is_canceled_with_the_reason_and_the_mend(
    node_with: Callable[..., Node], pacs: Orthanc, portrait: bytes, tmp_path: Path
) -> None:
    node = node_with(ROUTE).start()
    instance = stored(tmp_path / "camera", portrait)
    node.send(tmp_path / "camera")
    item = node.workitem(str(instance.StudyInstanceUID), "CANCELED")
    assert item["reason"]["value"] == "110527"
    assert "fahr-face-age" in item["message"]
    assert "ainode weights" in item["message"]
    assert in_pacs(pacs, str(instance.StudyInstanceUID)) == []


def test_the_routes_at_first_take_no_photograph(
    make_node: Callable[..., Node], pacs: Orthanc, portrait: bytes, tmp_path: Path
) -> None:
    node = make_node(AINODE__DESTINATIONS=destination(pacs), AINODE__ROUTES__FILE="").start()
    study = str(stored(tmp_path / "camera", portrait).StudyInstanceUID)
    node.send(tmp_path / "camera")
    wait_for("the study to be complete", lambda: _state(node, study) == "COMPLETE")
    assert node.get(f"/api/workitems?study={study}") == []


def _state(node: Node, study: str) -> str:
    return next((s["state"] for s in node.get("/api/studies") if s["study_instance_uid"] == study), "")


def test_a_picture_stored_by_dicomweb_goes_the_same_way(
    node_with: Callable[..., Node], pacs: Orthanc, portrait: bytes
) -> None:
    node = node_with(ROUTE + SYNTHETIC)
    untrained(node.state)
    node.start()
    answer = httpx2.post(
        f"{node.url}/dicom-web/studies/2.25.4711",
        content=message(METADATA, portrait),
        headers={"Content-Type": TYPE},
        timeout=30,
    )
    assert answer.status_code == 200, json.dumps(answer.json())
    item = node.workitem("2.25.4711", "COMPLETED")
    report = dcmread(BytesIO(fetch(pacs, of_kind(item, "sr"))))
    assert (str(report.PatientName), report.PatientAge) == ("Möller^Ada", "051Y")
