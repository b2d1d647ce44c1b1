"""Heads made different for training: moved and bent, in another contrast, coil, resolution and noise.

Two ways, drawn at random. A scan keeps its own contrast, a little changed. Or nothing of its contrast is
kept: every structure, and every layer of the head around the brain, gets a mean and a spread at random, as
a T1 image might have them (domain randomisation; Billot et al., SynthSeg, arXiv:2107.09559).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from algorithms.cerebrum.head import head_box, on_grid
from algorithms.protocol import Volume, Voxels
from algorithms.spatial import Labels, Orientation, Shape, resample, rotation

SPACING_MM: Final = 2.0
"""What heads are learned from at."""

SHAPE: Final[Shape] = (88, 104, 88)
"""Voxels of a drawn head, to head, back and left: 176 x 208 x 176 mm."""

_TURN_DEGREES = 15.0
_SIZE = 0.12
_SHIFT = 6.0  # voxels
_BEND = 3.0  # voxels, one standard deviation
_BENDS: Final[Shape] = (5, 6, 5)  # points of the bending grid
_COIL = 0.3  # of the logarithm of the field, one standard deviation
_COILS: Final[Shape] = (3, 3, 3)
_NOISE = 0.06  # of the range of tissue, at most
_SYNTHETIC = 0.25  # share of heads
_BRIGHTER = 16  # added to the number of a structure where it is brighter than its median
_FIRST_AROUND = 32  # numbers of the layers around the brain
_AROUND = 6  # layers
_AIR = 0.08  # of the range; darker is air, or bone
_TWO_TISSUES: Final = ("Cerebellum", "Basal ganglia")
_ANYTHING = (0.02, 1.1)
_T1_MEANS: Final = {
    "Grey matter": (0.40, 0.70),
    "Basal ganglia": (0.50, 0.85),
    "White matter": (0.72, 1.00),
    "Ventricles": (0.05, 0.35),
    "Cerebellum": (0.45, 0.90),
    "Brainstem": (0.60, 0.95),
    "Cerebrospinal fluid": (0.05, 0.40),
}


@dataclass(frozen=True, eq=False)
class LabelledHead:
    """A head to learn from.

    Attributes:
        image: float32, axes to head, back and left, 0 to about 1.
        labels: uint8, same axes; the number of each voxel's structure.
        layers: uint8, same axes; what is painted in one brightness.
        means: lowest and highest mean brightness of each layer, by its number.
    """

    image: Voxels
    labels: Labels
    layers: Labels
    means: Mapping[int, tuple[float, float]]

    @classmethod
    def of(cls, image: Volume, labels: Labels, names: Sequence[str]) -> Self:
        """Make a head ready.

        Args:
            image: the MR.
            labels: on its grid; the first of the names has number 1.
            names: of the structures.

        Raises:
            Unsuitable: there is no head in the image.
        """
        orientation = Orientation.closest(image.affine_mm)
        a, b, c = image.voxels.shape
        affine = orientation.affine(image.affine_mm, (a, b, c))
        spaced, grid = on_grid(orientation.apply(image.voxels), affine, SPACING_MM)
        d, e, f = spaced.shape
        numbers = resample(orientation.apply(labels), affine, (d, e, f), grid, order=0, outside=0)
        box = head_box(spaced, SPACING_MM)
        head = spaced[box] / np.float32(np.percentile(spaced[box], 99.5))
        layers, means = _layers(head, numbers[box], names)
        return cls(head, numbers[box], layers, means)


def _layers(
    image: Voxels, labels: Labels, names: Sequence[str]
) -> tuple[Labels, Mapping[int, tuple[float, float]]]:
    """The structures, some in two parts, and the head around them in layers of about the same brightness."""
    layers, means = labels.copy(), {0: (0.0, _AIR)}
    for number, name in enumerate(names, start=1):
        means[number] = _T1_MEANS.get(name, _ANYTHING)
        inside = labels == number
        if name in _TWO_TISSUES and inside.any():
            layers[inside & (image > np.median(image[inside]))] = number + _BRIGHTER
            means[number + _BRIGHTER] = means[number]
    around = (labels == 0) & (image > _AIR)
    edges = np.quantile(image[around], np.linspace(0, 1, _AROUND + 1)[1:-1])
    layers[around] = _FIRST_AROUND + np.digitize(image[around], edges).astype(np.uint8)
    return layers, means | {_FIRST_AROUND + n: _ANYTHING for n in range(_AROUND)}


def draw(head: LabelledHead, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Another head that could as well have been scanned.

    Returns:
        Image float32 (1, 1, head, back, left), standardised, and classes int64 (1, head, back, left).
    """
    grid = _places(head.image.shape, rng)
    labels = _sampled(head.labels, grid, "nearest")
    if rng.random() < _SYNTHETIC:
        image = _painted(_sampled(head.layers, grid, "nearest"), head.means, rng)
    else:
        image = _sampled(head.image, grid, "bilinear").clamp(min=0) ** float(np.exp(rng.normal(0, 0.2)))
    image = _coarser(image, rng) * _field(_COILS, _COIL, rng).exp()
    image = image + float(rng.uniform(0, _NOISE)) * _normal(image.shape, rng)
    image = (image.abs() - image.mean()) / image.std()
    image = image * float(rng.uniform(0.85, 1.18)) + float(rng.uniform(-0.15, 0.15))
    return image, labels[:, 0].long()


def _places(shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    """Where in the head each voxel is taken from, as `grid_sample` wants it; every second one is mirrored."""
    sides = np.array(shape)[::-1].astype(float)
    turn = rotation(np.radians(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES, 3)))
    turn *= 1 + rng.uniform(-_SIZE, _SIZE, 3)
    turn[:, 0] *= rng.choice((-1, 1))
    theta = np.zeros((3, 4))
    theta[:, :3] = turn * np.array(SHAPE)[::-1] / sides[:, None]
    theta[:, 3] = rng.uniform(-_SHIFT, _SHIFT, 3) * 2 / sides
    grid = functional.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, *SHAPE], align_corners=False)
    bend = torch.cat([_field(_BENDS, _BEND * 2 / float(side), rng) for side in sides], dim=1)
    return grid + bend.permute(0, 2, 3, 4, 1)


def _sampled(array: npt.NDArray[Any], grid: torch.Tensor, mode: str) -> torch.Tensor:
    whole = torch.from_numpy(array.astype(np.float32))[None, None]
    return functional.grid_sample(whole, grid, mode=mode, padding_mode="zeros", align_corners=False)


def _painted(
    layers: torch.Tensor, means: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> torch.Tensor:
    """A mean and a spread for every layer, blurred as by partial volumes."""
    mean, spread = torch.zeros(256), torch.zeros(256)
    for number, (low, high) in means.items():
        mean[number], spread[number] = float(rng.uniform(low, high)), float(rng.uniform(0.01, 0.07))
    numbers = layers.long()
    image = mean[numbers] + spread[numbers] * _normal(layers.shape, rng)
    blurred = functional.avg_pool3d(image, 3, 1, 1, count_include_pad=False)
    return blurred.lerp(image, float(rng.uniform(0, 0.7)))


def _coarser(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """As if scanned with larger voxels along some axes."""
    if rng.random() < 0.5:
        return image
    sides = [int(side / rng.uniform(1.0, 1.7)) for side in image.shape[2:]]
    small = functional.interpolate(image, size=sides, mode="trilinear", align_corners=False)
    return functional.interpolate(small, size=image.shape[2:], mode="trilinear", align_corners=False)


def _field(points: Shape, deviation: float, rng: np.random.Generator) -> torch.Tensor:
    """Smooth and random (1, 1, head, back, left)."""
    coarse = float(abs(rng.normal(0, 1))) * deviation * _normal((1, 1, *points), rng)
    return functional.interpolate(coarse, size=SHAPE, mode="trilinear", align_corners=True)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
