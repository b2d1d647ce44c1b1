"""Radiomics as an algorithm of its own: for segments that other software found."""

from dataclasses import dataclass

from algorithms.protocol import Findings, Progress, Unsuitable, Volume


@dataclass(frozen=True)
class Radiomics:
    """Finds no segments: those that are given are measured, as those of every algorithm are."""

    name: str = "radiomics"
    version: str = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str]) -> "Radiomics":
        """The algorithm; what is measured is ordered like for any other.

        Raises:
            ValueError: it is given an option.
        """
        if options:
            raise ValueError(f"radiomics has no option {min(options)!r}")
        return cls()

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Raise Unsuitable: an image alone has nothing to measure."""
        raise Unsuitable("radiomics measures the segments of a SEG, and an image was given without one")
