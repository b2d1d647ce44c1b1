"""Whole-body segmentation by CT-FM's network against plain MONAI: seconds, peak memory, and the same labels.

Random weights in the published shapes: the time does not depend on them, and every class wins somewhere.

python -m benchmarks.ct_fm tiles [--rounds 5]      one tile each way in turn: ratios on a busy machine
python -m benchmarks.ct_fm volume [NIFTI]          the whole way, read to labels, a process for each way
python -m benchmarks.ct_fm memory                  512 x 512 x 600 with a network of 8 filters and 118 classes

Plain is what the authors publish, in MONAI's words: Orientation, Spacing, ScaleIntensityRange,
CropForeground, SlidingWindowInferer over SegResNetDS, argmax, Invert; one tile at a time and without the
softmax, which changes no label, since the documented batch of two and the softmax do not fit in 12 GiB.
Both start with warm networks: what is compared is the time of a volume. `tiles` counts the CPU time too.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import torch

from algorithms.ct_fm import openvino_trunk
from algorithms.ct_fm.network import HU_RANGE, Architecture
from algorithms.ct_fm.network_grid import NetworkGrid
from algorithms.ct_fm.segmenter import OVERLAP, PATCH, Segmenter, on_torch
from algorithms.ct_fm.whole_body import SPACING_MM
from algorithms.protocol import Volume, silent
from algorithms.sliding_window import Predict
from algorithms.spatial import Shape

if TYPE_CHECKING:
    from monai.networks.nets.segresnet_ds import SegResNetDS

PUBLISHED = Architecture(out_channels=118, dsdepth=4)
LABELLED = Path("../shared/data/ct-labelled-totalsegmentator/nifti/example_ct.nii.gz")
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = (("L", "R"), ("P", "A"), ("I", "S"))

Answer = tuple[dict[str, float], float, float]
"""Seconds by stage, seconds of CPU time, and the peak of the process's memory in GB."""


def network(architecture: Architecture) -> "SegResNetDS":
    """Seeded, batch norm with the statistics of one pass."""
    torch.manual_seed(1)
    built = architecture.segmenter().train()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        built(torch.rand(1, 1, 64, 64, 64))
    return built.eval()


def peak_gb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def tiles(rounds: int) -> None:
    """Plain network and blending, and each of our ways, in turn."""
    built = network(PUBLISHED)
    tile = torch.rand(1, 1, *PATCH)
    weights = torch.rand(1, 1, *PATCH)
    last, sums = torch.channels_last_3d, torch.zeros(1, 118, *PATCH)
    features = torch.empty(1, 32, *PATCH, memory_format=last).zero_()
    openvino, in_torch = openvino_trunk.compiled(built, PATCH), on_torch(network(PUBLISHED), "cpu")

    def plain() -> None:
        scores = built(tile)
        scores *= weights
        sums.add_(scores)

    def half() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            features.addcmul_(in_torch(tile).float(), weights)

    ways: dict[str, Callable[[], object]] = {
        "plain MONAI": plain,
        "torch, channels last, head later": lambda: features.addcmul_(in_torch(tile), weights),
        "the same in bfloat16": half,
        "OpenVINO, head later": lambda: features.addcmul_(openvino(tile), weights),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, way in ways.items():
                start, used = time.perf_counter(), time.process_time()
                way()
                if number:  # the first warms up
                    times[name].append((time.perf_counter() - start, time.process_time() - used))
        agreement(built, in_torch, openvino, tile)
    usual = [statistics.median(column) for column in zip(*times["plain MONAI"], strict=True)]
    for name, seconds in times.items():
        wall, used = (statistics.median(column) for column in zip(*seconds, strict=True))
        ratios = f"x {usual[0] / wall:.2f}, of CPU time x {usual[1] / used:.2f}"
        print(f"{name:34s} {wall:6.2f} s, CPU {used:6.2f} s: {ratios}")


def agreement(built: "SegResNetDS", in_torch: Predict, openvino: Predict, tile: torch.Tensor) -> None:
    """Voxels of a tile with the same label as plain MONAI gives."""
    head = built.up_layers[-1]["head"]
    plain = built(tile).argmax(1)
    print(f"{len(plain.unique())} of 118 classes win somewhere")
    with torch.autocast("cpu", torch.bfloat16):
        half = in_torch(tile).float()
    for name, found in (("torch", in_torch(tile)), ("OpenVINO", openvino(tile)), ("bfloat16", half)):
        print(f"{name}: {(head(found).argmax(1) == plain).float().mean():.6f} of voxels as plain MONAI")


def read(path: Path) -> Volume:
    """A NIfTI image in Hounsfield units."""
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    uids = tuple(f"2.25.{number + 1}" for number in range(len(voxels)))
    return Volume(voxels, TO_LPS @ image.affine, "HU", "CT", uids)


def plain_way(path: Path, folder: Path) -> Answer:
    """MONAI's transforms and inferer; keeps the input and the labels of the network's grid."""
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    built = network(PUBLISHED)
    inferer = SlidingWindowInferer(PATCH, sw_batch_size=1, overlap=OVERLAP, mode="gaussian")
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="SPL", labels=AXES),
            Spacingd("image", pixdim=SPACING_MM, mode="bilinear"),
            ScaleIntensityRanged("image", *HU_RANGE, 0.0, 1.0, clip=True),
            CropForegroundd("image", source_key="image", margin=10, allow_smaller=True),
        ]
    )
    back = Invertd("labels", before, "image", nearest_interp=True, to_tensor=True)
    seconds, used = {}, time.process_time()
    with torch.inference_mode():
        start = time.perf_counter()
        sample = before({"image": path})
        seconds["read and resample"] = time.perf_counter() - start
        start = time.perf_counter()
        sample["labels"] = inferer(sample["image"][None], built)[0].argmax(0, keepdim=True)
        seconds["network and labels"] = time.perf_counter() - start
        np.save(folder / "input.npy", sample["image"][0].numpy())
        np.save(folder / "plain.npy", sample["labels"][0].numpy().astype(np.uint8))
        start = time.perf_counter()
        back(sample)
        seconds["back"] = time.perf_counter() - start
    return seconds, time.process_time() - used, peak_gb()


def our_way(path: Path, folder: Path) -> Answer:
    """The algorithm, and then its labels on the input that plain MONAI had."""
    segmenter = Segmenter.from_network(network(PUBLISHED), "cpu")
    seconds, used = {}, time.process_time()
    start = time.perf_counter()
    grid = NetworkGrid.of(read(path), SPACING_MM)
    seconds["read and resample"] = time.perf_counter() - start
    start = time.perf_counter()
    labels = segmenter.labels(grid.scaled, silent)
    seconds["network and labels"] = time.perf_counter() - start
    start = time.perf_counter()
    grid.to_source(labels)
    seconds["back"] = time.perf_counter() - start
    used, peak = time.process_time() - used, peak_gb()
    same = segmenter.labels(np.load(folder / "input.npy"), silent) == np.load(folder / "plain.npy")
    print(f"same label as plain MONAI on {same.mean():.6f} of {same.size} voxels")
    return seconds, used, peak


def volume(path: Path) -> None:
    """Both ways, one after the other."""
    totals = []
    for_each = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    with TemporaryDirectory() as folder, for_each as pool:
        for name, way in (("plain MONAI", plain_way), ("ours", our_way)):
            seconds, used, peak = pool.apply(way, (path, Path(folder)))
            totals.append((sum(seconds.values()), used))
            stages = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())
            print(f"{name:12s} {totals[-1][0]:7.1f} s ({stages}), CPU {used:.0f} s, peak {peak:.1f} GB")
    (plain, plain_used), (ours, ours_used) = totals
    print(f"ratio {plain / ours:.2f}, of CPU time {plain_used / ours_used:.2f}")


def memory(shape: Shape = (600, 512, 512)) -> None:
    """Peak memory of all but the published network's own activations: measured, tile predictions stubbed."""
    image = Volume(np.empty(shape, np.float32), np.eye(4), "HU", "CT", tuple(map(str, range(shape[0]))))
    image.affine_mm[:3, :3] = [[0, 0, 0.8], [0, 0.8, 0], [1.0, 0, 0]]
    image.voxels[:] = np.random.default_rng(1).normal(0, 300, shape[1:]).astype(np.float32)
    head = network(Architecture(32, (1, 1), 118, 1)).up_layers[-1]["head"]
    maps = torch.randn(1, 32, *PATCH).contiguous(memory_format=torch.channels_last_3d)
    stub = Segmenter(lambda _: maps, head.weight.detach()[:, :, 0, 0, 0], head.bias.detach(), PATCH, "cpu")
    print(f"image read {peak_gb():.1f} GB")
    start = time.perf_counter()
    grid = NetworkGrid.of(image, SPACING_MM)
    print(f"resampled to {grid.scaled.shape} {peak_gb():.1f} GB, {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    labels = stub.labels(grid.scaled, silent)
    print(f"blended, labelled {peak_gb():.1f} GB, {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    grid.to_source(labels)
    print(f"on the source grid {peak_gb():.1f} GB, {time.perf_counter() - start:.1f} s")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("tiles", "volume", "memory"))
    parser.add_argument("nifti", nargs="?", type=Path, default=LABELLED)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.what == "tiles":
        tiles(arguments.rounds)
    elif arguments.what == "volume":
        volume(arguments.nifti)
    else:
        memory()


if __name__ == "__main__":
    main()
