"""Images in, proved DICOM objects out: what the worker and `ainode run` have in common."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from pydicom import Dataset

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import (
    Algorithm,
    Embedding,
    Explains,
    ExplainsPhotograph,
    Findings,
    Photograph,
    PhotographAlgorithm,
    Progress,
    Similar,
    Unsuitable,
    Volume,
    part,
)
from algorithms.spatial import evened, is_even
from algorithms.weights import Store, WeightsFaulty, WeightsMissing
from node import published
from node.errors import NotCovered, Quarantined, ResourceInadequate, UnknownOption, UnsuitableImage
from node.inbound import segmentations, visible_light, volumes
from node.jobs.order import Order
from node.outbound import document, gate, tables
from node.outbound.equipment import ROLES, EncodedObject, Provenance
from node.outbound.objects import encode_all

Nearest = Callable[[Embedding, str], tuple[Similar, ...]]
"""The series nearest to an embedding, those of the study with this UID left out."""

Announce = Callable[[Findings], None]
"""Hears findings as soon as there are any: what explains, measures and proves them comes later."""

_LOOKS_WITH: Final = "bpr-bundled"
"""Weights that tell which part of the body is in view."""


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

    image: Volume | Photograph
    findings: Findings
    objects: tuple[EncodedObject, ...]
    document: Mapping[str, object]
    features: Sequence[tables.Row]

    def save(self, folder: Path) -> None:
        """Write the objects, the tables of features, and last `findings.json`, each whole and durable.

        Results of an earlier run in the folder make room; other files stay.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("findings.json", tables.CSV, tables.PARQUET, *(f"{role}.dcm" for role in ROLES)):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "quarantine", ignore_errors=True)
        for item in self.objects:
            write(folder / item.file, item.content)
        if self.features:
            tables.write(self.features, folder)
        write(folder / "findings.json", (json.dumps(self.document, indent=1) + "\n").encode())


def nobody(_embedding: Embedding, _study_instance_uid: str) -> tuple[Similar, ...]:
    """The nearest series where no other is known."""
    return ()


def unheard(_findings: Findings) -> None:
    """Where nobody waits for the findings."""


@dataclass(frozen=True)
class Means:
    """What a run is done with.

    Attributes:
        store: where its weights are.
        device: "cpu", "cuda:0".
        nearest: finds the series that resemble an embedding.
    """

    store: Store
    device: str
    nearest: Nearest = nobody


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
    means: Means,
    *,
    segmentation: Path | None = None,
    progress: Progress,
    watch: Stopwatch,
    announce: Announce = unheard,
) -> Produced:
    """Read a series, run an algorithm on it, encode what it found, and prove the objects.

    Where a segmentation of the images is given, its segments stand for those that an algorithm would find.
    Segments of an uneven or leaning stack get no radiomics, whatever is ordered.

    Raises:
        UnsuitableImage: the image is not what the algorithm is made for.
        NotCovered: it does not show the parts of the body that were ordered.
        IrregularGeometry: the slices form no regular volume, or the segmentation is on another grid.
        UnknownOption: the algorithm does not take these options.
        ResourceInadequate: weights are missing, or were changed.
        Faulty: the gate found a fault in an object.
        CancelRequested: `progress` was told to stop.
    """
    with _told():
        order, options = Order.of(provenance.options)
        if entry.photograph:
            order.check_for_photograph()
    run = _Run(entry, options, order, means, progress, watch, announce)
    progress(0.0, "read")
    seen = _photograph(run, paths) if entry.photograph else _volume(run, paths, segmentation)
    rtstruct, given = order.rtstruct, seen.given
    progress(0.85, "encode")
    with watch.stage("encode"):
        objects = encode_all(
            seen.findings, seen.image, seen.sources, provenance, rtstruct=rtstruct, given=given
        )
    progress(0.9, "gate")
    with watch.stage("gate"):
        try:
            gate.prove(
                objects, seen.findings, seen.image, seen.sources, provenance, rtstruct=rtstruct, given=given
            )
        except Quarantined as verdict:
            raise Faulty(verdict, objects) from None
    summary = document.of(
        seen.findings, seen.image, seen.sources, provenance, objects=objects, seconds=watch.seconds
    )
    if given:
        _number(summary, given)
    features = _features(seen.findings, seen.sources[0], provenance)
    return Produced(seen.image, seen.findings, tuple(objects), summary, features)


@dataclass(frozen=True)
class _Run:
    """One run of an algorithm: what it is to do, with what, and who hears of it."""

    entry: CatalogueEntry
    options: dict[str, str]
    order: Order
    means: Means
    progress: Progress
    watch: Stopwatch
    announce: Announce

    def load(self) -> Algorithm | PhotographAlgorithm:
        with self.watch.stage("load"), _told():
            return self.entry.load(self.options, self.means.device, self.means.store)


@dataclass(frozen=True, eq=False)
class _Examined:
    """An image, the headers it was read from, what was found in it, and the segmentation that was given."""

    image: Volume | Photograph
    sources: Sequence[Dataset]
    findings: Findings
    given: Dataset | None = None


def _volume(run: _Run, paths: Sequence[Path], segmentation: Path | None) -> _Examined:
    """Read a volume, and find; measure what was found, or given."""
    order, progress, watch = run.order, run.progress, run.watch
    with watch.stage("read"):
        volume, sources = volumes.read(paths, part(progress, 0.0, 0.1), any_stack=run.entry.any_stack)
        given = segmentations.read(segmentation, volume, sources) if segmentation else None
    if order.covers:
        with watch.stage("cover"):
            _must_cover(order.covers, volume, run.means, part(progress, 0.1, 0.2))
    algorithm = cast(Algorithm, run.load())
    if given:
        findings = Findings(given.segments)
    else:
        findings = _found(algorithm, volume, order.stability, run.announce, part(progress, 0.2, 0.8), watch)
    findings = _with_similar(findings, str(sources[0].StudyInstanceUID), run.means)
    # Features of shape and texture take voxels for boxes, which those of other stacks are not.
    if order.radiomics and findings.segments and is_even(volume):
        progress(0.8, "radiomics")
        with watch.stage("radiomics"):
            findings = _with_radiomics(findings, volume, order.radiomics)
    return _Examined(volume, sources, findings, given.header if given else None)


def _photograph(run: _Run, paths: Sequence[Path]) -> _Examined:
    """Read a photograph, and find; then show what that rests on, where the algorithm does."""
    with run.watch.stage("read"):
        photograph, sources = visible_light.read(paths, part(run.progress, 0.0, 0.1))
    algorithm = cast(PhotographAlgorithm, run.load())
    with run.watch.stage("run"), _suiting():
        findings = algorithm.run(photograph, part(run.progress, 0.2, 0.5))
    run.announce(findings)
    if isinstance(algorithm, ExplainsPhotograph):
        with run.watch.stage("explain"):
            highlights = algorithm.explain(photograph, findings, part(run.progress, 0.5, 0.8))
        findings = replace(findings, highlights=highlights)
    return _Examined(photograph, sources, findings)


def _found(
    algorithm: Algorithm,
    volume: Volume,
    and_stability: bool,
    announce: Announce,
    progress: Progress,
    watch: Stopwatch,
) -> Findings:
    """The findings; then what they rest on, where the algorithm shows it, and how steady they are."""
    goes_on = and_stability or isinstance(algorithm, Explains)
    with watch.stage("run"), _suiting():
        findings = algorithm.run(volume, part(progress, 0.0, 0.4 if goes_on else 1.0))
    announce(findings)
    if isinstance(algorithm, Explains):
        with watch.stage("explain"):
            saliency = algorithm.explain(volume, findings, part(progress, 0.4, 0.7))
        findings = replace(findings, saliency=saliency)
    if and_stability:
        with watch.stage("stability"):
            findings = _with_stability(findings, algorithm, volume, part(progress, 0.7, 1.0))
    return findings


def _number(summary: dict[str, Any], given: Dataset) -> None:
    """Segments that were given keep their numbers."""
    for segment, item in zip(summary["segments"], given.SegmentSequence, strict=True):
        segment["number"] = int(item.SegmentNumber)


def _features(findings: Findings, source: Dataset, provenance: Provenance) -> list[tables.Row]:
    return tables.rows(
        findings.measurements,
        review={segment.label: segment.review for segment in findings.segments if segment.review},
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=str(source.SeriesInstanceUID),
        provenance=provenance,
    )


def _must_cover(parts: Collection[str], volume: Volume, means: Means, progress: Progress) -> None:
    """Hold what does not show these parts of the body, whatever its header says.

    Raises:
        NotCovered: a part is not in view.
        ResourceInadequate: the weights that look are missing, or were changed.
    """
    from algorithms.body_part.coverage import coverage
    from algorithms.body_part.regressor import BodyPartRegressor

    with _told():
        regressor = BodyPartRegressor(means.store.get(_LOOKS_WITH), means.device)
    shown = coverage(evened(volume), regressor, progress)
    if missing := sorted(set(parts) - shown.parts):
        raise NotCovered(f"the image does not cover {' and '.join(missing)}: {shown.sentence}")


def _with_similar(findings: Findings, study_instance_uid: str, means: Means) -> Findings:
    if findings.embedding is None:
        return findings
    return replace(findings, similar=means.nearest(findings.embedding, study_instance_uid))


def _with_stability(findings: Findings, algorithm: Algorithm, volume: Volume, progress: Progress) -> Findings:
    from algorithms.stability import stability

    measured = stability(algorithm, volume, findings, progress)
    return replace(findings, measurements=(*findings.measurements, *measured))


def _with_radiomics(findings: Findings, volume: Volume, classes: frozenset[str]) -> Findings:
    from algorithms.radiomics.measurement import measure
    from algorithms.radiomics.texture import TextureUnavailable

    try:
        measured = measure(volume, findings.segments, classes)
    except TextureUnavailable as error:
        raise ResourceInadequate(str(error)) from None
    return replace(findings, measurements=(*findings.measurements, *measured))


def provenance_of(
    entry: CatalogueEntry, options: Mapping[str, str], sop_instance_uids: Sequence[str], store: Store
) -> Provenance:
    """What a run will depend on, the digests of its weights included.

    Raises:
        ResourceInadequate: weights are missing, or their description cannot be read.
        UnknownOption: an order that cannot be filled.
    """
    with _told():
        order, own = Order.of(options)
        names = dict.fromkeys((*entry.needs(own), *([_LOOKS_WITH] if order.covers else [])))
        weights = tuple(store.get(name).weights for name in names)
    canonical = {**own, **order.as_options()}
    return Provenance(entry.name, entry.version, weights, canonical, tuple(sop_instance_uids))


@contextlib.contextmanager
def _suiting() -> Iterator[None]:
    """What an algorithm says of an image that it is not made for, as an error of the node."""
    try:
        yield
    except Unsuitable as verdict:
        raise UnsuitableImage(str(verdict)) from None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the science side says of options and weights, as errors of the node."""
    try:
        yield
    except ValueError as error:
        raise UnknownOption(str(error)) from None
    except WeightsMissing as error:
        sentence = f"the weights {error.name!r} are not here; {published.mend(error.name)}"
        raise ResourceInadequate(sentence) from None
    except WeightsFaulty as error:
        raise ResourceInadequate(str(error)) from None


def write(path: Path, content: bytes) -> None:
    """Write a file that is either whole and durable or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
