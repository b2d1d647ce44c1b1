"""A photograph in DICOM becomes an image: its pixels as RGB, and how old the person on it was."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from algorithms.protocol import Photograph, Progress, silent
from node.errors import ResourceInadequate, UnsuitableImage
from node.inbound import volumes
from node.inbound.geometry import UNDECODABLE, instance_name

Pixels = npt.NDArray[np.uint8]

VL_PHOTOGRAPHIC: Final = "1.2.840.10008.5.1.4.1.1.77.1.4"

SOP_CLASSES: Final = {
    VL_PHOTOGRAPHIC: "VL Photographic Image",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image",
}
"""What a photograph may come as (PS3.4 B.5)."""

MAX_PIXELS: Final = 2**27
"""Of one photograph, checked before memory is taken; 0.4 GB as RGB."""

OLDEST_YEARS: Final = 130.0
"""An age beyond it is a date that was made up."""

_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_DAYS_A_YEAR: Final = 365.25
_TAKEN: Final = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "StudyDate")
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")


def read(paths: Iterable[Path], progress: Progress = silent) -> tuple[Photograph, list[Dataset]]:
    """Decode a photograph: VL Photographic Image, or Secondary Capture of a single frame.

    Colour comes as RGB whatever it is stored as; grey, of the window in the header or of the whole range
    of its values, has three equal samples.

    Args:
        paths: of the one instance.
        progress: told when it is decoded.

    Returns:
        The photograph, and its header without pixel data.

    Raises:
        IncompleteInput: the file is not there.
        ResourceInadequate: it has more than MAX_PIXELS.
        UnsuitableImage: there are several instances, it is another object, has several frames, or pixels
            that cannot be decoded.
    """
    headers = volumes.headers(paths)
    if len(headers) != 1:
        raise UnsuitableImage(f"the series holds {len(headers)} instances; one photograph is read at a time")
    header = headers[0]
    try:
        _refuse_other_object(header)
    except UNDECODABLE:
        raise UnsuitableImage(f"the header of {instance_name(header)} cannot be decoded") from None
    progress(0.0, "reading the photograph")
    try:
        pixels = _rgb(pydicom.dcmread(Path(str(header.filename))))
    except UNDECODABLE as error:
        kind = type(error).__name__
        raise UnsuitableImage(f"the pixels of {instance_name(header)} cannot be decoded ({kind})") from None
    return Photograph(pixels, str(header.SOPInstanceUID), subject_age_years(header)), headers


def subject_age_years(header: Dataset) -> float | None:
    """Patient's Age (0010,1010), else the time from birth to the picture; None where neither is known.

    The picture was taken at Acquisition, Content or Study Date, the first that is there.
    """
    age = _text(header, "PatientAge")
    if len(age) == 4 and age[:3].isdecimal() and age[3] in _DAYS:
        return int(age[:3]) * _DAYS[age[3]] / _DAYS_A_YEAR
    born = _date(header, "PatientBirthDate")
    taken = next((found for keyword in _TAKEN if (found := _date(header, keyword))), None)
    if born is None or taken is None:
        return None
    years = (taken - born).days / _DAYS_A_YEAR
    return years if 0 <= years <= OLDEST_YEARS else None


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except UNDECODABLE:
        return ""


def _date(header: Dataset, keyword: str) -> date | None:
    """A date, or that of a date and time."""
    text = _text(header, keyword)[:8]
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _refuse_other_object(header: Dataset) -> None:
    name, sop_class = instance_name(header), str(header.get("SOPClassUID", ""))
    if sop_class not in SOP_CLASSES:
        found = pydicom.uid.UID(sop_class).name if sop_class else "of no SOP class"
        raise UnsuitableImage(f"{name} is {found}; photographs are {', '.join(SOP_CLASSES.values())}")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnsuitableImage(f"{name} has {frames} frames; a photograph has one")
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > MAX_PIXELS:
        raise ResourceInadequate(f"{name} has {rows} x {columns} pixels, more than {MAX_PIXELS}")


def _rgb(instance: Dataset) -> Pixels:
    """The pixels (row, column, RGB) as a viewer shows them."""
    interpretation = str(instance.PhotometricInterpretation)
    stored = pixel_array(instance)  # YBR of every kind comes back as RGB
    if interpretation == "PALETTE COLOR":
        return _eight_bits(apply_color_lut(stored, instance), _table_bits(instance))
    if interpretation in _GREY:
        return _grey(stored, instance)
    return _eight_bits(stored, int(instance.BitsStored))


def _table_bits(instance: Dataset) -> int:
    """Bits of an entry of the colour table (PS3.3 C.7.6.3.1.5)."""
    return int(instance.RedPaletteColorLookupTableDescriptor[2])


def _eight_bits(values: npt.NDArray[np.integer], bits: int) -> Pixels:
    return np.ascontiguousarray(values >> max(bits - 8, 0), dtype=np.uint8)


def _grey(stored: npt.NDArray[np.integer], instance: Dataset) -> Pixels:
    """Three equal samples."""
    bits = int(instance.BitsStored)
    low = -(1 << (bits - 1)) if instance.PixelRepresentation else 0
    high = low + (1 << bits) - 1
    shown = np.clip((apply_voi_lut(stored, instance).astype(np.float64) - low) / (high - low), 0.0, 1.0)
    if instance.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    grey = np.rint(255.0 * shown).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
