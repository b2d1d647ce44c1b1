"""A saliency map in colour on its slices, as a Multi-frame True Color Secondary Capture (PS3.3 A.8.5).

For viewers that cannot show a parametric map. Only slices where the map says something become frames,
the strongest ones if there are many, each in grey as a window shows it, with the map laid over it on the
slice's own plane, so that leaning and uneven stacks are shown as they are. Nothing is burned in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage
from pydicom.valuerep import DSfloat
from scipy.ndimage import map_coordinates

from algorithms.protocol import Findings, SaliencyMap, Volume
from node.config import MANUFACTURER
from node.outbound.equipment import (
    RESEARCH_USE_ONLY,
    Provenance,
    image_reference,
    stamp,
    started,
    without_side,
)
from node.outbound.frames import plane_position
from node.outbound.seg import inherit_compression, refer, refuse_misplaced, refuse_nameless
from node.outbound.seg_reading import affine_of
from node.outbound.window import Window, window_of

Pixels = npt.NDArray[np.uint8]
Strength = npt.NDArray[np.float32]

LONGEST_EDGE: Final = 256
"""Pixels along the longer edge of a frame: enough to see where; what is there is for the source to show."""

MOST_FRAMES: Final = 48
"""With the longest edge they bound the picture to 9.4 MB."""

FAINTEST: Final = 0.25
"""Share of the map's greatest value from which on it is shown."""

_DENSEST: Final = 0.6
"""How much of the greatest value's colour covers the grey."""

MAGMA: Final = np.array(
    [
        (0, 0, 4),
        (29, 17, 71),
        (81, 18, 124),
        (131, 38, 129),
        (183, 55, 121),
        (231, 82, 99),
        (252, 137, 97),
        (254, 196, 136),
        (252, 253, 191),
    ],
    dtype=np.float64,
)
"""A scale of colours of even perceptual steps, sRGB at eighths from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A slice, reduced, with the map on its plane.

    Attributes:
        slice: index of the source.
        plane_mm: 3x3, (row, column, 1) of the frame to patient LPS mm.
        strength: share of the map's greatest value at each pixel, 0 to 1, (row, column).
    """

    slice: int
    plane_mm: npt.NDArray[np.float64]
    strength: Strength


def encode(findings: Findings, volume: Volume, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the saliency map of the findings over the image; where it says nothing, its likeliest slice.

    Args:
        findings: with a saliency map.
        volume: the image.
        sources: the headers of its slices, in slice order.
        provenance: who found it.

    Raises:
        ValueError: there is no map.
        UnsuitableImage: the sources lack a UID without which nothing can refer to them.
        IrregularGeometry: the sources are not the slices of the volume, or lie elsewhere.
    """
    saliency = findings.saliency
    if saliency is None:
        raise ValueError("there is no saliency map to show")
    refuse_nameless(sources)
    refuse_misplaced(volume, sources)
    frames = _strongest(saliency, volume, sources)
    window = window_of(volume, sources[len(sources) // 2])
    picture = started(
        "picture", MultiFrameTrueColorSecondaryCaptureImageStorage, sources[0], provenance, "picture"
    )
    _describe(picture, saliency, window)
    _place(picture, frames, sources)
    shown = [sources[frame.slice] for frame in frames]
    refer(picture, shown)
    picture.SourceImageSequence = [image_reference(source) for source in shown]
    picture.LossyImageCompression = "00"
    inherit_compression(picture, sources)
    factor = reduction(volume)
    grey = (window.grey(reduced(volume.voxels[frame.slice], factor)) for frame in frames)
    _fill(picture, [painted(plane, frame.strength) for plane, frame in zip(grey, frames, strict=True)])
    stamp(picture, provenance, sources[0])
    without_side(picture)
    return picture


def reduction(volume: Volume) -> int:
    """How many pixels along each axis become one."""
    return int(-(-max(volume.voxels.shape[1:]) // LONGEST_EDGE))


def reduced(plane: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """The mean of each block of `factor` x `factor` pixels; what fills no block is left out."""
    rows, columns = (length // factor for length in plane.shape)
    blocks = plane[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def reduced_plane(source: Dataset, factor: int) -> npt.NDArray[np.float64]:
    """3x3 matrix from (row, column, 1) of a reduced slice, whose pixels are blocks, to patient LPS mm."""
    middle = (factor - 1) / 2
    to_source = np.array([[factor, 0, middle], [0, factor, middle], [0, 0, 1]], dtype=np.float64)
    return np.asarray(affine_of(source) @ to_source)


def painted(grey: npt.NDArray[np.float64], strength: Strength) -> Pixels:
    """Grey, 0 to 1, under the colours of a map's strength, 0 to 1, as RGB (row, column, sample)."""
    steps = np.linspace(0, 1, len(MAGMA))
    colour = np.stack([np.interp(strength, steps, sample) for sample in MAGMA.T], axis=-1)
    cover = _DENSEST * np.clip((strength - FAINTEST) / (1 - FAINTEST), 0, 1)[..., None]
    return np.asarray(np.rint(cover * colour + (1 - cover) * 255 * grey[..., None]), dtype=np.uint8)


def strength(saliency: SaliencyMap, plane_mm: npt.NDArray[np.float64], shape: tuple[int, ...]) -> Strength:
    """The map on a plane as a share of its greatest value, interpolated linearly; 0 beyond it.

    Args:
        saliency: the map; values below 0 count as 0.
        plane_mm: 3x3, (row, column, 1) of the plane to patient LPS mm.
        shape: rows and columns of the plane.
    """
    top = float(saliency.voxels.max())
    if top <= 0:
        return np.zeros(shape, dtype=np.float32)
    to_index = np.linalg.inv(saliency.affine_mm)
    step = to_index[:3, :3] @ plane_mm
    step[:, 2] += to_index[:3, 3]
    row, column = np.indices(shape)
    index = step @ np.stack([row.ravel(), column.ravel(), np.ones(row.size)])
    values = map_coordinates(saliency.voxels, index, order=1, mode="grid-constant", cval=0.0)
    return np.asarray(np.clip(values / top, 0.0, 1.0).reshape(shape), dtype=np.float32)


def _strongest(saliency: SaliencyMap, volume: Volume, sources: Sequence[Dataset]) -> list[Frame]:
    """The slices where the map is strongest, in slice order."""
    factor = reduction(volume)
    shape = tuple(length // factor for length in volume.voxels.shape[1:])

    def frame(number: int) -> Frame:
        plane = reduced_plane(sources[number], factor)
        return Frame(number, plane, strength(saliency, plane, shape))

    peaks = [float(frame(number).strength.max()) for number in range(len(sources))]
    order = sorted(range(len(sources)), key=lambda number: -peaks[number])
    said = [number for number in order if peaks[number] > FAINTEST]
    return [frame(number) for number in sorted((said or order[:1])[:MOST_FRAMES])]


def _fill(picture: Dataset, shown: Sequence[Pixels]) -> None:
    picture.NumberOfFrames = len(shown)
    picture.Rows, picture.Columns = shown[0].shape[:2]
    content = np.stack(shown).tobytes()
    picture.PixelData = content + b"\0" * (len(content) % 2)


def _describe(picture: Dataset, saliency: SaliencyMap, window: Window) -> None:
    picture.ImageType, picture.PatientOrientation = ["DERIVED", "SECONDARY"], ""
    picture.ContentDate, picture.ContentTime = picture.InstanceCreationDate, picture.InstanceCreationTime
    picture.ConversionType = "WSD"
    picture.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    picture.BurnedInAnnotation = "NO"
    picture.ImageComments = (
        f"{RESEARCH_USE_ONLY}. {saliency.name}: colours from dark to light are {FAINTEST:.0%} to 100% of "
        f"its greatest value, {saliency.voxels.max():.4g} {saliency.unit.value}. Grey is a window of "
        f"{window.center:g} +- {window.width / 2:g}."
    )
    picture.SamplesPerPixel, picture.PhotometricInterpretation = 3, "RGB"
    picture.PlanarConfiguration, picture.PixelRepresentation = 0, 0
    picture.BitsAllocated, picture.BitsStored, picture.HighBit = 8, 8, 7


def _place(picture: Dataset, frames: Sequence[Frame], sources: Sequence[Dataset]) -> None:
    """Multi-frame functional groups: the spacing and direction of all frames, the place of each.

    The IOD has no others (A.8.5.4), so Source Image Sequence alone names the slice of each frame.
    """
    first = frames[0].plane_mm
    spacing = np.linalg.norm(first[:, :2], axis=0)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [DSfloat(mm, auto_format=True) for mm in spacing]
    orientation.ImageOrientationPatient = sources[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    picture.SharedFunctionalGroupsSequence = [shared]
    picture.PerFrameFunctionalGroupsSequence = [
        plane_position([DSfloat(mm, auto_format=True) for mm in frame.plane_mm[:, 2]]) for frame in frames
    ]
    if len(frames) > 1:
        picture.FrameIncrementPointer = tag_for_keyword("PerFrameFunctionalGroupsSequence")
    picture.FrameOfReferenceUID = sources[0].FrameOfReferenceUID
    picture.PositionReferenceIndicator = sources[0].get("PositionReferenceIndicator", "")
