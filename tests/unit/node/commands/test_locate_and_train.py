"""`locate`, `pretrain` and `finetune`, as a person at the command line has them."""

import json
import logging
import warnings

import nibabel
import numpy as np
import pydicom
import pytest
import structlog

from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label
from algorithms.weights import Store
from node.__main__ import main
from tests.synthetic_study import write

MM = 6.0


@pytest.fixture(autouse=True)
def _settings_of_this_process(monkeypatch):
    """The command sets up the whole process; the tests after it get theirs back."""
    levels = {name: logging.getLogger(name).level for name in ("pydicom", "pynetdicom")}
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.WARN)
    with warnings.catch_warnings():
        yield
    structlog.reset_defaults()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def ainode(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    """Two chests as DICOM, and the middle of the airways in each."""
    made = []
    for seed in (4000, 4001):
        body = torso(seed, spacing_mm=MM, bottom_mm=-60.0, top_mm=280.0)
        folder = tmp_path_factory.mktemp(f"body{seed}")
        write(folder / "dicom", body.hu, (MM, MM, MM), seed)
        slice_, row, column = np.argwhere(body.labels == Label.AIRWAY).mean(axis=0) * MM
        made.append((folder, np.array([column, row, slice_]), body))
    return made


def test_a_place_is_found_and_told_as_json(bodies, capsys):
    (source, point, _), (target, wanted, _) = bodies
    text = ",".join(f"{mm:.1f}" for mm in point)
    assert ainode("locate", source / "dicom", target / "dicom", "--point", text, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"position_mm", "SOPInstanceUID", "row", "column", "similarity", "outside_mm"}
    assert np.linalg.norm(found["position_mm"] - wanted) < 40
    names = {pydicom.dcmread(f).SOPInstanceUID: f for f in (target / "dicom").iterdir()}
    shown = pydicom.dcmread(names[found["SOPInstanceUID"]])
    assert float(shown.ImagePositionPatient[2]) == pytest.approx(found["position_mm"][2], abs=MM / 2 + 0.01)
    assert found["row"] == pytest.approx(found["position_mm"][1] / MM, abs=0.51)
    assert found["column"] == pytest.approx(found["position_mm"][0] / MM, abs=0.51)
    assert 0 < found["similarity"] <= 1


def test_the_heat_map_is_a_parametric_map_of_the_target(bodies, tmp_path):
    (source, point, _), (target, _, _) = bodies
    text = ",".join(f"{mm:.1f}" for mm in point)
    status = ainode("locate", source / "dicom", target / "dicom", "--point", text, "--heat-map", tmp_path)
    assert status == 0
    heat = pydicom.dcmread(tmp_path / "saliency.dcm")
    assert heat.SOPClassUID.name == "Parametric Map Storage"
    assert heat.StudyInstanceUID == pydicom.dcmread(next((target / "dicom").iterdir())).StudyInstanceUID


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--point", "1,2"], 2, "three numbers"),
        (["--point", "nan,1,2"], 2, "three numbers"),
        (["--point", "100,100,100", "--heat-map", "/proc/none"], 2, "/proc/none cannot be made"),
        (["--point", "0,0,9000"], 1, "outside the image"),
        (["--point", "100,100,100", "--option", "weights=none"], 2, "weights is 'none'"),
    ],
)
def test_a_wrong_question_is_answered_with_a_sentence(bodies, capsys, arguments, status, said):
    folder = bodies[0][0] / "dicom"
    assert ainode("locate", folder, folder, *arguments) == status
    assert said in capsys.readouterr().err


def test_an_encoder_is_pretrained_on_dicom_nifti_and_phantoms(bodies, tmp_path, capsys):
    body = bodies[1][2]
    affine = np.diag([-MM, -MM, MM, 1.0])
    nibabel.save(nibabel.Nifti1Image(body.hu.transpose(2, 1, 0), affine), tmp_path / "ct.nii.gz")
    small = ("--filters", 2, "--spacing", 12, "--patch", 16, "--steps", 2)
    given = (bodies[0][0] / "dicom", tmp_path / "ct.nii.gz", "--phantoms", 1)
    assert ainode("pretrain", *given, "--out", tmp_path, "--name", "own", *small) == 0
    assert "2 series and 1 phantoms" in capsys.readouterr().out
    checkpoint = Store((tmp_path,)).get("own")
    assert checkpoint.config["search"]["spacing_mm"] == [12.0, 12.0, 12.0]
    assert checkpoint.shapes()["conv_init.weight"] == (2, 1, 3, 3, 3)


def test_nothing_to_learn_from_is_said(tmp_path, capsys):
    assert ainode("pretrain", "--out", tmp_path, "--steps", 1) == 2
    assert "nothing to learn from" in capsys.readouterr().err


def test_a_label_map_beside_a_series_is_learned(bodies, tmp_path, capsys):
    folder, _, body = bodies[0]
    lungs = np.isin(body.labels, (Label.LEFT_LUNG, Label.RIGHT_LUNG)).astype(np.uint8)
    affine = np.diag([-MM, -MM, MM, 1.0])
    nibabel.save(nibabel.Nifti1Image(lungs.transpose(2, 1, 0), affine), folder / "truth.nii.gz")
    (folder / "truth.json").write_text('{"1": "tumor"}')
    assert (
        ainode(
            "pretrain",
            folder,
            "--out",
            tmp_path,
            "--filters",
            2,
            "--patch",
            16,
            "--spacing",
            12,
            "--steps",
            1,
        )
        == 0
    )
    given = ("--out", tmp_path, "--steps", 2, "--patch", 32, "--spacing", 12)
    assert ainode("finetune", folder, "--encoder", "ct-fm-encoder", *given) == 0
    assert "1 series with tumor" in capsys.readouterr().out
    assert Store((tmp_path,)).get("ct-fm-tumor").config["classes"] == ["background", "tumor"]


def test_series_without_labels_cannot_be_finetuned_on(bodies, tmp_path, capsys):
    assert ainode("finetune", bodies[1][0], "--encoder", "none", "--out", tmp_path) == 2
    assert "no series has labels" in capsys.readouterr().err


SMALL = ("--filters", 2, "--patch", 16, "--spacing", 20, "--phantoms", 1)


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", "a/b", ".hidden", ""])
def test_weights_never_leave_their_folder(tmp_path, capsys, name):
    assert ainode("pretrain", "--out", tmp_path / "out", "--name", name, "--steps", 1, *SMALL) == 2
    assert f"--name is {name!r}; give letters" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [None, b"", b"no state", b"PK"])
def test_a_state_that_cannot_be_gone_on_with_is_named_with_the_mend(tmp_path, capsys, damage):
    given = ("pretrain", "--out", tmp_path, "--name", "own", "--steps", 1, *SMALL)
    assert ainode(*given) == 0
    if damage is not None:
        (tmp_path / "own.state").write_bytes(damage)
    assert ainode(*given, "--filters", 4) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'own.state'} is damaged, or of another network; to begin anew, delete it" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        (("--patch", 33), 2, "--patch is 33; give a multiple of 16"),
        (("--segment", "Hart"), 2, "no series has a structure 'Hart'; there is 1"),
        (("--encoder", "ct-fm-encoder"), 1, "ainode weights pull ct-fm-encoder; or give --encoder"),
        (("--encoder", "nobody's"), 1, "see `ainode weights list`; or give --encoder ct-fm-encoder-bundled"),
        (("--encoder", "bpr-bundled"), 1, "the encoder: tensor conv_init.weight is missing"),
        (("--device", "tpu"), 2, "there is no device 'tpu' here"),
    ],
)
def test_a_wrong_word_to_finetune_is_answered_with_the_mend(bodies, tmp_path, capsys, wrong, status, said):
    folder, _, body = bodies[1]
    labels = (body.labels == Label.AIRWAY).astype(np.uint8).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([-MM, -MM, MM, 1.0])), folder / "truth.nii.gz")
    usual = ("--encoder", "none", "--patch", 32, "--spacing", 12, "--steps", 1, "--out", tmp_path)
    try:
        assert ainode("finetune", folder, *usual, *wrong) == status
    finally:
        (folder / "truth.nii.gz").unlink()
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
