"""A whole collection, from a folder and from a real archive: resumable, and nothing stops it."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.jobs.manifest import alone
from tests.orthanc_server import Orthanc
from tests.system.nodes import Node

pytestmark = pytest.mark.system


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def series(source: Path, target: Path, number: int, *, gap: bool = False) -> None:
    """A copy of a series under other UIDs, perhaps with a slice missing in the middle."""
    target.mkdir(parents=True)
    files = sorted(source.iterdir())
    for index, path in enumerate(files):
        if gap and index == len(files) // 2:
            continue
        dataset = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:50]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(target / path.name)


@pytest.fixture
def collection(phantom: Path, tmp_path: Path) -> Iterator[Path]:
    """A good study, one with a gap, one of four slices, and a file that holds nothing."""
    folder = tmp_path / "collection"
    series(phantom / "dicom", folder / "good", 1)
    series(phantom / "dicom", folder / "gap", 2, gap=True)
    series(phantom / "dicom", folder / "few", 3)
    for path in sorted((folder / "few").iterdir())[4:]:
        path.unlink()
    (folder / "damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 100)
    yield folder
    shutil.rmtree(folder)


def test_each_series_of_a_folder_gets_its_outcome_and_a_second_run_only_does_what_failed(
    make_node, collection: Path, tmp_path: Path
) -> None:
    node: Node = make_node()
    done = node.run("enrich", collection, "--out", tmp_path / "out", status=1)
    assert "1 done" in done.stdout
    rows = {row["study_instance_uid"][-1:]: row for row in manifest(tmp_path / "out")}
    assert {key: row["state"] for key, row in rows.items()} == {
        "": "not taken",
        "1": "done",
        "2": "failed",
        "3": "not taken",
    }
    assert "modality is" in rows[""]["reason"]
    assert "slices are missing" in rows["2"]["reason"]
    assert "slices is 4" in rows["3"]["reason"]
    results = tmp_path / "out" / rows["1"]["folder"]
    assert {"seg.dcm", "sr.dcm", "findings.json"} <= {path.name for path in results.iterdir()}
    stored = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    node.run("enrich", collection, "--out", tmp_path / "out", status=1)
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == stored
    assert [row["seconds"] for row in manifest(tmp_path / "out") if row["state"] == "done"] == [
        rows["1"]["seconds"]
    ]


def test_studies_of_an_archive_are_fetched_and_annotated(
    make_node, pacs: Orthanc, phantom: Path, tmp_path: Path
) -> None:
    node: Node = make_node()
    node.run("send", phantom / "dicom", f"{pacs.ae_title}@127.0.0.1:{pacs.dicom_port}")
    query = f"{pacs.dicomweb_url}/studies?ModalitiesInStudy=CT"
    node.run("enrich", query, "--out", tmp_path / "out")
    (row,) = manifest(tmp_path / "out")
    assert row["state"] == "done", row["reason"]
    assert (tmp_path / "out" / row["folder"] / "seg.dcm").exists()


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("http://127.0.0.1:9/dicom-web/studies", 1, "127.0.0.1:9"),
        ("http://127.0.0.1:9/dicom-web/series", 2, "no QIDO-RS query for studies"),
        ("nowhere", 2, "there is no file or folder nowhere"),
    ],
)
def test_a_wrong_source_is_named(make_node, tmp_path: Path, source: str, status: int, said: str) -> None:
    done = make_node().run("enrich", source, "--out", tmp_path / "out", status=status)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_two_runs_do_not_share_a_folder(make_node, phantom: Path, tmp_path: Path) -> None:
    with alone(tmp_path):
        done = make_node().run("enrich", phantom / "dicom", "--out", tmp_path, status=2)
    assert "another enrichment works on" in done.stderr
    assert not (tmp_path / "manifest.csv").exists()


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(
    make_node, phantom: Path, tmp_path: Path
) -> None:
    study = next((phantom / "dicom").iterdir())
    (tmp_path / dcmread(study).StudyInstanceUID).write_text("in the way")
    done = make_node().run("enrich", phantom / "dicom", "--out", tmp_path, status=1)
    assert "cannot be written: Not a directory; make room or give another --out" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_manifest_of_something_else_is_left_alone(make_node, phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("name,age\nx,1\n")
    done = make_node().run("enrich", phantom / "dicom", "--out", tmp_path, status=2)
    assert "is not a manifest of this program" in done.stderr
    assert (tmp_path / "manifest.csv").read_text() == "name,age\nx,1\n"


@pytest.mark.parametrize(
    ("option", "status", "said"),
    [
        ("radiomics=bogus", 2, "there is no 'bogus'"),
        ("organs=nonsense", 2, "organs is 'nonsense'"),
        ("organs=3d_fullres", 1, "ainode weights add segthor-task055"),
    ],
)
def test_what_can_never_work_is_told_before_the_first_series(
    make_node, phantom: Path, tmp_path: Path, option: str, status: int, said: str
) -> None:
    arguments = ("enrich", phantom / "dicom", "--out", tmp_path / "out", "--option", option)
    done = make_node().run(*arguments, status=status)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
