"""Images in, proved DICOM objects out: what the worker and `ainode run` have in common."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from algorithms.protocol import Algorithm, CatalogueEntry, Findings, Progress, Unsuitable, Volume
from algorithms.weights import Store, WeightsFaulty, WeightsMissing
from node.errors import Quarantined, ResourceInadequate, UnknownOption, UnsuitableImage
from node.inbound import volumes
from node.jobs.order import Order
from node.outbound import document, gate, seg, sr
from node.outbound.equipment import EncodedObject, Provenance, encoded


class Stopwatch:
    """Seconds spent in each named stage."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)


@dataclass(frozen=True)
class Produced:
    """What came out of one run: proved objects, and the findings as the JSON document of the contract."""

    volume: Volume
    findings: Findings
    objects: tuple[EncodedObject, ...]
    document: Mapping[str, object]

    def save(self, folder: Path) -> None:
        """Write the objects and `findings.json`, each whole and durable."""
        folder.mkdir(parents=True, exist_ok=True)
        for item in self.objects:
            write(folder / item.file, item.content)
        write(folder / "findings.json", (json.dumps(self.document, indent=1) + "\n").encode())


class Faulty(Quarantined):
    """The gate's verdict, with the objects that it stopped."""

    def __init__(self, verdict: Quarantined, objects: Sequence[EncodedObject]) -> None:
        super().__init__(str(verdict))
        self._objects = tuple(objects)

    def save(self, folder: Path) -> None:
        """Keep the objects, and why they were stopped, for a person to look at."""
        folder.mkdir(parents=True, exist_ok=True)
        for item in self._objects:
            write(folder / item.file, item.content)
        write(folder / "reason.txt", f"{self}\n".encode())


def produce(
    entry: CatalogueEntry,
    paths: Sequence[Path],
    provenance: Provenance,
    *,
    store: Store,
    device: str,
    progress: Progress,
    watch: Stopwatch,
) -> Produced:
    """Read a series, run an algorithm on it, encode what it found, and prove the objects.

    Raises:
        UnsuitableImage: the image is not what the algorithm is made for.
        IrregularGeometry: the slices form no regular volume.
        UnknownOption: the algorithm does not take these options.
        ResourceInadequate: weights are missing, or were changed.
        Faulty: the gate found a fault in an object.
        CancelRequested: `progress` was told to stop.
    """
    _order, options = _read_order(provenance)
    progress(0.0, "read")
    with watch.stage("read"):
        volume, sources = volumes.read(paths, _within(progress, 0.0, 0.1))
    with watch.stage("run"):
        try:
            findings = _load(entry, options, device, store).run(volume, _within(progress, 0.1, 0.8))
        except Unsuitable as verdict:
            raise UnsuitableImage(str(verdict)) from None
    progress(0.8, "encode")
    with watch.stage("encode"):
        objects = _encode(findings, volume, sources, provenance)
    progress(0.9, "gate")
    with watch.stage("gate"):
        try:
            gate.prove(objects, findings, volume, sources, provenance)
        except Quarantined as verdict:
            raise Faulty(verdict, objects) from None
    summary = document.of(findings, volume, sources, provenance, objects=objects, seconds=watch.seconds)
    return Produced(volume, findings, tuple(objects), summary)


def _within(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a part, as progress of the whole."""
    return lambda fraction, stage: progress(start + fraction * (end - start), stage)


def _read_order(provenance: Provenance) -> tuple[Order, dict[str, str]]:
    try:
        return Order.of(provenance.options)
    except ValueError as error:
        raise UnknownOption(str(error)) from None


def _load(entry: CatalogueEntry, options: dict[str, str], device: str, store: Store) -> Algorithm:
    try:
        return entry.load(options, device, store)
    except ValueError as error:
        raise UnknownOption(str(error)) from None
    except (WeightsMissing, WeightsFaulty) as error:
        raise ResourceInadequate(str(error)) from None


def provenance_of(
    entry: CatalogueEntry, options: Mapping[str, str], sop_instance_uids: Sequence[str], store: Store
) -> Provenance:
    """What a run will depend on, the digests of its weights included.

    Raises:
        ResourceInadequate: weights are missing, or their description cannot be read.
        UnknownOption: an order that cannot be filled.
    """
    try:
        _, own = Order.of(options)
        weights = tuple(store.get(name).weights for name in entry.needs(own))
    except ValueError as error:
        raise UnknownOption(str(error)) from None
    except (WeightsMissing, WeightsFaulty) as error:
        raise ResourceInadequate(str(error)) from None
    return Provenance(entry.name, entry.version, weights, options, tuple(sop_instance_uids))


def _encode(
    findings: Findings, volume: Volume, sources: Sequence[Dataset], provenance: Provenance
) -> list[EncodedObject]:
    objects = []
    if findings.segments:
        segmentation = seg.encode(findings, volume, sources, provenance)
        objects.append(encoded("seg", segmentation))
        if findings.measurements:
            report = sr.encode_measurements(findings, sources, segmentation, provenance)
            objects.append(encoded("sr", report))
    return objects


def write(path: Path, content: bytes) -> None:
    """Write a file that is either whole and durable or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
