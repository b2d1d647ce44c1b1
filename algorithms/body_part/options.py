"""Options of `body-part-regression`, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from typing import Final

WEIGHTS: Final[Mapping[str, str]] = {"bundled": "bpr-bundled", "published": "bpr"}
"""By the option `weights`."""


def needs(options: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the weights for these options.

    Raises:
        ValueError: an option or a value that there is not.
    """
    for key, value in options.items():
        if key != "weights":
            raise ValueError(f"body-part-regression has no option {key!r}; there is weights")
        if value not in WEIGHTS:
            raise ValueError(f"weights is {value!r}; it is one of {', '.join(WEIGHTS)}")
    return (WEIGHTS[options.get("weights", "bundled")],)
