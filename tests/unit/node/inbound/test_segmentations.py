import contextlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import RLELossless

from algorithms.protocol import BoolMask, Code, Findings, Segment, Volume
from node.errors import AINodeError, IncompleteInput, IrregularGeometry, ResourceInadequate, UnsuitableImage
from node.inbound import segmentations, volumes
from node.inbound.segmentations import Given, images_named, read
from node.outbound import seg
from tests.given_segmentations import segmentation
from tests.synthetic_series import LUNG, OBLIQUE, provenance, series

Change = Callable[[Dataset], None]


def masks(volume: Volume) -> dict[str, BoolMask]:
    """Two that overlap."""
    return {"Noise": volume.voxels > 100, "Loud": volume.voxels > 400}


def written(dataset: Dataset, folder: Path) -> Path:
    dataset.save_as(folder / "seg.dcm", enforce_file_format=True)
    return folder / "seg.dcm"


def read_again(volume: Volume, sources: list[Dataset], dataset: Dataset, folder: Path) -> Given:
    return read(written(dataset, folder), volume, sources)


def whole(found: Given, volume: Volume) -> dict[str, BoolMask]:
    return {segment.label: segment.on_grid(volume.voxels.shape) for segment in found.segments}


def same(found: dict[str, BoolMask], wanted: dict[str, BoolMask]) -> bool:
    return list(found) == list(wanted) and all(np.array_equal(found[name], wanted[name]) for name in wanted)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(2, 4), st.integers(3, 9), st.integers(3, 9)),
    seed=st.integers(0, 1000),
    orientation=st.sampled_from([(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), OBLIQUE]),
    kind=st.sampled_from(["BINARY", "LABELMAP"]),
)
def test_every_mask_comes_back_voxel_for_voxel(
    shape: tuple[int, int, int], seed: int, orientation: tuple[float, ...], kind: str, tmp_path: Path
) -> None:
    volume, sources = series(shape, orientation=orientation)
    random = np.random.default_rng(seed).random(shape)
    wanted = {"low": random < 0.3, "middle": (random > 0.4) & (random < 0.6), "high": random > 0.9}
    wanted = {name: mask for name, mask in wanted.items() if mask.any()} or {"all": random >= 0}
    dataset = segmentation(sources, wanted, kind=kind)
    assert same(whole(read_again(volume, sources, dataset, tmp_path), volume), wanted)


def test_segments_may_overlap_and_are_cropped(tmp_path: Path) -> None:
    volume, sources = series()
    wanted = masks(volume)
    found = read_again(volume, sources, segmentation(sources, wanted), tmp_path)
    assert same(whole(found, volume), wanted)
    inner = np.zeros(volume.voxels.shape, dtype=np.bool_)
    inner[2:4, 3:5, 6] = True
    (segment,) = read_again(volume, sources, segmentation(sources, {"a": inner}), tmp_path).segments
    assert (segment.origin, segment.mask.shape) == ((2, 3, 6), (2, 2, 1))


def test_frames_are_placed_by_patient_space_in_whatever_order(tmp_path: Path) -> None:
    volume, sources = series()
    wanted = masks(volume)
    dataset = segmentation(sources, wanted)
    pixels = dataset.pixel_array[::-1]
    dataset.PerFrameFunctionalGroupsSequence = list(dataset.PerFrameFunctionalGroupsSequence)[::-1]
    dataset.PixelData = np.packbits(pixels, bitorder="little").tobytes()
    dataset.PixelData += b"\0" * (len(dataset.PixelData) % 2)
    assert same(whole(read_again(volume, sources, dataset, tmp_path), volume), wanted)


def test_functional_groups_may_be_repeated_for_each_frame(tmp_path: Path) -> None:
    volume, sources = series(orientation=OBLIQUE)
    wanted = masks(volume)
    dataset = segmentation(sources, wanted)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PlaneOrientationSequence = shared.PlaneOrientationSequence
        group.PixelMeasuresSequence = shared.PixelMeasuresSequence
    del shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
    assert same(whole(read_again(volume, sources, dataset, tmp_path), volume), wanted)


def test_frames_may_be_smaller_than_the_slices(tmp_path: Path) -> None:
    volume, sources = series()
    part, _ = series((5, 6, 7))
    wanted = np.zeros(volume.voxels.shape, dtype=np.bool_)
    wanted[:, 2:8, 3:10] = part.voxels > 0
    small = [header_of_tile(source, volume, (2, 3), (6, 7)) for source in sources]
    found = read_again(volume, sources, segmentation(small, {"tile": part.voxels > 0}), tmp_path)
    assert same(whole(found, volume), {"tile": wanted})


def header_of_tile(source: Dataset, volume: Volume, first: tuple[int, int], size: tuple[int, int]) -> Dataset:
    tile = Dataset()
    tile.update(source)
    tile.file_meta = source.file_meta
    tile.Rows, tile.Columns = size
    corner = np.array(source.ImagePositionPatient, float) + volume.affine_mm[:3, 1:3] @ first
    tile.ImagePositionPatient = [round(float(c), 6) for c in corner]
    return tile


def test_a_segmentation_in_another_plane_falls_on_the_same_voxels(tmp_path: Path) -> None:
    """Drawn on a sagittal reformat of an axial image with voxels of 1 mm."""
    volume, sources = series((4, 5, 6), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    sagittal, reformat = series(
        (6, 4, 5), spacing=(1.0, 1.0, 1.0), orientation=(0, 1, 0, 0, 0, -1), origin=(5.0, 0.0, 3.0)
    )
    mask = sagittal.voxels > 300
    found = read_again(volume, sources, segmentation(reformat, {"a": mask}), tmp_path)
    # Sagittal slices go from left to right, rows from head to feet, columns from front to back.
    assert same(whole(found, volume), {"a": mask.transpose(1, 2, 0)[::-1, :, ::-1]})


def test_compressed_label_maps_are_read(tmp_path: Path) -> None:
    volume, sources = series()
    wanted = {"Noise": volume.voxels > 100}
    dataset = segmentation(sources, wanted, kind="LABELMAP", transfer_syntax_uid=RLELossless)
    assert same(whole(read_again(volume, sources, dataset, tmp_path), volume), wanted)


@pytest.mark.parametrize(
    ("shape", "spacing", "said"),
    [
        ((5, 6, 6), (2.5, 1.4, 1.4), "1.4 x 1.4 mm do not fall on voxels"),
        ((3, 12, 13), (5.0, 0.7, 0.7), "5 mm apart, those of the image 2.5 mm"),
        ((5, 12, 13), (2.5, 0.67, 0.7), "do not fall on voxels"),
    ],
)
def test_another_grid_is_refused(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], said: str, tmp_path: Path
) -> None:
    volume, sources = series()
    other, on_other_grid = series(shape, spacing=spacing)
    with pytest.raises(IrregularGeometry, match=said):
        read_again(volume, sources, segmentation(on_other_grid, {"a": other.voxels > 0}), tmp_path)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"origin": (-110.1, -83.25, 40.0)}, "do not fall on voxels"),
        ({"origin": (-110.5, -83.25, 52.5)}, "outside the image"),
        ({"origin": (1e12, 0.0, 0.0)}, "nowhere near"),
        ({"FrameOfReferenceUID": "2.25.9"}, "another frame of reference"),
    ],
)
def test_another_place_is_refused(where: dict[str, Any], said: str, tmp_path: Path) -> None:
    volume, sources = series()
    _, elsewhere = series(**where)
    with pytest.raises(IrregularGeometry, match=said):
        read_again(volume, sources, segmentation(elsewhere, masks(volume)), tmp_path)


def test_what_is_not_in_or_out_is_refused(tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, masks(volume), kind="FRACTIONAL")
    with pytest.raises(UnsuitableImage, match="FRACTIONAL; segments are measured where"):
        read_again(volume, sources, dataset, tmp_path)


def test_segments_keep_their_numbers_and_tracking(tmp_path: Path) -> None:
    volume, sources = series()
    wanted = {"one": volume.voxels > 100, "nothing": volume.voxels > 1e9, "three": volume.voxels > 400}
    dataset = segmentation(sources, wanted)
    found = read_again(volume, sources, dataset, tmp_path)
    items = found.header.SegmentSequence
    assert [segment.label for segment in found.segments] == ["one", "three"]
    assert [item.SegmentNumber for item in items] == [1, 3]
    assert [(i.TrackingID, i.TrackingUID) for i in items] == [
        ("one of May", "2.25.5001"),
        ("three of May", "2.25.5003"),
    ]
    assert found.header.SOPInstanceUID == dataset.SOPInstanceUID


def test_tracking_that_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, dict.fromkeys("abcd", volume.voxels > 100))
    first, second, third, fourth = dataset.SegmentSequence
    second.TrackingUID = first.TrackingUID
    fourth.TrackingID = ""
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        third.TrackingUID = "2.25.05"
        found = read_again(volume, sources, dataset, tmp_path)
    assert ["TrackingUID" in item for item in found.header.SegmentSequence] == [True, False, False, False]


def test_labels_become_unique_and_are_never_empty(tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, dict.fromkeys("abcd", volume.voxels > 100))
    for item, label in zip(dataset.SegmentSequence, ("Node", "Node", "", "Node (2)"), strict=True):
        item.SegmentLabel = label
    found = read_again(volume, sources, dataset, tmp_path)
    assert [s.label for s in found.segments] == ["Node", "Node (2)", "Segment 3", "Node (2) (4)"]


@pytest.mark.parametrize(
    ("character_set", "label"),
    [("ISO_IR 192", "Größe 腫瘍"), ("ISO_IR 100", "Groe"), (None, "Groe"), (["", "ISO 2022 IR 87"], "腫瘍")],
)
def test_text_is_brought_into_the_character_set_of_the_image(
    character_set: Any, label: str, tmp_path: Path
) -> None:
    volume, sources = series()
    for source in sources:
        source.SpecificCharacterSet = character_set
    dataset = segmentation(series()[1], {"a": volume.voxels > 100})
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SegmentSequence[0].SegmentLabel = "腫瘍" if label == "腫瘍" else "Größe 腫瘍"
    (segment,) = read_again(volume, sources, dataset, tmp_path).segments
    assert segment.label == label


@pytest.mark.parametrize(
    "code",
    [Code("T-62000", "SRT", "Liver"), Code("x1", "99ELSEWHERE", "Blob"), Code("123", "SCT", "no digit")],
)
def test_codes_of_any_scheme_are_kept(code: Code, tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, {"a": volume.voxels > 100}, type=code)
    (segment,) = read_again(volume, sources, dataset, tmp_path).segments
    assert segment.type == code


def _without_code(dataset: Dataset) -> None:
    del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue


def _with_a_long_code(dataset: Dataset) -> None:
    code = dataset.SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0]
    code.LongCodeValue = code.pop("CodeValue").value * 4


@pytest.mark.parametrize("change", [_without_code, _with_a_long_code])
def test_a_segment_without_a_usable_code_is_refused(change: Change, tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, masks(volume))
    change(dataset)
    with pytest.raises(UnsuitableImage, match="segment 1 of the segmentation has no code"):
        read_again(volume, sources, dataset, tmp_path)


def test_side_and_colour_are_kept(tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, masks(volume))
    left = Dataset()
    left.CodeValue, left.CodingSchemeDesignator, left.CodeMeaning = "7771000", "SCT", "Left"
    kind = dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    kind.SegmentedPropertyTypeModifierCodeSequence = [left]
    dataset.SegmentSequence[0].RecommendedDisplayCIELabValue = [34885, 53485, 50171]  # pure red
    first, second = read_again(volume, sources, dataset, tmp_path).segments
    assert (first.laterality, second.laterality) == (Code("7771000", "SCT", "Left"), None)
    assert first.rgb == pytest.approx((255, 0, 0), abs=2)
    assert (first.type, first.category.scheme) == (LUNG, "SCT")


def test_the_site_of_our_own_segmentations_comes_back_with_its_side(tmp_path: Path) -> None:
    volume, sources = series()
    kidney, left = Code("64033007", "SCT", "Kidney"), Code("7771000", "SCT", "Left")
    cyst = Code("367643001", "SCT", "Cyst")
    altered = Code("49755003", "SCT", "Morphologically Abnormal Structure")
    sites = [(kidney, left), (kidney, None), (None, left), (None, None)]
    found = Findings(
        tuple(
            Segment.from_mask(
                volume.voxels > 100 * number,
                label=f"cyst {number}",
                category=altered,
                type=cyst,
                rgb=(9, 9, 9),
                laterality=side,
                site=site,
            )
            for number, (site, side) in enumerate(sites)
        )
    )
    dataset = seg.encode(found, volume, sources, provenance(volume))
    again = read_again(volume, sources, dataset, tmp_path).segments
    assert [(segment.site, segment.laterality) for segment in again] == sites
    assert {segment.type for segment in again} == {cyst}


@pytest.mark.parametrize(
    ("change", "site"),
    [({}, "Lung"), ({"CodeValue": ""}, None), ({"CodeMeaning": ""}, None), ({"CodeValue": "1" * 17}, None)],
)
def test_a_site_without_a_usable_code_is_left_out(
    change: dict[str, str], site: str | None, tmp_path: Path
) -> None:
    volume, sources = series()
    dataset = segmentation(sources, {"a": volume.voxels > 100})
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = LUNG
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in change.items():
            setattr(region, keyword, value)
        dataset.SegmentSequence[0].AnatomicRegionSequence = [region]
        (segment,) = read_again(volume, sources, dataset, tmp_path).segments
    assert (segment.site.meaning if segment.site else None) == site


def test_background_of_a_label_map_is_no_segment(tmp_path: Path, shared_data: Path) -> None:
    """One where 5 pads, and one that describes 0; both of dcmqi."""
    folder = shared_data / "seg-sr-examples" / "dcmqi"
    for name in ("sparse-labelmap-ppv5.dcm", "sparse-labelmap-noppv.dcm"):
        volume, sources = image_in(folder / "24x38x3" / "image")
        found = read(folder / name, volume, sources)
        assert [(s.label, s.voxel_count) for s in found.segments] == [("Liver", 630)]


def image_in(folder: Path) -> tuple[Volume, list[Dataset]]:
    return volumes.read(sorted(folder.iterdir()))


def _fewer_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:20]


def _more_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 2**31 - 1


def _huge_frames(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = 65535


def _no_rows(dataset: Dataset) -> None:
    dataset.Rows = 0


def _no_groups(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence = []


def _no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def _no_segments(dataset: Dataset) -> None:
    dataset.SegmentSequence = []


def _not_a_segmentation(dataset: Dataset) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.5"


@pytest.mark.parametrize(
    "change",
    [
        _fewer_pixels,
        _more_frames,
        _huge_frames,
        _no_rows,
        _no_groups,
        _no_pixels,
        _no_segments,
        _not_a_segmentation,
    ],
)
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_what_is_damaged_is_refused_with_a_sentence(change: Change, kind: str, tmp_path: Path) -> None:
    volume, sources = series()
    dataset = segmentation(sources, masks(volume), kind=kind)
    change(dataset)
    with pytest.raises(UnsuitableImage):
        read_again(volume, sources, dataset, tmp_path)


@cache
def sound(folder: Path) -> bytes:
    """One segmentation for all examples: highdicom draws some UIDs at random."""
    volume, sources = series((2, 3, 4))
    return written(segmentation(sources, {"a": volume.voxels > 0}), folder).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_that_changes_brings_more_than_a_sentence(data: st.DataObject, tmp_path: Path) -> None:
    volume, sources = series((2, 3, 4))
    content = bytearray(sound(tmp_path))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "seg.dcm").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(AINodeError):
            read(tmp_path / "seg.dcm", volume, sources)


def test_far_voxels_do_not_make_boxes_that_memory_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, sources = series()
    corners = np.zeros(volume.voxels.shape, dtype=np.bool_)
    corners[0, 0, 0] = corners[-1, -1, -1] = True
    monkeypatch.setattr(segmentations, "MAX_VOXELS", corners.size - 1)
    with pytest.raises(ResourceInadequate, match=f"fill {corners.size} voxels"):
        read_again(volume, sources, segmentation(sources, {"a": corners}), tmp_path)


def test_a_file_that_is_gone_is_incomplete_input(tmp_path: Path) -> None:
    volume, sources = series()
    with pytest.raises(IncompleteInput, match="is not there"):
        read(tmp_path / "nothing.dcm", volume, sources)


@pytest.mark.parametrize("listed", [True, False])
def test_the_images_are_named_by_the_series_or_else_by_the_frames(listed: bool) -> None:
    volume, sources = series()
    shown: npt.NDArray[np.bool_] = np.zeros(volume.voxels.shape, dtype=np.bool_)
    shown[1:3] = True
    dataset = segmentation(sources, {"a": shown})
    if not listed:
        del dataset.ReferencedSeriesSequence
        dataset.pop("SourceImageSequence", None)
    wanted = volume.sop_instance_uids if listed else volume.sop_instance_uids[1:3]
    assert images_named(dataset) == set(wanted)


def test_references_that_cannot_be_read_are_refused() -> None:
    _, sources = series()
    dataset = segmentation(sources, {"a": series()[0].voxels > 0})
    del dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    with pytest.raises(UnsuitableImage, match="references"):
        images_named(dataset)
