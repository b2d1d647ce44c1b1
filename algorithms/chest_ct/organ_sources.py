"""Organs at risk as segments, from the bundled network or from the published one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from algorithms import terminology
from algorithms.adapters.nnunet import NNUNetSegmenter
from algorithms.chest_ct.options import ORGAN_WEIGHTS, Options
from algorithms.chest_ct.organ_rules import Organ
from algorithms.chest_ct.organs import OrganSegmenter
from algorithms.chest_ct.thorax import AIRWAY
from algorithms.protocol import Code, Progress, Segment, Volume, part
from algorithms.terminology import Colour
from algorithms.weights import Store

_BUNDLED: Final[Mapping[Organ, tuple[Code, Colour]]] = {
    Organ.HEART: (terminology.HEART, terminology.HEART_COLOUR),
    Organ.AORTA: (terminology.AORTA, terminology.AORTA_COLOUR),
    Organ.ESOPHAGUS: (terminology.ESOPHAGUS, terminology.ESOPHAGUS_COLOUR),
    Organ.SPINAL_CORD: (terminology.SPINAL_CORD, terminology.SPINAL_CORD_COLOUR),
}

_PUBLISHED: Final[Mapping[int, tuple[str, Code, Colour]]] = {
    1: ("Esophagus", terminology.ESOPHAGUS, terminology.ESOPHAGUS_COLOUR),
    2: ("Heart", terminology.HEART, terminology.HEART_COLOUR),
    3: ("Trachea", terminology.TRACHEA, terminology.AIRWAY_COLOUR),
    4: ("Aorta", terminology.AORTA, terminology.AORTA_COLOUR),
}
"""Classes of SegTHOR, by label."""


@dataclass(frozen=True)
class Organs:
    """What a source found.

    Attributes:
        segments: no voxel is in two of them.
        left_out: why an organ that was looked for is not among them, by its label.
        replaces: labels of other segments that these make needless.
    """

    segments: tuple[Segment, ...]
    left_out: Mapping[str, str]
    replaces: frozenset[str] = frozenset()


class OrganSource(Protocol):
    """Where the organs at risk come from."""

    def find(self, image: Volume, progress: Progress) -> Organs:
        """Segment the organs in view on a CT in Hounsfield units."""


@dataclass(frozen=True)
class BundledOrgans:
    """Heart, aorta, esophagus and spinal cord by the bundled network."""

    segmenter: OrganSegmenter

    def find(self, image: Volume, progress: Progress) -> Organs:
        """Segment the organs in view."""
        found = self.segmenter.find(image, progress)
        segments = tuple(
            Segment(
                label=organ.organ.value,
                category=terminology.ANATOMICAL_STRUCTURE,
                type=_BUNDLED[organ.organ][0],
                rgb=_BUNDLED[organ.organ][1],
                mask=organ.mask,
                origin=organ.origin,
                review=organ.review,
            )
            for organ in found.organs
        )
        return Organs(segments, {organ.value: reason for organ, reason in found.left_out.items()})


@dataclass(frozen=True)
class PublishedOrgans:
    """Heart, aorta, esophagus and trachea by the published network; the spinal cord by the bundled one."""

    segmenter: NNUNetSegmenter
    bundled: BundledOrgans

    def find(self, image: Volume, progress: Progress) -> Organs:
        """Segment the organs in view."""
        labels = self.segmenter.labels(image, part(progress, 0.0, 0.9))
        segments = [
            Segment.from_mask(
                labels == number,
                label=label,
                category=terminology.ANATOMICAL_STRUCTURE,
                type=code,
                rgb=colour,
            )
            for number, (label, code, colour) in _PUBLISHED.items()
            if (labels == number).any()
        ]
        missing = {label for label, _, _ in _PUBLISHED.values()} - {s.label for s in segments}
        others = self.bundled.find(image, part(progress, 0.9, 1.0))
        segments += [s for s in others.segments if s.label == Organ.SPINAL_CORD.value]
        return Organs(
            tuple(segments),
            dict.fromkeys(sorted(missing), "the published network did not find it"),
            replaces=frozenset({AIRWAY}),
        )


def source_of(options: Options, device: str, store: Store) -> OrganSource:
    """Load what the options ask for.

    Raises:
        ValueError: a fold that there is not.
        WeightsMissing: weights are not in the store.
        WeightsFaulty: they do not fit.
    """
    bundled = BundledOrgans(OrganSegmenter(store.get(ORGAN_WEIGHTS["bundled"][0]), device))
    if options.organs == "bundled":
        return bundled
    build = partial(NNUNetSegmenter.from_checkpoint, device=device, folds=options.folds, tta=options.tta)
    first, *others = (store.get(name) for name in ORGAN_WEIGHTS[options.organs])
    segmenter = build(first)
    for checkpoint in others:
        segmenter = build(checkpoint, previous=segmenter)
    return PublishedOrgans(segmenter, bundled)
