import json
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from algorithms.protocol import Findings, Unsuitable
from algorithms.weights import BUNDLED, Store
from node.__main__ import app
from node.errors import UnknownOption, UnsuitableImage
from node.jobs.production import Means, Stopwatch, produce, provenance_of
from tests import synthetic_photograph


def run(path, entry=synthetic_photograph.ENTRY, options=(), **said):
    store = Store((BUNDLED,))
    instance = synthetic_photograph.instance(path / "photograph.dcm", **said)
    made_by = provenance_of(entry, dict(options), [instance.SOPInstanceUID], store)
    return produce(
        entry,
        [path / "photograph.dcm"],
        made_by,
        Means(store, "cpu"),
        progress=lambda _fraction, _stage: None,
        watch=Stopwatch(),
    )


def test_a_photograph_gives_a_report_and_a_picture(tmp_path):
    produced = run(tmp_path)
    assert [item.role for item in produced.objects] == ["scores", "picture"]
    assert [m["name"] for m in produced.document["measurements"]] == ["FaceAge", "Difference"]
    assert produced.document["segments"] == []
    assert list(produced.document["seconds"]) == ["read", "load", "run", "explain", "encode", "gate"]


def test_without_highlights_there_is_no_picture(tmp_path):
    class Mute(synthetic_photograph.FixedAge):
        def explain(self, image, found, progress):
            return None

    entry = replace(synthetic_photograph.ENTRY, load=lambda *_: Mute())
    assert [item.role for item in run(tmp_path, entry).objects] == ["scores"]


def test_what_the_algorithm_says_of_a_photograph_is_told(tmp_path):
    class Blind(synthetic_photograph.FixedAge):
        def run(self, image, progress) -> Findings:
            raise Unsuitable("there is no face")

    with pytest.raises(UnsuitableImage, match="there is no face"):
        run(tmp_path, replace(synthetic_photograph.ENTRY, load=lambda *_: Blind()))


@pytest.mark.parametrize("order", [{"covers": "head"}, {"stability": "true"}, {"rtstruct": "true"}])
def test_what_only_volumes_have_cannot_be_ordered(order, tmp_path):
    with pytest.raises(UnknownOption, match="for volumes"):
        run(tmp_path, options=order)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_command_runs_on_a_picture_and_keeps_what_the_results_refer_to(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("node.commands.science.CATALOGUE", {"face-age": synthetic_photograph.ENTRY})
    picture, out = tmp_path / "picture", tmp_path / "out"
    picture.write_bytes(synthetic_photograph.file(kind))
    arguments = ["--patient", "PatientAge=050Y", "--patient", "PatientID=P-7"]
    done = CliRunner().invoke(app, ["run", "face-age", str(picture), "--out", str(out), *arguments])
    assert done.exit_code == 0, done.output
    assert "FaceAge" in done.output
    wrapped, report, overlay = (
        dcmread(out / name) for name in ("photograph.dcm", "scores.dcm", "picture.dcm")
    )
    named = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == wrapped.SOPInstanceUID
    assert (report.PatientID, report.PatientAge) == ("P-7", "050Y")
    assert np.prod(overlay.pixel_array.shape) == 90 * 70 * 3
    assert json.loads((out / "findings.json").read_text())["source"]["instances"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--nifti"], "no label map"), (["--patient", "Rows=3"], "says nothing of Rows")],
)
def test_the_command_refuses_what_a_photograph_has_not(arguments, told, tmp_path, monkeypatch):
    monkeypatch.setattr("node.commands.science.CATALOGUE", {"face-age": synthetic_photograph.ENTRY})
    (tmp_path / "picture").write_bytes(synthetic_photograph.file())
    command = ["run", "face-age", str(tmp_path / "picture"), "--out", str(tmp_path / "out"), *arguments]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    assert told in str(refused.exception)


def test_dicom_says_itself_who_the_patient_is(tmp_path, monkeypatch):
    monkeypatch.setattr("node.commands.science.CATALOGUE", {"face-age": synthetic_photograph.ENTRY})
    synthetic_photograph.instance(tmp_path / "photograph.dcm")
    command = ["run", "face-age", str(tmp_path), "--out", str(tmp_path / "out"), "--patient", "PatientID=P"]
    refused = CliRunner().invoke(app, command)
    assert "DICOM files say who the patient is" in str(refused.exception)
