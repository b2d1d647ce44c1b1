"""Dice and seconds of `chest-ct-annotation` on phantoms and on the labelled and real scans.

python benchmarks/chest_ct.py [--seeds 0 1 2] [--data ../shared/data]
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np

from algorithms import CATALOGUE
from algorithms.phantoms import chest_ct
from algorithms.protocol import Algorithm, BoolMask, Volume, silent
from algorithms.weights import BUNDLED, Store


def dice(a: BoolMask, b: BoolMask) -> float:
    """Overlap of two masks, 0 to 1."""
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def report(algorithm: Algorithm, name: str, image: Volume, truth: Mapping[str, BoolMask]) -> None:
    """Run the algorithm once and print a line."""
    start = time.perf_counter()
    findings = algorithm.run(image, silent)
    seconds = time.perf_counter() - start
    found = {segment.label: segment.on_grid(image.voxels.shape) for segment in findings.segments}
    nothing = np.zeros(image.voxels.shape, dtype=np.bool_)
    scores = "  ".join(
        f"{label} {dice(found.get(label, nothing), mask):.4f}" if mask.any() else f"{label} not in the labels"
        for label, mask in truth.items()
    )
    print(f"{name:28s} {seconds:5.2f} s  {scores}")


def lung_bases(folder: Path) -> tuple[Volume, dict[str, BoolMask]]:
    """The labelled CT of TotalSegmentator's tests: lung bases and the organs at risk in view."""
    image = nibabel.load(folder / "example_ct.nii.gz")
    labels = np.asarray(nibabel.load(folder / "example_seg_fast_force_split.nii.gz").dataobj)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    uids = tuple(f"2.25.{index + 1}" for index in range(len(voxels)))
    structures = {
        "Left lung": (10, 11),
        "Right lung": (12, 13, 14),
        "Heart": (51,),
        "Aorta": (52,),
        "Esophagus": (15,),
        "Spinal cord": (79,),
    }
    truth = {label: np.isin(labels, numbers) for label, numbers in structures.items()}
    return Volume(voxels, affine, "HU", "CT", uids), truth


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(6)))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    algorithm = CATALOGUE["chest-ct-annotation"].load({}, "cpu", Store((BUNDLED,)))
    for seed in arguments.seeds:
        start = time.perf_counter()
        phantom = chest_ct(seed)
        made = time.perf_counter() - start
        report(algorithm, f"phantom {seed} (made in {made:.1f} s)", phantom.volume, phantom.truth)
    labelled = arguments.data / "ct-labelled-totalsegmentator" / "nifti"
    if labelled.is_dir():
        report(algorithm, "TotalSegmentator lung bases", *lung_bases(labelled))


if __name__ == "__main__":
    main()
