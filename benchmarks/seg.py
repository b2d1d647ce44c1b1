"""SEG of many segments: highdicom called plainly beside this program's encoder and gate, in one run.

python -m benchmarks.seg [--segments 1 10 60 117] [--slices 300]
python -m benchmarks.seg --noise [--segments 117]

Each case is a process of its own. Memory is what the process held at most beyond what it was given: to
highdicom a label map, to the encoder masks in their boxes, of a CT of 512 x 512 pixels. With noise every
voxel of 122 x 101 x 112 has a label at random, as a network with random weights gives them: each segment
then spans all slices, and there are as many frames as segments times slices.
"""

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from algorithms.protocol import Findings, Segment, Volume
from node.outbound import gate, seg
from node.outbound.equipment import Provenance, encoded
from tests.synthetic_series import ANATOMY, LUNG, provenance, series

PIXELS = 512
NOISE_SHAPE = (122, 101, 112)


class Case(NamedTuple):
    """What is encoded."""

    labels: npt.NDArray[np.uint8]
    findings: Findings
    volume: Volume
    sources: list[Dataset]
    made_by: Provenance


class Stage(NamedTuple):
    """What a stage took."""

    seconds: float
    peak_mb: float


class Cost(NamedTuple):
    """What an object took; the second stage is the gate's."""

    frames: int
    file_mb: float
    stages: tuple[Stage, ...]


def measured(stage: Callable[[], object]) -> Stage:
    """Run a stage; its memory is looked at every 5 ms."""
    first, most, done = held(), [0.0], threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], held())

    watch = threading.Thread(target=look)
    watch.start()
    start = time.perf_counter()
    stage()
    seconds = time.perf_counter() - start
    done.set()
    watch.join()
    return Stage(seconds, most[0] - first)


def held() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def organs(count: int, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], tuple[Segment, ...]]:
    """Ellipsoids of 20 to 80 slices and 30 to 120 pixels across, the first on top: labels and segments."""
    random, size = np.random.default_rng(0), np.array(shape)
    labels = np.zeros(shape, dtype=np.uint8)
    made = []
    while len(made) < count:
        half = np.minimum(random.uniform([10, 15, 15], [40, 60, 60]), size / 2 - 1)
        centre = random.uniform(half, size - 1 - half)
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(centre - half, centre + half, strict=True))
        mask = sum(((g - c) / h) ** 2 for g, c, h in zip(np.ogrid[box], centre, half, strict=True)) <= 1
        mask &= labels[box] == 0
        if mask.any():
            number = len(made) + 1
            labels[box][mask] = number
            made.append(
                Segment(
                    f"segment {number}",
                    ANATOMY,
                    LUNG,
                    (number, 90, 200),
                    mask,
                    (box[0].start, box[1].start, box[2].start),
                )
            )
    return labels, tuple(made)


def noise(count: int, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], tuple[Segment, ...]]:
    """A label at random for every voxel: labels and segments."""
    labels = np.random.default_rng(0).integers(0, count, shape, dtype=np.uint8, endpoint=True)
    made = [
        Segment.from_mask(labels == n, label=f"segment {n}", category=ANATOMY, type=LUNG, rgb=(n, 90, 200))
        for n in range(1, count + 1)
    ]
    return labels, tuple(made)


def case(segments: int, slices: int | None) -> Case:
    """On a CT whose voxels nobody reads, so that they take no memory; noise where slices is None."""
    shape = (slices, PIXELS, PIXELS) if slices else NOISE_SHAPE
    volume, sources = series((shape[0], 1, 1), Rows=shape[1], Columns=shape[2])
    volume = replace(volume, voxels=np.broadcast_to(np.float32(0), shape))
    labels, found = organs(segments, shape) if slices else noise(segments, shape)
    return Case(labels, Findings(found), volume, sources, provenance(volume))


def plain_highdicom(made: Case) -> Cost:
    """With a label map, which is the quickest way that it has, and no option but the needed ones."""
    found = made.findings.segments
    written: list[tuple[int, float]] = []

    def encode() -> None:
        segmentation = Segmentation(
            source_images=made.sources,
            pixel_array=made.labels,
            segmentation_type="BINARY",
            segment_descriptions=[
                SegmentDescription(n, s.label, codes.SCT.AnatomicalStructure, codes.SCT.Lung, "MANUAL")
                for n, s in enumerate(found, start=1)
            ],
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="highdicom",
            manufacturer_model_name="plain",
            software_versions="1",
            device_serial_number="1",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        file = BytesIO()
        segmentation.save_as(file)
        written.append((int(segmentation.NumberOfFrames), file.getbuffer().nbytes / 1e6))

    stage = measured(encode)
    return Cost(*written[0], (stage,))


def ours(made: Case) -> Cost:
    """The encoder, then the gate."""
    _, findings, volume, sources, made_by = made
    items = []

    def encode() -> None:
        dataset = seg.encode(findings, volume, sources, made_by)
        items.append((int(dataset.NumberOfFrames), encoded("seg", dataset)))

    encoding = measured(encode)
    ((frames, item),) = items
    proof = measured(lambda: gate.prove([item], findings, volume, sources, made_by))
    return Cost(frames, len(item.content) / 1e6, (encoding, proof))


def cost(way: Callable[[Case], Cost], segments: int, slices: int | None) -> Cost:
    """What a way takes in a process of its own, after a first small object that loads what it needs."""
    way(case(1, 20))
    return way(case(segments, slices))


def main() -> None:
    """Print a line for each number of segments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, nargs="*", default=[1, 10, 60, 117])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--noise", action="store_true")
    arguments = parser.parse_args()
    slices = None if arguments.noise else arguments.slices
    print("segments frames file MB | highdicom s, MB | encoded s, MB | gate s, MB | times faster, with gate")
    for segments in arguments.segments:
        costs = []
        for way in (plain_highdicom, ours):
            with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
                costs.append(process.submit(cost, way, segments, slices).result())
        (theirs,), (encoding, proof) = costs[0].stages, costs[1].stages
        both = encoding.seconds + proof.seconds
        print(
            f"{segments:8d} {costs[1].frames:6d} {costs[1].file_mb:7.1f} |"
            f" {theirs.seconds:7.2f} {theirs.peak_mb:7.0f} |"
            f" {encoding.seconds:6.2f} {encoding.peak_mb:6.0f} | {proof.seconds:5.2f} {proof.peak_mb:5.0f} |"
            f" {theirs.seconds / encoding.seconds:5.1f} {theirs.seconds / both:5.1f}"
        )


if __name__ == "__main__":
    main()
