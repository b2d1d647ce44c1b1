"""What a route or a user orders beside the algorithm's own options, and the same words for both.

Orders travel as options, so they are part of a result's identity: another order, other UIDs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

RADIOMICS: Final = ("shape", "firstorder", "texture")
"""Classes of features; "all" is all of them, "none" is none."""

Part = Literal["legs", "pelvis", "abdomen", "chest", "shoulder-neck", "head"]
"""A part of the body that slices may show (Krishnaswamy et al., Sci Data 2024)."""

_USUAL: Final = {"radiomics": "firstorder+shape", "rtstruct": "false", "covers": "", "stability": "false"}


@dataclass(frozen=True)
class Order:
    """What is made of the findings, and what the image must show.

    Attributes:
        radiomics: the classes of features that are measured on every segment.
        rtstruct: whether an RT Structure Set is made of the segments.
        covers: the parts of the body that must be in view, as the pixels show.
        stability: whether the algorithm runs again on small changes of the image, to say what comes back.
    """

    radiomics: frozenset[str]
    rtstruct: bool
    covers: frozenset[str]
    stability: bool

    def as_options(self) -> dict[str, str]:
        """The options that give this order, in one way of writing; what is usual is left out."""
        options = {
            "radiomics": "+".join(sorted(self.radiomics)) or "none",
            "rtstruct": str(self.rtstruct).lower(),
            "covers": "+".join(sorted(self.covers)),
            "stability": str(self.stability).lower(),
        }
        return {name: value for name, value in options.items() if value != _USUAL[name]}

    def check_for_photograph(self) -> None:
        """Make sure that a photograph can fill the order.

        Raises:
            ValueError: what was ordered can be had of volumes alone.
        """
        if self.covers or self.rtstruct or self.stability:
            raise ValueError("covers, rtstruct and stability are for volumes, and this is for photographs")

    @classmethod
    def of(cls, options: Mapping[str, str]) -> tuple[Self, dict[str, str]]:
        """The order, and the options that are left for the algorithm.

        Raises:
            ValueError: an order that cannot be filled; the message names it.
        """
        rest = dict(options)
        radiomics, rtstruct, covers, stability = (rest.pop(name, usual) for name, usual in _USUAL.items())
        order = cls(
            _classes(radiomics),
            _switch("rtstruct", rtstruct),
            _several("covers", covers, get_args(Part)),
            _switch("stability", stability),
        )
        return order, rest


def _classes(text: str) -> frozenset[str]:
    if text == "all":
        return frozenset(RADIOMICS)
    if text == "none":
        return frozenset()
    return _several("radiomics", text, RADIOMICS, beside=("all", "none"))


def _switch(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError(f"{name} is {value!r}; it is true or false")
    return value == "true"


def _several(name: str, text: str, known: tuple[str, ...], beside: tuple[str, ...] = ()) -> frozenset[str]:
    """Words joined by plus signs; `beside` are others that may stand alone."""
    words = frozenset(text.split("+")) if text else frozenset()
    if unknown := sorted(words - set(known)):
        raise ValueError(f"{name}: there is no {unknown[0]!r}; there is {', '.join(known + beside)}")
    return words
