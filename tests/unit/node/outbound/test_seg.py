from dataclasses import replace
from io import BytesIO

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from algorithms.protocol import Code, Findings
from node.errors import IrregularGeometry, UnsuitableImage
from node.outbound import equipment, seg
from tests.synthetic_series import findings, provenance, series


def test_the_object_is_what_every_reader_takes() -> None:
    volume, sources = series()
    encoded = equipment.encoded("seg", seg.encode(findings(volume), volume, sources, provenance(volume)))
    dataset = dcmread(BytesIO(encoded.content))
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.SegmentationType == "BINARY"
    assert dataset.SegmentsOverlap == "YES"
    assert dataset.SeriesDescription == "AI chest-ct-annotation segmentation"
    assert (dataset.ContentLabel, dataset.ContentQualification) == ("RESEARCH", "RESEARCH")
    assert "not for diagnosis" in dataset.ContentDescription
    assert [s.SegmentNumber for s in dataset.SegmentSequence] == [1, 2, 3]
    assert [s.SegmentLabel for s in dataset.SegmentSequence] == ["Right lung", "Trachea", "Left lung"]
    assert dataset.SegmentSequence[1].SegmentDescription == "small"


def test_only_slices_that_hold_a_segment_become_frames() -> None:
    volume, sources = series()
    found = findings(volume)
    single = Findings((found.segments[2],))
    dataset = seg.encode(single, volume, sources, provenance(volume))
    assert dataset.NumberOfFrames == 1


@pytest.mark.parametrize("shape", [(5, 12, 13), (4, 8, 16), (1, 9, 11)])
def test_highdicom_reads_the_same_masks(shape: tuple[int, int, int]) -> None:
    volume, sources = series(shape)
    found = findings(volume)
    encoded = equipment.encoded("seg", seg.encode(found, volume, sources, provenance(volume)))
    segmentation = highdicom.seg.segread(BytesIO(encoded.content))
    masks = segmentation.get_pixels_by_source_instance(
        list(volume.sop_instance_uids), assert_missing_frames_are_empty=True
    )
    for number, segment in enumerate(found.segments):
        assert np.array_equal(masks[..., number], segment.on_grid(shape))


def test_frames_follow_the_dimensions_they_are_indexed_by() -> None:
    volume, sources = series()
    dataset = seg.encode(findings(volume), volume, sources, provenance(volume))
    index = [
        tuple(group.FrameContentSequence[0].DimensionIndexValues)
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert index == sorted(set(index))
    assert {position for _, position in index} == set(range(1, 1 + len({p for _, p in index})))
    pointers = [item.DimensionIndexPointer for item in dataset.DimensionIndexSequence]
    assert pointers == [0x0062000B, 0x00200032]


def test_what_two_segments_share_is_told() -> None:
    volume, sources = series()
    found = findings(volume)
    alone = seg.encode(Findings(found.segments[:1]), volume, sources, provenance(volume))
    assert alone.SegmentsOverlap == "NO"


def test_colours_follow_the_segments() -> None:
    volume, sources = series()
    dataset = seg.encode(findings(volume), volume, sources, provenance(volume))
    colours = [tuple(s.RecommendedDisplayCIELabValue) for s in dataset.SegmentSequence]
    assert len(set(colours)) == 3
    assert colours[2] == (0, 32896, 32896)


def test_sources_in_another_order_are_refused() -> None:
    volume, sources = series()
    with pytest.raises(IrregularGeometry, match="another order"):
        seg.encode(findings(volume), volume, sources[::-1], provenance(volume))


def test_sources_of_another_size_are_refused() -> None:
    volume, sources = series()
    sources[2].Rows = 99
    with pytest.raises(IrregularGeometry, match="slice 3 has 99 x 13 pixels"):
        seg.encode(findings(volume), volume, sources, provenance(volume))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_affine_that_is_not_that_of_the_slices_is_refused(axis: int) -> None:
    volume, sources = series()
    affine = volume.affine_mm.copy()
    affine[:, axis] *= -1
    wrong = replace(volume, affine_mm=affine)
    with pytest.raises(IrregularGeometry, match="does not lie where"):
        seg.encode(findings(volume), wrong, sources, provenance(volume))


def test_positions_that_the_scanner_rounded_are_taken() -> None:
    volume, sources = series()
    sources[2].ImagePositionPatient = [float(v) + 0.05 for v in sources[2].ImagePositionPatient]
    assert seg.encode(findings(volume), volume, sources, provenance(volume)).NumberOfFrames > 0


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_images_that_nothing_can_refer_to_are_refused(keyword: str) -> None:
    volume, sources = series()
    del sources[1][keyword]
    with pytest.raises(UnsuitableImage, match=keyword):
        seg.encode(findings(volume), volume, sources, provenance(volume))


def test_no_segment_is_no_segmentation() -> None:
    volume, sources = series()
    with pytest.raises(ValueError, match="no segment"):
        seg.encode(Findings(), volume, sources, provenance(volume))


def test_masks_are_not_changed_by_encoding() -> None:
    volume, sources = series()
    found = findings(volume)
    before = [segment.mask.copy() for segment in found.segments]
    seg.encode(found, volume, sources, provenance(volume))
    assert all(np.array_equal(b, s.mask) for b, s in zip(before, found.segments, strict=True))


def test_the_content_creator_is_there_and_is_nobody() -> None:
    volume, sources = series()
    encoded = seg.encode(findings(volume), volume, sources, provenance(volume))
    assert "ContentCreatorName" in encoded
    assert not encoded.ContentCreatorName


def test_a_lesion_has_the_organ_that_holds_it_as_its_region_with_the_side():
    volume, sources = series()
    cyst = replace(
        findings(volume).segments[0],
        category=Code("49755003", "SCT", "Morphologically Altered Structure"),
        type=Code("367643001", "SCT", "Cyst"),
        site=Code("64033007", "SCT", "Kidney"),
    )
    (described,) = seg.encode(Findings((cyst,)), volume, sources, provenance(volume)).SegmentSequence
    (region,) = described.AnatomicRegionSequence
    assert region.CodeMeaning == "Kidney"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Right"
    kind = described.SegmentedPropertyTypeCodeSequence[0]
    assert "SegmentedPropertyTypeModifierCodeSequence" not in kind
