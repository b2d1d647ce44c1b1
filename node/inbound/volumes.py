"""The instances of a series become a volume: every pixel decoded once, in the units of the scan."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from algorithms.protocol import Progress, Volume, Voxels, silent
from node.errors import IncompleteInput, ResourceInadequate, UnsuitableImage
from node.inbound.enhanced import slices_of
from node.inbound.geometry import (
    UNDECODABLE,
    Geometry,
    Orientation,
    Outline,
    geometry,
    instance_name,
    outline,
)

__all__ = [
    "UNDECODABLE",
    "Geometry",
    "Orientation",
    "Outline",
    "geometry",
    "headers",
    "is_dicom",
    "outline",
    "read",
]

MODALITIES: Final = ("CT", "MR", "PT")

MAX_VOXELS: Final = 2**30
"""4 GiB as float32, twice a whole body of 2000 x 512 x 512; checked before memory is taken."""

AIR_HU: Final = -1000.0
"""Stands for CT pixels that hold Pixel Padding Value: they lie outside the scanned circle, and their
stored value (often -2000 or less) would be taken for a measurement."""

_NATIVE_LITTLE_ENDIAN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)

_PIXEL_KEYWORDS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
]


def headers(paths: Iterable[Path]) -> list[Dataset]:
    """Read everything before the pixel data of each file, in the order given; `filename` is kept.

    Raises:
        IncompleteInput: a file is not there.
        UnsuitableImage: a file is not DICOM, or cannot be parsed.
    """
    return [_read(path) for path in paths]


def study_instance_uid(path: Path) -> str:
    """The Study Instance UID of a file; empty where it has none or cannot be read."""
    try:
        return str(_read(path, ["StudyInstanceUID"]).get("StudyInstanceUID", ""))
    except UnsuitableImage:
        return ""


def read(
    paths: Iterable[Path], progress: Progress = silent, *, any_stack: bool = False
) -> tuple[Volume, list[Dataset]]:
    """Decode a classic CT, MR or PET series, or an Enhanced MR, into a volume.

    Values are those of the Modality LUT module: stored value times Rescale Slope plus Rescale
    Intercept, slice by slice (PS3.3 C.11.1). Pixels with Pixel Padding Value become air (CT) or 0.

    Args:
        paths: of the instances, in any order.
        progress: told of the slices read.
        any_stack: whether the slices may be unevenly spaced, and may lean (a tilted gantry).

    Returns:
        The volume, and a header without pixel data for each slice, in slice order.

    Raises:
        IncompleteInput: a file is not there.
        IrregularGeometry: the slices form no regular volume, or with `any_stack` no stack at all.
        ResourceInadequate: the volume is larger than MAX_VOXELS.
        UnsuitableImage: another modality, several frames, colour, or pixels that cannot be decoded.
    """
    unsorted = slices_of(headers(paths))
    _refuse_other_images(unsorted)
    grid = geometry(unsorted, any_stack=any_stack)
    ordered = [unsorted[i] for i in grid.order]
    shape = (len(ordered), int(ordered[0].Rows), int(ordered[0].Columns))
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise ResourceInadequate(
            f"the volume has {' x '.join(map(str, shape))} voxels, more than {MAX_VOXELS}"
        )
    voxels = np.empty(shape, dtype=np.float32)
    _fill(voxels, ordered, progress)
    volume = Volume(
        voxels=voxels,
        affine_mm=grid.affine_mm,
        unit="HU" if all(_in_hounsfield_units(h) for h in ordered) else "arbitrary",
        modality=str(ordered[0].Modality),
        sop_instance_uids=tuple(str(h.SOPInstanceUID) for h in ordered),
        slice_places=grid.slice_places,
    )
    return volume, ordered


def plane(header: Dataset) -> Voxels:
    """Decode one slice, float32 (row, column), with values as in `read`.

    Args:
        header: of the slice, as `headers` gives it.

    Raises:
        IncompleteInput: its file is not there any more.
        UnsuitableImage: its pixels cannot be decoded.
    """
    values = np.empty((int(header.Rows), int(header.Columns)), dtype=np.float32)
    _fill_plane(values, header, _read(Path(str(header.filename)), _PIXEL_KEYWORDS))
    return values


def _read(path: Path, keywords: list[str] | None = None) -> Dataset:
    """Read the header, or only the elements named."""
    try:
        if keywords:
            return pydicom.dcmread(
                path, specific_tags=list(keywords), stop_before_pixels="PixelData" not in keywords
            )
        return pydicom.dcmread(path, stop_before_pixels=True)
    except FileNotFoundError:
        raise IncompleteInput(f"{path} is not there") from None
    except (InvalidDicomError, EOFError, OSError, struct.error, *UNDECODABLE) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # trouble of the disk, not of the file: it may pass
        raise UnsuitableImage(f"{path} cannot be read as DICOM ({type(error).__name__})") from None


def _refuse_other_images(headers: Sequence[Dataset]) -> None:
    for header in headers:
        try:
            _refuse_other_image(header)
        except UNDECODABLE:
            raise UnsuitableImage(f"the header of {instance_name(header)} cannot be decoded") from None


def _refuse_other_image(header: Dataset) -> None:
    modality = header.get("Modality")
    if modality not in MODALITIES:
        raise UnsuitableImage(
            f"{instance_name(header)} has Modality {modality or 'missing'}; "
            f"volumes are read from {', '.join(MODALITIES)}"
        )
    if not str(header.get("PhotometricInterpretation", "MONOCHROME2")).startswith("MONOCHROME"):
        raise UnsuitableImage(f"{instance_name(header)} is in colour")
    if header.get("ModalityLUTSequence"):
        raise UnsuitableImage(f"{instance_name(header)} has a Modality LUT instead of a rescale")


def _in_hounsfield_units(header: Dataset) -> bool:
    """Hounsfield units unless Rescale Type says otherwise (PS3.3 C.8.2.1.1)."""
    return (
        header.Modality == "CT"
        and header.get("RescaleIntercept") is not None
        and (header.get("RescaleType") or "HU") == "HU"
    )


def _fill(voxels: Voxels, slices: Sequence[Dataset], progress: Progress) -> None:
    """Decode each file once, whatever slices it holds, into (slice, row, column)."""
    in_file: dict[Path, list[int]] = defaultdict(list)
    for number, header in enumerate(slices):
        in_file[Path(str(header.filename))].append(number)
    every, done = max(1, len(slices) // 20), count()
    for path, numbers in in_file.items():
        instance = _read(path, _PIXEL_KEYWORDS)
        for number in numbers:
            if (read := next(done)) % every == 0:
                progress(read / len(slices), "reading slices")
            _fill_plane(voxels[number], slices[number], instance)


def _fill_plane(plane: Voxels, header: Dataset, instance: Dataset) -> None:
    """Decode one slice into `plane` (row, column)."""
    try:
        cells = _cells(instance, getattr(header, "frame_number", 1) - 1)
        stored = _stored_values(cells, instance)
        np.multiply(stored, np.float32(_rescale(header, "RescaleSlope", 1)), out=plane, casting="unsafe")
        plane += np.float32(_rescale(header, "RescaleIntercept", 0))
        _pad(plane, stored, cells, header)
    except UNDECODABLE as error:
        raise UnsuitableImage(f"the pixels of {instance_name(header)} cannot be decoded: {error}") from None


def _rescale(header: Dataset, keyword: str, default: float) -> float:
    value = header.get(keyword)
    return default if value is None or value == "" else float(value)


def _cells(instance: Dataset, frame: int) -> npt.NDArray[np.integer]:
    """The pixel cells (row, column) of a frame, from 0, as they lie in the file or as the decoder says."""
    syntax = instance.file_meta.TransferSyntaxUID
    allocated = int(instance.BitsAllocated)
    if syntax not in _NATIVE_LITTLE_ENDIAN or allocated not in {8, 16, 32}:
        return np.asarray(pixel_array(instance, index=frame))
    kind = "i" if instance.PixelRepresentation else "u"
    rows, columns = int(instance.Rows), int(instance.Columns)
    cells: npt.NDArray[np.integer] = np.frombuffer(
        instance.PixelData,
        dtype=f"<{kind}{allocated // 8}",
        count=rows * columns,
        offset=frame * rows * columns * allocated // 8,
    )
    return cells.reshape(rows, columns)


def _stored_values(cells: npt.NDArray[np.integer], instance: Dataset) -> npt.NDArray[np.integer]:
    """Drop the bits of native cells that are outside Bits Stored, and extend the sign.

    The unused bits of a cell may hold overlays or anything else (PS3.5 8.1.1).
    """
    allocated, stored = int(instance.BitsAllocated), int(instance.BitsStored)
    if stored == allocated or instance.file_meta.TransferSyntaxUID.is_encapsulated:
        return cells
    above = allocated - 1 - int(instance.get("HighBit", stored - 1))
    return cells << above >> (allocated - stored)


def _pad(
    plane: Voxels, stored: npt.NDArray[np.integer], cells: npt.NDArray[np.integer], header: Dataset
) -> None:
    """Replace pixels of Pixel Padding Value, or up to Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2)."""
    first = _as_stored(header.get("PixelPaddingValue"), header)
    if first is None:
        return
    last = _as_stored(header.get("PixelPaddingRangeLimit"), header)
    low, high = sorted((first, first if last is None else last))
    bits = int(header.BitsStored) - int(header.PixelRepresentation)
    # Some scanners pad with a value that needs the whole cell, not only its stored bits.
    padded = stored if -(1 << bits) <= low and high < 1 << bits else cells
    plane[(padded >= low) & (padded <= high)] = AIR_HU if header.Modality == "CT" else 0.0


def _as_stored(value: int | None, header: Dataset) -> int | None:
    """A padding value with the sign of the pixels, whichever of US and SS it was written with."""
    if value is None:
        return None
    wrapped = int(value) % (1 << int(header.BitsAllocated))
    signed = bool(header.PixelRepresentation) and wrapped >= 1 << (int(header.BitsAllocated) - 1)
    return wrapped - (1 << int(header.BitsAllocated)) if signed else wrapped
