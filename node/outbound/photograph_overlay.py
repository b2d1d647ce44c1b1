"""What in a photograph a score rests on, in colour over it, as a Secondary Capture (PS3.3 A.8.5).

The photograph is shown in grey: skin has the hues of the scale of colours, and would be taken for it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage

from algorithms.protocol import Findings, Highlights, Photograph
from node.config import MANUFACTURER
from node.outbound.equipment import RESEARCH_USE_ONLY, Provenance, stamp, started, without_side
from node.outbound.secondary_capture import FAINTEST, Strength, painted, reduced
from node.outbound.seg import inherit_compression, refer

LONGEST_EDGE: Final = 512
"""Pixels along the longer edge: enough to see where; the photograph itself is in the archive."""

LUMINANCE: Final = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def encode_overlay(
    findings: Findings, photograph: Photograph, source: Dataset, provenance: Provenance
) -> Dataset:
    """Encode the highlights of the findings over the photograph.

    Args:
        findings: with highlights.
        photograph: what they were found on.
        source: its header.
        provenance: who found them.

    Raises:
        ValueError: there are no highlights, or they are of another size than the photograph.
    """
    highlights = findings.highlights
    if highlights is None or highlights.weight.shape != photograph.pixels.shape[:2]:
        raise ValueError("there are no highlights on the grid of the photograph")
    picture = started(
        "picture", MultiFrameTrueColorSecondaryCaptureImageStorage, source, provenance, "picture"
    )
    _describe(picture, highlights)
    refer(picture, [source])
    picture.LossyImageCompression = "00"
    inherit_compression(picture, [source])
    shown = painted(grey(photograph), strength(highlights))
    picture.NumberOfFrames = 1
    picture.Rows, picture.Columns = shown.shape[:2]
    content = shown.tobytes()
    picture.PixelData = content + b"\0" * (len(content) % 2)
    stamp(picture, provenance, source)
    without_side(picture)
    return picture


def reduction(shape: tuple[int, ...]) -> int:
    """How many pixels along each axis of a photograph become one."""
    return int(-(-max(shape[:2]) // LONGEST_EDGE))


def grey(photograph: Photograph) -> npt.NDArray[np.float64]:
    """The photograph in grey, 0 to 1, (row, column), reduced."""
    plane = (photograph.pixels @ LUMINANCE / 255.0).astype(np.float32)
    return reduced(plane, reduction(plane.shape)).astype(np.float64)


def strength(highlights: Highlights) -> Strength:
    """The highlights, 0 to 1, (row, column), reduced."""
    return reduced(highlights.weight, reduction(highlights.weight.shape)).clip(0.0, 1.0)


def _describe(picture: Dataset, highlights: Highlights) -> None:
    picture.ImageType, picture.PatientOrientation = ["DERIVED", "SECONDARY"], ""
    picture.ContentDate, picture.ContentTime = picture.InstanceCreationDate, picture.InstanceCreationTime
    picture.ConversionType = "WSD"
    picture.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    picture.BurnedInAnnotation, picture.RecognizableVisualFeatures = "NO", "YES"
    picture.ImageComments = (
        f"{RESEARCH_USE_ONLY}. {highlights.name}: colours from dark to light are {FAINTEST:.0%} to 100%."
    )
    picture.SamplesPerPixel, picture.PhotometricInterpretation = 3, "RGB"
    picture.PlanarConfiguration, picture.PixelRepresentation = 0, 0
    picture.BitsAllocated, picture.BitsStored, picture.HighBit = 8, 8, 7
