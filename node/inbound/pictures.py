"""A JPEG or PNG file becomes a VL Photographic Image (PS3.3 A.32.4), with what a request says of the patient.

Only the pixels are taken over, turned as the camera says they are to be shown. Where and when the picture
was taken, with what and by whom (EXIF, XMP, GPS), stays behind with the file.
"""

import hashlib
import json
import struct
import uuid
from collections.abc import Mapping
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps
from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.errors import UnsuitableImage
from node.inbound.visible_light import MAX_PIXELS, VL_PHOTOGRAPHIC

JPEG, PNG = "JPEG", "PNG"

_BEGINNINGS: Final = {b"\xff\xd8\xff": JPEG, b"\x89PNG\r\n\x1a\n": PNG}

_REQUIRED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Of type 2 in the patient and study modules: present, if need be empty."""

FROM_THE_REQUEST: Final = (
    *_REQUIRED,
    "IssuerOfPatientID",
    "PatientAge",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "StudyDescription",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "AcquisitionDate",
    "ContentDate",
    "ContentTime",
    "BodyPartExamined",
)
"""All that a request may say; what the picture is, and how it is stored, is said here."""

_NAMESPACE: Final = uuid.UUID("b2a6c1d4-5e0f-4f57-9a8e-0d9f3c7e6b21")


def kind_of(content: bytes) -> str | None:
    """JPEG or PNG, by how the file begins; None for all else."""
    return next((kind for beginning, kind in _BEGINNINGS.items() if content.startswith(beginning)), None)


def wrap(content: bytes, said: Mapping[str, str]) -> Dataset:
    """Make a VL Photographic Image of a file, with file meta information.

    UIDs that nobody gave are derived from the file and from what is said, so that the same request makes
    the same instance.

    Args:
        content: the bytes of a JPEG or PNG file.
        said: text values by keyword, of FROM_THE_REQUEST.

    Raises:
        UnsuitableImage: it is no such file, is damaged or too large, or what is said is something else, or
            no value of its kind.
    """
    if strangers := sorted(set(said) - set(FROM_THE_REQUEST)):
        raise UnsuitableImage(f"a request for a photograph says nothing of {', '.join(strangers)}")
    picture = _upright(content)
    instance = Dataset()
    instance.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _REQUIRED:
        setattr(instance, keyword, "")
    for keyword, value in said.items():
        instance.add(_element(keyword, value))
    _identify(instance, content, said)
    _describe(instance)
    pixels = picture.tobytes()
    if kind_of(content) == JPEG:
        instance.LossyImageCompression, instance.LossyImageCompressionMethod = "01", "ISO_10918_1"
        instance.LossyImageCompressionRatio = f"{len(pixels) / len(content):.4g}"
    instance.Rows, instance.Columns = picture.height, picture.width
    instance.PixelData = pixels + b"\0" * (len(pixels) % 2)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance


def written(instance: Dataset) -> bytes:
    """An instance as the bytes of a file."""
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _element(keyword: str, value: str) -> DataElement:
    """An attribute of the request; the value tells who somebody is, so no message repeats it."""
    vr = dictionary_VR(keyword)
    try:
        return DataElement(keyword, vr, value, validation_mode=RAISE)
    except (ValueError, TypeError, OverflowError):
        raise UnsuitableImage(f"the {keyword} of the request is no value of the kind {vr}") from None


def _upright(content: bytes) -> Image.Image:
    """The picture in RGB as it is to be shown."""
    kind = kind_of(content)
    if kind is None:
        raise UnsuitableImage("the file is neither JPEG nor PNG")
    try:
        with Image.open(BytesIO(content), formats=[kind]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnsuitableImage(
                    f"the {kind} has {picture.height} x {picture.width} pixels, more than {MAX_PIXELS}"
                )
            if picture.mode.startswith(("I", "F")):
                raise UnsuitableImage(f"the {kind} has more than 8 bits a sample")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        raise UnsuitableImage(f"the {kind} cannot be decoded") from None


def _identify(instance: Dataset, content: bytes, said: Mapping[str, str]) -> None:
    instance.SOPClassUID = VL_PHOTOGRAPHIC
    digest = hashlib.sha256(content).hexdigest()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        if not said.get(keyword):
            name = json.dumps([keyword, digest, sorted(said.items())])
            setattr(instance, keyword, f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")


def _describe(instance: Dataset) -> None:
    """General Series, Image, VL Image (C.8.12.1) and Acquisition Context, as far as anything is known."""
    instance.Modality = "XC"
    for keyword in ("SeriesNumber", "InstanceNumber", "Manufacturer", "PatientOrientation", "Laterality"):
        if keyword not in instance:
            setattr(instance, keyword, None)
    instance.ImageType = ["ORIGINAL", "PRIMARY"]
    instance.AcquisitionContextSequence = []
    instance.RecognizableVisualFeatures = "YES"
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 3, "RGB"
    instance.PlanarConfiguration, instance.PixelRepresentation = 0, 0
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 8, 8, 7
    instance.LossyImageCompression = "00"
