"""Segmentations as other software writes them: here highdicom, called plainly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from algorithms.protocol import BoolMask, Code
from tests.synthetic_series import ANATOMY, LUNG


def segmentation(
    sources: Sequence[Dataset],
    masks: Mapping[str, BoolMask],
    *,
    kind: str = "BINARY",
    tracked: bool = True,
    category: Code = ANATOMY,
    type: Code = LUNG,  # noqa: A002 - the field's term
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> Dataset:
    """A SEG of masks by label, each on the grid of the source images, axes (slice, row, column)."""
    stacked = np.stack(list(masks.values()), axis=-1)
    pixels: npt.NDArray[Any] = stacked.astype(np.uint8)
    if kind == "LABELMAP":
        pixels = (stacked * np.arange(1, len(masks) + 1)).max(axis=-1).astype(np.uint8)
    return Segmentation(
        source_images=list(sources),
        pixel_array=pixels if kind != "FRACTIONAL" else pixels.astype(np.float32) / 2,
        segmentation_type=kind,
        segment_descriptions=[
            description(number, label, tracked, category, type) for number, label in enumerate(masks, start=1)
        ],
        series_instance_uid=generate_uid(),
        series_number=77,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Elsewhere",
        manufacturer_model_name="Contours",
        software_versions="9",
        device_serial_number="1",
        transfer_syntax_uid=transfer_syntax_uid,
    )


def description(number: int, label: str, tracked: bool, category: Code, kind: Code) -> SegmentDescription:
    tracking = {"tracking_id": f"{label} of May", "tracking_uid": f"2.25.500{number}"} if tracked else {}
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=CodedConcept(*category),
        segmented_property_type=CodedConcept(*kind),
        algorithm_type="MANUAL",
        **tracking,
    )
