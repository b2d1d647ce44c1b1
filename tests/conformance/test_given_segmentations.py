"""Radiomics of segmentations that other software made: dcmqi and highdicom, on real images."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import dcmqi
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from algorithms import CATALOGUE
from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import BoolMask, Code, Findings, Progress, Segment, Volume, silent
from algorithms.radiomics.measurement import measure
from algorithms.weights import Store
from node.errors import IrregularGeometry, Quarantined, UnknownOption, UnsuitableImage
from node.inbound import segmentations, volumes
from node.jobs.inputs import Input
from node.jobs.production import Means, Produced, Stopwatch, produce, provenance_of
from node.jobs.series import study_of
from node.outbound import gate, seg, sr_reading
from node.outbound.equipment import encoded
from node.outbound.objects import encode_all
from tests.given_segmentations import segmentation
from tests.synthetic_series import ANATOMY, LUNG, findings, provenance, series

ENTRY = CATALOGUE["radiomics"]
SHAPE_AND_FIRST_ORDER = frozenset({"shape", "firstorder"})


def radiomics(
    images: list[Path], given: Path, entry: CatalogueEntry = ENTRY, **options: str
) -> tuple[Produced, Dataset]:
    """Run as the command does; the result, and its report."""
    study = study_of(volumes.headers([*images, given]))
    (chosen,) = (s for s in study.series if s.modality == "SEG")
    source = Input.of(chosen, study)
    made_by = provenance_of(entry, options, source.sop_instance_uids, Store(()))
    result = produce(
        entry,
        source.images,
        made_by,
        Means(Store(()), "cpu"),
        segmentation=source.segmentation,
        progress=silent,
        watch=Stopwatch(),
    )
    (item,) = (item for item in result.objects if item.role == "sr")
    return result, dcmread(BytesIO(item.content))


EXAMPLES = {
    "liver": ("ct-3slice", "liver.dcm"),
    "five that overlap": ("ct-3slice", "partial_overlaps.dcm"),
    "odd columns": ("23x38x3/image", "23x38x3/seg/label.seg"),
    "even columns": ("24x38x3/image", "24x38x3/seg/label.seg"),
    "label map of two of three slices": ("24x38x3/image", "sparse-labelmap-noppv.dcm"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_segmentations_of_dcmqi_are_measured_as_dcmqi_reads_them(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "seg-sr-examples" / "dcmqi"
    images, given = folder / EXAMPLES[name][0], folder / EXAMPLES[name][1]
    result, report = radiomics(sorted(images.iterdir()), given)
    assert [item.role for item in result.objects] == ["sr"]
    theirs = read_by_dcmqi(given, result.image, tmp_path)
    assert len(theirs) == len(result.findings.segments)
    for segment, mask in zip(result.findings.segments, theirs, strict=True):
        assert np.array_equal(segment.on_grid(result.image.voxels.shape), mask)
    header = dcmread(given, stop_before_pixels=True)
    described = {item.SegmentNumber: item for item in header.SegmentSequence}
    for group in sr_reading.groups(report):
        assert group.segment is not None
        uid, number = group.segment
        assert uid == header.SOPInstanceUID
        kind = described[number].SegmentedPropertyTypeCodeSequence[0]
        assert group.finding == (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning)
        assert group.numbers


def test_a_real_ct_segmented_by_other_software_gives_the_features_of_its_masks(
    shared_data: Path, tmp_path: Path
) -> None:
    images = sorted((shared_data / "ct-thorax-lungdx" / "Lung_Dx-A0001" / "series3").iterdir())
    volume, _ = volumes.read(images)
    body = np.zeros(volume.voxels.shape, dtype=np.bool_)
    body[:, 100:400, 60:450] = True
    masks = {"Air": (volume.voxels < -700) & body, "Bone": (volume.voxels > 250) & body}
    given = written_by_dcmqi(volume, images, masks, tmp_path)
    result, report = radiomics(images, given)
    wanted = measure(volume, segments_of(masks), SHAPE_AND_FIRST_ORDER)
    assert len(wanted) > 60
    assert result.findings.measurements == wanted
    assert [g.tracking_identifier for g in sr_reading.groups(report)] == ["Air", "Bone"]
    result.save(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "features.csv",
        "features.parquet",
        "findings.json",
        "sr.dcm",
    ]


@dataclass(frozen=True)
class Threshold:
    """An algorithm that finds what is bright, and what is very bright."""

    name: str = "threshold"
    version: str = "1"

    def run(self, image: Volume, progress: Progress) -> Findings:
        return Findings(segments_of({"Bright": image.voxels > 0, "Very bright": image.voxels > 60}))


def test_features_of_our_own_segmentation_read_again_are_those_of_the_run(
    shared_data: Path, tmp_path: Path
) -> None:
    images = sorted((shared_data / "seg-sr-examples" / "dcmqi" / "ct-3slice").iterdir())
    entry = replace(ENTRY, name="threshold", version="1", load=lambda *_: Threshold())
    made_by = provenance_of(entry, {}, [str(h.SOPInstanceUID) for h in volumes.headers(images)], Store(()))
    first = produce(entry, images, made_by, Means(Store(()), "cpu"), progress=silent, watch=Stopwatch())
    first.save(tmp_path)
    again, report = radiomics(images, tmp_path / "seg.dcm")
    assert again.findings.measurements == first.findings.measurements
    for made, read in zip(first.findings.segments, again.findings.segments, strict=True):
        assert (made.label, made.type, made.rgb) == (read.label, read.type, read.rgb)
    ours = dcmread(tmp_path / "sr.dcm")
    tracking = [
        [(g.tracking_identifier, g.tracking_uid) for g in sr_reading.groups(r)] for r in (ours, report)
    ]
    assert tracking[0] == tracking[1]
    assert ours.SOPInstanceUID != report.SOPInstanceUID


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_reports_keep_the_numbers_and_tracking_of_the_segmentation(
    kind: str, write: Callable[[Dataset], tuple[list[Path], Path]]
) -> None:
    volume, sources = series()
    masks = {"one": volume.voxels > 100, "nothing": volume.voxels > 1e9, "three": volume.voxels < -400}
    given = segmentation(sources, masks, kind=kind)
    result, report = radiomics(*write(given), radiomics="shape")
    assert [(g.tracking_identifier, g.tracking_uid, g.segment) for g in sr_reading.groups(report)] == [
        ("one of May", "2.25.5001", (given.SOPInstanceUID, 1)),
        ("three of May", "2.25.5003", (given.SOPInstanceUID, 3)),
    ]
    assert [s["number"] for s in json.loads(json.dumps(result.document))["segments"]] == [1, 3]


def test_tracking_that_is_missing_is_made_up_for(
    write: Callable[[Dataset], tuple[list[Path], Path]],
) -> None:
    volume, sources = series()
    given = segmentation(sources, {"Nodule": volume.voxels > 100}, tracked=False)
    first, report = radiomics(*write(given))
    (group,) = sr_reading.groups(report)
    assert group.tracking_identifier == "Nodule"
    assert group.tracking_uid.startswith("2.25.")
    again, _ = radiomics(*write(given))
    assert [item.sop_instance_uid for item in again.objects] == [i.sop_instance_uid for i in first.objects]


def test_another_segmentation_of_the_same_images_has_another_report(
    write: Callable[[Dataset], tuple[list[Path], Path]],
) -> None:
    volume, sources = series()
    uids = {
        radiomics(*write(segmentation(sources, {"a": volume.voxels > 100})))[1].SOPInstanceUID
        for _ in range(2)
    }
    assert len(uids) == 2


@pytest.mark.parametrize("scheme", ["99ELSEWHERE", "SRT"])
def test_codes_of_other_software_are_repeated_and_private_schemes_identified(
    scheme: str, write: Callable[[Dataset], tuple[list[Path], Path]]
) -> None:
    volume, sources = series()
    code = Code("X-1", scheme, "A thing of theirs")
    given = segmentation(sources, {"a": volume.voxels > 100}, type=code)
    _, report = radiomics(*write(given))
    (group,) = sr_reading.groups(report)
    assert group.finding == code
    identified = [i.CodingSchemeDesignator for i in report.CodingSchemeIdentificationSequence]
    assert identified == [*(["99ELSEWHERE"] if scheme != "SRT" else []), "99PYRADIOMICS"]


def test_no_scheme_is_identified_where_none_is_private(
    write: Callable[[Dataset], tuple[list[Path], Path]],
) -> None:
    volume, sources = series()
    given = segmentation(sources, {"a": volume.voxels > 100})
    _, report = radiomics(*write(given), radiomics="texture")
    assert "CodingSchemeIdentificationSequence" not in report


def test_contours_are_made_of_given_segments_on_request(
    write: Callable[[Dataset], tuple[list[Path], Path]],
) -> None:
    volume, sources = series()
    given = segmentation(sources, {"a": volume.voxels > 100}, type=Code("T-62000", "SRT", "Liver"))
    result, _ = radiomics(*write(given), rtstruct="true")
    assert [item.role for item in result.objects] == ["sr", "rtstruct"]


def test_the_slices_that_highdicom_drew_on_are_read_voxel_for_voxel(
    shared_data: Path, tmp_path: Path
) -> None:
    """Its example lies on three slices of a series of which others are missing."""
    folder = Path(str(get_testdata_file("dicomdirtests/77654033/CT2/17136"))).parent
    given = shared_data / "seg-sr-examples" / "highdicom" / "seg_image_ct_binary.dcm"
    with pytest.raises(IrregularGeometry, match="slices are missing"):
        radiomics(sorted(folder.iterdir()), given)
    headers = sorted(volumes.headers(folder.iterdir()), key=lambda h: h.ImagePositionPatient[2])
    volume, sources = volumes.read([Path(str(h.filename)) for h in headers[1:]])
    read = segmentations.read(given, volume, sources)
    theirs = read_by_dcmqi(given, volume, tmp_path)
    assert [s.label for s in read.segments] == ["first segment"]
    for segment, mask in zip(read.segments, theirs, strict=True):
        assert np.array_equal(segment.on_grid(volume.voxels.shape), mask)


def test_radiomics_takes_no_options_of_its_own_and_no_image_alone(tmp_path: Path) -> None:
    volume, sources = series()
    with pytest.raises(UnknownOption, match="no option 'fast'"):
        radiomics(*written(tmp_path, segmentation(sources, {"a": volume.voxels > 100})), fast="yes")
    made_by = provenance_of(ENTRY, {}, volume.sop_instance_uids, Store(()))
    with pytest.raises(UnsuitableImage, match="without one"):
        produce(
            ENTRY,
            sorted(tmp_path.glob("image-*")),
            made_by,
            Means(Store(()), "cpu"),
            progress=silent,
            watch=Stopwatch(),
        )


def _tracking(given: Dataset) -> None:
    given.SegmentSequence[0].TrackingUID = "2.25.77"


def _identifier(given: Dataset) -> None:
    given.SegmentSequence[0].TrackingID = "another"


def _number(given: Dataset) -> None:
    given.SegmentSequence[1].SegmentNumber = 7


def _instance(given: Dataset) -> None:
    given.SOPInstanceUID = "2.25.78"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_tracking, "0 measurement groups have its tracking UID"),
        (_identifier, "the tracking identifier is one of May instead of another"),
        (_number, "the referenced segment is"),
        (_instance, "a reference leads to"),
    ],
)
def test_the_gate_stops_a_report_that_refers_to_another_segment(
    change: Callable[[Dataset], None], said: str, tmp_path: Path
) -> None:
    volume, sources = series()
    masks = {"one": volume.voxels > 100, "two": volume.voxels < -400}
    _, path = written(tmp_path, segmentation(sources, masks))
    given = segmentations.read(path, volume, sources)
    found = Findings(given.segments, measure(volume, given.segments, SHAPE_AND_FIRST_ORDER))
    made_by = provenance(volume)
    objects = encode_all(found, volume, sources, made_by, rtstruct=False, given=given.header)
    gate.prove(objects, found, volume, sources, made_by, given=given.header)
    change(given.header)
    with pytest.raises(Quarantined, match=said):
        gate.prove(objects, found, volume, sources, made_by, given=given.header)


def test_the_gate_stops_a_second_segmentation_of_given_segments(tmp_path: Path) -> None:
    volume, sources = series()
    _, path = written(tmp_path, segmentation(sources, {"one": volume.voxels > 100}))
    given = segmentations.read(path, volume, sources)
    found, made_by = Findings(given.segments), provenance(volume)
    doubled = [encoded("seg", seg.encode(found, volume, sources, made_by))]
    with pytest.raises(Quarantined, match="seg: there are 1 objects, and 0 should be"):
        gate.prove(doubled, found, volume, sources, made_by, given=given.header)


def test_the_gate_stops_a_private_scheme_that_is_not_identified() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    first = replace(
        found.measurements[0], code=Code("sr6t3v", "99PYRADIOMICS", "shape_Maximum2DDiameterSlice")
    )
    found = replace(found, measurements=(first, *found.measurements[1:]))
    objects = encode_all(found, volume, sources, made_by, rtstruct=False)
    gate.prove(objects, found, volume, sources, made_by)
    report = dcmread(BytesIO(objects[1].content))
    del report.CodingSchemeIdentificationSequence
    with pytest.raises(Quarantined, match="the list of private coding schemes is"):
        gate.prove([objects[0], encoded("sr", report)], found, volume, sources, made_by)


def test_a_verdict_lists_the_first_reasons_and_counts_the_others() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    objects = encode_all(found, volume, sources, made_by, rtstruct=False)
    wrong = replace(made_by, algorithm="another", version="9")
    with pytest.raises(Quarantined) as verdict:
        gate.prove(objects, found, volume, sources, wrong)
    reasons = str(verdict.value).split("; ")
    assert len(reasons) == 21
    assert reasons[-1].startswith("and ")
    assert reasons[-1].endswith(" more")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Dataset], tuple[list[Path], Path]]:
    return lambda given: written(tmp_path, given)


def written(folder: Path, given: Dataset) -> tuple[list[Path], Path]:
    """The images of the synthetic series with their pixels, and a segmentation of them, as files."""
    volume, sources = series()
    images = []
    for number, (source, plane) in enumerate(zip(sources, volume.voxels, strict=True)):
        source.SamplesPerPixel, source.PhotometricInterpretation = 1, "MONOCHROME2"
        source.BitsAllocated = source.BitsStored = 16
        source.HighBit, source.PixelRepresentation = 15, 1
        source.RescaleSlope, source.RescaleIntercept = 1, 0
        source.add_new("PixelData", "OW", plane.astype("<i2").tobytes())
        images.append(folder / f"image-{number}.dcm")
        source.save_as(images[-1], enforce_file_format=True)
    given.save_as(folder / "given.dcm", enforce_file_format=True)
    return images, folder / "given.dcm"


def segments_of(masks: Mapping[str, BoolMask]) -> tuple[Segment, ...]:
    return tuple(
        Segment.from_mask(mask, label=label, category=ANATOMY, type=LUNG, rgb=(200, 100, 50))
        for label, mask in masks.items()
    )


def written_by_dcmqi(volume: Volume, images: list[Path], masks: Mapping[str, BoolMask], folder: Path) -> Path:
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_mm[:, [2, 1, 0, 3]]
    labels: npt.NDArray[np.int16] = np.zeros(volume.voxels.shape, dtype=np.int16)
    code = {"CodeValue": LUNG.value, "CodingSchemeDesignator": LUNG.scheme, "CodeMeaning": LUNG.meaning}
    category = dict(zip(code, ANATOMY, strict=True))
    segments = []
    for number, (label, mask) in enumerate(masks.items(), start=1):
        labels[mask] = number
        segments.append(
            {
                "labelID": number,
                "SegmentLabel": label,
                "SegmentDescription": label,
                "SegmentAlgorithmType": "MANUAL",
                "SegmentedPropertyCategoryCodeSequence": category,
                "SegmentedPropertyTypeCodeSequence": code,
            }
        )
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), ras), folder / "labels.nii.gz")
    about = {"SeriesDescription": "Elsewhere", "SeriesNumber": "300", "InstanceNumber": "1"}
    about["segmentAttributes"] = [segments]  # type: ignore[assignment]
    (folder / "about.json").write_text(json.dumps(about))
    (folder / "images").mkdir()
    for image in images:
        shutil.copy(image, folder / "images")
    run(
        "itkimage2segimage",
        *("--inputImageList", folder / "labels.nii.gz"),
        *("--inputDICOMDirectory", folder / "images"),
        *("--inputMetadata", folder / "about.json"),
        *("--outputDICOM", folder / "theirs.dcm"),
        "--skip",
        "1",
    )
    return folder / "theirs.dcm"


def read_by_dcmqi(given: Path, volume: Volume, folder: Path) -> list[BoolMask]:
    """The segments on the grid of the volume, as dcmqi places them in patient space."""
    run("segimage2itkimage", "--inputDICOM", given, "--outputDirectory", folder, "-t", "nii", "-p", "theirs")
    files = sorted(folder.glob("theirs-*.nii.gz"), key=lambda p: int(p.name.split("-")[1].split(".")[0]))
    return [placed(nibabel.load(file), volume) for file in files]


def placed(image: nibabel.Nifti1Image, volume: Volume) -> BoolMask:
    points = np.argwhere(np.asanyarray(image.dataobj) > 0) @ image.affine[:3, :3].T + image.affine[:3, 3]
    to_index = np.linalg.inv(volume.affine_mm)
    exact = points * (-1, -1, 1) @ to_index[:3, :3].T + to_index[:3, 3]
    assert np.abs(exact - np.rint(exact)).max(initial=0) < 0.05
    mask: BoolMask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[tuple(np.rint(exact).astype(np.intp).T)] = True
    return mask


def run(program: str, *arguments: object) -> None:
    path = Path(dcmqi.__file__).parent / "bin" / program
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
