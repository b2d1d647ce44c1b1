"""Options of the algorithms of CT-FM, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from typing import Final

from algorithms.options import Choices

WHOLE_BODY: Final = "ct-fm-wholebody"
TUMOUR: Final = "ct-fm-tumor"
TRIAGE: Final[Mapping[str, str]] = {"bundled": "ct-fm-head-triage-bundled", "own": "ct-fm-head-triage"}
ENCODER: Final[Mapping[str, str]] = {"bundled": "ct-fm-encoder-bundled", "published": "ct-fm-encoder"}

WHOLE_BODY_OPTIONS: Final[Choices] = {}
TUMOUR_OPTIONS: Final[Choices] = {"site": ("lung", "pancreas")}
TRIAGE_OPTIONS: Final[Choices] = {"weights": tuple(TRIAGE), "saliency": ("true", "false")}
RETRIEVAL_OPTIONS: Final[Choices] = {"weights": tuple(ENCODER), "pooling": ("minimum", "mean")}
