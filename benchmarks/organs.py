"""Dice and seconds of the bundled organs at risk on phantoms and on the labelled CTs.

python benchmarks/organs.py [--first 700000] [--count 20] [--data ../shared/data]

The phantoms have seeds that no training used. The labelled CTs were labelled by another model
(TotalSegmentator), not by people: what is printed for them is agreement, not truth; organs that the
labels do not show are printed in millilitres, and all of that is wrong or beyond the labels.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from algorithms.chest_ct.organ_rules import ORGANS, Organ
from algorithms.chest_ct.organs import OrganSegmenter
from algorithms.phantoms import chest_ct
from algorithms.protocol import BoolMask, Volume, silent
from algorithms.weights import BUNDLED, Store

LABELS = {Organ.HEART: 51, Organ.AORTA: 52, Organ.ESOPHAGUS: 15, Organ.SPINAL_CORD: 79}
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def score(
    segmenter: OrganSegmenter, name: str, image: Volume, truth: Mapping[Organ, BoolMask]
) -> list[float]:
    """Segment once and print a line; the Dice of each organ, nan where the truth does not show it."""
    start = time.perf_counter()
    found = segmenter.find(image, silent)
    seconds = time.perf_counter() - start
    masks = {organ.organ: organ for organ in found.organs}
    dices, parts = [], []
    for organ in ORGANS:
        mask = np.zeros(image.voxels.shape, dtype=np.bool_)
        if organ in masks:
            box = zip(masks[organ].origin, masks[organ].mask.shape, strict=True)
            mask[tuple(slice(o, o + n) for o, n in box)] = masks[organ].mask
        both = np.count_nonzero(mask) + np.count_nonzero(truth[organ])
        dices.append(2 * np.count_nonzero(mask & truth[organ]) / both if truth[organ].any() else np.nan)
        ml = np.count_nonzero(mask) * image.voxel_volume_ml
        parts.append(f"{organ} {dices[-1]:.3f}" if truth[organ].any() else f"{organ} - ({ml:.0f} ml found)")
    print(f"{name:24s} {seconds:5.1f} s  {'  '.join(parts)}")
    for organ in found.organs:
        if organ.review:
            print(f"{'':24s} review {organ.organ}: {organ.review}")
    for organ, reason in found.left_out.items():
        print(f"{'':24s} left out {organ}: {reason}")
    return dices


def labelled_nifti(folder: Path) -> tuple[Volume, dict[Organ, BoolMask]]:
    """Lung bases to hips, 3 mm."""
    image = nibabel.load(folder / "example_ct.nii.gz")
    labels = np.asarray(nibabel.load(folder / "example_seg_fast_force_split.nii.gz").dataobj)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    uids = tuple(f"2.25.{index + 1}" for index in range(len(voxels)))
    truth = {organ: labels == number for organ, number in LABELS.items()}
    return Volume(voxels, TO_LPS @ image.affine, "HU", "CT", uids), truth


def labelled_dicom(folder: Path) -> tuple[Volume, dict[Organ, BoolMask]]:
    """Twenty slices of the upper abdomen; the label file's axes are left, front, head."""
    files = [pydicom.dcmread(path, force=True) for path in sorted((folder / "example_ct_dicom").glob("CT.*"))]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    spacing = float(files[1].ImagePositionPatient[2]) - float(files[0].ImagePositionPatient[2])
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing, *(float(s) for s in files[0].PixelSpacing)
    affine[:3, 3], affine[3, 3] = [float(p) for p in files[0].ImagePositionPatient], 1.0
    voxels = np.stack([f.pixel_array * float(f.RescaleSlope) + float(f.RescaleIntercept) for f in files])
    labels = np.asarray(nibabel.load(folder / "nifti" / "example_seg_dicom.nii.gz").dataobj)
    labels = labels.transpose(2, 1, 0)[:, ::-1]
    uids = tuple(f"2.25.{index + 1}" for index in range(len(voxels)))
    truth = {organ: labels == number for organ, number in LABELS.items()}
    return Volume(voxels.astype(np.float32), affine, "HU", "CT", uids), truth


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=700_000)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    segmenter = OrganSegmenter(Store((BUNDLED,)).get("thoracic-organs-bundled"), "cpu")
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.count):
        phantom = chest_ct(seed)
        truth = {organ: phantom.truth[organ] for organ in ORGANS}
        rows.append(score(segmenter, f"phantom {seed}", phantom.volume, truth))
    for organ, dices in zip(ORGANS, np.transpose(rows) if rows else [], strict=False):
        print(f"{organ}: mean {dices.mean():.3f}, least {dices.min():.3f}, n = {len(dices)}")
    labelled = arguments.data / "ct-labelled-totalsegmentator"
    if labelled.is_dir():
        score(segmenter, "labelled CT, 3 mm", *labelled_nifti(labelled / "nifti"))
        score(segmenter, "labelled CT, 20 slices", *labelled_dicom(labelled))


if __name__ == "__main__":
    main()
