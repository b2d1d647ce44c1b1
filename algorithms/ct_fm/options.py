"""Options of the algorithms of CT-FM, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from typing import Final

WHOLE_BODY: Final = "ct-fm-wholebody"
TUMOUR: Final = "ct-fm-tumor"
TRIAGE: Final[Mapping[str, str]] = {"bundled": "ct-fm-head-triage-bundled", "own": "ct-fm-head-triage"}
ENCODER: Final[Mapping[str, str]] = {"bundled": "ct-fm-encoder-bundled", "published": "ct-fm-encoder"}

Choices = Mapping[str, tuple[str, ...]]
"""The values of each option, the usual one first."""

WHOLE_BODY_OPTIONS: Final[Choices] = {}
TUMOUR_OPTIONS: Final[Choices] = {"site": ("lung", "pancreas")}
TRIAGE_OPTIONS: Final[Choices] = {"weights": tuple(TRIAGE), "saliency": ("true", "false")}
RETRIEVAL_OPTIONS: Final[Choices] = {"weights": tuple(ENCODER), "pooling": ("minimum", "mean")}


def chosen(algorithm: str, choices: Choices, options: Mapping[str, str]) -> dict[str, str]:
    """The value of every option, the usual one where nothing is said.

    Raises:
        ValueError: an option or a value that there is not; it is named.
    """
    for name, value in options.items():
        if name not in choices:
            known = ", ".join(choices) or "none"
            raise ValueError(f"{algorithm} has no option {name!r}; there is {known}")
        if value not in choices[name]:
            raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices[name])}")
    return {name: options.get(name, values[0]) for name, values in choices.items()}
