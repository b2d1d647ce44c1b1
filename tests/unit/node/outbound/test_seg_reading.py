from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from algorithms.protocol import BoolMask, Findings, Segment, Volume
from node.outbound import equipment, seg, seg_reading
from tests.synthetic_series import ANATOMY, LUNG, OBLIQUE, findings, provenance, series


def encoded(found: Findings, volume: Volume, sources: list[Dataset]) -> Dataset:
    dataset = seg.encode(found, volume, sources, provenance(volume))
    return dcmread(BytesIO(equipment.encoded("seg", dataset).content))


def painted(dataset: Dataset, own: list[seg_reading.Frame], volume: Volume) -> BoolMask:
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    for frame in own:
        mask[tuple(seg_reading.voxels(dataset, frame, volume))] = True
    return mask


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 19),
    slices=st.integers(1, 4),
    seed=st.integers(0, 1000),
    oblique=st.booleans(),
    descending=st.booleans(),
)
def test_every_mask_comes_back_voxel_for_voxel(
    rows: int, columns: int, slices: int, seed: int, oblique: bool, descending: bool
) -> None:
    orientation = {"orientation": OBLIQUE} if oblique else {}
    volume, sources = series((slices, rows, columns), descending=descending, **orientation)  # type: ignore[arg-type]
    random = np.random.default_rng(seed)
    masks = [random.random(volume.voxels.shape) < share for share in (0.1, 0.5, 0.9)]
    segments = tuple(
        Segment.from_mask(mask, label=f"segment {n}", category=ANATOMY, type=LUNG, rgb=(n, n, n))
        for n, mask in enumerate(masks)
        if mask.any()
    )
    assume(segments)
    dataset = encoded(Findings(segments), volume, sources)
    frames = seg_reading.frames(dataset)
    for number, segment in enumerate(segments, start=1):
        own = [frame for frame in frames if frame.segment_number == number]
        expected = segment.on_grid(volume.voxels.shape)
        assert np.array_equal(painted(dataset, own, volume), expected)


def test_masks_are_placed_by_patient_space_and_not_by_index() -> None:
    volume, sources = series()
    found = findings(volume)
    dataset = encoded(found, volume, sources)
    frames = [f for f in seg_reading.frames(dataset) if f.segment_number == 1]
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[0, 3], flip[2, 3] = volume.voxels.shape[0] - 1, volume.voxels.shape[2] - 1
    turned = replace(volume, affine_mm=volume.affine_mm @ flip)
    expected = found.segments[0].on_grid(volume.voxels.shape)[::-1, :, ::-1]
    assert np.array_equal(painted(dataset, frames, turned), expected)


def test_frames_between_voxels_are_refused() -> None:
    volume, sources = series()
    dataset = encoded(findings(volume), volume, sources)
    affine = volume.affine_mm.copy()
    affine[0, 3] += 0.35
    with pytest.raises(ValueError, match=r"lies 0\.50 voxels off"):
        seg_reading.voxels(dataset, seg_reading.frames(dataset)[0], replace(volume, affine_mm=affine))


def test_frames_outside_the_volume_are_refused() -> None:
    volume, sources = series()
    dataset = encoded(findings(volume), volume, sources)
    smaller = replace(volume, voxels=volume.voxels[:1], sop_instance_uids=volume.sop_instance_uids[:1])
    with pytest.raises(ValueError, match="outside the image"):
        painted(dataset, seg_reading.frames(dataset)[:5], smaller)


def test_the_affine_of_a_plane_is_that_of_the_standard() -> None:
    plane = Dataset()
    plane.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    plane.PixelSpacing = [2, 3]
    plane.ImagePositionPatient = [10, 20, 30]
    # One row down is 2 mm towards the feet, one column on is 3 mm towards the back.
    assert (seg_reading.affine_of(plane) @ [1, 1, 1]).tolist() == [10, 23, 28]


def test_frames_that_are_cut_short_are_refused() -> None:
    volume, sources = series()
    dataset = encoded(findings(volume), volume, sources)
    dataset.PixelData = dataset.PixelData[:-2]
    with pytest.raises(ValueError, match="is cut short"):
        seg_reading.voxels(dataset, seg_reading.frames(dataset)[-1], volume)
