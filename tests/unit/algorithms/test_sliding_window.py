"""Tiles add up to the whole, whatever the size, and labels are those of MONAI and scikit-image."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference
from scipy import ndimage
from skimage.transform import resize

from algorithms import sliding_window
from algorithms.sliding_window import (
    averaged,
    gaussian,
    labels,
    mirrored,
    positions,
    slices,
    stepped,
    symmetric_gaussian,
)

SIZES = st.tuples(*[st.integers(3, 30)] * 3)


def network(classes: int = 4) -> sliding_window.Predict:
    """Small and deep enough that neighbouring tiles disagree at their edges."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(
        torch.nn.Conv3d(1, 6, 5, padding=2), torch.nn.Tanh(), torch.nn.Conv3d(6, classes, 5, padding=2)
    )
    return lambda tiles: (4 * layers(tiles)).softmax(1)


def whole(image: torch.Tensor, **settings: object) -> torch.Tensor:
    return torch.stack(list(slices(image, network(), **settings)), dim=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(24, 20, 32), (8, 10, 48), (32, 10, 8)])
def test_probabilities_and_labels_equal_those_of_monai_with_the_same_settings(
    shape: tuple[int, int, int], batch: int
) -> None:
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(3))
    patch = (8, 10, 8)
    expected = sliding_window_inference(
        image[None], patch, batch, network(), overlap=0.5, roi_weight_map=gaussian(patch)
    )[0]  # fmt: skip
    found = whole(image, patch=patch, overlap=0.5, batch=batch)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    ours = labels(slices(image, network(), patch=patch), shape, shape, (1, 1, 1))
    assert np.array_equal(ours, expected.argmax(0).numpy())
    assert len(np.unique(ours)) == 4


@pytest.mark.parametrize("shape", [(24, 20, 31), (8, 11, 48), (5, 9, 30)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_stepped_tiles_with_symmetric_weights_are_plain_monai(
    shape: tuple[int, int, int], layout: torch.memory_format
) -> None:
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(3))
    patch, predict = (8, 10, 16), network()
    expected = sliding_window_inference(image[None], patch, 1, predict, overlap=0.625, mode="gaussian")[0]
    found = slices(
        image,
        lambda tiles: predict(tiles).contiguous(memory_format=layout),
        patch=patch,
        overlap=0.625,
        places=stepped,
        blend=symmetric_gaussian,
    )
    whole = torch.stack(list(found), dim=1)
    torch.testing.assert_close(whole, expected.detach(), rtol=1e-4, atol=1e-5)


def test_symmetric_weights_are_those_of_monai() -> None:
    for patch in ((96, 16, 32), (8, 9, 10)):
        torch.testing.assert_close(symmetric_gaussian(patch), compute_importance_map(patch, mode="gaussian"))


def test_an_image_smaller_than_the_patch_is_padded_as_monai_pads_it() -> None:
    image = torch.randn(1, 5, 9, 30, generator=torch.Generator().manual_seed(3))
    patch = (8, 12, 20)
    expected = sliding_window_inference(
        image[None], patch, 1, network(), overlap=0.5, roi_weight_map=gaussian(patch)
    )[0]  # fmt: skip
    torch.testing.assert_close(whole(image, patch=patch), expected.detach(), rtol=1e-4, atol=1e-5)


@given(shape=SIZES, patch=SIZES, overlap=st.sampled_from([0.0, 0.25, 0.5, 0.625]))
@settings(max_examples=60, deadline=None)
def test_every_voxel_is_covered_by_tiles_that_say_what_it_is(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float
) -> None:
    image = torch.rand(1, *shape) + 0.5
    same = torch.stack(list(slices(image, lambda tiles: tiles, patch=patch, overlap=overlap)), dim=1)
    torch.testing.assert_close(same, image, rtol=1e-5, atol=1e-5)


@given(
    size=st.integers(1, 400),
    patch=st.integers(1, 200),
    overlap=st.sampled_from([0.0, 0.5, 0.625]),
    places=st.sampled_from([positions, stepped]),
)
def test_tiles_reach_both_ends_and_overlap_enough(
    size: int, patch: int, overlap: float, places: sliding_window.Places
) -> None:
    size = max(size, patch)
    starts = places(size, patch, overlap)
    assert (starts[0], starts[-1]) == (0, size - patch)
    assert all(b - a <= patch * (1 - overlap) + 1 for a, b in pairwise(starts))


def test_tiles_start_where_nnunet_puts_them() -> None:
    assert positions(110, 64, 0.5) == [0, 23, 46]  # the example in its source


def test_weights_are_those_of_a_filtered_point() -> None:
    point = np.zeros((16, 10, 9))
    point[8, 5, 4] = 1
    expected = ndimage.gaussian_filter(point, [2, 1.25, 1.125], mode="constant")
    np.testing.assert_allclose(gaussian((16, 10, 9)).numpy(), expected / expected.max(), atol=1e-6)


def test_mirroring_averages_the_eight_reflections() -> None:
    tile = torch.randn(1, 1, 4, 5, 6)
    ramp = torch.arange(6.0)
    found = mirrored(lambda tiles: tiles * ramp)(tile)
    torch.testing.assert_close(found, tile * 2.5)  # the mean of the ramp and its reflection
    seen: list[torch.Tensor] = []

    def keep(tiles: torch.Tensor) -> torch.Tensor:
        seen.append(tiles)
        return tiles

    torch.testing.assert_close(mirrored(keep)(tile), tile)
    assert len({tuple(t.flatten().tolist()) for t in seen}) == 8


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    members = [lambda tiles: tiles, lambda tiles: 3 * tiles]
    torch.testing.assert_close(averaged(members)(torch.ones(2)), 2 * torch.ones(2))


@pytest.mark.parametrize("onto", [(11, 25, 19), (40, 9, 33), (6, 20, 8)])
@pytest.mark.parametrize("orders", [(1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_labels_on_another_grid_equal_those_of_whole_probabilities_resized(
    onto: tuple[int, int, int], orders: tuple[sliding_window.Order, ...]
) -> None:
    shape = (13, 17, 21)
    probabilities = torch.randn(7, *shape, generator=torch.Generator().manual_seed(5)).softmax(0)
    found = labels(probabilities.unbind(1), shape, onto, orders)
    resized = probabilities.numpy()
    for axis, order in enumerate(orders):
        size = list(resized.shape[1:])
        size[axis] = onto[axis]
        resized = np.stack([resize(p, size, order, mode="edge", anti_aliasing=False) for p in resized])
    first, second = np.sort(resized, axis=0)[-1], np.sort(resized, axis=0)[-2]
    clear = first - second > 1e-5
    assert clear.mean() > 0.99
    assert np.array_equal(found[clear], resized.argmax(0)[clear])


def test_of_many_classes_the_rare_ones_are_found() -> None:
    logits = torch.zeros(118, 6, 8, 8)
    logits[7, :3] = 9
    logits[117, 3:, 2:4] = 9
    found = labels(logits.softmax(0).unbind(1), (6, 8, 8), (6, 8, 8), (1, 1, 1))
    assert (found[:3] == 7).all()
    assert (found[3:, 2:4] == 117).all()


def test_slices_leave_before_the_last_tile_is_predicted() -> None:
    predicted = 0

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        nonlocal predicted
        predicted += 1
        return tiles

    leaving = slices(torch.zeros(1, 80, 8, 8), predict, patch=(8, 8, 8))
    counts = [predicted for _ in leaving]
    assert counts[:9] == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert len(counts) == 80


def test_progress_ends_at_one_and_may_cancel() -> None:
    image = torch.zeros(1, 16, 8, 8)
    told: list[float] = []
    list(slices(image, lambda t: t, patch=(8, 8, 8), progress=lambda f, _: told.append(f)))
    assert told == [pytest.approx(f) for f in (1 / 3, 2 / 3, 1)]

    def cancel(fraction: float, stage: str) -> None:
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="tile 1 of 3"):
        list(slices(image, lambda t: t, patch=(8, 8, 8), progress=cancel))
