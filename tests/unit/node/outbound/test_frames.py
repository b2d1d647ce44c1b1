import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.protocol import BoolMask, Segment
from node.outbound import frames
from tests.synthetic_series import ANATOMY, LUNG

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 19))


def segments(masks: list[BoolMask]) -> list[Segment]:
    return [
        Segment.from_mask(mask, label=f"segment {n}", category=ANATOMY, type=LUNG, rgb=(0, 0, 0))
        for n, mask in enumerate(masks)
        if mask.any()
    ]


def random_masks(shape: tuple[int, int, int], seed: int, share: float) -> list[BoolMask]:
    random = np.random.default_rng(seed)
    return [random.random(shape) < share for _ in range(3)]


@settings(max_examples=100, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 1000), share=st.sampled_from([0.02, 0.3, 0.9]))
def test_frames_of_any_size_follow_one_another_bit_by_bit(
    shape: tuple[int, int, int], seed: int, share: float
) -> None:
    found = segments(random_masks(shape, seed, share))
    places = frames.places(found)
    planes = [found[place.segment - 1].on_grid(shape)[place.slice] for place in places]
    bits: npt.NDArray[np.bool_] = np.concatenate([np.zeros(0, dtype=np.bool_), *map(np.ravel, planes)])
    expected = np.packbits(bits, bitorder="little").tobytes()
    written = frames.packed_bits(found, places, *shape[1:]).getvalue()
    assert written == expected + b"\0" * (len(expected) % 2)


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 1000), share=st.sampled_from([0.02, 0.1]))
def test_segments_overlap_exactly_if_two_share_a_voxel(
    shape: tuple[int, int, int], seed: int, share: float
) -> None:
    masks = random_masks(shape, seed, share)
    expected = bool((np.sum(masks, axis=0) > 1).any())
    assert frames.overlap(segments(masks), shape) == expected


def test_every_slice_with_a_voxel_is_a_frame_and_no_other() -> None:
    mask = np.zeros((6, 3, 3), dtype=np.bool_)
    mask[[1, 4], 2, 0] = True
    assert frames.places(segments([mask, mask])) == [(1, 1), (1, 4), (2, 1), (2, 4)]
