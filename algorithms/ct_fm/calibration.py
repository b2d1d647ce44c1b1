"""How logits become probabilities, and how well scores tell positive cases from negative ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import exp, sqrt
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

_Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class Calibration:
    """Platt scaling (Platt 1999): probability = logistic(slope x logit + intercept).

    Attributes:
        slope: of the logit.
        intercept: its value says how frequent positives were among the cases it was fitted on.
        population: those cases, in words that follow "calibrated on".
    """

    slope: float
    intercept: float
    population: str

    @classmethod
    def fit(cls, logits: Values, positive: Labels, population: str) -> Self:
        """By greatest likelihood, with Platt's targets, which are never quite 0 or 1.

        Args:
            logits: one for each case, of cases that were not trained on.
            positive: the truth.
            population: what the cases are.
        """
        positives, negatives = np.count_nonzero(positive), np.count_nonzero(~positive)
        targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        spread = float(np.std(logits)) or 1.0

        def loss(parameters: Values) -> float:
            scores = parameters[0] * logits / spread + parameters[1]
            return float(np.sum(np.logaddexp(0, scores) - targets * scores))

        slope, intercept = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
        return cls(float(slope) / spread, float(intercept), population)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the configuration of a checkpoint.

        Raises:
            KeyError: it lacks a value.
        """
        return cls(float(config["slope"]), float(config["intercept"]), str(config["population"]))

    def as_config(self) -> dict[str, Any]:
        """For the configuration of a checkpoint."""
        return asdict(self)

    def probability(self, logit: float) -> float:
        """The probability of the positive class."""
        return float(expit(self.slope * logit + self.intercept))


class Interval(NamedTuple):
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def area_under_curve(scores: Values, positive: Labels) -> Interval:
    """Area under the ROC curve with the variance of DeLong, DeLong and Clarke-Pearson (Biometrics 1988).

    The interval is made on the scale of the logit. Where all positives score higher than all negatives
    that variance is 0; the interval then begins at 1 - 3 / n of the smaller class (the rule of three).
    """
    above, below = scores[positive], scores[~positive]
    wins = (above[:, None] > below[None, :]) + 0.5 * (above[:, None] == below[None, :])
    area = float(wins.mean())
    if area == 1.0:
        return Interval(1.0, 1.0 - 3.0 / min(len(above), len(below)), 1.0)
    variance = wins.mean(1).var(ddof=1) / len(above) + wins.mean(0).var(ddof=1) / len(below)
    margin = _Z95 * sqrt(float(variance)) / (area * (1 - area))
    odds = area / (1 - area)
    return Interval(area, 1 / (1 + exp(margin) / odds), 1 / (1 + exp(-margin) / odds))


def calibration_error(probabilities: Values, positive: Labels, bins: int = 10) -> float:
    """Mean distance between predicted and observed frequency, over bins of equally many cases."""
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [abs(float(probabilities[p].mean()) - float(positive[p].mean())) * len(p) for p in parts if len(p)]
    return sum(gaps) / len(probabilities)
