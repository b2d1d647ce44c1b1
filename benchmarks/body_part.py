"""Body part regression on held-out phantoms and on the shared real CTs: order, levels, coverage, seconds.

python benchmarks/body_part.py [--weights FOLDER] [--phantoms 6] [--data ../shared/data] [--pictures FOLDER]
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from scipy.stats import spearmanr

from algorithms.body_part.coverage import judge
from algorithms.body_part.levels import landmark_slices, region_slices
from algorithms.body_part.options import WEIGHTS
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.body_part.scores import ScoreCurve
from algorithms.phantoms import torso
from algorithms.protocol import Volume, silent
from algorithms.weights import BUNDLED, Store
from node.inbound.volumes import read

FIRST_HELD_OUT_SEED = 1000
COLOURS = ("saddlebrown", "orange", "limegreen", "cyan", "magenta", "red")


def phantoms(count: int) -> Iterator[tuple[str, Volume, Mapping[str, float]]]:
    """Bodies whose seeds were in no training."""
    for seed in range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + count):
        body = torso(seed)
        uids = tuple(str(i) for i in range(len(body.hu)))
        yield f"phantom {seed}", Volume(body.hu, body.affine_mm, "HU", "CT", uids), body.levels_mm


def real_cts(data: Path) -> Iterator[tuple[str, Volume, Mapping[str, float]]]:
    """The shared CTs with a body in them; the heights are z of vertebrae from TotalSegmentator's labels."""
    yield "chest", read(sorted((data / "ct-thorax-lungdx/Lung_Dx-A0001/series3").glob("*.dcm")))[0], {}
    labelled = data / "ct-labelled-totalsegmentator/nifti"
    abdomen, affine_mm = nifti(labelled / "example_ct.nii.gz")
    labels, _ = nifti(labelled / "example_seg_fast_force_split.nii.gz")
    heights = {
        name: float((affine_mm @ [np.flatnonzero((labels == label).any((1, 2))).mean(), 0, 0, 1])[2])
        for name, label in {"L5": 27, "L4": 28, "L3": 29, "L2": 30, "L1": 31}.items()
    }
    uids = tuple(str(i) for i in range(len(abdomen)))
    yield "abdomen", Volume(abdomen, affine_mm, "HU", "CT", uids), heights
    yield "head, made regular", regular(data / "ct-head/ge-hispeed-tilted"), {}


def nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (slice, row, column) and their affine to LPS."""
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj).astype(np.float32).transpose(2, 1, 0)
    to_stored = np.eye(4)[[2, 1, 0, 3]]
    return np.ascontiguousarray(voxels), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine @ to_stored


def regular(folder: Path, spacing_mm: float = 4.2) -> Volume:
    """A series of uneven spacing, which the node refuses, interpolated between its slices."""
    images = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    z = np.array([float(image.ImagePositionPatient[2]) for image in images])
    hu = np.stack([image.pixel_array * image.RescaleSlope + image.RescaleIntercept for image in images])
    wanted = np.arange(z[0], z[-1], spacing_mm)
    low = np.clip(np.searchsorted(z, wanted, side="right") - 1, 0, len(z) - 2)
    share = ((wanted - z[low]) / (z[low + 1] - z[low]))[:, None, None]
    voxels = (hu[low] * (1 - share) + hu[low + 1] * share).astype(np.float32)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = spacing_mm, *map(float, images[0].PixelSpacing), 1.0
    affine[:3, 3] = *images[0].ImagePositionPatient[:2], z[0]
    return Volume(voxels, affine, "HU", "CT", tuple(str(i) for i in range(len(wanted))))


def report(
    name: str, volume: Volume, heights_mm: Mapping[str, float], regressor: BodyPartRegressor
) -> ScoreCurve:
    """Score once and print a line."""
    start = time.perf_counter()
    raw = regressor.scores(volume, silent)
    seconds = time.perf_counter() - start
    curve = regressor.curve(volume, silent)
    slices = np.arange(len(raw)) * volume.affine_mm[2, 0]
    order = spearmanr(raw, slices, nan_policy="omit").statistic
    verdict = judge(volume, curve, regressor.reference)
    found = landmark_slices(curve, regressor.reference)
    upwards = sorted(volume.affine_mm[2, 3] + slices)
    errors = [abs(upwards[found[each]] - z) for each, z in heights_mm.items() if each in found]
    level = (
        f"{np.mean(errors):5.1f} mm over {len(errors)}/{len(heights_mm)}" if errors else "   no level known"
    )
    print(
        f"{name:20s} {len(raw):4d} slices {seconds:5.2f} s  Spearman {order:.4f}  slope ratio "
        f"{curve.slope_ratio:.2f}  {level}  {verdict.tag}: {verdict.sentence}"
    )
    return curve


def picture(path: Path, volume: Volume, curve: ScoreCurve, regressor: BodyPartRegressor) -> None:
    """A coronal slice with the landmarks as lines and the regions as bars."""
    from matplotlib.figure import Figure

    upwards = volume.voxels if volume.affine_mm[2, 0] > 0 else volume.voxels[::-1]
    figure = Figure(figsize=(8, 8))
    axes = figure.subplots()
    spacing, _, column = volume.spacing_mm
    middle = upwards[:, upwards.shape[1] // 2]
    axes.imshow(middle, cmap="gray", vmin=-900, vmax=500, origin="lower", aspect=spacing / column)
    for name, index in landmark_slices(curve, regressor.reference).items():
        axes.axhline(index, color="yellow", linewidth=0.5)
        axes.text(0, index, name, color="yellow", fontsize=6)
    shown = region_slices(curve, regressor.reference)
    for bar, (name, mask) in enumerate(shown.items()):
        at = middle.shape[1] * (0.97 - 0.03 * bar)
        axes.plot(np.full(mask.sum(), at), np.flatnonzero(mask), "s", color=COLOURS[bar], label=name)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=BUNDLED)
    parser.add_argument("--phantoms", type=int, default=6)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    regressor = BodyPartRegressor(Store((chosen.weights,)).get(WEIGHTS["bundled"]), "cpu")
    for name, volume, heights_mm in (*phantoms(chosen.phantoms), *real_cts(chosen.data)):
        curve = report(name, volume, heights_mm, regressor)
        if chosen.pictures:
            picture(chosen.pictures / f"{name}.png", volume, curve, regressor)


if __name__ == "__main__":
    main()
