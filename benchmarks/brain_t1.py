"""How well `brain-t1` agrees with the labels of heads that it did not learn from, how steady it is, how fast.

python -m benchmarks.brain_t1 folds --out FOLDER [--steps 2500]   leave one subject out: trains six networks
python -m benchmarks.brain_t1 steady --out FOLDER                 the same networks on changed images
python -m benchmarks.brain_t1 speed                               against the plain network, in one run

The labels are those of another model (DLMUSE), not of a person.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from algorithms.cerebrum import MUSE, whole_volume
from algorithms.cerebrum.brain_t1 import BrainT1
from algorithms.cerebrum.network import Architecture, CerebrumNetwork
from algorithms.cerebrum.randomisation import LabelledHead
from algorithms.cerebrum.structures import STRUCTURES
from algorithms.cerebrum.training import Recipe, save, train
from algorithms.perturbations import noisy, resampled
from algorithms.protocol import Volume, silent
from algorithms.spatial import Affine, Labels, resample, rotation
from algorithms.weights import Store
from node.commands.training_brain import labelled, numbers_of

NAMES = tuple(STRUCTURES)
SHAPE = (192, 256, 176)

Case = tuple[Path, Volume, Labels]


def cases(data: Path) -> list[Case]:
    """The labelled heads."""
    folder = data / "mr-t1-brain-labelled"
    return list(labelled(folder / "t1", folder / "dlmuse_seg", numbers_of(MUSE), NAMES))


def folds(data: Path, out: Path, steps: int, only: Sequence[int]) -> None:
    """Train on all heads but one, six times; print the Dice coefficients of the one left out."""
    every = cases(data)
    heads = [LabelledHead.of(image, labels, NAMES) for _, image, labels in every]
    for number in only:
        others = [head for other, head in enumerate(heads) if other != number]
        recipe = Recipe.sized(NAMES, 16, steps, 6e-3, 0)
        folder = out / f"without-{number + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        network = train(others, recipe, folder / "state", lambda _step, _loss: None)
        save(folder, "brain", network, recipe, {})
    rows = [dice(segmented(fold(out, n), every[n][1]), every[n][2]) for n in only]
    table("left out", rows)


def steady(data: Path, out: Path, only: Sequence[int]) -> None:
    """Print by how much the Dice coefficient falls on changed images, with the network of the fold."""
    every = cases(data)
    plain = [dice(segmented(fold(out, n), every[n][1]), every[n][2]) for n in only]
    for name, change in CHANGES.items():
        changed = []
        for n in only:
            _, original, labels = every[n]
            image, labels = change(original, labels)
            found = segmented(fold(out, n), image)
            if found.shape != labels.shape:  # compared where the labels were drawn
                found = moved_onto(found, image.affine_mm, labels.shape, original.affine_mm)
            changed.append(dice(found, labels))
        fall = np.mean(plain, axis=0) - np.mean(changed, axis=0)
        print(f"{name:40s} mean fall {fall.mean():+.3f}, worst structure {fall.max():+.3f}")


def fold(out: Path, number: int) -> BrainT1:
    """The algorithm with the network that never saw a head."""
    return BrainT1.from_checkpoint(Store((out / f"without-{number + 1}",)).get("brain"), "cpu", mirrors=True)


def segmented(algorithm: BrainT1, image: Volume) -> Labels:
    """The structures as labels on the image's grid."""
    labels = np.zeros(image.voxels.shape, dtype=np.uint8)
    for segment in algorithm.run(image, silent).segments:
        labels[segment.box][segment.mask] = NAMES.index(segment.label) + 1
    return labels


def dice(found: Labels, truth: Labels) -> list[float]:
    """Of each structure."""
    values = []
    for number in range(1, len(NAMES) + 1):
        one, other = found == number, truth == number
        values.append(2 * np.count_nonzero(one & other) / max(1, one.sum() + other.sum()))
    return values


def table(title: str, rows: Sequence[Sequence[float]]) -> None:
    """Print mean and least of each structure."""
    print(f"{title}, n = {len(rows)}")
    for name, values in zip(NAMES, np.transpose(rows), strict=True):
        print(f"  {name:20s} {values.mean():.3f} (least {values.min():.3f})")


def turned(image: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """Head and labels turned by 10 degrees about each axis in turn, on the same grid."""
    affine = np.eye(4)
    middle = (image.affine_mm @ [*(np.array(image.voxels.shape) / 2), 1.0])[:3]
    affine[:3, :3] = rotation(np.radians([10.0, 0.0, 0.0])) @ rotation(np.radians([0.0, 0.0, 10.0]))
    affine[:3, 3] = middle - affine[:3, :3] @ middle
    moved = affine @ image.affine_mm
    a, b, c = image.voxels.shape
    voxels = resample(image.voxels, moved, (a, b, c), image.affine_mm, order=1, outside=0.0)
    return replace(image, voxels=voxels), moved_onto(labels, moved, labels.shape, image.affine_mm)


def moved_onto(labels: Labels, affine_mm: Affine, shape: tuple[int, ...], onto_affine_mm: Affine) -> Labels:
    """Labels on another grid: the structure with the largest share of a voxel has it.

    The nearest label would be wrong by up to half a voxel: at 2 mm and 10 degrees the two ways agree to a
    mean Dice of 0.95 only, which is more than what is measured here.
    """
    a, b, c = shape
    most, winner = np.zeros((a, b, c), dtype=np.float32), np.zeros((a, b, c), dtype=np.uint8)
    for number in range(len(NAMES) + 1):
        inside = (labels == number).astype(np.float32)
        share = resample(inside, affine_mm, (a, b, c), onto_affine_mm, order=1, outside=float(number == 0))
        winner[share > most] = number
        most = np.maximum(most, share)
    return winner


def biased(image: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """A smooth field of 20 % across the head."""
    a, b, c = (np.linspace(-1, 1, n) for n in image.voxels.shape)
    field = 1 + 0.2 * (0.5 * a[:, None, None] + 0.3 * b[:, None] - 0.4 * c)
    return replace(image, voxels=(image.voxels * field).astype(np.float32)), labels


def snr20(image: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """Noise of a twentieth of the white matter."""
    white = float(np.median(image.voxels[labels == NAMES.index("White matter") + 1]))
    return noisy(image, white / 20, 1), labels


def spaced(mm: float) -> Callable[[Volume, Labels], tuple[Volume, Labels]]:
    """To cubes of so many millimetres; the labels stay where they were drawn."""

    def change(image: Volume, labels: Labels) -> tuple[Volume, Labels]:
        return resampled(image, (mm, mm, mm)), labels

    return change


def flipped(image: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """Columns stored from the other side; the patient is the same."""
    affine = image.affine_mm.copy()
    affine[:3, 3] += affine[:3, 2] * (image.voxels.shape[2] - 1)
    affine[:3, 2] *= -1
    turned_voxels = np.ascontiguousarray(image.voxels[..., ::-1])
    return replace(image, voxels=turned_voxels, affine_mm=affine), np.ascontiguousarray(labels[..., ::-1])


CHANGES: Mapping[str, Callable[[Volume, Labels], tuple[Volume, Labels]]] = {
    "turned by 10 degrees about two axes": turned,
    "bias field of 20 %": biased,
    "noise, SNR 20": snr20,
    "cubes of 1 mm": spaced(1.0),
    "cubes of 1.5 mm": spaced(1.5),
    "columns stored the other way": flipped,
}


def speed(out: Path) -> None:
    """Seconds and peak memory of the plain network and of ours, each in a process of its own."""
    found = {}
    for way in ("plain", "ours"):
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.brain_t1", "once", "--way", way, "--out", str(out)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, memory = map(float, said.stdout.split())
        found[way] = (seconds, memory)
        labels = np.load(out / f"{way}.npy")
        same = np.mean(labels == np.load(out / "plain.npy"))
        ratio = [value / plain for value, plain in zip(found[way], found["plain"], strict=True)]
        print(
            f"{way:20s} {seconds:5.1f} s ({ratio[0]:.2f}), {memory:4.1f} GiB ({ratio[1]:.2f}), "
            f"same label on {same:.5f}"
        )


def once(way: str, out: Path) -> None:
    """One run of one way, width 24, a synthetic head; prints seconds and the memory that it added."""
    torch.manual_seed(0)
    network = CerebrumNetwork(Architecture(24, 7)).eval()
    index = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    head = (np.linalg.norm(index, axis=0) < 0.8) * (1 + 0.3 * np.sin(9 * index).sum(axis=0))
    grain = np.random.default_rng(0).standard_normal(SHAPE)
    voxels = (head + 0.2 * ndimage.gaussian_filter(grain, 1)).astype(np.float32)
    voxels = (voxels - voxels.mean()) / voxels.std()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if way == "plain":
        with torch.inference_mode():
            labels = network(torch.from_numpy(voxels)[None, None])[0].argmax(dim=0).numpy()
    else:
        network.to(memory_format=torch.channels_last_3d)
        labels = whole_volume.logits_of(network, voxels, torch.device("cpu"), silent).argmax(axis=0)
    seconds = time.perf_counter() - start
    np.save(out / f"{way}.npy", labels.astype(np.uint8))
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(seconds, added / 2**20)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("folds", "steady", "speed", "once"))
    parser.add_argument("--out", type=Path, required=True, help="where networks and labels are kept")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--only", type=int, nargs="*", default=range(6), help="heads, from 0")
    parser.add_argument("--way", default="ours")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.what == "folds":
        folds(asked.data, asked.out, asked.steps, asked.only)
    elif asked.what == "steady":
        steady(asked.data, asked.out, asked.only)
    elif asked.what == "speed":
        speed(asked.out)
    else:
        once(asked.way, asked.out)


if __name__ == "__main__":
    main()
