"""Photographs by STOW-RS, taken by a real listener."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from node.config import Dicom
from node.inbound import visible_light
from node.inbound.association import Listener
from node.inbound.instances import Spool, Stored
from node.web import storing
from node.web.app import create_app
from node.web.rooms import Rooms
from tests import synthetic_photograph
from tests.system.nodes import free_port

TYPE = 'multipart/related; type="application/dicom+json"; boundary=b'
NAME = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Möller^Ada"}]}}
METADATA = {
    **NAME,
    "00080016": {"vr": "UI", "Value": [visible_light.VL_PHOTOGRAPHIC]},
    "00101010": {"vr": "AS", "Value": ["051Y"]},
    "00280010": {"vr": "US", "Value": [90]},
    "7FE00010": {"vr": "OB", "BulkDataURI": "bulk/1"},
}


def message(metadata: Any, picture: bytes, location: str = "bulk/1") -> bytes:
    parts = (
        ("application/dicom+json", "", json.dumps(metadata).encode()),
        ("image/png", f"Content-Location: {location}\r\n", picture),
    )
    body = b"".join(
        f"--b\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + content + b"\r\n"
        for kind, more, content in parts
    )
    return body + b"--b--\r\n"


@pytest.fixture
def arrived(rooms: Rooms, tmp_path: Path) -> Iterator[tuple[TestClient, list[Stored]]]:
    """A client of a node, and what its listener takes."""
    taken: list[Stored] = []
    dicom = Dicom(port=free_port())
    listener = Listener(
        dicom,
        Spool(tmp_path / "spool", dicom.max_instance_bytes),
        lambda stored, _association: taken.append(stored),
        lambda *_arguments, **_more: None,
    )
    listener.start()
    there = replace(rooms, settings=rooms.settings.model_copy(update={"dicom": dicom}))
    with TestClient(create_app(there), base_url="http://127.0.0.1:8080") as client:
        yield client, taken
    listener.stop()


def store(client: TestClient, body: bytes, path: str = "/dicom-web/studies", kind: str = TYPE) -> Any:
    return client.post(path, content=body, headers={"Content-Type": kind})


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_arrives_as_a_vl_photographic_image_of_the_patient(kind, arrived, tmp_path):
    client, taken = arrived
    answer = store(client, message([METADATA], synthetic_photograph.file(kind)))
    assert answer.status_code == 200
    (stored,) = taken
    referenced = answer.json()["00081199"]["Value"][0]
    assert referenced["00081155"]["Value"] == [stored.instance.sop_instance_uid]
    image, (header,) = visible_light.read([tmp_path / "spool" / stored.instance.path])
    assert (str(header.PatientName), image.subject_age_years) == ("Möller^Ada", 51.0)
    off = np.abs(image.pixels.astype(int) - synthetic_photograph.pixels())
    assert off.max() == 0 if kind == "PNG" else off.mean() < 20


def test_the_study_of_the_address_is_taken(arrived):
    client, taken = arrived
    body = message(METADATA, synthetic_photograph.file())
    assert store(client, body, "/dicom-web/studies/2.25.77").status_code == 200
    assert taken[0].instance.study_instance_uid == "2.25.77"


@pytest.mark.parametrize(
    ("metadata", "location", "told"),
    [
        (METADATA, "bulk/2", "names no part"),
        (NAME, "bulk/1", "names no part"),
        ({**METADATA, "0020000D": {"vr": "UI", "Value": ["2.25.2"]}}, "bulk/1", "another study"),
        ({**METADATA, "00080016": {"vr": "UI", "Value": ["1.2"]}}, "bulk/1", "as VL Photographic Image"),
        ({**METADATA, "00101010": {"vr": "AS", "Value": ["old"]}}, "bulk/1", "JSON model"),
        ({**METADATA, "00100020": {"vr": "LO", "Value": ["a", "b"]}}, "bulk/1", "several values"),
        ({**METADATA, "00100020": 7}, "bulk/1", "JSON model"),
    ],
)
def test_what_cannot_be_stored_is_told_and_does_not_arrive(metadata, location, told, arrived):
    client, taken = arrived
    answer = store(
        client, message(metadata, synthetic_photograph.file(), location), "/dicom-web/studies/2.25.1"
    )
    assert answer.status_code == 409
    assert told in answer.headers["Warning"]
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xC000]
    assert taken == []


def test_of_two_the_one_that_can_be_stored_is(arrived):
    client, taken = arrived
    answer = store(client, message([METADATA, NAME], synthetic_photograph.file()))
    assert (answer.status_code, len(taken)) == (202, 1)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 415),
        (b"", 'multipart/related; type="application/dicom"; boundary=b', 415),
        (b"", 'multipart/related; type="application/dicom+json"', 400),
        (b"--b\r\n\r\n", TYPE, 400),
        (b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--", TYPE, 400),
        (b"--b\r\nContent-Type: application/dicom+json\r\n\r\n[3]\r\n--b--", TYPE, 400),
    ],
)
def test_a_message_of_another_kind_is_refused(body, kind, status, client):
    assert store(client, body, kind=kind).status_code == status


def test_too_large_a_message_is_refused(client, monkeypatch):
    monkeypatch.setattr(storing, "MOST_BYTES", 100)
    assert store(client, b"x" * 101).status_code == 413


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_listener_the_sender_is_told_to_try_again(rooms):
    away = rooms.settings.model_copy(update={"dicom": Dicom(port=free_port())})
    with TestClient(create_app(replace(rooms, settings=away)), base_url="http://127.0.0.1:8080") as client:
        answer = store(client, message(METADATA, synthetic_photograph.file()))
    assert answer.status_code == 503


@given(st.binary(max_size=300).filter(lambda content: b"\r\n--b" not in content))
def test_the_bytes_of_a_part_come_as_they_were_sent(content):
    _, picture = storing.parts_of(message([], content), TYPE)
    assert (picture.content, picture.location) == (content, "bulk/1")


@given(st.binary(max_size=200), st.text(st.characters(codec="latin-1"), max_size=80))
def test_any_message_is_taken_apart_or_refused(body, kind):
    for content_type in (kind, TYPE):
        try:
            storing.parts_of(body, content_type)
        except HTTPException as refused:
            assert refused.status_code in {400, 415}
