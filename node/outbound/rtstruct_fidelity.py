"""Does an RT Structure Set say what was found? Its contours are filled again and compared."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from pydicom import Dataset

from algorithms.protocol import Segment
from algorithms.terminology import ENTIRE_BODY
from node.outbound import coding, rtstruct_reading
from node.outbound.fidelity import Case, Check, differences
from node.outbound.seg_reading import Slice, affine_of, slice_named, slice_of


def _references_to_the_image(case: Case) -> Iterator[str]:
    source = case.sources[0]
    (frame,) = case.dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    images = [slice_named(image) for image in series.ContourImageSequence]
    yield from differences(
        {
            "referenced frame of reference": (frame.FrameOfReferenceUID, source.FrameOfReferenceUID),
            "referenced study": (study.ReferencedSOPInstanceUID, source.StudyInstanceUID),
            "referenced series": (series.SeriesInstanceUID, source.SeriesInstanceUID),
            "list of images": (images, [slice_of(source) for source in case.sources]),
            "approval status": (case.dataset.ApprovalStatus, "UNAPPROVED"),
            "label": (case.dataset.StructureSetLabel, "RESEARCH"),
        }
    )


def _rois(case: Case) -> Iterator[str]:
    dataset, segments = case.dataset, case.findings.segments
    numbers = list(range(1, len(segments) + 1))
    written = (
        [roi.ROINumber for roi in dataset.StructureSetROISequence],
        [outline.ReferencedROINumber for outline in dataset.ROIContourSequence],
        [observation.ReferencedROINumber for observation in dataset.RTROIObservationsSequence],
    )
    if any(found != numbers for found in written):
        yield "the ROIs are not numbered 1 to N as the segments were found"
        return
    items = zip(
        segments,
        dataset.StructureSetROISequence,
        dataset.ROIContourSequence,
        dataset.RTROIObservationsSequence,
        strict=True,
    )
    for segment, roi, outline, observation in items:
        for fault in _description(segment, roi, outline, observation, case):
            yield f"segment {segment.label!r}: {fault}"


def _description(
    segment: Segment, roi: Dataset, outline: Dataset, observation: Dataset, case: Case
) -> Iterator[str]:
    (kind,) = observation.RTROIIdentificationCodeSequence
    sides = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
    yield from differences(
        {
            "name": (roi.ROIName, segment.label),
            "description": (roi.get("ROIDescription"), segment.review),
            "frame of reference": (
                roi.ReferencedFrameOfReferenceUID,
                case.sources[0].FrameOfReferenceUID,
            ),
            "generation algorithm": (roi.ROIGenerationAlgorithm, "AUTOMATIC"),
            "colour": (tuple(outline.ROIDisplayColor), segment.rgb),
            "type": (coding.code_of(kind), segment.type),
            "laterality": (
                [coding.code_of(side) for side in sides],
                [segment.laterality] if segment.laterality and not segment.site else [],
            ),
            "interpreted type": (observation.RTROIInterpretedType, _interpretation(segment)),
        }
    )


def _interpretation(segment: Segment) -> str:
    """Nothing is an organ that its category does not call a part of the body, nor is the body itself."""
    kinds = {(category, "SCT"): "ORGAN" for category in coding.ANATOMICAL}
    outline = segment.type[:2] == ENTIRE_BODY[:2]
    return "EXTERNAL" if outline else kinds.get(segment.category[:2], "")


def _contours(case: Case) -> Iterator[str]:
    planes = {slice_of(source): n for n, source in enumerate(case.sources)}
    for segment, outline in zip(case.findings.segments, case.dataset.ROIContourSequence, strict=True):
        try:
            wrong = _wrong_voxels(case, segment, rtstruct_reading.contours(outline), planes)
        except ValueError as error:
            yield f"segment {segment.label!r}: {error}"
            continue
        if wrong:
            yield f"segment {segment.label!r}: {wrong} voxels are not as they were found"


def _wrong_voxels(
    case: Case, segment: Segment, drawn: list[rtstruct_reading.Contour], planes: dict[Slice, int]
) -> int:
    """How many voxels differ, slice by slice; what two contours of a slice both hold belongs to neither."""
    shape = case.volume.voxels.shape[1:]
    by_slice: dict[int, list[rtstruct_reading.Contour]] = {}
    for contour in drawn:
        if contour.image is None or contour.image not in planes:
            named = contour.image[0] if contour.image else "no image"
            raise ValueError(f"contour {contour.number} names {named}")
        by_slice.setdefault(planes[contour.image], []).append(contour)
    slices, down, right = segment.box
    wrong = 0
    for index in {*by_slice, *range(slices.start, slices.stop)}:
        filled = rtstruct_reading.filled(by_slice.get(index, ()), affine_of(case.sources[index]), shape)
        if slices.start <= index < slices.stop:
            filled[down, right] ^= segment.mask[index - slices.start]
        wrong += int(np.count_nonzero(filled))
    return wrong


CHECKS: Final[tuple[Check, ...]] = (_references_to_the_image, _rois, _contours)
