"""Slices as the published network saw them, whatever way they were stored."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from algorithms.body_part.preprocessing import prepare, rises
from algorithms.protocol import Unsuitable, Volume


def volume_of(voxels, *, pixel=(0.9, 0.7), affine=None):
    if affine is None:
        affine = np.zeros((4, 4))
        affine[[2, 1, 0, 3], [0, 1, 2, 3]] = 4.0, *pixel, 1.0
    return Volume(voxels.astype(np.float32), affine, "HU", "CT", tuple(f"1.{i}" for i in range(len(voxels))))


def prepared(volume):
    return np.concatenate(list(prepare(volume)))


def noise(*shape):
    return ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 4000, shape), (0, 2, 2))


def step_by_step(hu, pixel):
    """The published steps one after the other, slice (row, column) to (column, row from the back)."""
    x = np.clip(hu, -1000, 1500)[::-1].T
    x = (x + 1000) / 2500 * 2 - 1
    size = [int(n * s / 3.5 + 0.5) for n, s in zip(x.shape, pixel[::-1], strict=True)]
    x = ndimage.gaussian_filter(
        x, [0.8 * 0.25 * n / m for n, m in zip(x.shape, size, strict=True)], truncate=3
    )
    x = torch.nn.functional.interpolate(torch.from_numpy(x)[None, None], size, mode="bilinear")[0, 0].numpy()
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        if len(x) > 128:
            start = (len(x) - 128) // 2
            x = x[start : start + 128]
        before = (128 - len(x)) // 2
        x = np.pad(x, ((before, 128 - len(x) - before), (0, 0)), constant_values=-1)
        x = np.moveaxis(x, 0, axis)
    return x


@pytest.mark.parametrize(
    ("shape", "pixel"), [((400, 512), (0.9, 0.7)), ((90, 61), (1.0, 3.5)), ((600, 64), (1.2, 6.0))]
)
def test_the_matrices_do_what_the_published_steps_do(shape, pixel):
    hu = noise(2, *shape)
    expected = [step_by_step(each, pixel) for each in hu]
    assert prepared(volume_of(hu, pixel=pixel)) == pytest.approx(np.stack(expected), abs=2e-5)


def test_what_lies_outside_the_image_is_air():
    slices = prepared(volume_of(np.full((1, 100, 100), 300.0), pixel=(1.0, 1.0)))
    assert slices[0, 0, 0] == -1.0
    assert slices[0, 64, 64] == pytest.approx(0.04, abs=1e-5)


def test_every_in_plane_orientation_gives_the_same_slices():
    hu = noise(3, 200, 160)
    standard = volume_of(hu)
    turned = standard.affine_mm[:, [0, 2, 1, 3]].copy()
    flipped = standard.affine_mm.copy()
    flipped[:3, 2] *= -1
    for voxels, affine in ((hu.transpose(0, 2, 1), turned), (hu[:, :, ::-1], flipped)):
        assert prepared(volume_of(voxels, affine=affine)) == pytest.approx(prepared(standard), abs=1e-5)


def test_slices_keep_the_order_of_the_volume():
    hu = noise(3, 50, 50)
    affine = volume_of(hu).affine_mm.copy()
    affine[2, 0] *= -1
    assert rises(volume_of(hu))
    assert not rises(volume_of(hu, affine=affine))
    assert np.array_equal(prepared(volume_of(hu, affine=affine)), prepared(volume_of(hu)))


def test_more_slices_than_a_batch_all_come():
    assert prepared(volume_of(np.zeros((401, 8, 8)))).shape == (401, 128, 128)


def test_slices_that_are_not_axial_are_refused():
    sagittal = volume_of(noise(3, 50, 50)).affine_mm[:, [2, 0, 1, 3]]
    with pytest.raises(Unsuitable, match="not axial"):
        prepared(volume_of(noise(3, 50, 50), affine=sagittal))
