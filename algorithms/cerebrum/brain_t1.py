"""The algorithm `brain-t1`: the structures of a T1 brain MR, their volumes, how far they can be trusted.

The network is CEREBRUM's (Bontempi et al., arXiv:1909.05085). Where it is asked to, it sees the head and its
mirror image, whose logits are averaged: how far both agree is a figure of quality.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import cc3d
import numpy as np
import numpy.typing as npt
import torch

from algorithms.cerebrum.head import Head, Look
from algorithms.cerebrum.network import AVERAGE, DEVIATION, Architecture, CerebrumNetwork
from algorithms.cerebrum.options import OPTIONS, WEIGHTS
from algorithms.cerebrum.quality import Quality, quality
from algorithms.cerebrum.sides import MidPlane, asymmetry_percent
from algorithms.cerebrum.structures import PUBLISHED, STRUCTURES
from algorithms.cerebrum.whole_volume import logits_of
from algorithms.options import chosen
from algorithms.protocol import Findings, Measurement, Progress, Segment, Unsuitable, Volume, part
from algorithms.spatial import Labels
from algorithms.terminology import (
    ASYMMETRY,
    CUBIC_CENTIMETER,
    INTRACRANIAL_SHARE,
    INTRACRANIAL_VOLUME,
    MIRROR_AGREEMENT,
    NO_UNITS,
    PERCENT,
    VOLUME,
)
from algorithms.weights import Checkpoint, Store, load_into

_FLUID: Final = "Cerebrospinal fluid"
_LEFT_AXIS: Final = 2

Logits = npt.NDArray[np.float32]
"""Of every voxel (class, head, back, left)."""


@dataclass(frozen=True, eq=False)
class BrainT1:
    """The algorithm, with what it runs.

    Attributes:
        network: in evaluation mode, on the device.
        look: how it sees a head.
        structures: names of its classes from 1.
        device: where it runs.
        mirrors: whether it sees the mirror image too.
    """

    network: CerebrumNetwork
    look: Look
    structures: tuple[str, ...]
    device: torch.device
    mirrors: bool
    name: ClassVar[str] = "brain-t1"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        read = chosen(cls.name, OPTIONS, options)
        return cls.from_checkpoint(store.get(WEIGHTS[read["weights"]]), device, read["mirror"] == "true")

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: str, mirrors: bool) -> Self:
        """Build it with these weights.

        Raises:
            WeightsFaulty: they do not fit.
        """
        tensors = checkpoint.tensors()
        look = Look.of(checkpoint.config, tensors)
        network = CerebrumNetwork(Architecture.of(checkpoint.config))
        of_network = {key: tensor for key, tensor in tensors.items() if key not in {AVERAGE, DEVIATION}}
        load_into(network, of_network, checkpoint.weights.name)
        network.to(torch.device(device), memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        names = tuple(checkpoint.config.get("structures", PUBLISHED))
        return cls(network.eval(), look, names, torch.device(device), mirrors)

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Segment and measure.

        Raises:
            Unsuitable: not an MR, no head in it, or no brain in the head.
        """
        if image.modality != "MR":
            raise Unsuitable(f"{image.modality}; a T1-weighted MR of a head is needed")
        progress(0.0, "finding the head")
        head = Head.of(image, self.look)
        logits, agreements = self._seen(head, part(progress, 0.1, 0.8))
        progress(0.8, "back to the source grid")
        labels = _one_brain(head.labels_of(logits))
        if not labels.any():
            raise Unsuitable("there is no brain in the image")
        progress(0.9, "measuring")
        judged = quality(labels, self.structures, image.voxel_volume_ml, agreements)
        segments = tuple(_segments(labels, self.structures, judged))
        on_grid = _one_brain(logits.argmax(axis=0).astype(np.uint8))
        measured = [
            *_volumes(segments, image),
            *_asymmetries(on_grid, head, self.structures, segments),
        ]
        if judged.agreement is not None:
            agreement = Measurement(None, "MirrorAgreement", MIRROR_AGREEMENT, judged.agreement, NO_UNITS)
            measured.append(agreement)
        progress(1.0, "done")
        return Findings(segments, tuple(measured))

    def _seen(self, head: Head, progress: Progress) -> tuple[Logits, Mapping[str, float]]:
        """Logits of the head, and of each structure how far the mirror image agrees."""
        if not self.mirrors:
            return logits_of(self.network, head.voxels, self.device, progress), {}
        plain = logits_of(self.network, head.voxels, self.device, part(progress, 0.0, 0.5))
        mirrored = np.ascontiguousarray(np.flip(head.voxels, _LEFT_AXIS))
        seen = logits_of(self.network, mirrored, self.device, part(progress, 0.5, 1.0))
        other = np.flip(seen, _LEFT_AXIS + 1)
        agreements = dict(_agreements(plain.argmax(axis=0), other.argmax(axis=0), self.structures))
        return (plain + other) / np.float32(2), agreements


def _agreements(
    first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], names: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Dice coefficient of each structure that is in one of two label maps."""
    for number, name in enumerate(names, start=1):
        one, other = first == number, second == number
        total = np.count_nonzero(one) + np.count_nonzero(other)
        if total:
            yield name, 2 * float(np.count_nonzero(one & other)) / total


def _one_brain(labels: Labels) -> Labels:
    """What hangs together with the largest part; the rest is no brain."""
    return np.where(cc3d.largest_k(labels > 0, k=1, connectivity=26) > 0, labels, np.uint8(0))


def _segments(labels: Labels, names: Sequence[str], judged: Quality) -> Iterator[Segment]:
    for number, name in enumerate(names, start=1):
        mask = labels == number
        if mask.any():
            known = STRUCTURES[name]
            yield Segment.from_mask(
                mask,
                label=name,
                category=known.category,
                type=known.type,
                rgb=known.rgb,
                review=judged.of(name),
            )


def _volumes(segments: Sequence[Segment], image: Volume) -> Iterator[Measurement]:
    """Millilitres of each structure, and its share of the inside of the skull if the fluid is known."""
    volumes = {segment.label: image.volume_ml(segment) for segment in segments}
    inside = sum(volumes.values())
    if _FLUID in volumes:
        yield Measurement(None, "IntracranialVolume", INTRACRANIAL_VOLUME, inside, CUBIC_CENTIMETER)
    for label, ml in volumes.items():
        yield Measurement(label, "Volume", VOLUME, ml, CUBIC_CENTIMETER)
        if _FLUID in volumes:
            share = 100 * ml / inside
            yield Measurement(label, "IntracranialShare", INTRACRANIAL_SHARE, share, PERCENT)


def _asymmetries(
    labels: Labels, head: Head, names: Sequence[str], segments: Sequence[Segment]
) -> Iterator[Measurement]:
    """Left against right, by the plane between the halves of the brain, of the structures that have sides."""
    numbers = {name: number for number, name in enumerate(names, start=1)}
    paired = [s.label for s in segments if STRUCTURES[s.label].paired]
    brain = np.isin(labels, [numbers[name] for name in paired])
    if not brain.any():
        return
    left = MidPlane.of(brain, head.affine_mm).left_of(labels.shape, head.affine_mm)
    for name in paired:
        mask = labels == numbers[name]
        on_left, whole = float(left[mask].sum()), int(np.count_nonzero(mask))
        if whole:
            value = asymmetry_percent(on_left, whole - on_left)
            yield Measurement(name, "Asymmetry", ASYMMETRY, value, PERCENT)
