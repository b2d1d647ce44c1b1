"""Options of the algorithms of FAHR-Face, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from typing import Final

from algorithms.options import Choices

AGE: Final[Mapping[str, str]] = {"published": "fahr-face-age", "synthetic": "fahr-face-age-synthetic"}
SURVIVAL: Final[Mapping[str, str]] = {
    "published": "fahr-face-survival",
    "synthetic": "fahr-face-survival-synthetic",
}

AGE_OPTIONS: Final[Choices] = {"weights": tuple(AGE), "saliency": ("true", "false")}
SURVIVAL_OPTIONS: Final[Choices] = {"weights": tuple(SURVIVAL), "saliency": ("true", "false")}
