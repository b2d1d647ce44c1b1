import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask

from algorithms.protocol import BoolMask
from node.outbound import contours


def filled(polygons: list[contours.Polygon], shape: tuple[int, ...]) -> npt.NDArray[np.int_]:
    """How many of the polygons enclose each pixel."""
    return np.sum([polygon2mask(shape, p) for p in polygons], axis=0, dtype=np.int_)


def blobs(shape: tuple[int, int], seed: int, smoothing: float) -> BoolMask:
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), smoothing)
    mask: BoolMask = noise >= np.median(noise)
    return mask


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    smoothing=st.sampled_from([0.0, 0.7, 2.0]),
)
def test_every_mask_comes_back_pixel_for_pixel(rows: int, columns: int, seed: int, smoothing: float) -> None:
    mask = blobs((rows, columns), seed, smoothing)
    assert np.array_equal(filled(contours.polygons(mask), mask.shape), mask)


def test_a_hole_is_part_of_the_outline_so_that_no_reader_fills_it() -> None:
    ring = np.ones((9, 9), dtype=np.bool_)
    ring[3:6, 3:6] = False
    (outline,) = contours.polygons(ring)
    assert np.array_equal(filled([outline], ring.shape), ring)


def test_an_island_in_a_hole_is_a_part_of_its_own() -> None:
    target = np.ones((15, 15), dtype=np.bool_)
    target[2:-2, 2:-2] = False
    target[6:9, 6:9] = True
    assert len(contours.polygons(target)) == 2
    assert np.array_equal(filled(contours.polygons(target), target.shape), target)


def test_straight_edges_have_no_points_between_their_ends() -> None:
    (outline,) = contours.polygons(np.ones((30, 40), dtype=np.bool_))
    assert len(outline) == 8  # the corners of a rectangle, each cut


def test_what_is_too_long_for_one_contour_is_cut_and_loses_nothing() -> None:
    mask = blobs((400, 400), seed=1, smoothing=0.8)
    polygons = contours.polygons(mask)
    assert max(map(len, polygons)) <= contours.MAX_CORNERS
    fill = np.zeros(mask.shape, dtype=np.int_)
    for polygon in polygons:
        fill += polygon2mask(mask.shape, polygon)
    assert np.array_equal(fill, mask)


def test_an_empty_mask_has_no_outline() -> None:
    assert contours.polygons(np.zeros((3, 4), dtype=np.bool_)) == []
