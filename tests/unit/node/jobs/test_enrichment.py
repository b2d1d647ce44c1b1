"""A collection through one algorithm: each series its outcome, whatever becomes of the others."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from algorithms import CATALOGUE
from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Findings, Progress, Segment, Volume, silent
from algorithms.weights import BUNDLED, Store
from node.errors import AINodeError
from node.inbound.collection import Folder
from node.jobs.enrichment import Enrichment
from node.jobs.manifest import Manifest, Outcome
from node.jobs.routebook import Route
from tests import synthetic_series as s
from tests.given_segmentations import segmentation

SHAPE = (6, 12, 13)


class Threshold:
    """Segments all voxels above a value; `fails` lets it fail on the series with this many slices."""

    name, version = "threshold", "1"

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def run(self, image: Volume, _progress: Progress) -> Findings:
        if self.options.get("fails") == str(len(image.voxels)):
            raise RuntimeError("CUDA error:\nout of memory")
        mask = image.voxels > float(self.options.get("above", "0"))
        return Findings(
            (Segment.from_mask(mask, label="Lung", category=s.ANATOMY, type=s.LUNG, rgb=(1, 2, 3)),)
        )


ENTRY = CatalogueEntry(
    "threshold",
    "1",
    "",
    frozenset({"CT"}),
    "",
    ("SEG",),
    lambda o, _d, _s: Threshold(o),
    lambda _o: (),
)


def route(name: str = "a", modality: str = "CT", **options: str) -> Route:
    when = [{"series": "modality", "equals": modality}]
    return Route.model_validate({"name": name, "algorithm": "any", "options": options, "when": when})


def series(folder: Path, study: str, uid: str, slices: int = 6) -> list[Path]:
    """A series of noise under these UIDs."""
    folder.mkdir(parents=True, exist_ok=True)
    _, headers = s.series((slices, *SHAPE[1:]), RescaleSlope=1, RescaleIntercept=0)
    paths = [folder / f"{uid}.{number}.dcm" for number in range(slices)]
    for number, (path, header) in enumerate(zip(paths, headers, strict=True), start=1):
        header.StudyInstanceUID, header.SeriesInstanceUID = study, uid
        header.SOPInstanceUID = f"{study}.{uid.rpartition('.')[2]}.{number}"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
        header.add_new(
            "PixelData", "OW", np.random.default_rng(number).normal(0, 500, SHAPE[1:]).astype("<i2").tobytes()
        )
        header.save_as(path, enforce_file_format=True)
    return paths


def damage(path: Path) -> None:
    """A sequence that ends in the middle of a tag."""
    content = path.read_bytes()
    at = content.find(b"\x20\x00\x37\x00DS")
    assert at > 0
    path.write_bytes(
        content[:at] + b"\x20\x00\x36\x00SQ\0\0\xff\xff\xff\xff" + bytes(range(1, 10)) + content[at:]
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two studies."""
    series(tmp_path / "in", "2.25.1", "2.25.11", slices=5)
    series(tmp_path / "in", "2.25.2", "2.25.22")
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def enrich(
    source: Path, out: Path, *routes: Route, entry: CatalogueEntry = ENTRY, **options: str
) -> list[Outcome]:
    """Run to the end; the rows of the manifest as they then stand in the file."""
    enrichment = Enrichment(entry, routes or (route(),), options, Store((BUNDLED,)), "cpu", out)
    told = list(enrichment.run(Folder(tuple(sorted(source.iterdir()))), silent))
    enrichment.gather()
    assert set(told) <= set(Manifest(out).rows)
    return list(Manifest(out).rows)


def states(rows: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(row.study_instance_uid, row.series_instance_uid, row.state) for row in rows]


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if "features" not in path.name}


def test_an_algorithm_that_fails_on_one_series_runs_on_the_others(source: Path, out: Path) -> None:
    rows = enrich(source, out, fails="5")
    assert states(rows) == [("2.25.1", "2.25.11", "failed"), ("2.25.2", "2.25.22", "done")]
    assert rows[0].reason == "RuntimeError: CUDA error: out of memory"


def test_a_damaged_file_stops_nothing_and_is_forgotten_when_it_is_mended(source: Path, out: Path) -> None:
    whole = (source / "2.25.11.3.dcm").read_bytes()
    damage(source / "2.25.11.3.dcm")
    rows = enrich(source, out)
    assert states(rows) == [
        ("", "", "failed"),
        ("2.25.1", "2.25.11", "failed"),
        ("2.25.2", "2.25.22", "done"),
    ]
    assert "2.25.11.3.dcm cannot be read" in rows[0].reason
    assert "slices are missing" in rows[1].reason
    (source / "2.25.11.3.dcm").write_bytes(whole)
    assert {row.state for row in enrich(source, out)} == {"done"}


def test_the_row_of_a_study_gives_way_to_those_of_its_series(source: Path, out: Path) -> None:
    collection = Folder(tuple(sorted(source.iterdir())))
    assert len(collection.studies()) == 2
    (source / "2.25.11.0.dcm").rename(out / "elsewhere")
    failing = Enrichment(ENTRY, (route(),), {}, Store((BUNDLED,)), "cpu", out)
    assert states(list(failing.run(collection, silent)))[0] == ("2.25.1", "", "failed")
    (out / "elsewhere").rename(source / "2.25.11.0.dcm")
    rows = enrich(source, out)
    assert states(rows) == [("2.25.1", "2.25.11", "done"), ("2.25.2", "2.25.22", "done")]


def test_studies_that_share_a_series_uid_both_have_their_row_and_their_features(
    tmp_path: Path, out: Path
) -> None:
    for study in ("2.25.1", "2.25.2"):
        for path in series(tmp_path / study, study, "2.25.9"):
            (tmp_path / "in").mkdir(exist_ok=True)
            path.rename(tmp_path / "in" / f"{study}.{path.name}")
    rows = enrich(tmp_path / "in", out)
    assert states(rows) == [("2.25.1", "2.25.9", "done"), ("2.25.2", "2.25.9", "done")]
    before = written(out / "2.25.1")
    assert enrich(tmp_path / "in", out) == rows
    assert written(out / "2.25.1") == before


@pytest.mark.parametrize("lost", ["2.25.1", "2.25.1/2.25.11/findings.json"])
def test_results_that_are_gone_are_made_again(source: Path, out: Path, lost: str) -> None:
    enrich(source, out)
    before = written(out / "2.25.2")
    shutil.rmtree(out / lost) if (out / lost).is_dir() else (out / lost).unlink()
    enrich(source, out)
    assert (out / "2.25.1/2.25.11/findings.json").exists()
    assert written(out / "2.25.2") == before


def test_each_route_that_takes_a_series_has_its_outcome_and_its_folder(source: Path, out: Path) -> None:
    rows = enrich(source, out, route("a"), route("../b", above="500"))
    assert [(row.route, row.state) for row in rows] == [("a", "done"), ("../b", "done")] * 2
    folders = [out / row.folder for row in rows]
    assert len({(folder / "seg.dcm").read_bytes() for folder in folders}) == 4
    assert all(
        folder.parent == out / row.study_instance_uid / row.series_instance_uid
        for folder, row in zip(folders, rows, strict=True)
    )


def test_a_route_of_another_name_has_the_row_and_features_are_counted_once(source: Path, out: Path) -> None:
    enrich(source, out, route("a"))
    once = (out / "features.csv").read_bytes()
    assert [row.route for row in enrich(source, out, route("b"))] == ["b", "b"]
    assert (out / "features.csv").read_bytes() == once


def test_routes_that_order_the_same_are_counted_once(source: Path, out: Path) -> None:
    enrich(source, out, route("a"))
    once = (out / "features.csv").read_bytes()
    assert len(enrich(source, out, route("a"), route("b"))) == 4
    assert (out / "features.csv").read_bytes() == once


def test_a_segmentation_from_elsewhere_is_measured_on_its_images(tmp_path: Path, out: Path) -> None:
    sources = [dcmread(path) for path in series(tmp_path / "in", "2.25.1", "2.25.11")]
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[1:4, 2:8, 3:9] = True
    given = segmentation(sources, {"Left lung": mask})
    given.save_as(tmp_path / "in" / "given.dcm")
    rows = enrich(tmp_path / "in", out, route(modality="SEG"), entry=CATALOGUE["radiomics"])
    assert {row.modality: (row.state, row.reason.partition(" ")[0]) for row in rows} == {
        "CT": ("not taken", "modality"),
        "SEG": ("done", ""),
    }
    assert "Left lung" in (out / "features.csv").read_text()


@pytest.mark.parametrize("blocked", ["2.25.1", "manifest.csv/x"])
def test_results_that_cannot_be_kept_end_the_run_with_a_sentence(
    source: Path, out: Path, blocked: str
) -> None:
    (out / blocked).parent.mkdir(exist_ok=True)
    (out / blocked).write_text("in the way")
    with pytest.raises(AINodeError, match=r"cannot be written: .+; make room or give another --out"):
        enrich(source, out)
    assert not (out / "2.25.2").exists()
