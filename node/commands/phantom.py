"""Synthetic studies as DICOM, with the truth beside them."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from algorithms import phantoms
from node.errors import ConfigurationError
from node.inbound import pictures


@dataclass(frozen=True)
class Kind:
    """A kind of synthetic series and how it is described.

    Attributes:
        draw: the phantom of a seed.
        sop_class_uid: of its slices.
        description: Study Description.
        series_description: Series Description.
        window: Window Center and Window Width.
        intercept: Rescale Intercept; pixels hold value minus intercept, 0 to 4095.
        attributes: others, by keyword.
    """

    draw: Callable[[int], phantoms.Phantom]
    sop_class_uid: UID
    description: str
    series_description: str
    window: tuple[int, int]
    intercept: int
    attributes: Mapping[str, Any]


def _ct(
    draw: Callable[[int], phantoms.Phantom], part: str, description: str, window: tuple[int, int]
) -> Kind:
    attributes = {
        "BodyPartExamined": part,
        "ProtocolName": description,
        "KVP": 120,
        "RescaleType": "HU",
    }
    return Kind(draw, CTImageStorage, description, "Phantom, no person", window, -1024, attributes)


_T1 = {
    "BodyPartExamined": "BRAIN",
    "ProtocolName": "T1 MPRAGE",
    "ScanningSequence": ["GR", "IR"],
    "SequenceVariant": ["SK", "SP", "MP"],
    "ScanOptions": "",
    "MRAcquisitionType": "3D",
    "RepetitionTime": 2000,
    "EchoTime": 2.5,
    "InversionTime": 900,
    "EchoTrainLength": 1,
    "FlipAngle": 9,
    "MagneticFieldStrength": 3,
}
_SERIES: Mapping[str, Kind] = MappingProxyType(
    {
        "chest-ct": _ct(phantoms.chest_ct, "CHEST", "Synthetic chest CT", (-500, 1500)),
        "head-ct": _ct(phantoms.head_ct, "HEAD", "Synthetic head CT, non-contrast", (40, 80)),
        "brain-t1": Kind(
            phantoms.brain_t1,
            MRImageStorage,
            "Synthetic brain MR",
            "T1 MPRAGE phantom, no person",
            (500, 1000),
            0,
            _T1,
        ),
    }
)

PHANTOMS = (*_SERIES, "face")
"""Names of the kinds."""

_NAMESPACE = uuid.UUID("7b1c6f0e-6d0f-4d8a-9d5c-2f6c1a3e8b47")
_DATE, _TIME = "20260101", "120000"
_TRIPLET = "{:.6f}".format


def write_study(folder: Path, kind: str, seed: int) -> int:
    """Write a phantom to `folder/dicom`, and its truth beside it.

    Of a series that is a label map, `truth.nii.gz`, and its names, `truth.json`; of a face `truth.json` with
    age, hazard and landmarks. UIDs are derived from kind and seed, so that the same phantom is the same
    study. A head CT of an odd seed bleeds, one of an even seed does not.

    Returns:
        The number of instances.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    try:
        (folder / "dicom").mkdir(parents=True, exist_ok=True)
        return _write_face(folder, seed) if kind == "face" else _write_series(folder, kind, seed)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}; give another folder"
        ) from None


def _write_series(folder: Path, name: str, seed: int) -> int:
    kind = _SERIES[name]
    phantom = kind.draw(seed)
    _write_truth(phantom, folder)
    for number in range(phantom.volume.voxels.shape[0]):
        dataset = _slice(phantom, number, kind, f"{name}/{seed}")
        dataset.save_as(folder / "dicom" / f"{number + 1:04}.dcm", enforce_file_format=True)
    return int(phantom.volume.voxels.shape[0])


def _write_face(folder: Path, seed: int) -> int:
    """A drawn face as a VL Photographic Image."""
    face = phantoms.face_phantom(seed)
    picture = BytesIO()
    Image.fromarray(face.pixels).save(picture, "PNG")
    said = {
        "PatientName": f"Phantom^face/{seed}",
        "PatientID": f"PHANTOM-face/{seed}",
        "PatientSex": "O",
        "StudyDate": _DATE,
        "StudyTime": _TIME,
        "AcquisitionDate": _DATE,
        "StudyDescription": "Synthetic face",
        "SeriesDescription": "Phantom, no person",
        "BodyPartExamined": "FACE",
    }
    instance = pictures.wrap(picture.getvalue(), said)
    (folder / "dicom" / "0001.dcm").write_bytes(pictures.written(instance))
    truth = {
        "age_years": face.age_years,
        "deaths_per_year": face.hazard,
        "landmarks_column_row": face.landmarks.tolist(),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return 1


def _uid(name: str) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")


def _slice(phantom: phantoms.Phantom, number: int, kind: Kind, identity: str) -> Dataset:
    """One CT or MR image (PS3.3 A.3, A.4) of the phantom."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = kind.sop_class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = _uid(f"{identity}/{number}")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = kind.sop_class_uid
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(f"{identity}/study")
    dataset.SeriesInstanceUID = _uid(f"{identity}/series")
    dataset.FrameOfReferenceUID = _uid(f"{identity}/frame")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _TIME
    dataset.AccessionNumber = ""
    dataset.Modality = phantom.volume.modality
    dataset.Manufacturer = "AI Node phantom"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = kind.description
    dataset.SeriesDescription = kind.series_description
    dataset.PatientName = f"Phantom^{identity}"
    dataset.PatientID = f"PHANTOM-{identity}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientPosition = "HFS"
    dataset.PositionReferenceIndicator = ""
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = number + 1
    dataset.WindowCenter, dataset.WindowWidth = kind.window
    for keyword, value in kind.attributes.items():
        setattr(dataset, keyword, value)
    _locate(dataset, phantom, number)
    _set_pixels(dataset, phantom.volume.voxels[number], kind.intercept)
    return dataset


def _locate(dataset: Dataset, phantom: phantoms.Phantom, number: int) -> None:
    affine = phantom.volume.affine_mm
    slice_mm, row_mm, column_mm = phantom.volume.spacing_mm
    dataset.SliceThickness = _TRIPLET(slice_mm)
    dataset.ImagePositionPatient = [_TRIPLET(v) for v in (affine @ [number, 0, 0, 1])[:3]]
    dataset.ImageOrientationPatient = [
        _TRIPLET(v) for v in (*affine[:3, 2] / column_mm, *affine[:3, 1] / row_mm)
    ]
    dataset.PixelSpacing = [_TRIPLET(row_mm), _TRIPLET(column_mm)]


def _set_pixels(dataset: Dataset, values: np.ndarray, intercept: int) -> None:
    if intercept:
        dataset.RescaleIntercept, dataset.RescaleSlope = intercept, 1
    stored = np.clip(np.rint(values) - intercept, 0, 4095).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()


def _write_truth(phantom: phantoms.Phantom, folder: Path) -> None:
    """The truth as one label map, axes (column, row, slice), RAS millimetres; small structures last."""
    labels = np.zeros(phantom.volume.voxels.shape, dtype=np.uint8)
    by_size = sorted(phantom.truth.items(), key=lambda pair: -int(pair[1].sum()))
    for number, (_, mask) in enumerate(by_size, start=1):
        labels[mask] = number
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ phantom.volume.affine_mm[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine), folder / "truth.nii.gz")
    names = {number: label for number, (label, _) in enumerate(by_size, start=1)}
    (folder / "truth.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
