from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from algorithms.protocol import Code, Findings, Segment
from algorithms.terminology import ENTIRE_BODY
from node.errors import IrregularGeometry, UnsuitableImage
from node.outbound import equipment, rtstruct, rtstruct_reading
from node.outbound.seg_reading import affine_of, slice_of
from tests.synthetic_series import ANATOMY, LUNG, OBLIQUE, RIGHT, findings, provenance, series

MORPHOLOGY = Code("49755003", "SCT", "Morphologically Altered Structure")
CYST = Code("367643001", "SCT", "Cyst")


def encoded(found: Findings | None = None, **attributes: object) -> Dataset:
    volume, sources = series(**attributes)  # type: ignore[arg-type]
    dataset = rtstruct.encode(found or findings(volume), volume, sources, provenance(volume))
    return dcmread(BytesIO(equipment.encoded("rtstruct", dataset).content))


def test_the_structures_say_that_they_are_unapproved_research() -> None:
    dataset = encoded()
    assert (dataset.Modality, dataset.SeriesNumber) == ("RTSTRUCT", 9005)
    assert dataset.SeriesDescription == "AI chest-ct-annotation structures"
    assert (dataset.StructureSetLabel, dataset.ApprovalStatus) == ("RESEARCH", "UNAPPROVED")
    assert "not for diagnosis" in dataset.StructureSetDescription
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_each_segment_is_a_coded_region_of_interest() -> None:
    dataset = encoded()
    assert [roi.ROIName for roi in dataset.StructureSetROISequence] == ["Right lung", "Trachea", "Left lung"]
    assert dataset.StructureSetROISequence[1].ROIDescription == "small"
    right, trachea, _ = dataset.RTROIObservationsSequence
    (code,) = right.RTROIIdentificationCodeSequence
    assert code.CodeValue == "39607008"
    assert code.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == RIGHT.meaning
    assert trachea.RTROIIdentificationCodeSequence[0].CodeValue == "44567001"
    assert list(dataset.ROIContourSequence[0].ROIDisplayColor) == [40, 150, 230]


@pytest.mark.parametrize(
    ("category", "code", "kind"),
    [(ANATOMY, ENTIRE_BODY, "EXTERNAL"), (ANATOMY, LUNG, "ORGAN"), (MORPHOLOGY, CYST, "")],
)
def test_only_parts_of_the_body_are_organs_and_the_body_is_the_external_outline(
    category: Code, code: Code, kind: str
) -> None:
    mask = np.ones((1, 1, 1), dtype=np.bool_)
    segment = Segment.from_mask(mask, label="it", category=category, type=code, rgb=(0, 0, 0))
    assert rtstruct.interpreted_type(segment) == kind


@pytest.mark.parametrize("attributes", [{}, {"orientation": OBLIQUE}, {"descending": True}])
def test_contours_lie_on_the_slices_they_name_and_enclose_the_mask(attributes: dict[str, object]) -> None:
    volume, sources = series(**attributes)  # type: ignore[arg-type]
    dataset = encoded(**attributes)
    planes = {slice_of(source): source for source in sources}
    for segment, outline in zip(findings(volume).segments, dataset.ROIContourSequence, strict=True):
        mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
        for contour in rtstruct_reading.contours(outline):
            plane = planes[contour.image or ("", 0)]
            mask[sources.index(plane)] |= rtstruct_reading.filled([contour], affine_of(plane), mask.shape[1:])
        assert np.array_equal(mask, segment.on_grid(mask.shape))


def test_contours_are_numbered_through_the_region_of_interest() -> None:
    for outline in encoded().ROIContourSequence:
        numbers = [contour.ContourNumber for contour in outline.ContourSequence]
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_whole_image_is_referenced() -> None:
    volume, _ = series()
    (frame,) = encoded().ReferencedFrameOfReferenceSequence
    (referenced,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    images = [item.ReferencedSOPInstanceUID for item in referenced.ContourImageSequence]
    assert images == list(volume.sop_instance_uids)


def test_what_cannot_be_outlined_is_refused() -> None:
    volume, sources = series()
    made_by = provenance(volume)
    with pytest.raises(ValueError, match="no segment"):
        rtstruct.encode(Findings(), volume, sources, made_by)
    with pytest.raises(IrregularGeometry, match="another order"):
        rtstruct.encode(findings(volume), volume, sources[::-1], made_by)
    del sources[0].FrameOfReferenceUID
    with pytest.raises(UnsuitableImage, match="FrameOfReferenceUID"):
        rtstruct.encode(findings(volume), volume, sources, made_by)


def test_a_contour_off_its_image_is_not_filled() -> None:
    volume, sources = series()
    (contour, *_) = rtstruct_reading.contours(encoded().ROIContourSequence[0])
    off = replace(contour, points_mm=contour.points_mm + np.array([0, 0, 0.02]))
    with pytest.raises(ValueError, match=r"lies 0\.02 mm off its image"):
        rtstruct_reading.filled([off], affine_of(sources[0]), volume.voxels.shape[1:])
