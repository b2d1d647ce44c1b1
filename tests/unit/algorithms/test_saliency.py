"""Occlusion sensitivity finds what an answer rests on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.protocol import silent
from algorithms.saliency import Box, Drops, boxes_over, drops_over


def box_at(*starts: int, size: int = 2) -> Box:
    a, b, c = (slice(start, start + size) for start in starts)
    return a, b, c


@given(
    shape=st.tuples(*[st.integers(1, 14)] * 3),
    size=st.tuples(*[st.integers(1, 6)] * 3),
    overlap=st.sampled_from((0.0, 0.25, 0.5)),
    corner=st.tuples(*[st.integers(0, 13)] * 3),
)
def test_boxes_leave_no_voxel_of_the_region_out(shape, size, overlap, corner) -> None:
    region = np.zeros(shape, dtype=np.bool_)
    region[tuple(slice(min(c, n - 1), None) for c, n in zip(corner, shape, strict=True))] = True
    covered = np.zeros(shape, dtype=np.bool_)
    for box in boxes_over(region, size, overlap, 0.0):
        covered[box] = True
    assert (covered | ~region).all()


def test_boxes_with_too_little_of_the_region_are_left_out() -> None:
    region = np.zeros((4, 4, 4), dtype=np.bool_)
    region[0], region[3, 0, 0] = True, True
    assert {box[0].start for box in boxes_over(region, (2, 4, 4), 0.0, 0.25)} == {0}


def test_a_region_without_a_voxel_has_no_boxes() -> None:
    assert boxes_over(np.zeros((4, 4, 4), dtype=np.bool_), (2, 2, 2), 0.0, 0.0) == ()


def test_the_map_is_highest_where_the_answer_lies() -> None:
    image = np.zeros((12, 12, 12), dtype=np.float32)
    image[7, 3, 8] = 5.0

    def total_without(box: Box) -> float:
        covered = image.copy()
        covered[box] = 0.0
        return float(covered.sum())

    boxes = boxes_over(np.ones(image.shape, dtype=np.bool_), (4, 4, 4), 0.5, 0.0)
    found = drops_over(boxes, total_without, 5.0, silent).on_grid((12, 12, 12))
    assert found[7, 3, 8] == pytest.approx(5.0)
    assert found[0, 11, 0] == 0.0


def test_a_voxel_has_the_mean_of_the_boxes_that_covered_it() -> None:
    grid = Drops((box_at(0, 0, 0), box_at(1, 1, 1)), (1.0, 4.0)).on_grid((4, 4, 4))
    assert [float(grid[i, i, i]) for i in range(4)] == [1.0, 2.5, 4.0, 0.0]


def test_the_strongest_boxes_come_first_and_those_that_raised_the_answer_not_at_all() -> None:
    drops = Drops((box_at(0, 0, 0), box_at(1, 1, 1), box_at(2, 2, 2)), (1.0, -3.0, 2.0))
    assert drops.strongest(5).values == (2.0, 1.0)
    assert drops.strongest(1).boxes == (box_at(2, 2, 2),)


def test_progress_is_told_after_each_box() -> None:
    told: list[float] = []
    boxes = (box_at(0, 0, 0), box_at(1, 1, 1))
    drops_over(boxes, lambda _box: 0.0, 0.0, lambda fraction, _stage: told.append(fraction))
    assert told == [0.5, 1.0]
