"""The algorithm on the phantom, on real scans, and on what is no chest."""

import csv
from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from algorithms.chest_ct.thorax import find_thorax
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.spatial import Orientation

LUNGS = ("Left lung", "Right lung")
AIRWAY = "Trachea and main bronchi"


def masks_of(image):
    return {segment.label: segment.on_grid(image.voxels.shape) for segment in find_thorax(image, silent)}


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def part_of(image, *box):
    affine = image.affine_mm.copy()
    affine[:3, 3] = (affine @ [*(s.start or 0 for s in box), 1])[:3]
    voxels = np.ascontiguousarray(image.voxels[box])
    return Volume(voxels, affine, image.unit, image.modality, tuple(f"1.{i}" for i in range(len(voxels))))


def axial(voxels, spacing=(3.0, 2.0, 2.0)):
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = *spacing, 1
    return Volume(voxels.astype(np.float32), affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels))))


@pytest.fixture(scope="module")
def small_masks(small_phantom):
    return masks_of(small_phantom.volume)


@pytest.fixture(scope="module")
def lungdx(shared_data, read_series):
    return read_series(shared_data / "ct-thorax-lungdx/Lung_Dx-A0001/series3")


@pytest.fixture(scope="module")
def real_masks(lungdx):
    return masks_of(lungdx)


def test_phantom_is_segmented_as_well_as_promised(phantom):
    masks = masks_of(phantom.volume)
    assert list(masks) == ["Body", *LUNGS, AIRWAY]
    for label in LUNGS:
        assert dice(masks[label], phantom.truth[label]) >= 0.97
    assert dice(masks[AIRWAY], phantom.truth[AIRWAY]) >= 0.85
    assert dice(masks["Body"], phantom.truth["Body"]) >= 0.99


def test_segments_are_disjoint_and_inside_the_body(small_masks):
    left, right, airway, body = (small_masks[k] for k in (*LUNGS, AIRWAY, "Body"))
    assert not (left & right).any()
    assert not ((left | right) & airway).any()
    assert not ((left | right | airway) & ~body).any()


def test_segments_are_coded_and_repeatable(small_phantom, small_masks):
    seen = []
    first = find_thorax(small_phantom.volume, lambda fraction, stage: seen.append(fraction))
    for segment in first:
        assert np.array_equal(segment.on_grid(small_phantom.volume.voxels.shape), small_masks[segment.label])
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert [s.laterality.meaning if s.laterality else None for s in first] == [
        None,
        "Left",
        "Right",
        None,
    ]
    arms_beside_the_trunk = {"Body": "cut off by the edge of the field of view"}
    assert {s.label: s.review for s in first if s.review} == arms_beside_the_trunk


@pytest.mark.parametrize(
    "orientation",
    [
        Orientation(axes, flips)
        for axes, flips in product(permutations(range(3)), product((False, True), repeat=3))
        if sum(flips) % 2 == axes[0] % 2
    ][::2],
)
def test_the_plane_and_direction_of_storage_change_nothing(small_phantom, small_masks, orientation):
    image = small_phantom.volume
    stored = np.ascontiguousarray(orientation.revert(image.voxels))
    back = orientation.affine(np.eye(4), stored.shape)
    affine = image.affine_mm @ np.linalg.inv(back)
    turned = Volume(stored, affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(stored))))
    for label, mask in masks_of(turned).items():
        assert dice(orientation.apply(mask), small_masks[label]) > 0.99, label


def test_an_oblique_volume_is_segmented_with_the_right_sides(small_phantom):
    image = small_phantom.volume
    angle = np.radians(35)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = np.eye(4)
    centre[:3, 3] = image.affine_mm[:3] @ [*(n / 2 for n in image.voxels.shape), 1]
    oblique_affine = centre @ turn @ np.linalg.inv(centre) @ image.affine_mm
    index = np.linalg.inv(image.affine_mm) @ oblique_affine
    voxels, *truth = (
        ndimage.affine_transform(a, index[:3, :3], index[:3, 3], order=order, cval=outside)
        for a, order, outside in (
            (image.voxels, 1, -1000),
            *((small_phantom.truth[k].astype(np.uint8), 0, 0) for k in LUNGS),
        )
    )
    masks = masks_of(Volume(voxels, oblique_affine, "HU", "CT", image.sop_instance_uids))
    for label, wanted in zip(LUNGS, truth, strict=True):
        assert dice(masks[label], wanted > 0) > 0.95


def test_lungs_that_touch_are_cut_on_the_line_between_them(small_phantom):
    voxels = small_phantom.volume.voxels.copy()
    left, right = (small_phantom.truth[k] for k in LUNGS)
    between = ndimage.binary_dilation(left, iterations=3) & ndimage.binary_dilation(right, iterations=3)
    between &= ~left & ~right & (np.arange(voxels.shape[1]) < voxels.shape[1] // 2)[None, :, None]
    assert between.any()
    voxels[between] = -560
    masks = masks_of(replace(small_phantom.volume, voxels=voxels))
    for label in LUNGS:
        assert dice(masks[label], small_phantom.truth[label]) > 0.95


@pytest.mark.parametrize(("first", "last", "airway"), [(0, 14, False), (28, 44, True)])
def test_a_part_of_the_chest_shows_only_what_is_in_view(small_phantom, first, last, airway):
    image = part_of(small_phantom.volume, slice(first, last), slice(None), slice(None))
    masks = masks_of(image)
    for label in LUNGS:
        assert dice(masks[label], small_phantom.truth[label][first:last]) > 0.93
    assert (AIRWAY in masks) is airway


@pytest.mark.parametrize(
    ("columns", "whole", "cut"),
    [(slice(75, 192), "Left lung", "Right"), (slice(0, 117), "Right lung", "Left")],
)
def test_one_side_of_a_patient_with_the_trachea_keeps_its_side_and_has_doubts(
    small_phantom, columns, whole, cut
):
    image = part_of(small_phantom.volume, slice(None), slice(None), columns)
    segments = {s.label: s for s in find_thorax(image, silent)}
    truth = small_phantom.truth[whole][:, :, columns]
    assert dice(segments[whole].on_grid(image.voxels.shape), truth) > 0.93
    assert "cut off" in segments[f"{cut} lung"].review
    assert "cut off" in segments["Body"].review


@pytest.mark.parametrize(
    "columns", [slice(96, 192), slice(0, 96), slice(0, 75), slice(120, 192), slice(112, 180), slice(15, 82)]
)
def test_one_side_of_a_patient_without_the_trachea_is_refused(small_phantom, columns):
    image = part_of(small_phantom.volume, slice(None), slice(None), columns)
    with pytest.raises(Unsuitable, match="left and right cannot be told apart"):
        find_thorax(image, silent)


@pytest.fixture(scope="module")
def without_airway(lungdx, real_masks):
    """The real chest with its trachea and main bronchi filled."""
    filled = ndimage.binary_dilation(real_masks[AIRWAY], iterations=2)
    return replace(lungdx, voxels=np.where(filled, np.float32(30), lungdx.voxels))


@pytest.mark.parametrize(("first", "last"), [(0, 64), (40, 64), (48, 64), (52, 64), (0, 16), (20, 30)])
@pytest.mark.parametrize("columns", [slice(None), slice(104, 384)])
def test_without_a_trachea_shoulders_are_not_taken_for_the_spine(without_airway, first, last, columns):
    image = part_of(without_airway, slice(first, last), slice(None), columns)
    masks = masks_of(image)
    left, right = (np.argwhere(masks[label]).mean(axis=0) for label in LUNGS)
    middle = 244 - (columns.start or 0)
    assert right[2] < middle < left[2]


def test_the_tumour_of_a_real_chest_is_on_the_left(shared_data, lungdx, real_masks):
    folder = shared_data / "ct-thorax-lungdx"
    with (folder / "annotation_index.csv").open() as file:
        boxes = [row for row in csv.DictReader(file) if row["sop_instance_uid"] in lungdx.sop_instance_uids]
    assert len(boxes) == 9
    for box in boxes:
        number = lungdx.sop_instance_uids.index(box["sop_instance_uid"])
        low, high = int(box["xmin"]), int(box["xmax"])
        around = slice(low - 8, high + 8)
        assert real_masks["Left lung"][number, :, around].sum() > 1000
        assert not real_masks["Right lung"][number, :, around].any()


@pytest.mark.parametrize(("white", "other"), [LUNGS, LUNGS[::-1]])
def test_a_lung_without_air_is_left_out_and_the_other_keeps_its_side(lungdx, real_masks, white, other):
    image = replace(lungdx, voxels=np.where(real_masks[white], np.float32(20), lungdx.voxels))
    segments = {s.label: s for s in find_thorax(image, silent)}
    assert white not in segments
    assert dice(segments[other].on_grid(image.voxels.shape), real_masks[other]) > 0.98
    assert segments[other].review == "the other lung was not found"


def test_air_in_the_pleura_is_a_doubt(lungdx, real_masks):
    left = real_masks["Left lung"]
    outer = left & (np.arange(left.shape[2]) > 360)
    image = replace(lungdx, voxels=np.where(outer, np.float32(-1000), lungdx.voxels))
    reviews = {s.label: s.review for s in find_thorax(image, silent)}
    assert "holds much gas" in reviews.pop("Left lung")
    assert set(reviews.values()) == {None}


def test_noise_changes_little_and_raises_no_doubt(lungdx, real_masks):
    noise = np.random.default_rng(0).normal(0, 60, lungdx.voxels.shape).astype(np.float32)
    segments = find_thorax(replace(lungdx, voxels=lungdx.voxels + noise), silent)
    assert all(s.review is None for s in segments)
    for segment in segments:
        agreement = dice(segment.on_grid(lungdx.voxels.shape), real_masks[segment.label])
        assert agreement > (0.9 if segment.label == AIRWAY else 0.99)


def test_a_header_that_exchanges_head_and_feet_is_found_out(lungdx):
    with pytest.raises(Unsuitable, match="head and feet are exchanged"):
        masks_of(replace(lungdx, voxels=np.ascontiguousarray(lungdx.voxels[::-1, :, ::-1])))


def test_gas_in_the_bowel_is_not_the_trachea(lungdx, real_masks):
    below = np.repeat(lungdx.voxels[:1], 40, axis=0)
    rows, columns = np.indices(below.shape[1:])
    below[5:35, np.hypot(rows - 250, columns - 260) < 18] = -1000
    torso = axial(np.concatenate([below, lungdx.voxels]), spacing=lungdx.spacing_mm)
    airway = masks_of(torso)[AIRWAY]
    assert not airway[:40].any()
    assert dice(airway[40:], real_masks[AIRWAY]) > 0.98


def test_real_chest_gives_plausible_organs(lungdx):
    segments = find_thorax(lungdx, silent)
    volumes = {s.label: s.voxel_count * lungdx.voxel_volume_ml for s in segments}
    assert 2100 < volumes["Left lung"] < 2500
    assert 3000 < volumes["Right lung"] < 3400
    assert 28 < volumes[AIRWAY] < 45
    means = {s.label: lungdx.voxels[s.box][s.mask].mean() for s in segments}
    assert -900 < means["Right lung"] < -750
    assert means[AIRWAY] < -800


def test_real_chest_keeps_its_sides_when_the_rows_run_from_left_to_right(lungdx):
    flipped = lungdx.affine_mm @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 511], [0, 0, 0, 1.0]])
    voxels = np.ascontiguousarray(lungdx.voxels[:, :, ::-1])
    segments = find_thorax(replace(lungdx, voxels=voxels, affine_mm=flipped), silent)
    ml = {s.label: s.voxel_count * lungdx.voxel_volume_ml for s in segments}
    assert ml["Right lung"] > 1.2 * ml["Left lung"]


def test_lung_bases_agree_with_totalsegmentator(shared_data):
    folder = shared_data / "ct-labelled-totalsegmentator/nifti"
    image = nibabel.load(folder / "example_ct.nii.gz")
    labels = np.asarray(nibabel.load(folder / "example_seg_fast_force_split.nii.gz").dataobj)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    masks = masks_of(Volume(voxels, affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels)))))
    assert AIRWAY not in masks
    assert dice(masks["Left lung"], np.isin(labels, (10, 11))) >= 0.93
    assert dice(masks["Right lung"], np.isin(labels, (12, 13, 14))) >= 0.93


@pytest.mark.parametrize("top", [100, 80, 60, 40])
def test_bowel_gas_is_not_lung(shared_data, top):
    image = nibabel.load(shared_data / "ct-labelled-totalsegmentator/nifti/example_ct.nii.gz")
    voxels = np.asarray(image.dataobj)[:, :, :top].astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    with pytest.raises(Unsuitable, match="no chest in view"):
        masks_of(Volume(voxels, affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels)))))


@pytest.mark.parametrize(
    "folder",
    [
        "ct-pet-mr-rtstruct-sts/STS_002/dicom/CT/image",
        "ct-head/ge-ct8800-tiny",
        "ct-head/ge-hispeed-tilted",
        "mr-t1-brain-dicom/sag-anon",
    ],
)
def test_other_real_images_get_a_sentence_instead_of_lungs(shared_data, read_series, folder):
    with pytest.raises(Unsuitable, match=r"no chest in view|no air and tissue|not a CT"):
        masks_of(read_series(shared_data / folder))


def noise(low, high):
    return np.random.default_rng(0).uniform(low, high, (30, 96, 96))


def cylinder(insert):
    rows, columns = np.indices((96, 96)) - 47.5
    slices = np.where(np.hypot(rows, columns) < 40, 0, -1000)
    if insert:
        slices[np.hypot(rows, np.abs(columns) - 18) < 12] = -850
    return np.repeat(slices[None], 30, axis=0)


@pytest.mark.parametrize(
    "voxels",
    [
        noise(-1000, 1000),
        noise(-1000, -500),
        np.full((30, 64, 64), -1000),
        np.full((30, 64, 64), -850),
        np.zeros((30, 64, 64)),
        cylinder(insert=False),
        cylinder(insert=True),
    ],
    ids=[
        "noise",
        "dark noise",
        "air",
        "lung everywhere",
        "water",
        "water phantom",
        "phantom with lung inserts",
    ],
)
def test_what_is_no_patient_is_refused(voxels):
    with pytest.raises(Unsuitable):
        masks_of(axial(voxels))


def test_one_slice_is_refused(small_phantom):
    with pytest.raises(Unsuitable, match="too little"):
        masks_of(part_of(small_phantom.volume, slice(20, 21), slice(None), slice(None)))


def test_a_magnetic_resonance_image_is_refused(small_phantom):
    with pytest.raises(Unsuitable, match="modality MR"):
        masks_of(replace(small_phantom.volume, modality="MR", unit="arbitrary"))


def test_a_progress_callback_that_raises_stops_the_run(small_phantom):
    class Stopped(Exception):
        pass

    def stop(fraction, stage):
        raise Stopped

    with pytest.raises(Stopped):
        find_thorax(small_phantom.volume, stop)
