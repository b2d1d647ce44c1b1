"""A network over a large image, tile by tile, with bounded memory.

Tiles overlap and are blended with a Gaussian, as nnU-Net does (Isensee et al., Nature Methods 2021), or
where and as MONAI's `sliding_window_inference` does. What the network gives is never held for the whole
image: it leaves slice by slice along the first axis, as soon as no further tile reaches it, so that memory
is channels x tile depth x rows x columns however long the patient is. What takes the slices keeps a label
map.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import ceil, prod
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from algorithms.protocol import Progress, silent
from algorithms.spatial import Labels, Shape

Predict = Callable[[torch.Tensor], torch.Tensor]
"""From tiles (batch, channel, slice, row, column) to class probabilities (batch, class, ...), or whatever
else may be averaged over tiles."""
Order = Literal[0, 1]
"""Along one axis: 0 takes the nearest voxel, 1 interpolates linearly."""
Places = Callable[[int, int, float], list[int]]
"""First voxels of tiles along one axis, from its size, that of the tile and the least overlap."""
Blend = Callable[[Shape], torch.Tensor]
"""The weight of each voxel of a tile of some size."""

_SIGMA_PER_PATCH = 1 / 8
_LEAST_WEIGHT = 1e-3
_HOPELESS = 0.999  # a class that never reaches an equal share of the probability wins nowhere


def mirrored(predict: Predict, axes: Sequence[int] = (0, 1, 2)) -> Predict:
    """The mean over every reflection of the tile along some of the axes (test-time augmentation)."""
    reflections = [
        [axis + 2 for axis, flipped in zip(axes, flips, strict=True) if flipped]
        for flips in product((False, True), repeat=len(axes))
    ]
    return averaged([_reflected(predict, dims) for dims in reflections])


def averaged(members: Sequence[Predict]) -> Predict:
    """The mean of an ensemble."""

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        total = members[0](tiles)
        for member in members[1:]:
            total = total + member(tiles)
        return total / len(members)

    return predict


def gaussian(patch: Shape) -> torch.Tensor:
    """The weight of each voxel of a tile: 1 in the middle, sigma an eighth of the patch."""
    return torch.einsum("i,j,k->ijk", *(_bell(n, n // 2) for n in patch))


def symmetric_gaussian(patch: Shape) -> torch.Tensor:
    """The same about the exact middle of the tile, and nowhere below a thousandth, as MONAI weighs."""
    return torch.einsum("i,j,k->ijk", *(_bell(n, (n - 1) / 2) for n in patch)).clamp(min=_LEAST_WEIGHT)


def positions(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of tiles, evenly spread from one end of an axis to the other."""
    room = size - patch
    count = ceil(room / (patch * (1 - overlap)))
    return [round(room * number / count) for number in range(count + 1)] if count else [0]


def stepped(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of tiles a fixed step apart, the last one moved back into the image, as MONAI steps."""
    step = max(int(patch * (1 - overlap)), 1)
    return [*range(0, size - patch, step), size - patch]


def slices(
    image: torch.Tensor,
    predict: Predict,
    *,
    patch: Shape,
    overlap: float = 0.5,
    places: Places = positions,
    blend: Blend = gaussian,
    batch: int = 1,
    device: str = "cpu",
    progress: Progress = silent,
) -> Iterator[torch.Tensor]:
    """Class probabilities of an image, from the first slice to the last.

    An image smaller than the patch is padded with zeros on both sides, and the padding cut off again.

    Args:
        image: axes (channel, slice, row, column), normalised.
        predict: the network with its softmax.
        patch: size of a tile.
        overlap: the least part of a tile that the next one covers again.
        places: where tiles lie; evenly spread, or a fixed step apart.
        blend: how the voxels of a tile are weighted.
        batch: tiles predicted at once.
        device: where tiles are predicted and blended.
        progress: called after each batch; may raise to cancel.

    Yields:
        float32, axes (class, row, column), once for each slice of the image.
    """
    size = tuple(image.shape[1:])
    before = [max(p - n, 0) // 2 for n, p in zip(size, patch, strict=True)]
    image = _padded(image, patch, before)
    tops, *corners = (places(n, p, overlap) for n, p in zip(image.shape[1:], patch, strict=True))
    weights = blend(patch).to(device)
    first, *inside = (slice(b, b + n) for b, n in zip(before, size, strict=True))
    count, done = len(tops) * prod(map(len, corners)), 0
    scores, weight = torch.empty(0), torch.zeros((patch[0], *image.shape[2:]), device=device)
    for top, after in zip(tops, [*tops[1:], image.shape[1]], strict=True):
        layer = image[:, top : top + patch[0]]
        for chosen in _batches(list(product(*corners)), batch):
            boxes = [(slice(None), slice(r, r + patch[1]), slice(c, c + patch[2])) for r, c in chosen]
            with torch.inference_mode():
                tiles = predict(torch.stack([layer[:, *box] for box in boxes]).to(device)).float()
            if not scores.numel():
                scores = _zeros_like(tiles, weight.shape)
            for box, tile in zip(boxes, tiles, strict=True):
                scores[:, *box].addcmul_(tile, weights)
                weight[box] += weights
            done += len(chosen)
            progress(done / count, f"tile {done} of {count}")
        for number in range(max(top, first.start), min(after, first.stop)):
            yield (scores[:, number - top] / weight[number - top])[:, *inside]
        _advance(scores, 1, after - top)
        _advance(weight, 0, after - top)


def labels(
    probabilities: Iterable[torch.Tensor], shape: Shape, onto: Shape, orders: Sequence[Order]
) -> Labels:
    """The most probable class of each voxel, after the probabilities are resized to another grid.

    Both grids cover the same box, from the outer face of the first voxel to that of the last. Only two
    slices of probabilities, and one of the result, are held at once.

    Args:
        probabilities: of each slice, as `slices` yields them; they sum to one over the classes.
        shape: of the grid of the probabilities.
        onto: shape of the label map.
        orders: of interpolation along each axis.
    """
    found = np.zeros(onto, dtype=np.uint8)
    low, high, fraction = _neighbours(shape[0], onto[0], orders[0])
    target, below = 0, torch.empty(0)
    for number, plane in enumerate(probabilities):
        while target < onto[0] and high[target] <= number:
            lower = below if low[target] < number else plane
            scores = torch.lerp(lower, plane, float(fraction[target]))
            found[target] = _winners(scores, (onto[1], onto[2]), orders[1:])
            target += 1
        below = plane
    return found


def _bell(size: int, middle: float) -> torch.Tensor:
    distance = torch.arange(size, dtype=torch.float32) - middle
    return torch.exp(-0.5 * (distance / (size * _SIGMA_PER_PATCH)) ** 2)


def _zeros_like(tiles: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Sums for a layer of tiles, in the memory layout of the tiles: adding is far slower across layouts."""
    last = tiles.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    return torch.empty((1, tiles.shape[1], *size), device=tiles.device, memory_format=layout).zero_()[0]


def _reflected(predict: Predict, dims: list[int]) -> Predict:
    return lambda tiles: predict(tiles.flip(dims)).flip(dims) if dims else predict(tiles)


def _padded(image: torch.Tensor, patch: Shape, before: Sequence[int]) -> torch.Tensor:
    widths = [(b, max(p - n, 0) - b) for n, p, b in zip(image.shape[1:], patch, before, strict=True)]
    return functional.pad(image, [width for pair in reversed(widths) for width in pair])


def _batches(places: list[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    return (places[first : first + size] for first in range(0, len(places), size))


def _advance(sums: torch.Tensor, dim: int, by: int) -> None:
    """Drop the first slices and make room for new ones at the end."""
    kept = sums.shape[dim] - by
    for number in range(kept):  # one by one, since source and target overlap
        sums.select(dim, number).copy_(sums.select(dim, number + by))
    sums.narrow(dim, kept, by).zero_()


def _neighbours(size: int, onto: int, order: Order) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each voxel of the new axis: the voxels around it, and how far it lies towards the second."""
    place = np.clip((np.arange(onto) + 0.5) * size / onto - 0.5, 0, size - 1)
    low = np.floor(place + 0.5 if order == 0 else place).astype(int)
    return low, np.minimum(low + 1, size - 1), np.zeros(onto) if order == 0 else place - low


def _winners(scores: torch.Tensor, size: tuple[int, int], orders: Sequence[Order]) -> Labels:
    contenders = (scores.amax((1, 2)) >= _HOPELESS / len(scores)).nonzero()[:, 0]
    kept = scores[contenders][None]
    if orders[0] == 0:
        kept = functional.interpolate(kept, (size[0], kept.shape[3]), mode="nearest-exact")
    if orders[1] == 0:
        kept = functional.interpolate(kept, (kept.shape[2], size[1]), mode="nearest-exact")
    if tuple(kept.shape[2:]) != size:
        kept = functional.interpolate(kept, size, mode="bilinear", align_corners=False)
    return contenders[kept[0].argmax(0)].to(torch.uint8).cpu().numpy()
