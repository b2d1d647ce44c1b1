"""Seconds and peak memory of shape and first order, ours and pyradiomics', on the same label maps.

python benchmarks/radiomics.py [--pyradiomics PYTHON] [--structures 10 60]

PYTHON is the interpreter of another environment that has pyradiomics 3.0.1. It is called plainly (the
whole image, once a structure) and on images cropped to each structure. Each way is one process and one
run; images are loaded and libraries imported before the clock starts. In brackets: seconds of the
processor, and the ratios of those, which other load on the machine disturbs less.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPE = (300, 512, 512)
SPACING_MM = (1.25, 0.7, 0.7)
SMALL = 50


def label_map(structures: int) -> np.ndarray:
    """Ten organs of the sizes of a chest and upper abdomen; up to 50 small structures between them."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    organs = [  # centre and half axes in voxels (slice, row, column)
        ((175, 250, 130), (105, 120, 75)),
        ((175, 250, 385), (105, 120, 70)),
        ((150, 215, 258), (45, 65, 50)),
        ((50, 235, 160), (45, 95, 110)),
        ((50, 300, 390), (35, 45, 30)),
        ((40, 190, 370), (35, 50, 55)),
        ((35, 370, 160), (33, 30, 28)),
        ((35, 370, 350), (33, 30, 28)),
        ((150, 310, 262), (145, 14, 14)),
        ((230, 280, 256), (65, 12, 12)),
    ]
    for label, (centre, half_axes) in enumerate(organs, start=1):
        _put_ellipsoid(labels, centre, half_axes, label)
    rng = np.random.default_rng(0)
    label = len(organs)
    while label < min(structures, len(organs) + SMALL):
        half_axes = rng.integers(5, 16, 3)
        centre = [rng.integers(h + 1, n - h - 1) for h, n in zip(half_axes, SHAPE, strict=True)]
        label += _put_ellipsoid(labels, centre, half_axes, label + 1)
    return labels


def _put_ellipsoid(labels: np.ndarray, centre: object, half_axes: object, label: int) -> bool:
    """Where nothing is yet; says whether all of it found room."""
    grid = np.ogrid[tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half_axes, strict=True))]
    inside = sum(((g - c) / h) ** 2 for g, c, h in zip(grid, centre, half_axes, strict=True)) <= 1
    box = labels[tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half_axes, strict=True))]
    free = not box[inside].any()
    if free or label <= 10:
        box[inside & (box == 0)] = label
    return free


def boxes_of(labels: np.ndarray) -> np.ndarray:
    """Where each structure begins, and where the next voxel would be, axes (structure, low or high, axis)."""
    from scipy.ndimage import find_objects

    boxes = find_objects(labels)
    return np.array([[[part.start for part in box], [part.stop for part in box]] for box in boxes])


def ours(image: np.ndarray, labels: np.ndarray) -> Callable[[], int]:
    """The node's features, from the label map on."""
    from scipy.ndimage import find_objects

    from algorithms.protocol import Segment, Volume
    from algorithms.radiomics import measurement
    from algorithms.terminology import ANATOMICAL_STRUCTURE, LUNG

    uids = tuple(f"2.25.{index + 1}" for index in range(len(image)))
    volume = Volume(image.astype(np.float32), np.diag((*SPACING_MM, 1.0)), "HU", "CT", uids)

    def run() -> int:
        segments = [
            Segment(
                str(label),
                ANATOMICAL_STRUCTURE,
                LUNG,
                (0, 0, 0),
                labels[box] == label,
                tuple(part.start for part in box),
            )
            for label, box in enumerate(find_objects(labels), start=1)
        ]
        return len(measurement.measure(volume, segments, frozenset({"shape", "firstorder"})))

    return run


def pyradiomics(
    image: np.ndarray, labels: np.ndarray, boxes: np.ndarray, *, cropped: bool
) -> Callable[[], int]:
    """One call of pyradiomics for each structure; its box is given."""
    import radiomics
    import SimpleITK
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    radiomics.setVerbosity(60)
    extractor = RadiomicsFeatureExtractor(additionalInfo=False)
    extractor.disableAllFeatures()
    for name in ("shape", "firstorder"):
        extractor.enableFeatureClassByName(name)

    def itk(array: np.ndarray) -> object:
        converted = SimpleITK.GetImageFromArray(array)
        converted.SetSpacing(SPACING_MM[::-1])
        return converted

    def plain() -> int:
        itk_image, itk_labels = itk(image), itk(labels)
        return sum(
            len(extractor.execute(itk_image, itk_labels, label=label)) for label in range(1, labels.max() + 1)
        )

    def crops() -> int:
        total = 0
        for label, (low, high) in enumerate(boxes, start=1):
            box = tuple(map(slice, low, high))
            total += len(extractor.execute(itk(image[box]), itk(labels[box]), label=label))
        return total

    return crops if cropped else plain


def work(way: str, folder: Path) -> None:
    """Run one way in this process and print what it took as JSON."""
    image, labels, boxes = (np.load(folder / f"{name}.npy") for name in ("image", "labels", "boxes"))
    run = (
        ours(image, labels) if way == "ours" else pyradiomics(image, labels, boxes, cropped=way == "cropped")
    )
    start, cpu_start = time.perf_counter(), time.process_time()
    values = run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "cpu": cpu, "values": values, "peak_gb": peak_gb}))


def measured(python: str, way: str, folder: Path) -> np.ndarray:
    """Run one way in a process of its own, print a line, give the seconds: by the clock, of the processor."""
    # -P, or this file would be imported in place of pyradiomics, whose package has its name.
    command = [python, "-P", __file__, "--work", way, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    result = json.loads(answer)
    seconds = np.array([result["seconds"], result["cpu"]])
    took = "{:7.2f} s ({:.2f} s of the processor)".format(*seconds)
    print(f"  {way:8s}{took}  {result['peak_gb']:.2f} GB  {result['values']} values", flush=True)
    return seconds


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pyradiomics", help="interpreter of an environment with pyradiomics")
    parser.add_argument("--structures", type=int, nargs="*", default=[10, 60])
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work[0], Path(arguments.work[1]))
        return
    image = np.random.default_rng(0).normal(0, 150, SHAPE).astype(np.int16)
    seconds = {}
    for structures in arguments.structures:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            labels = label_map(structures)
            np.save(folder / "image.npy", image)
            np.save(folder / "labels.npy", labels)
            np.save(folder / "boxes.npy", boxes_of(labels))
            print(
                f"{structures} structures, {np.count_nonzero(labels) / 1e6:.1f} million voxels "
                f"of {labels.size / 1e6:.1f}"
            )
            seconds[structures] = measured(sys.executable, "ours", folder)
            if arguments.pyradiomics and structures == arguments.structures[0]:
                for way in ("cropped", "plain"):
                    ratio = measured(arguments.pyradiomics, way, folder) / seconds[structures]
                    print("  ours is {:.0f} ({:.0f}) times faster than ".format(*ratio) + way, flush=True)
    few, many = arguments.structures[0], arguments.structures[-1]
    ratio = seconds[many] / seconds[few]
    print("{} structures take {:.2f} ({:.2f}) times as long as {}".format(many, *ratio, few))


if __name__ == "__main__":
    main()
