"""The algorithm `face-survival`: a survival risk score from a face (arXiv:2506.14909). Research use only.

The score orders people by risk; it is no probability. Where the configuration of the weights has the
scores of a reference population, its percentile and quartile are given as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np

from algorithms.fahr_face.detection import FaceDetector
from algorithms.fahr_face.options import SURVIVAL, SURVIVAL_OPTIONS
from algorithms.fahr_face.reader import FaceReader
from algorithms.fahr_face.suitability import the_face
from algorithms.options import chosen
from algorithms.protocol import Findings, Highlights, Measurement, Photograph, Progress
from algorithms.terminology import FACE_RISK, FACE_RISK_QUARTILE, NO_UNITS, PERCENT, PERCENTILE_RANKING
from algorithms.weights import Store, WeightsFaulty

_FEWEST: Final = 4


@dataclass(frozen=True)
class Reference:
    """The scores of a population, rising."""

    scores: tuple[float, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """From `reference_scores` in a configuration; None where there is none.

        Raises:
            WeightsFaulty: not a list of at least four numbers.
        """
        if "reference_scores" not in config:
            return None
        try:
            scores = sorted(float(score) for score in config["reference_scores"])
        except (TypeError, ValueError):
            raise WeightsFaulty("its configuration: reference_scores is no list of numbers") from None
        if len(scores) < _FEWEST or not np.isfinite(scores).all():
            raise WeightsFaulty(f"its configuration: reference_scores needs {_FEWEST} numbers or more")
        return cls(tuple(scores))

    def percentile(self, score: float) -> float:
        """Per cent of the population with a lower score; half of those with the same."""
        below, to = (np.searchsorted(self.scores, score, side=side) for side in ("left", "right"))
        return float(below + to) * 50 / len(self.scores)


@dataclass(frozen=True)
class FaceSurvival:
    """The algorithm, with what it runs.

    Attributes:
        detector: finds the face.
        reader: reads the risk.
        reference: the scores of a population.
        explains: whether it shows what a result rests on.
    """

    detector: FaceDetector
    reader: FaceReader
    reference: Reference | None
    explains: bool
    name: ClassVar[str] = "face-survival"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        read = chosen(cls.name, SURVIVAL_OPTIONS, options)
        checkpoint = store.get(SURVIVAL[read["weights"]])
        reference = Reference.of(checkpoint.config)
        return cls(FaceDetector(), FaceReader(checkpoint, device), reference, read["saliency"] == "true")

    def run(self, image: Photograph, progress: Progress) -> Findings:
        """Read the risk.

        Raises:
            Unsuitable: not one face that is seen well.
        """
        progress(0.0, "looking for the face")
        face = the_face(image, self.detector)
        progress(0.5, "reading the risk")
        score = self.reader.value(face.pixels)
        found = [Measurement(None, "RiskScore", FACE_RISK, score, NO_UNITS)]
        if self.reference is not None:
            percentile = self.reference.percentile(score)
            quartile = float(min(4, 1 + int(percentile // 25)))
            found.append(Measurement(None, "RiskPercentile", PERCENTILE_RANKING, percentile, PERCENT))
            found.append(Measurement(None, "RiskQuartile", FACE_RISK_QUARTILE, quartile, NO_UNITS))
        progress(1.0, "done")
        return Findings(measurements=tuple(found))

    def explain(self, image: Photograph, _findings: Findings, progress: Progress) -> Highlights | None:
        """Cover parts of the face and see how far the risk changes.

        Raises:
            Unsuitable: not one face that is seen well.
        """
        if not self.explains:
            return None
        return self.reader.highlights(image, the_face(image, self.detector), progress)
