"""The organ grid: from any stored orientation and back, with smooth borders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.chest_ct.organ_grid import OrganGrid
from algorithms.protocol import Volume
from algorithms.spatial import Orientation

CENTRE_MM = np.array((12.0, -8.0, 30.0))
RADIUS_MM = 30.0


def distance(shape, affine_mm, centre_mm=CENTRE_MM):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    position = index @ affine_mm[:3, :3].T + affine_mm[:3, 3]
    return np.linalg.norm(position - centre_mm, axis=-1)


def body(order, flips, turn_degrees, spacing=(5.0, 2.0, 2.5), shape=(40, 110, 120)):
    """A ball of tissue in air, stored in any order of axes, turned about the patient's long axis."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]], affine[3, 3] = spacing, 1.0
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ (np.array(shape) / 2)
    angle = np.radians(turn_degrees)
    turn = np.eye(4)
    turn[:2, :2] = (np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))
    affine = turn @ affine
    stored = Orientation(order, flips)
    shape = tuple(shape[axis] for axis in order)
    affine = stored.affine(affine, tuple(np.array((40, 110, 120))))
    hu = np.where(distance(shape, affine) < 90, 40.0, -1000.0).astype(np.float32)
    return Volume(hu, affine, "HU", "CT", tuple(str(i) for i in range(shape[0])))


@settings(deadline=None, max_examples=25)
@given(
    order=st.permutations([0, 1, 2]).map(tuple),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    turn=st.floats(-40, 40),
)
def test_a_ball_comes_back_where_it_was_however_the_image_is_stored(order, flips, turn):
    image = body(order, flips, turn)
    grid = OrganGrid.of(image, 3.0)
    field = np.clip((RADIUS_MM - distance(grid.hu.shape, grid.affine_mm)) / 6, -1, 1).astype(np.float32)
    mask, origin = grid.to_source(field, image)
    truth = distance(image.voxels.shape, image.affine_mm) < RADIUS_MM
    found = np.zeros_like(truth)
    found[tuple(slice(o, o + n) for o, n in zip(origin, mask.shape, strict=True))] = mask
    assert 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()) > 0.98


def test_the_grid_holds_the_trunk_where_it_is():
    image = body((0, 1, 2), (False, False, False), 0.0)
    grid = OrganGrid.of(image, 3.0)
    inside = distance(grid.hu.shape, grid.affine_mm)
    assert grid.hu.shape[1:] == (80, 96)
    assert (grid.hu[inside < 84] > 30).all()
    assert (grid.hu[inside > 96] < -990).all()
    assert np.allclose(np.abs(grid.affine_mm[:3, :3]).sum(axis=0), 3.0)


def test_what_the_image_does_not_reach_is_air_and_not_seen():
    narrow = body((0, 1, 2), (False, False, False), 0.0, shape=(40, 110, 120))
    cut = Volume(narrow.voxels[:, 30:80, 35:85], narrow.affine_mm, "HU", "CT", narrow.sop_instance_uids)
    grid = OrganGrid.of(cut, 3.0)
    seen = np.zeros(grid.hu.shape, dtype=bool)
    seen[grid.seen] = True
    assert (grid.hu[~seen] == -1024).all()
    assert grid.hu[grid.seen].shape[1:] == pytest.approx((34, 42), abs=1)


def test_two_organs_that_touch_share_no_voxel():
    image = body((0, 1, 2), (False, False, False), 20.0)
    grid = OrganGrid.of(image, 3.0)
    apart = np.array((12.0, 0.0, 0.0))
    one = distance(grid.hu.shape, grid.affine_mm, CENTRE_MM - apart)
    other = distance(grid.hu.shape, grid.affine_mm, CENTRE_MM + apart)
    margin = np.clip((other - one) / 10, -1, 1).astype(np.float32)
    masks = []
    for field in (np.where(one < 30, margin, -1), np.where(other < 30, -margin, -1)):
        mask, origin = grid.to_source(field.astype(np.float32), image)
        full = np.zeros(image.voxels.shape, dtype=bool)
        full[tuple(slice(o, o + n) for o, n in zip(origin, mask.shape, strict=True))] = mask
        masks.append(full)
    assert masks[0].any()
    assert masks[1].any()
    assert not (masks[0] & masks[1]).any()
