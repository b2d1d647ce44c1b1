"""The algorithm `head-ct-triage`: is this head CT abnormal, how urgent is it, and what speaks for it?

A network gives the probability (Pai et al., arXiv:2501.09001, head CT triage); beside it the volume of
hyperdense tissue inside the skull is measured, without any weights. Both raise the urgency.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from algorithms.ct_fm.hyperdense import Hyperdense, hyperdense
from algorithms.ct_fm.options import TRIAGE, TRIAGE_OPTIONS
from algorithms.ct_fm.triage_classifier import TriageClassifier
from algorithms.ct_fm.triage_preparation import PreparedHead
from algorithms.ct_fm.triage_rule import NORMAL, NORMALITY, PROBABILITY, urgency_of, verdict_of
from algorithms.options import chosen
from algorithms.protocol import (
    Code,
    Findings,
    Measurement,
    Progress,
    SaliencyMap,
    Score,
    Segment,
    Unsuitable,
    Volume,
)
from algorithms.spatial import evened
from algorithms.terminology import CUBIC_CENTIMETER, NO_UNITS, VOLUME
from algorithms.weights import Store

SALIENCY: Final = Code("130404", "DCM", "Saliency")
"""CID 7180."""

HYPERDENSE: Final = "Hyperdense tissue"
_TISSUE = Code("85756007", "SCT", "Tissue")  # CID 7150 and CID 7151; what tissue it is, nobody knows yet
_INTRACRANIAL = Code("1101003", "SCT", "Intracranial")
_COLOUR = (216, 44, 44)


@dataclass(frozen=True)
class HeadTriage:
    """The algorithm, with what it runs.

    Attributes:
        classifier: says how likely a head is abnormal.
        explains: whether it shows what a result rests on.
    """

    classifier: TriageClassifier
    explains: bool
    name: ClassVar[str] = "head-ct-triage"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        read = chosen(cls.name, TRIAGE_OPTIONS, options)
        return cls(TriageClassifier(store.get(TRIAGE[read["weights"]]), device), read["saliency"] == "true")

    def run(self, volume: Volume, progress: Progress) -> Findings:
        """Look for what is abnormal.

        Raises:
            Unsuitable: not a CT in Hounsfield units, or no skull around a brain in view.
        """
        if volume.modality != "CT" or volume.unit != "HU":
            raise Unsuitable(f"{volume.modality} in {volume.unit} units; a CT in Hounsfield units is needed")
        progress(0.0, "measuring hyperdense tissue")
        dense = hyperdense(volume)
        progress(0.5, "preparing the head")
        head = PreparedHead.of(evened(volume))
        progress(0.7, "judging the head")
        score = self._score(self.classifier.probability(head), dense.ml)
        progress(1.0, "done")
        return Findings(*_found(dense), scores=(score,))

    def explain(self, volume: Volume, findings: Findings, progress: Progress) -> SaliencyMap | None:
        """Cover parts of the head and see how far its logit drops."""
        if not self.explains:
            return None
        head = PreparedHead.of(evened(volume))
        (score,) = findings.scores
        voxels = self.classifier.saliency(head, score.verdict != NORMAL, progress)
        return SaliencyMap("Occlusion sensitivity", SALIENCY, NO_UNITS, voxels, head.affine_mm)

    def _score(self, probability: float, hyperdense_ml: float) -> Score:
        verdict = verdict_of(probability, self.classifier.thresholds, hyperdense_ml)
        population = self.classifier.calibrated_on
        return Score(
            name="Abnormality of the head CT" + (f", calibrated on {population} only" if population else ""),
            code=PROBABILITY,
            value=probability,
            unit=NO_UNITS,
            calibrated=population is not None,
            urgency=urgency_of(verdict, hyperdense_ml),
            finding=NORMALITY,
            verdict=verdict,
        )


def _found(dense: Hyperdense) -> tuple[tuple[Segment, ...], tuple[Measurement, ...]]:
    """The segment, and its volume; a volume of nothing is a finding too."""
    segments: tuple[Segment, ...] = ()
    if dense.mask.any():
        segment = Segment.from_mask(
            dense.mask,
            label=HYPERDENSE,
            category=_TISSUE,
            type=_TISSUE,
            rgb=_COLOUR,
            review=dense.review,
            site=_INTRACRANIAL,
        )
        segments = (segment,)
    label = HYPERDENSE if segments else None
    return segments, (Measurement(label, "HyperdenseVolume", VOLUME, dense.ml, CUBIC_CENTIMETER),)
