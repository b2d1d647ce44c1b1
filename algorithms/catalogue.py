"""What the catalogue says of an algorithm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algorithms.protocol import Algorithm, PhotographAlgorithm

if TYPE_CHECKING:
    from algorithms.weights import Store


@dataclass(frozen=True)
class CatalogueEntry:
    """What the catalogue says of an algorithm without loading it.

    Attributes:
        load: imports the algorithm and builds it from its options (text values by name) for a device
            ("cpu", "cuda:0"), with weights from a store. Raises ValueError for an option it does not
            know, WeightsMissing and WeightsFaulty for weights that are not there or do not fit.
        needs: names of the weights that it loads for these options.
        any_stack: whether it takes slices that are unevenly spaced, or lean (`Volume.slice_places`).
        photograph: whether it takes a photograph, and no volume.
    """

    name: str
    version: str
    summary: str
    modalities: frozenset[str]
    input: str
    outputs: tuple[str, ...]
    load: Callable[[dict[str, str], str, "Store"], Algorithm | PhotographAlgorithm]
    needs: Callable[[Mapping[str, str]], tuple[str, ...]]
    any_stack: bool = False
    photograph: bool = False
    licence: str = "Apache-2.0"
    intended_use: str = "Research use only. Not for diagnosis."
