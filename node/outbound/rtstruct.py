"""Segments as an RT Structure Set (PS3.3 A.19), for treatment planning.

An ROI for each segment; on each slice that holds it, closed planar contours in the plane of that slice.
Written here: highdicom has no RT objects, our segments are cropped masks that go through the affine, and
each structure is written with its code.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.charset import default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from algorithms.protocol import Findings, Segment, Volume
from algorithms.terminology import ENTIRE_BODY
from node.config import MANUFACTURER
from node.outbound import contours
from node.outbound.coding import ANATOMICAL, concept
from node.outbound.equipment import RESEARCH_USE_ONLY, Provenance, image_reference, stamp, started
from node.outbound.seg import refuse_misplaced, refuse_nameless
from node.outbound.seg_reading import affine_of

_STUDY_COMPONENT: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, the retired class that readers still expect for the referenced study."""


def encode(findings: Findings, volume: Volume, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode all segments of the findings as ROIs, numbered 1 to N in their order.

    Args:
        findings: with at least one segment.
        volume: the image whose grid the masks are on.
        sources: the headers of its slices, in slice order.
        provenance: who found them.

    Raises:
        ValueError: there is no segment.
        UnsuitableImage: the sources lack a UID without which nothing can refer to them.
        IrregularGeometry: the sources are not the slices of the volume, or lie elsewhere.
    """
    if not findings.segments:
        raise ValueError("there is no segment to outline")
    refuse_nameless(sources)
    refuse_misplaced(volume, sources)
    structures = _structure_set(sources, provenance)
    numbered = list(enumerate(findings.segments, start=1))
    structures.StructureSetROISequence = [_roi(n, s, sources[0], provenance) for n, s in numbered]
    structures.RTROIObservationsSequence = [_observation(n, s) for n, s in numbered]
    structures.ApprovalStatus = "UNAPPROVED"
    stamp(structures, provenance, sources[0])
    # Last, or pydicom would decode all points.
    structures.ROIContourSequence = [_outline(n, s, sources) for n, s in numbered]
    return structures


def interpreted_type(segment: Segment) -> str:
    """RT ROI Interpreted Type (3006,00A4): the outline of the body is EXTERNAL, its parts are an ORGAN.

    Empty for all else: whether a lesion is a target volume is for a person to say.
    """
    if segment.type == ENTIRE_BODY:
        return "EXTERNAL"
    return "ORGAN" if segment.category.value in ANATOMICAL else ""


def _structure_set(sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    structures = started("rtstruct", RTStructureSetStorage, sources[0], provenance, "structures")
    structures.OperatorsName = ""
    structures.StructureSetLabel = "RESEARCH"
    structures.StructureSetDescription = RESEARCH_USE_ONLY
    structures.StructureSetDate = structures.InstanceCreationDate
    structures.StructureSetTime = structures.InstanceCreationTime
    structures.FrameOfReferenceUID = sources[0].FrameOfReferenceUID
    structures.PositionReferenceIndicator = sources[0].get("PositionReferenceIndicator", "")
    structures.ReferencedFrameOfReferenceSequence = [_frame_of_reference(sources)]
    return structures


def _frame_of_reference(sources: Sequence[Dataset]) -> Dataset:
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = sources[0].SeriesInstanceUID
    series.ContourImageSequence = [image_reference(source) for source in sources]
    study.ReferencedSOPClassUID = _STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = sources[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = sources[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(number: int, segment: Segment, source: Dataset, provenance: Provenance) -> Dataset:
    roi = Dataset()
    roi.ROINumber = number
    roi.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
    roi.ROIName = segment.label
    if segment.review:
        roi.ROIDescription = segment.review
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    roi.ROIGenerationDescription = f"{MANUFACTURER} {provenance.algorithm} {provenance.version}"
    return roi


def _outline(number: int, segment: Segment, sources: Sequence[Dataset]) -> Dataset:
    outline = Dataset()
    outline.ReferencedROINumber = number
    outline.ROIDisplayColor = list(segment.rgb)
    drawn = chain.from_iterable(
        _contours(plane, segment.origin[1:], sources[segment.origin[0] + index])
        for index, plane in enumerate(segment.mask)
    )
    outline.ContourSequence = list(_numbered(drawn))
    return outline


def _contours(plane: npt.NDArray[np.bool_], corner: tuple[int, int], source: Dataset) -> Iterator[Dataset]:
    """The contours on a slice; `corner` is the row and column of the mask's first pixel."""
    to_patient = affine_of(source)
    for polygon in contours.polygons(plane):
        points = (polygon + corner) @ to_patient[:, :2].T + to_patient[:, 2]
        contour = Dataset()
        contour.ContourImageSequence = [image_reference(source)]
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = len(points)
        _write_points(contour, points)
        yield contour


def _numbered(drawn: Iterable[Dataset]) -> Iterator[Dataset]:
    for number, contour in enumerate(drawn, start=1):
        contour.ContourNumber = number
        yield contour


def _write_points(contour: Dataset, points: npt.NDArray[np.float64]) -> None:
    """Contour Data to a thousandth of a millimetre, as bytes: pydicom takes a second for 100 000 numbers."""
    value = "\\".join(map("%.3f".__mod__, points.ravel().tolist())).encode("ascii")
    value += b" " * (len(value) % 2)
    tag = Tag(tag_for_keyword("ContourData") or 0)
    contour[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    contour.set_original_encoding(
        is_implicit_vr=False, is_little_endian=True, character_encoding=default_encoding
    )


def _observation(number: int, segment: Segment) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    kind = concept(segment.type)
    if segment.laterality and not segment.site:
        kind.SegmentedPropertyTypeModifierCodeSequence = [concept(segment.laterality)]
    observation.RTROIIdentificationCodeSequence = [kind]
    observation.RTROIInterpretedType = interpreted_type(segment)
    observation.ROIInterpreter = ""
    return observation
