"""Segmentation with the published weights of nnU-Net v1 (Isensee et al., Nature Methods 2021).

Preprocessing, sliding window, ensemble, resampling and postprocessing are those of its inference:
crop to the non-zero voxels, cubic interpolation to the planned spacing (the nearest slice along an axis
more than three times coarser than the finest), CT normalisation, half-overlapping tiles blended with a
Gaussian, all eight reflections, the mean over the folds, probabilities resized linearly, largest components.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import cc3d
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from algorithms import sliding_window
from algorithms.adapters.nnunet_network import UNet
from algorithms.adapters.nnunet_plan import Plan, PlanUnknown
from algorithms.protocol import Progress, Unsuitable, Volume, Voxels, part
from algorithms.sliding_window import Predict
from algorithms.spatial import Labels, Orientation, Shape, Spacing
from algorithms.weights import Checkpoint, WeightsFaulty, load_into

_ANISOTROPIC = 3.0
_SHARE_OF_PREVIOUS = 0.3  # of the time: its grid is coarser


@dataclass(frozen=True, eq=False)
class NNUNetSegmenter:
    """An ensemble of the folds of one configuration, ready to run.

    Attributes:
        plan: grid, patch and normalisation.
        predict: class probabilities of a batch of tiles.
        device: where tiles are predicted.
        previous: the lower resolution whose label map a cascade starts from.
    """

    plan: Plan
    predict: Predict
    device: str
    previous: "NNUNetSegmenter | None" = None

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        device: str = "cpu",
        *,
        folds: str = "all",
        tta: bool = True,
        previous: "NNUNetSegmenter | None" = None,
    ) -> Self:
        """Build the networks of some folds.

        Args:
            checkpoint: plan and tensors, the keys of each fold behind "fold_N.".
            device: as torch names it.
            folds: "all", or numbers such as "0,1".
            tta: whether tiles are predicted in all eight reflections (test-time augmentation).
            previous: for a cascade, its lower resolution.

        Raises:
            ValueError: a fold that is not there, or a cascade without the resolution before it.
            WeightsFaulty: tensors or plan are not what they should be.
        """
        try:
            plan = Plan.from_config(checkpoint.config)
        except PlanUnknown as error:
            raise WeightsFaulty(f"{checkpoint.weights.name}: {error}") from None
        if plan.cascade and previous is None:
            raise ValueError(f"{checkpoint.weights.name} is a cascade: it needs the lower resolution first")
        name = checkpoint.weights.name
        members = [_member(plan, tensors, device, name) for tensors in _folds(checkpoint, folds)]
        predict = sliding_window.averaged(members)
        return cls(plan, sliding_window.mirrored(predict) if tta else predict, device, previous)

    def labels(self, volume: Volume, progress: Progress) -> Labels:
        """The class of each voxel.

        Args:
            volume: in Hounsfield units.
            progress: told of every tile; may raise to cancel.

        Returns:
            uint8 on the grid of the volume; 0 is background.

        Raises:
            Unsuitable: the volume holds nothing but zeros.
        """
        if self.previous:
            before = self.previous.labels(volume, part(progress, 0.0, _SHARE_OF_PREVIOUS))
            progress = part(progress, _SHARE_OF_PREVIOUS, 1.0)
        else:
            before = None
        orientation, axes = Orientation.closest(volume.affine_mm), self.plan.axes
        spacing = [volume.spacing_mm[orientation.axes[axis]] for axis in axes]
        found = self._on_network_axes(
            np.transpose(orientation.apply(volume.voxels), axes),
            (spacing[0], spacing[1], spacing[2]),
            None if before is None else np.transpose(orientation.apply(before), axes),
            progress,
        )
        back = [axes.index(axis) for axis in range(3)]
        return np.ascontiguousarray(orientation.revert(np.transpose(found, back)))

    def _on_network_axes(
        self, voxels: Voxels, spacing_mm: Spacing, before: Labels | None, progress: Progress
    ) -> Labels:
        box = _nonzero_box(voxels)
        image = voxels[box]
        target = self.plan.spacing_mm
        shape = _shape(
            max(round(n * s / t), 1) for n, s, t in zip(image.shape, spacing_mm, target, strict=True)
        )
        coarse = coarse_axis(spacing_mm, target)
        channels = [self._normalised(resized(image, shape, order=3, nearest=coarse))]
        if before is not None:
            channels += one_hot(before[box], shape, self.plan.classes)
        probabilities = sliding_window.slices(
            torch.from_numpy(np.stack(channels)),
            self.predict,
            patch=self.plan.patch,
            device=self.device,
            progress=progress,
        )
        orders: list[sliding_window.Order] = [0 if axis == coarse else 1 for axis in range(3)]
        found = np.zeros(voxels.shape, dtype=np.uint8)
        found[box] = sliding_window.labels(probabilities, shape, _shape(image.shape), orders)
        keep_largest(found, self.plan.largest)
        return found

    def _normalised(self, image: Voxels) -> Voxels:
        plan = self.plan
        return (np.clip(image, plan.low, plan.high) - np.float32(plan.mean)) / np.float32(plan.sd)


def coarse_axis(spacing_mm: Spacing, target_mm: Spacing) -> int | None:
    """The axis that is interpolated apart from the others: more than three times coarser than the finest."""
    for spacing in (spacing_mm, target_mm):
        if max(spacing) > _ANISOTROPIC * min(spacing) and spacing.count(max(spacing)) == 1:
            return spacing.index(max(spacing))
    return None


def resized(voxels: Voxels, shape: Shape, *, order: Literal[1, 3], nearest: int | None = None) -> Voxels:
    """Spline interpolation onto another number of voxels in the same box, within the range of the values.

    Splines on a grid are separable, so that each axis is one product with a small matrix.

    Args:
        voxels: float32.
        shape: of the result.
        order: of the spline.
        nearest: an axis along which the nearest voxel is taken instead.
    """
    low, high = voxels.min(), voxels.max()
    for axis, (size, onto) in enumerate(zip(voxels.shape, shape, strict=True)):
        if size != onto:
            matrix = _interpolation(size, onto, 0 if axis == nearest else order)
            voxels = np.moveaxis(np.tensordot(matrix, voxels, (1, axis)), 0, axis)
    return np.clip(voxels, low, high)


def one_hot(before: Labels, shape: Shape, classes: int) -> list[Voxels]:
    """A label map on another grid, a channel for each class but the background.

    Where classes meet, the last that holds half of a voxel has it.
    """
    on_grid = np.zeros(shape, dtype=np.uint8)
    for label in range(1, classes):
        on_grid[resized((before == label).astype(np.float32), shape, order=1) >= 0.5] = label
    return [(on_grid == label).astype(np.float32) for label in range(1, classes)]


def keep_largest(labels: Labels, groups: Sequence[Sequence[int]]) -> None:
    """Clear, in place, all but the largest component (joined by faces) of each group of classes."""
    for group in groups:
        mask = np.isin(labels, group)
        if mask.any():
            labels[mask & (cc3d.largest_k(mask, k=1, connectivity=6) == 0)] = 0


def _interpolation(size: int, onto: int, order: Literal[0, 1, 3]) -> npt.NDArray[np.float32]:
    """The matrix (onto, size) that interpolates along one axis, edges repeated."""
    points = ndimage.zoom(np.eye(size), (1, onto / size), order=order, mode="nearest", grid_mode=True)
    return np.asarray(points.T, dtype=np.float32)


def _nonzero_box(voxels: Voxels) -> tuple[slice, ...]:
    filled = voxels != 0
    if not filled.any():
        raise Unsuitable("the image holds nothing but zeros")
    spans = (np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)


def _folds(checkpoint: Checkpoint, wanted: str) -> list[dict[str, torch.Tensor]]:
    folds: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in checkpoint.tensors().items():
        fold, _, name = key.partition(".")
        folds.setdefault(fold.removeprefix("fold_"), {})[name] = tensor
    chosen = sorted(folds) if wanted == "all" else [number.strip() for number in wanted.split(",")]
    unknown = [number for number in chosen if number not in folds]
    if unknown:
        raise ValueError(
            f"{checkpoint.weights.name} has no fold {unknown[0]!r}; there is {', '.join(sorted(folds))}"
        )
    return [folds[number] for number in chosen]


def _member(plan: Plan, tensors: Mapping[str, torch.Tensor], device: str, name: str) -> Predict:
    network = UNet(plan.channels, plan.classes, plan.features, plan.pooling, plan.kernels)
    load_into(network, tensors, name)
    # Channels last is the faster layout of 3D convolutions on CPUs.
    network = network.eval().to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # not in its stubs
    kind = torch.device(device).type

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(kind, torch.float16, enabled=kind == "cuda"):
            logits: torch.Tensor = network(tiles.contiguous(memory_format=torch.channels_last_3d))
        return logits.float().softmax(1)

    return predict


def _shape(sizes: Iterable[int]) -> Shape:
    first, second, third = sizes
    return first, second, third
