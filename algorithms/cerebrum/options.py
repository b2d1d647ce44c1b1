"""Options of `brain-t1`, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from typing import Final

from algorithms.options import Choices

WEIGHTS: Final[Mapping[str, str]] = {
    "bundled": "brain-t1-bundled",
    "cerebrum-7t": "cerebrum-7t",
    "cerebrum-3t": "cerebrum-3t",
}
OPTIONS: Final[Choices] = {"weights": tuple(WEIGHTS), "mirror": ("true", "false")}
