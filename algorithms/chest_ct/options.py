"""Options of `chest-ct-annotation`, and the weights that they ask for. Light: no network loads here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from algorithms.body_part import options as body_part

ORGAN_WEIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "bundled": ("thoracic-organs-bundled",),
    "3d_fullres": ("segthor-task055",),
    "3d_lowres": ("segthor-task055-lowres",),
    "3d_cascade_fullres": ("segthor-task055-lowres", "segthor-task055-cascade"),
}
"""By the option `organs`: the bundled network, or a configuration of the published one, in running order."""

_PUBLISHED_ONLY: Final = ("folds", "tta")


@dataclass(frozen=True)
class Options:
    """What may be asked of the algorithm.

    Attributes:
        organs: where the organs at risk come from, a key of ORGAN_WEIGHTS.
        bpr: which body part regression, a key of body_part.WEIGHTS.
        folds: of the published network: "all", or numbers such as "0,1".
        tta: whether the published network sees all eight reflections.
    """

    organs: str = "bundled"
    bpr: str = "bundled"
    folds: str = "all"
    tta: bool = True

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Self:
        """Read the options.

        Raises:
            ValueError: an option or a value that there is not; it is named.
        """
        known = ("organs", "bpr", *_PUBLISHED_ONLY)
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(f"chest-ct-annotation has no option {unknown[0]!r}; there is {', '.join(known)}")
        organs = _one_of("organs", options.get("organs", "bundled"), ORGAN_WEIGHTS)
        idle = [name for name in _PUBLISHED_ONLY if name in options]
        if organs == "bundled" and idle:
            raise ValueError(f"option {idle[0]} is for the published network; set organs to 3d_fullres")
        return cls(
            organs,
            _one_of("bpr", options.get("bpr", "bundled"), body_part.WEIGHTS),
            options.get("folds", "all"),
            _one_of("tta", options.get("tta", "true"), ("true", "false")) == "true",
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the weights."""
        bundled = ORGAN_WEIGHTS["bundled"]  # the published network knows no spinal cord
        return (*dict.fromkeys((*bundled, *ORGAN_WEIGHTS[self.organs])), body_part.WEIGHTS[self.bpr])


def _one_of(name: str, value: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(known)}")
    return value
