"""Synthetic studies as DICOM series, with the truth beside them."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import nibabel
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from algorithms import phantoms
from node.errors import ConfigurationError


@dataclass(frozen=True)
class Kind:
    """A kind of synthetic study and how its series is described.

    Attributes:
        draw: the phantom of a seed.
        body_part: Body Part Examined (0018,0015; PS3.16 Annex L).
        description: Study Description.
        window: Window Center and Window Width, HU.
    """

    draw: Callable[[int], phantoms.Phantom]
    body_part: str
    description: str
    window: tuple[int, int]


PHANTOMS: Mapping[str, Kind] = MappingProxyType(
    {
        "chest-ct": Kind(phantoms.chest_ct, "CHEST", "Synthetic chest CT", (-500, 1500)),
        "head-ct": Kind(phantoms.head_ct, "HEAD", "Synthetic head CT, non-contrast", (40, 80)),
    }
)

_NAMESPACE = uuid.UUID("7b1c6f0e-6d0f-4d8a-9d5c-2f6c1a3e8b47")
_TRIPLET = "{:.6f}".format


def write_study(folder: Path, kind: str, seed: int) -> int:
    """Write a phantom: slices to `folder/dicom`, label map to `truth.nii.gz`, its names to `truth.json`.

    UIDs are derived from kind and seed, so that the same phantom is the same study. A head of an odd
    seed bleeds, one of an even seed does not.

    Returns:
        The number of instances.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    phantom = PHANTOMS[kind].draw(seed)
    try:
        (folder / "dicom").mkdir(parents=True, exist_ok=True)
        _write_truth(phantom, folder)
        for number in range(phantom.volume.voxels.shape[0]):
            dataset = _slice(phantom, number, PHANTOMS[kind], f"{kind}/{seed}")
            dataset.save_as(folder / "dicom" / f"{number + 1:04}.dcm", enforce_file_format=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}; give another folder"
        ) from None
    return int(phantom.volume.voxels.shape[0])


def _uid(name: str) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")


def _slice(phantom: phantoms.Phantom, number: int, kind: Kind, identity: str) -> Dataset:
    """One CT image (PS3.3 A.3) of the phantom."""
    affine = phantom.volume.affine_mm
    slice_mm, row_mm, column_mm = phantom.volume.spacing_mm
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = _uid(f"{identity}/{number}")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(f"{identity}/study")
    dataset.SeriesInstanceUID = _uid(f"{identity}/series")
    dataset.FrameOfReferenceUID = _uid(f"{identity}/frame")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20260101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "AI Node phantom"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = kind.description
    dataset.SeriesDescription = "Phantom, no person"
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
    dataset.BodyPartExamined = kind.body_part
    dataset.ProtocolName = kind.description
    dataset.KVP = 120
    dataset.SliceThickness = _TRIPLET(slice_mm)
    dataset.ImagePositionPatient = [_TRIPLET(v) for v in (affine @ [number, 0, 0, 1])[:3]]
    dataset.ImageOrientationPatient = [
        _TRIPLET(v) for v in (*affine[:3, 2] / column_mm, *affine[:3, 1] / row_mm)
    ]
    dataset.PixelSpacing = [_TRIPLET(row_mm), _TRIPLET(column_mm)]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = kind.window
    _set_pixels(dataset, phantom.volume.voxels[number])
    return dataset


def _set_pixels(dataset: Dataset, hounsfield: np.ndarray) -> None:
    stored = np.clip(np.rint(hounsfield) + 1024, 0, 4095).astype("<u2")
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
