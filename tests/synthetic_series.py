"""A small series in memory, and findings on it, for tests of the sending side."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from algorithms.protocol import Code, Findings, Measurement, Segment, Volume, Weights
from node.outbound import equipment, seg, sr
from node.outbound.equipment import EncodedObject, Provenance

STUDY = "2.25.1001"
SERIES = "2.25.1002"
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
LUNG = Code("39607008", "SCT", "Lung")
TRACHEA = Code("44567001", "SCT", "Trachea")
RIGHT = Code("24028007", "SCT", "Right")
VOLUME = Code("YEKZ", "IBSI", "Volume from Voxel Summation")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
MM3 = Code("mm3", "UCUM", "cubic millimeter")
HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)


def series(
    shape: tuple[int, int, int] = (5, 12, 13),
    *,
    spacing: tuple[float, float, float] = (2.5, 0.7, 0.7),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-110.5, -83.25, 40.0),
    descending: bool = False,
    modality: str = "CT",
    **attributes: Any,
) -> tuple[Volume, list[Dataset]]:
    """A volume (slice, row, column) with spacing in mm, and the headers of its slices as a file holds them.

    `descending` stacks the slices against the direction of their normal.
    """
    along_row, along_column = np.reshape(np.array(orientation), (2, 3))
    normal = np.cross(along_row, along_column) * (-1 if descending else 1)
    affine = np.eye(4)
    affine[:3, 0] = normal * spacing[0]
    affine[:3, 1] = along_column * spacing[1]
    affine[:3, 2] = along_row * spacing[2]
    affine[:3, 3] = origin
    sources = [
        as_read(
            _header(n, shape, spacing, orientation, affine[:3, 3] + n * affine[:3, 0], modality, attributes)
        )
        for n in range(shape[0])
    ]
    voxels = np.random.default_rng(1).normal(0, 500, shape).astype(np.float32)
    uids = tuple(str(s.SOPInstanceUID) for s in sources)
    return Volume(voxels, affine, "HU", modality, uids), sources


def findings(volume: Volume) -> Findings:
    """Two segments that overlap, with holes and single voxels at the corners, and one in one voxel."""
    shape = volume.voxels.shape
    noise = volume.voxels > 100
    noise[0, 0, 0] = noise[-1, -1, -1] = True
    other = volume.voxels > 400
    other[-1, 0, -1] = True
    corner: npt.NDArray[np.bool_] = np.zeros(shape, dtype=np.bool_)
    corner[0, -1, 0] = True
    segments = (
        Segment.from_mask(
            noise, label="Right lung", category=ANATOMY, type=LUNG, rgb=(40, 150, 230), laterality=RIGHT
        ),
        Segment.from_mask(
            other, label="Trachea", category=ANATOMY, type=TRACHEA, rgb=(230, 60, 60), review="small"
        ),
        Segment.from_mask(corner, label="Left lung", category=ANATOMY, type=LUNG, rgb=(0, 0, 0)),
    )
    measurements = tuple(
        measurement
        for segment in segments[:2]
        for measurement in (
            Measurement(segment.label, "VoxelVolume", VOLUME, segment.voxel_count * 1.2345678901234567, MM3),
            Measurement(
                segment.label, "Mean", ATTENUATION, float(volume.voxels[segment.box].mean()), HU, MEAN
            ),
        )
    )
    return Findings(segments, measurements)


def provenance(volume: Volume) -> Provenance:
    """Of an algorithm with weights and an option."""
    weights = Weights("chest-bundled", "ab" * 32)
    return Provenance("chest-ct-annotation", "1.2.3", (weights,), {"fast": "yes"}, volume.sop_instance_uids)


def objects(
    found: Findings, volume: Volume, sources: Sequence[Dataset], made_by: Provenance
) -> list[EncodedObject]:
    """SEG and SR as the worker encodes them."""
    segmentation = seg.encode(found, volume, sources, made_by)
    report = sr.encode_measurements(found, sources, segmentation, made_by)
    return [equipment.encoded("seg", segmentation), equipment.encoded("sr", report)]


def as_read(dataset: Dataset) -> Dataset:
    """The dataset as it comes from a file, without pixel data."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer, stop_before_pixels=True)


def _header(
    number: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    orientation: Sequence[float],
    position: npt.NDArray[np.float64],
    modality: str,
    attributes: dict[str, Any],
) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
    header.SOPInstanceUID = f"{SERIES}.{number + 1}"
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = "2.25.1003", ""
    header.Modality, header.Manufacturer = modality, "Scanner"
    header.PatientName, header.PatientID, header.IssuerOfPatientID = (
        "Müller^Jürgen=山田^太郎",
        "P 1",
        "Klinik",
    )
    header.PatientBirthDate, header.PatientSex, header.AccessionNumber = "19600229", "M", "A-7"
    header.StudyDate, header.StudyTime, header.StudyID = "20260102", "030405", ""
    header.StudyDescription, header.ReferringPhysicianName = "Thorax für Übung", ""
    header.BodyPartExamined = "CHEST"
    header.SeriesNumber, header.InstanceNumber = 3, number + 1
    header.Rows, header.Columns = shape[1:]
    header.PixelSpacing, header.SliceThickness = list(spacing[1:]), spacing[0]
    header.ImageOrientationPatient = list(orientation)
    header.ImagePositionPatient = [round(float(p), 6) for p in position]
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header
