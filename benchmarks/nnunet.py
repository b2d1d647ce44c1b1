"""CPU seconds of the published 3d_fullres network on a CT: few windows are run, the volume is extrapolated.

One thread, one fold, no test-time augmentation, random weights (the time does not depend on them). CPU
time is counted, so that neighbours on the machine disturb less; on a free core it is the wall time.

python benchmarks/nnunet.py FOLDER [--windows 2]
"""

import argparse
import time
from collections.abc import Callable
from math import prod
from pathlib import Path

import torch

from algorithms import sliding_window
from algorithms.adapters.nnunet import coarse_axis, resized
from algorithms.adapters.nnunet_network import UNet
from algorithms.spatial import Shape
from node.inbound import volumes
from node.jobs.series import study_of

SPACING_MM, PATCH = (2.5, 0.97656202, 0.97656202), (64, 192, 160)
POOLING = [(1, 2, 2), *[(2, 2, 2)] * 4]
KERNELS = [(1, 3, 3), *[(3, 3, 3)] * 5]


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def per_window(layout: torch.memory_format, windows: int) -> float:
    """The fastest of some windows through the network, after one that warms it up."""
    network = UNet(1, 5, 32, POOLING, KERNELS).eval()
    network.to(memory_format=layout)  # type: ignore[call-overload]
    tile = torch.randn(1, 1, *PATCH).contiguous(memory_format=layout)
    with torch.inference_mode():
        return min([seconds(lambda: network(tile).softmax(1)) for _ in range(windows + 1)][1:])


def blending(shape: Shape, onto: Shape) -> float:
    """Everything of the sliding window but the network: tiles, Gaussian, labels on the source grid."""
    answer = torch.randn(1, 5, *PATCH).softmax(1)

    def run() -> object:
        probabilities = sliding_window.slices(torch.zeros(1, *shape), lambda _: answer, patch=PATCH)
        return sliding_window.labels(probabilities, shape, onto, (1, 1, 1))

    return seconds(run)


def main() -> None:
    """Measure and extrapolate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--windows", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(arguments.folder.rglob("*.dcm"))
    series = max(study_of(volumes.headers(files)).series, key=lambda each: len(each.paths))
    image, _ = volumes.read(series.paths)
    spacing = image.spacing_mm
    first, second, third = (
        round(n * s / t) for n, s, t in zip(image.voxels.shape, spacing, SPACING_MM, strict=True)
    )
    shape = (first, second, third)
    axes = zip(shape, PATCH, strict=True)
    count = prod(len(sliding_window.positions(max(n, p), p, 0.5)) for n, p in axes)
    coarse = coarse_axis(spacing, SPACING_MM)
    print(f"image {image.voxels.shape}, {spacing} mm; network grid {shape}, {count} windows of {PATCH}")
    onto = image.voxels.shape
    around = seconds(lambda: resized(image.voxels, shape, order=3, nearest=coarse))
    print(f"cubic resampling {around:.1f} s")
    blend = blending(shape, (onto[0], onto[1], onto[2]))
    print(f"blending and labels on the source grid {blend:.1f} s")
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        one = per_window(layout, arguments.windows)
        print(
            f"{layout}: {one:.1f} s a window, {one * count + around + blend:.0f} s the volume (extrapolated)"
        )


if __name__ == "__main__":
    main()
