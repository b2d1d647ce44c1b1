"""Scores, similar series, saliency maps and pictures against dcmqi, DCMTK and a real Orthanc."""

import json
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx2
import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from algorithms.protocol import Findings, SaliencyMap
from node.config import Destination
from node.inbound import volumes
from node.outbound import delivery, gate
from node.outbound.equipment import EncodedObject, Role
from node.outbound.objects import encode_all
from tests import synthetic_findings
from tests.conformance.test_objects import SERIES, dcmqi_program, run
from tests.orthanc_server import orthanc
from tests.synthetic_series import OBLIQUE, provenance, series

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")

UNEVEN = [0.0, 0.6, 1.2, 1.8, 3.4, 5.0]
STACKS = {
    "leaning": {},
    "uneven": {"lean_mm": 0.0, "places": UNEVEN},
    "leaning and uneven": {"places": UNEVEN},
    "leaning, uneven and oblique": {"places": UNEVEN, "orientation": OBLIQUE},
    "uneven without thickness": {"places": UNEVEN, "SliceThickness": None},
}


@pytest.fixture
def results() -> dict[Role, EncodedObject]:
    volume, sources = series()
    found = synthetic_findings.findings(volume)
    made = encode_all(found, volume, sources, provenance(volume), rtstruct=False)
    return {item.role: item for item in made}


@pytest.mark.parametrize("name", SERIES)
def test_the_gate_passes_scores_and_maps_of(name: str) -> None:
    volume, sources = series(**SERIES[name])
    found = Findings(
        scores=synthetic_findings.scores(),
        embedding=synthetic_findings.embedding(),
        similar=synthetic_findings.similar(),
        saliency=synthetic_findings.saliency(volume),
    )
    made_by = provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    assert [item.role for item in made] == ["scores", "similar", "saliency", "picture", "keyobjects"]
    gate.prove(made, found, volume, sources, made_by)


@pytest.mark.parametrize("name", STACKS)
def test_the_gate_passes_every_object_of_a_stack_that_is(name: str) -> None:
    volume, sources = synthetic_findings.leaning(**STACKS[name])
    found, made_by = synthetic_findings.findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    gate.prove(made, found, volume, sources, made_by, rtstruct=True)


def test_slices_of_different_thickness_each_say_their_own() -> None:
    volume, sources = synthetic_findings.leaning(places=UNEVEN)
    for source in sources[:4]:
        source.SliceThickness = 1.5
    found, made_by = Findings(synthetic_findings.findings(volume).segments), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    gate.prove(made, found, volume, sources, made_by)
    written = dcmread(BytesIO(made[0].content))
    frames = written.PerFrameFunctionalGroupsSequence[: len(sources)]
    assert [frame.PixelMeasuresSequence[0].SliceThickness for frame in frames] == [1.5] * 4 + [2.5] * 2
    assert "SpacingBetweenSlices" not in frames[0].PixelMeasuresSequence[0]


def test_dcmqi_reads_the_same_map_in_patient_space(results, tmp_path: Path) -> None:
    volume, _ = series()
    saliency = synthetic_findings.saliency(volume)
    (tmp_path / "map.dcm").write_bytes(results["saliency"].content)
    program = dcmqi_program("paramap2itkimage")
    run(program, "--inputDICOM", tmp_path / "map.dcm", "--outputDirectory", tmp_path, "-t", "nii")
    image = nibabel.load(tmp_path / "pmap.nii.gz")
    values = np.asarray(image.dataobj)
    positions = np.indices(values.shape).reshape(3, -1)
    ras = image.affine[:3, :3] @ positions + image.affine[:3, 3:]
    lps = np.vstack([ras * [[-1], [-1], [1]], np.ones(ras.shape[1])])
    index = np.linalg.inv(saliency.affine_mm) @ lps
    assert np.abs(index - np.rint(index)).max() < 0.01
    assert np.array_equal(values.ravel(), saliency.voxels[tuple(np.rint(index[:3]).astype(int))])


def test_dcmqi_reads_the_probability_only_where_it_is_calibrated(results, tmp_path: Path) -> None:
    (tmp_path / "sr.dcm").write_bytes(results["scores"].content)
    arguments = ("--inputDICOM", tmp_path / "sr.dcm", "--outputMetadata", tmp_path / "sr.json")
    run(dcmqi_program("tid1500reader"), *arguments)
    certain, uncertain = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert [float(item["value"]) for item in certain["measurementItems"]] == [0.9321]
    assert uncertain.get("measurementItems", []) == []


@pytest.mark.parametrize("role", ["scores", "similar", "keyobjects"])
def test_dcmtk_renders_every_report_as_html(role: Role, results, tmp_path: Path) -> None:
    (tmp_path / "report.dcm").write_bytes(results[role].content)
    program = shutil.which("dsr2html")
    assert program, "the Debian package dcmtk is not installed"
    page = tmp_path / "report.html"
    said = run(program, tmp_path / "report.dcm", page)
    assert [line for line in said.splitlines() if line.startswith(("E:", "F:"))] == []
    assert {"scores": "Abnormal", "similar": "Embedding space", "keyobjects": "Of Interest"}[
        role
    ] in page.read_text()


def test_a_pacs_stores_and_finds_every_object(results, tmp_path: Path) -> None:
    files = []
    for item in results.values():
        files.append(tmp_path / item.file)
        files[-1].write_bytes(item.content)
    with orthanc(tmp_path) as pacs:
        delivery.deliver(files, Destination(name="pacs", dicomweb_url=pacs.dicomweb_url), "AINODE")
        found = httpx2.get(f"{pacs.dicomweb_url}/studies/2.25.1001/instances", timeout=30).json()
        frame = httpx2.get(
            f"{pacs.dicomweb_url}/studies/2.25.1001/series/{results['picture'].series_instance_uid}"
            f"/instances/{results['picture'].sop_instance_uid}/frames/1",
            headers={"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
            timeout=30,
        )
    assert {item["00080018"]["Value"][0] for item in found} == {
        item.sop_instance_uid for item in results.values()
    }
    assert dcmread(BytesIO(results["picture"].content)).pixel_array[0].tobytes() in frame.content


def test_a_spot_stays_where_it_is_on_the_slices_of_a_tilted_head(shared_data: Path) -> None:
    files = list((shared_data / "ct-head" / "ge-hispeed-tilted").glob("*.dcm"))
    volume, sources = volumes.read(files, any_stack=True)
    spot = (volume.affine_mm @ [volume.slice_places[15], 200, 330, 1])[:3]
    found, made_by = Findings(saliency=blob(spot)), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    gate.prove(made, found, volume, sources, made_by)
    picture = dcmread(BytesIO(made[-1].content))
    frames = picture.pixel_array.astype(int)
    uids = [item.ReferencedSOPInstanceUID for item in picture.SourceImageSequence]
    frame = frames[uids.index(sources[15].SOPInstanceUID)]
    middle = np.argwhere(np.ptp(frame, axis=2) > 8).mean(axis=0)
    assert np.abs(middle * 2 + 0.5 - (200, 330)).max() < 2


def blob(spot: np.ndarray) -> SaliencyMap:
    """A spot of 10 mm on an upright grid of 5 x 2 x 2 mm around it."""
    saliency = synthetic_findings.saliency(series()[0])
    grid = np.diag([0.0, 0.0, 0.0, 1.0])
    grid[2, 0], grid[1, 1], grid[0, 2] = 5.0, 2.0, 2.0
    shape = (20, 40, 40)
    grid[:3, 3] = spot - grid[:3, :3] @ (np.array(shape) / 2)
    positions = np.einsum("ij,j...->i...", grid[:3, :3], np.indices(shape)) + grid[:3, 3, None, None, None]
    off = ((positions - np.reshape(spot, (3, 1, 1, 1))) ** 2).sum(axis=0)
    return replace(saliency, voxels=np.exp(-off / 200).astype(np.float32), affine_mm=grid)
