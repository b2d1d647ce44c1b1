"""The science side: images in, findings out. The catalogue below is all that the node sees of it.

Nothing heavy loads until an entry's `load` is called.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from algorithms.body_part.options import needs as body_part_weights
from algorithms.catalogue import CatalogueEntry
from algorithms.cerebrum import options as cerebrum_options
from algorithms.chest_ct.options import Options
from algorithms.ct_fm import options as ct_fm_options
from algorithms.fahr_face import options as fahr_face_options
from algorithms.options import Choices, chosen
from algorithms.protocol import Algorithm, PhotographAlgorithm

if TYPE_CHECKING:
    from algorithms.weights import Store

Needs = Callable[[Mapping[str, str]], tuple[str, ...]]
"""The weights that an algorithm loads for some options."""


def _chest_ct(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.chest_ct.annotation import ChestCTAnnotation

    return ChestCTAnnotation.from_options(options, device, store)


def _body_part(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.body_part.annotation import BodyPartRegression

    return BodyPartRegression.from_options(options, device, store)


def _radiomics(options: dict[str, str], _device: str, _store: "Store") -> Algorithm:
    from algorithms.radiomics.given import Radiomics

    return Radiomics.from_options(options)


def _whole_body(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.ct_fm.whole_body import WholeBody

    return WholeBody.from_options(options, device, store)


def _tumour(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.ct_fm.tumour import Tumour

    return Tumour.from_options(options, device, store)


def _head_triage(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.ct_fm.head_triage import HeadTriage

    return HeadTriage.from_options(options, device, store)


def _retrieval(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.ct_fm.retrieval import Retrieval

    return Retrieval.from_options(options, device, store)


def _brain_t1(options: dict[str, str], device: str, store: "Store") -> Algorithm:
    from algorithms.cerebrum.brain_t1 import BrainT1

    return BrainT1.from_options(options, device, store)


def _face_age(options: dict[str, str], device: str, store: "Store") -> PhotographAlgorithm:
    from algorithms.fahr_face.face_age import FaceAge

    return FaceAge.from_options(options, device, store)


def _face_survival(options: dict[str, str], device: str, store: "Store") -> PhotographAlgorithm:
    from algorithms.fahr_face.face_survival import FaceSurvival

    return FaceSurvival.from_options(options, device, store)


def _one_of(algorithm: str, choices: Choices, names: Mapping[str, str]) -> Needs:
    """The weights that the option `weights` of an algorithm chooses."""
    return lambda options: (names[chosen(algorithm, choices, options)["weights"]],)


def _always(algorithm: str, choices: Choices, name: str) -> Needs:
    """The same weights for whatever options the algorithm has."""

    def needs(options: Mapping[str, str]) -> tuple[str, ...]:
        chosen(algorithm, choices, options)
        return (name,)

    return needs


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
                load=_body_part,
                needs=body_part_weights,
            ),
            CatalogueEntry(
                name="ct-wholebody",
                version="0.1.0",
                summary="117 structures of the body and their volumes",
                modalities=frozenset({"CT"}),
                input="a CT in Hounsfield units of any part of the body",
                outputs=("SEG", "SR TID 1500: measurements"),
                load=_whole_body,
                needs=_always("ct-wholebody", ct_fm_options.WHOLE_BODY_OPTIONS, ct_fm_options.WHOLE_BODY),
            ),
            CatalogueEntry(
                name="ct-tumor",
                version="0.1.0",
                summary="Tumours of the lung or the pancreas, their longest diameters and volumes",
                modalities=frozenset({"CT"}),
                input="a CT in Hounsfield units of the chest or the abdomen",
                outputs=("SEG", "SR TID 1500: measurements"),
                load=_tumour,
                needs=_always("ct-tumor", ct_fm_options.TUMOUR_OPTIONS, ct_fm_options.TUMOUR),
            ),
            CatalogueEntry(
                name="head-ct-triage",
                version="0.1.0",
                summary="Whether a head CT is abnormal, how urgent it is, and its hyperdense volume",
                modalities=frozenset({"CT"}),
                input="a head CT in Hounsfield units without contrast; tilted and uneven stacks too",
                outputs=(
                    "SR TID 1500: finding and urgency, measurements",
                    "SEG of hyperdense tissue",
                    "Parametric Map and Secondary Capture of the saliency",
                ),
                load=_head_triage,
                needs=_one_of("head-ct-triage", ct_fm_options.TRIAGE_OPTIONS, ct_fm_options.TRIAGE),
                any_stack=True,
            ),
            CatalogueEntry(
                name="ct-retrieval",
                version="0.1.0",
                summary="The place of a CT in the space of an encoder, and the studies nearest to it",
                modalities=frozenset({"CT"}),
                input="a CT in Hounsfield units of any part of the body",
                outputs=("SR TID 1500: similar studies", "Key Object Selection"),
                load=_retrieval,
                needs=_one_of("ct-retrieval", ct_fm_options.RETRIEVAL_OPTIONS, ct_fm_options.ENCODER),
            ),
            CatalogueEntry(
                name="brain-t1",
                version="0.1.0",
                summary="Seven structures of the brain: volumes, shares of the skull, asymmetry",
                modalities=frozenset({"MR"}),
                input="a T1-weighted MR of a whole head, about 1 mm, without contrast",
                outputs=("SEG", "SR TID 1500: measurements"),
                load=_brain_t1,
                needs=_one_of("brain-t1", cerebrum_options.OPTIONS, cerebrum_options.WEIGHTS),
            ),
            CatalogueEntry(
                name="face-age",
                version="0.1.0",
                summary="How old a face looks, beside how old the person was",
                modalities=frozenset({"XC", "OT"}),
                input="a photograph of one face, seen from the front",
                outputs=("SR TID 1500: measurements", "Secondary Capture of the saliency"),
                load=_face_age,
                needs=_one_of("face-age", fahr_face_options.AGE_OPTIONS, fahr_face_options.AGE),
                photograph=True,
            ),
            CatalogueEntry(
                name="face-survival",
                version="0.1.0",
                summary="A risk score from a face, raw and against a reference distribution",
                modalities=frozenset({"XC", "OT"}),
                input="a photograph of one face, seen from the front",
                outputs=("SR TID 1500: measurements", "Secondary Capture of the saliency"),
                load=_face_survival,
                needs=_one_of(
                    "face-survival", fahr_face_options.SURVIVAL_OPTIONS, fahr_face_options.SURVIVAL
                ),
                photograph=True,
            ),
            CatalogueEntry(
                name="radiomics",
                version="0.1.0",
                summary="Shape, first order and texture of segments that other software found",
                modalities=frozenset({"SEG"}),
                input="a SEG, BINARY or LABELMAP, and the CT, MR or PET it was made on",
                outputs=("SR TID 1500: measurements of the given segments", "RTSTRUCT on request"),
                load=_radiomics,
                needs=lambda _options: (),
            ),
        )
    }
)
