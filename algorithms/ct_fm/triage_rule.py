"""From numbers to words: whether a head CT is abnormal, and how soon a person should look.

Two witnesses are heard: a network, and a measurement that needs no weights. They must agree before a head
is called normal.
"""

from dataclasses import dataclass
from typing import Final

from algorithms.protocol import Code, Urgency

PROBABILITY: Final = Code("122157", "DCM", "Probability")
NORMALITY: Final = Code("121402", "DCM", "Normality")
NORMAL: Final = Code("17621005", "SCT", "Normal")
ABNORMAL: Final = Code("263654008", "SCT", "Abnormal")
UNDETERMINED: Final = Code("371934000", "SCT", "Normality Undetermined")

SUSPICIOUS_ML: Final = 2.0
"""Hyperdense volume from which a head is urgent whatever the network says; less may be dura or a vessel."""


@dataclass(frozen=True)
class Thresholds:
    """What probabilities mean.

    Attributes:
        normal_below: a smaller one speaks for a normal head.
        abnormal_from: this one and greater speak for an abnormal head; between, it is undetermined.
    """

    normal_below: float = 0.5
    abnormal_from: float = 0.5


def verdict_of(probability: float, thresholds: Thresholds, hyperdense_ml: float) -> Code:
    """Normal, abnormal, or undetermined.

    Args:
        probability: of an abnormal head, by the network.
        thresholds: what it means.
        hyperdense_ml: volume of hyperdense tissue inside the skull.
    """
    if probability >= thresholds.abnormal_from:
        return ABNORMAL
    if probability < thresholds.normal_below and hyperdense_ml < SUSPICIOUS_ML:
        return NORMAL
    return UNDETERMINED


def urgency_of(verdict: Code, hyperdense_ml: float) -> Urgency:
    """HIGH for an abnormal head or a suspicious hyperdense volume, MEDIUM where nothing is sure, else LOW."""
    if verdict == ABNORMAL or hyperdense_ml >= SUSPICIOUS_ML:
        return "HIGH"
    return "MEDIUM" if verdict == UNDETERMINED else "LOW"
