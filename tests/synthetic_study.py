"""A CT study of any voxels as files, each seed a study of its own."""

import uuid
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.inbound.instances import Spool, Stored


def write(
    folder: Path, hounsfield: npt.NDArray[np.float32], spacing_mm: tuple[float, float, float], seed: int
) -> list[Path]:
    """Write axial slices, axes (slice, row, column); the files, from the lowest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, pixels in enumerate(hounsfield):
        dataset = _slice(pixels, number, spacing_mm, seed)
        files.append(folder / f"{number + 1:04}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def store(spool: Spool, files: list[Path]) -> list[Stored]:
    """Put files into a spool as a scanner's C-STORE would."""
    return [_store(spool, file) for file in files]


def _store(spool: Spool, file: Path) -> Stored:
    from pydicom import dcmread

    meta = dcmread(file, stop_before_pixels=True).file_meta
    content = file.read_bytes()
    start = content.index(b"DICM") + 4 + meta.FileMetaInformationGroupLength + 12
    return spool.store(
        content[start:],
        sop_class_uid=meta.MediaStorageSOPClassUID,
        sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        transfer_syntax_uid=meta.TransferSyntaxUID,
        calling_ae_title="SCANNER",
    )


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def _slice(
    pixels: npt.NDArray[np.float32], number: int, spacing_mm: tuple[float, float, float], seed: int
) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = _uid(f"{seed}/{number}")
    for level in ("Study", "Series"):
        setattr(dataset, f"{level}InstanceUID", _uid(f"{seed}/{level}"))
    dataset.FrameOfReferenceUID = _uid(f"{seed}/frame")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate, dataset.StudyTime, dataset.Modality = "20260101", "120000", "CT"
    dataset.StudyDescription = "Synthetic block"
    dataset.PatientName, dataset.PatientID = f"Block^{seed}", f"BLOCK-{seed}"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.PatientBirthDate = ""
    dataset.PatientSex, dataset.StudyID, dataset.PatientPosition = "O", "1", "HFS"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.SliceThickness = spacing_mm[0]
    dataset.ImagePositionPatient = [0, 0, number * spacing_mm[0]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = list(spacing_mm[1:])
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.clip(np.rint(pixels) + 1024, 0, 4095).astype("<u2").tobytes()
    return dataset
