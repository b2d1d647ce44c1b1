"""The science side: images in, findings out. The catalogue below is all that the node sees of it.

Nothing heavy loads until an entry's `load` is called.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from algorithms.protocol import Algorithm, CatalogueEntry

if TYPE_CHECKING:
    from algorithms.weights import Store


def _chest_ct(options: dict[str, str], _device: str, _store: "Store") -> Algorithm:
    from algorithms.chest_ct.annotation import ChestCTAnnotation

    return ChestCTAnnotation.from_options(options)


CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            CatalogueEntry(
                name="chest-ct-annotation",
                version="0.1.0",
                summary="Body, lungs and airways of a chest CT, with volume, shape and intensity of each",
                modalities=frozenset({"CT"}),
                input="a chest CT in Hounsfield units that shows lung",
                outputs=("SEG", "SR TID 1500"),
                licence="Apache-2.0",
                intended_use="Research use only. Not for diagnosis.",
                load=_chest_ct,
                needs=lambda _options: (),
            ),
        )
    }
)
