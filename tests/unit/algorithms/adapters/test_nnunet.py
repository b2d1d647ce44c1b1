"""The segmenter gives the labels of nnU-Net's own steps, done one by one with other libraries."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from scipy import ndimage
from skimage.transform import resize

from algorithms.adapters import nnunet
from algorithms.adapters.nnunet import NNUNetSegmenter, coarse_axis, keep_largest, resized
from algorithms.adapters.nnunet_network import UNet
from algorithms.adapters.nnunet_plan import Configuration, Plan
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.sliding_window import gaussian
from algorithms.spatial import Orientation
from algorithms.weights import Checkpoint, WeightsFaulty, save
from tests.unit.algorithms.adapters import published
from tests.unit.algorithms.adapters.test_nnunet_plan import as_json


def stored(
    folder: Path, configuration: Configuration = "3d_fullres", folds: int = 2, **changes: object
) -> Checkpoint:
    plan = Plan.from_published(as_json(published.plans()), published.postprocessing(), configuration)
    tensors = {
        f"fold_{n}.{key}": tensor
        for n in range(folds)
        for key, tensor in published.fold(n, channels=plan.channels).items()
    }
    return save(folder, configuration, tensors, plan.to_config() | changes, {})


def scan(shape: tuple[int, int, int] = (14, 40, 36), spacing: tuple[float, ...] = (5.0, 2.1, 2.3)) -> Volume:
    """Smooth random densities on a canonical grid."""
    noise = np.random.default_rng(4).normal(size=shape)
    voxels = (ndimage.gaussian_filter(noise, 1.5) * 4000).astype(np.float32)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1
    return Volume(voxels, affine, "HU", "CT", tuple(map(str, range(shape[0]))))


def network(seed: int, channels: int = 1) -> UNet:
    built = UNet(channels, 5, 4, [(1, 2, 2), (2, 2, 2)], [(1, 3, 3), (3, 3, 3), (3, 3, 3)])
    built.load_state_dict(published.fold(seed, channels=channels))
    return built.eval()


def probabilities(image: np.ndarray, patch: tuple[int, int, int], *, folds: int, tta: bool) -> np.ndarray:
    """Mean of folds and reflections with MONAI's sliding window, on an image whose tiles lie alike."""
    total, count = 0, 0
    for seed, flips in product(range(folds), product((0, 1), repeat=3) if tta else [(0, 0, 0)]):
        dims = [axis + 2 for axis in range(3) if flips[axis]]
        one = network(seed, image.shape[0])

        def predict(tiles: torch.Tensor, one: UNet = one, dims: list[int] = dims) -> torch.Tensor:
            return one(tiles.flip(dims)).softmax(1).flip(dims)

        with torch.no_grad():
            tiled = sliding_window_inference(
                torch.from_numpy(image)[None], patch, 1, predict, overlap=0.5, roi_weight_map=gaussian(patch)
            )
        total, count = total + tiled[0].numpy(), count + 1
    return total / count


def step_by_step(volume: Volume, *, folds: int, tta: bool) -> np.ndarray:
    grid = (16, 24, 32)  # one, two and three tiles at half a patch, where MONAI puts them too
    image = resize(volume.voxels, grid, order=3, mode="edge", anti_aliasing=False)
    image = ((np.clip(image, -986, 271) - 20.78) / 180.5).astype(np.float32)
    found = probabilities(image[None], (8, 24, 16), folds=folds, tta=tta)
    back = [resize(p, volume.voxels.shape, order=1, mode="edge", anti_aliasing=False) for p in found]
    labels = np.argmax(back, axis=0)
    for group in ((1, 2, 3, 4), (1,), (3,)):
        parts, count = ndimage.label(np.isin(labels, group))
        if count:
            largest = np.bincount(parts.ravel())[1:].argmax() + 1
            labels[(parts > 0) & (parts != largest)] = 0
    return labels


@pytest.mark.parametrize(("folds", "tta"), [("0", False), ("0,1", False), ("all", True)])
def test_labels_are_those_of_its_steps_done_with_other_libraries(
    tmp_path: Path, folds: str, tta: bool
) -> None:
    volume = scan((13, 37, 43), (16 * 4 / 13, 24 * 3 / 37, 32 * 3 / 43))
    segmenter = NNUNetSegmenter.from_checkpoint(stored(tmp_path), folds=folds, tta=tta)
    found = segmenter.labels(volume, silent)
    expected = step_by_step(volume, folds=1 if folds == "0" else 2, tta=tta)
    assert found.dtype == np.uint8
    assert np.bincount(expected.ravel(), minlength=5).astype(bool).sum() >= 4
    assert (found == expected).mean() > 0.9995  # ties of the last digit


def test_a_cascade_is_given_the_label_map_of_the_lower_resolution(tmp_path: Path) -> None:
    volume = scan((13, 37, 43), (16 * 4 / 13, 24 * 3 / 37, 32 * 3 / 43))
    low = NNUNetSegmenter.from_checkpoint(stored(tmp_path, "3d_lowres", 1), tta=False)
    checkpoint = stored(tmp_path, "3d_cascade_fullres", 1, largest=[])
    found = NNUNetSegmenter.from_checkpoint(checkpoint, tta=False, previous=low).labels(volume, silent)
    before, grid = low.labels(volume, silent), (16, 24, 32)
    assert len(np.unique(before)) >= 3
    on_grid = np.zeros(grid, dtype=np.uint8)
    for label in range(5):
        on_grid[
            resize((before == label).astype(float), grid, order=1, mode="edge", anti_aliasing=False) >= 0.5
        ] = label
    image = resize(volume.voxels, grid, order=3, mode="edge", anti_aliasing=False)
    channels = [(np.clip(image, -986, 271) - 20.78) / 180.5, *(on_grid == label for label in range(1, 5))]
    scores = probabilities(np.array(channels, dtype=np.float32), (8, 24, 16), folds=1, tta=False)
    back = [resize(p, volume.voxels.shape, order=1, mode="edge", anti_aliasing=False) for p in scores]
    assert (found == np.argmax(back, axis=0)).mean() > 0.9995


@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), (1, 1, 0)), ((2, 0, 1), (0, 1, 1)), ((1, 2, 0), (1, 0, 0))]
)
def test_however_a_series_is_stored_the_labels_lie_on_the_same_anatomy(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    segmenter = NNUNetSegmenter.from_checkpoint(stored(tmp_path, folds=1), tta=False)
    volume = scan()
    turned = Orientation(order, tuple(map(bool, flips)))  # type: ignore[arg-type]
    voxels = np.ascontiguousarray(turned.apply(volume.voxels))
    other = Volume(
        voxels, turned.affine(volume.affine_mm, volume.voxels.shape), "HU", "CT", ("",) * len(voxels)
    )  # type: ignore[arg-type]
    found = segmenter.labels(other, silent)
    assert found.shape == voxels.shape
    assert np.array_equal(turned.revert(found), segmenter.labels(volume, silent))


def test_a_plan_may_order_the_axes_differently(tmp_path: Path) -> None:
    volume = scan()
    plain = stored(tmp_path / "plain", folds=1)
    turned = stored(tmp_path / "turned", folds=1, axes=[2, 0, 1])
    transposed = np.ascontiguousarray(np.transpose(volume.voxels, (2, 0, 1)))
    affine = volume.affine_mm.copy()
    affine[:3, :3] = np.zeros((3, 3))
    for axis, spacing in enumerate(volume.spacing_mm[a] for a in (2, 0, 1)):
        affine[2 - axis, axis] = spacing
    as_seen = Volume(transposed, affine, "HU", "CT", ("",) * len(transposed))
    expected = NNUNetSegmenter.from_checkpoint(plain, tta=False).labels(as_seen, silent)
    found = NNUNetSegmenter.from_checkpoint(turned, tta=False).labels(volume, silent)
    assert np.array_equal(np.transpose(found, (2, 0, 1)), expected)


def test_only_voxels_that_are_not_zero_are_looked_at(tmp_path: Path) -> None:
    segmenter = NNUNetSegmenter.from_checkpoint(stored(tmp_path, folds=1), tta=False)
    small = scan()
    framed = np.pad(small.voxels, ((2, 1), (3, 0), (0, 5)))
    found = segmenter.labels(Volume(framed, small.affine_mm, "HU", "CT", ("",) * len(framed)), silent)
    assert np.array_equal(found[2:-1, 3:, :-5], segmenter.labels(small, silent))
    assert not found[:2].any()
    empty = Volume(np.zeros_like(framed), small.affine_mm, "HU", "CT", ("",) * len(framed))
    with pytest.raises(Unsuitable, match="zeros"):
        segmenter.labels(empty, silent)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((5.0, 0.8, 0.8), 0), ((2.5, 0.98, 0.98), None), ((1.0, 3.5, 1.0), 1), ((4.0, 4.0, 1.0), None)],
)
def test_an_axis_more_than_three_times_coarser_is_interpolated_apart(
    spacing: tuple[float, float, float], axis: int | None
) -> None:
    assert coarse_axis(spacing, (2.5, 0.98, 0.98)) == axis


@pytest.mark.parametrize("shape", [(20, 9, 30), (7, 40, 11)])
def test_resizing_equals_scikit_image(shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(0).normal(0, 300, (12, 15, 18)).astype(np.float32)
    expected = resize(voxels.astype(float), shape, order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resized(voxels, shape, order=3), expected, atol=0.01)
    slicewise = [
        resize(v, shape[1:], order=3, mode="edge", anti_aliasing=False, clip=False)
        for v in voxels.astype(float)
    ]
    nearest = np.floor((np.arange(shape[0]) + 0.5) * 12 / shape[0]).astype(int)
    apart = np.clip(np.array(slicewise)[nearest], voxels.min(), voxels.max())
    np.testing.assert_allclose(resized(voxels, shape, order=3, nearest=0), apart, atol=0.01)


def test_small_components_go_and_other_classes_stay() -> None:
    labels = np.zeros((1, 3, 12), dtype=np.uint8)
    labels[0, 0] = [1, 1, 1, 0, 1, 0, 2, 0, 2, 2, 2, 2]
    keep_largest(labels, [(1,)])
    assert labels[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 2, 0, 2, 2, 2, 2]
    keep_largest(labels, [(1, 2), (3,)])
    assert labels[0, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2]


def test_a_fold_that_is_not_there_and_a_cascade_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fold '4'; there is 0, 1"):
        NNUNetSegmenter.from_checkpoint(stored(tmp_path), folds="0,4")
    with pytest.raises(ValueError, match="needs the lower resolution first"):
        NNUNetSegmenter.from_checkpoint(stored(tmp_path, "3d_cascade_fullres"))


def test_tensors_of_another_plan_are_named(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path, features=8)
    with pytest.raises(WeightsFaulty, match=r"conv_blocks_context.0.*has the shape \(4, .* instead of \(8, "):
        NNUNetSegmenter.from_checkpoint(checkpoint)
    with pytest.raises(WeightsFaulty, match="not a plan of nnU-Net: KeyError 'patch'"):
        NNUNetSegmenter.from_checkpoint(save(tmp_path, "x", {}, {"spacing_mm": [1, 1, 1]}, {}))


def test_progress_goes_up_through_both_stages_of_a_cascade_and_may_cancel(tmp_path: Path) -> None:
    low = NNUNetSegmenter.from_checkpoint(stored(tmp_path, "3d_lowres", 1), tta=False)
    checkpoint = stored(tmp_path, "3d_cascade_fullres", 1)
    segmenter = NNUNetSegmenter.from_checkpoint(checkpoint, tta=False, previous=low)
    told: list[float] = []
    segmenter.labels(scan(), lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert any(0 < fraction < nnunet._SHARE_OF_PREVIOUS for fraction in told)
    assert told[-1] == pytest.approx(1)

    def cancel(fraction: float, stage: str) -> None:
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="tile 1 of"):
        segmenter.labels(scan(), cancel)
