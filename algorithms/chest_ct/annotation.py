"""The algorithm `chest-ct-annotation`: organs at risk, landmarks and regions of a chest CT.

What NSCLC-Radiomics and NLST were enriched with (Krishnaswamy et al., Sci Data 2024), and lungs, body and
spinal cord beside it. The radiomics are measured by the node, for this algorithm as for any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from algorithms.body_part.annotation import BodyPartRegression
from algorithms.body_part.options import WEIGHTS
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.chest_ct.options import Options
from algorithms.chest_ct.organ_sources import OrganSource, source_of
from algorithms.chest_ct.thorax import BODY, find_thorax
from algorithms.protocol import BoolMask, Findings, Progress, Segment, Unsuitable, Volume, part
from algorithms.weights import Store


@dataclass(frozen=True)
class ChestCTAnnotation:
    """The algorithm, with what it runs.

    Attributes:
        organs: finds the organs at risk.
        levels: finds landmarks and regions.
    """

    organs: OrganSource
    levels: BodyPartRegression
    name: ClassVar[str] = "chest-ct-annotation"
    version: ClassVar[str] = "0.2.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        read = Options.of(options)
        regressor = BodyPartRegressor(store.get(WEIGHTS[read.bpr]), device)
        return cls(source_of(read, device, store), BodyPartRegression(regressor))

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Annotate.

        Raises:
            Unsuitable: not a CT in Hounsfield units, or no chest in view.
        """
        thorax = find_thorax(image, part(progress, 0.0, 0.4))
        found = self.organs.find(image, part(progress, 0.4, 0.8))
        notes = [f"{label} is left out: {reason}" for label, reason in found.left_out.items()]
        try:
            levels = self.levels.run(image, part(progress, 0.8, 1.0))
        except Unsuitable as reason:
            levels = Findings()
            notes.append(f"no landmarks and regions: {reason}")
        kept = [segment for segment in thorax if segment.label not in found.replaces]
        segments = (*_noted(kept, notes), *_apart(found.segments, kept))
        progress(1.0, "done")
        return replace(levels, segments=segments)


def _noted(segments: Sequence[Segment], notes: Sequence[str]) -> list[Segment]:
    """The segments, with what concerns the whole image among the doubts about the body."""
    if not notes:
        return list(segments)
    return [
        replace(s, review="; ".join(filter(None, (s.review, *notes)))) if s.label == BODY else s
        for s in segments
    ]


def _apart(organs: Sequence[Segment], thorax: Sequence[Segment]) -> list[Segment]:
    """The organs without the voxels of lungs and airway, whose borders are sharper; none becomes empty."""
    apart = []
    for organ in organs:
        mask = organ.mask.copy()
        for other in (s for s in thorax if s.label != BODY):
            _take_out(mask, organ.origin, other)
        if mask.any():
            apart.append(replace(organ, mask=mask))
    return apart


def _take_out(mask: BoolMask, origin: tuple[int, int, int], other: Segment) -> None:
    """Clear, in place, the voxels of a mask that lies at `origin` where the other segment has them."""
    here, there = [], []
    for low, size, start, length in zip(origin, mask.shape, other.origin, other.mask.shape, strict=True):
        first, last = max(low, start), min(low + size, start + length)
        if first >= last:
            return
        here.append(slice(first - low, last - low))
        there.append(slice(first - start, last - start))
    mask[tuple(here)] &= ~other.mask[tuple(there)]
