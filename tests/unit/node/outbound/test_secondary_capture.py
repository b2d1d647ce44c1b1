from dataclasses import replace

import numpy as np
import pytest

from algorithms.protocol import Findings
from node.outbound import secondary_capture, seg_reading
from tests.synthetic_findings import leaning, saliency
from tests.synthetic_series import provenance, series


def picture(volume, sources, found):
    return secondary_capture.encode(Findings(saliency=found), volume, sources, provenance(volume))


def test_where_the_map_is_faint_a_pixel_is_grey_and_where_it_is_greatest_it_is_coloured():
    grey = np.full((1, 3), 0.5)
    strength = np.array([[0.0, secondary_capture.FAINTEST, 1.0]], dtype=np.float32)
    faint, fainter, strong = secondary_capture.painted(grey, strength)[0].astype(int)
    assert faint.tolist() == fainter.tolist() == [128, 128, 128]
    assert strong.tolist() == [202, 203, 166]


def test_a_block_of_pixels_becomes_their_mean_at_its_middle():
    plane = np.arange(30, dtype=np.float32).reshape(5, 6)
    assert secondary_capture.reduced(plane, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    _, sources = series()
    corner = secondary_capture.reduced_plane(sources[0], 2) @ [0, 0, 1]
    assert corner == pytest.approx(seg_reading.affine_of(sources[0]) @ [0.5, 0.5, 1])


def test_the_strength_on_a_plane_is_that_of_the_map_at_its_position():
    volume, sources = leaning(places=[0, 0.6, 1.2, 1.8, 3.4, 5.0])
    found = saliency(volume)
    on_plane = secondary_capture.strength(found, seg_reading.affine_of(sources[3]), (12, 13))
    index = np.linalg.inv(found.affine_mm) @ [*(seg_reading.affine_of(sources[3]) @ [5, 6, 1]), 1.0]
    low = np.floor(index[:3]).astype(int)
    cell = found.voxels[tuple(slice(i, i + 2) for i in low)]
    share = [np.array([1 - t, t]) for t in index[:3] - low]
    expected = np.einsum("ijk,i,j,k->", cell, *share) / found.voxels.max()
    assert on_plane[5, 6] == pytest.approx(expected, rel=1e-4)


def test_only_slices_where_the_map_says_something_are_shown():
    volume, sources = series()
    found = saliency(volume)
    voxels = np.zeros_like(found.voxels)
    voxels[0], voxels[1] = 1.0, 0.2
    written = picture(volume, sources, replace(found, voxels=voxels))
    named = [item.ReferencedSOPInstanceUID for item in written.SourceImageSequence]
    assert named == list(volume.sop_instance_uids[:3])


def test_of_many_slices_the_strongest_are_shown_in_their_order(monkeypatch):
    monkeypatch.setattr(secondary_capture, "MOST_FRAMES", 3)
    volume, sources = series()
    written = picture(volume, sources, saliency(volume))
    named = [item.ReferencedSOPInstanceUID for item in written.SourceImageSequence]
    assert named == list(volume.sop_instance_uids[1:4])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_map_that_says_nothing_is_one_grey_slice(value):
    volume, sources = series()
    found = saliency(volume)
    written = picture(volume, sources, replace(found, voxels=np.full_like(found.voxels, value)))
    pixels = np.frombuffer(written.PixelData, np.uint8)[: written.Rows * written.Columns * 3]
    assert written.NumberOfFrames == 1
    assert "FrameIncrementPointer" not in written
    assert (np.ptp(pixels.reshape(-1, 3), axis=1) == 0).all()


def test_a_large_image_is_reduced_and_says_that_it_is_for_research():
    volume, sources = series((2, 300, 520))
    written = picture(volume, sources, saliency(volume))
    assert (written.Rows, written.Columns) == (100, 173)
    assert "Research use only" in written.ImageComments
    assert written.BurnedInAnnotation == "NO"
