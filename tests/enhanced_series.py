"""Enhanced MR made of a classic series: legacy converted by highdicom, and as a scanner writes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.legacy import LegacyConvertedEnhancedMRImage
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from tests.synthetic_series import series

_UNASSIGNED = "UnassignedPerFrameConvertedAttributesSequence"
_UNASSIGNED_SHARED = "UnassignedSharedConvertedAttributesSequence"


def classic(**attributes: Any) -> list[Dataset]:
    """A small classic MR with pixels, whose slices differ in rescale and in the window."""
    sequence = {"ScanningSequence": ["GR", "IR"], "EchoTime": 2.5, "MRAcquisitionType": "3D"}
    volume, slices = series(modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M"], **sequence, **attributes)
    for number, (header, plane) in enumerate(zip(slices, volume.voxels, strict=True)):
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
        header.PixelRepresentation = 0
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1 + number, 10 * number, "US"
        header.WindowCenter, header.WindowWidth = 100 + number, 200
        header.PixelData = np.clip(plane + 500, 0, 4095).astype("<u2").tobytes()
        header["PixelData"].VR = "OW"
    return slices


def converted(slices: Sequence[Dataset]) -> Dataset:
    """Legacy Converted Enhanced MR: what has no macro stands in sequences of unassigned attributes."""
    return LegacyConvertedEnhancedMRImage(
        legacy_datasets=list(slices),
        series_instance_uid=generate_uid(entropy_srcs=["converted"]),
        series_number=7,
        sop_instance_uid=generate_uid(entropy_srcs=["converted instance"]),
        instance_number=1,
    )


def enhanced(slices: Sequence[Dataset]) -> Dataset:
    """Enhanced MR: pulse sequence and echo time under their enhanced names, nothing unassigned."""
    image = converted(slices)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    image.EchoPulseSequence, image.MRAcquisitionType = "GRADIENT", "3D"
    echo = Dataset()
    echo.EffectiveEchoTime = float(slices[0].EchoTime)
    shared = image.SharedFunctionalGroupsSequence[0]
    shared.MREchoSequence = [echo]
    for group in (shared, *image.PerFrameFunctionalGroupsSequence):
        group.pop(_UNASSIGNED, None)
        group.pop(_UNASSIGNED_SHARED, None)
    return image


def saved(image: Dataset, folder: Path) -> Path:
    """The file of an instance."""
    path = folder / f"{image.SOPInstanceUID}.dcm"
    image.save_as(path, enforce_file_format=True)
    return path
