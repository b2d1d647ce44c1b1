"""The science side: images in, findings out. The catalogue below is all that the node sees of it.

Nothing heavy loads until an entry's `load` is called.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from algorithms.body_part.options import needs as body_part_weights
from algorithms.chest_ct.options import Options
from algorithms.protocol import Algorithm, CatalogueEntry

if TYPE_CHECKING:
    from algorithms.weights import Store


def _chest_ct(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.chest_ct.annotation import ChestCTAnnotation

    return ChestCTAnnotation.from_options(options, device, store)


def _body_part(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.body_part.annotation import BodyPartRegression

    return BodyPartRegression.from_options(options, device, store)


def _radiomics(options: dict[str, str], _device: str, _store: "Store") -> Algorithm:
    from algorithms.radiomics.given import Radiomics

    return Radiomics.from_options(options)


CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            CatalogueEntry(
                name="chest-ct-annotation",
                version="0.2.0",
                summary="Organs at risk, landmarks and regions of a chest CT, with radiomics",
                modalities=frozenset({"CT"}),
                input="a chest CT in Hounsfield units that shows lung",
                outputs=("SEG", "SR TID 1500: measurements, regions, landmarks", "RTSTRUCT on request"),
                licence="Apache-2.0",
                intended_use="Research use only. Not for diagnosis.",
                load=_chest_ct,
                needs=lambda options: Options.of(options).needs,
            ),
            CatalogueEntry(
                name="body-part-regression",
                version="0.1.0",
                summary="Which part of the body each slice of a CT shows, and landmarks along it",
                modalities=frozenset({"CT"}),
                input="a CT in Hounsfield units in axial slices",
                outputs=("SR TID 1500: regions, landmarks",),
                licence="Apache-2.0",
                intended_use="Research use only. Not for diagnosis.",
                load=_body_part,
                needs=body_part_weights,
            ),
            CatalogueEntry(
                name="radiomics",
                version="0.1.0",
                summary="Shape, first order and texture of segments that other software found",
                modalities=frozenset({"SEG"}),
                input="a SEG, BINARY or LABELMAP, and the CT, MR or PET it was made on",
                outputs=("SR TID 1500: measurements of the given segments", "RTSTRUCT on request"),
                licence="Apache-2.0",
                intended_use="Research use only. Not for diagnosis.",
                load=_radiomics,
                needs=lambda _options: (),
            ),
        )
    }
)
