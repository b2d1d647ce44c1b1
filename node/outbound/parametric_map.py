"""A saliency map as a Parametric Map (PS3.3 A.75): float32, on its own grid in patient space."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from highdicom import (
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
    VOILUTTransformation,
)
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from algorithms.protocol import Affine, Code, Findings, SaliencyMap
from node.config import MANUFACTURER
from node.outbound.coding import concept
from node.outbound.equipment import (
    RESEARCH_USE_ONLY,
    SERIES_NUMBERS,
    Provenance,
    reference,
    stamp,
    without_side,
)
from node.outbound.frames import derivation_image, plane_position
from node.outbound.seg import derive_dimension_uid, inherit_compression, refer, refuse_nameless

VISUAL_EXPLANATION: Final = Code("130401", "DCM", "Visual explanation")
DERIVATION: Final = Code("112187", "DCM", "Unspecified method of calculation")
"""No code of CID 7203 says how a map explains a network; the name and the quantity do."""

BODY_PARTS: Final[Mapping[str, Code]] = {
    "HEAD": Code("69536005", "SCT", "Head"),
    "BRAIN": Code("12738006", "SCT", "Brain"),
    "SKULL": Code("89546000", "SCT", "Skull"),
    "NECK": Code("45048000", "SCT", "Neck"),
    "CHEST": Code("816094009", "SCT", "Chest"),
    "ABDOMEN": Code("818981001", "SCT", "Abdomen"),
    "PELVIS": Code("816092008", "SCT", "Pelvis"),
}
"""Body Part Examined as CID 4031 has it, for those that a map is made of."""

GREATEST_VOXELS: Final = 2**26
"""256 MiB of float32: a map of a whole body at 2 mm has a quarter of that."""

_NARROWEST_WINDOW: Final = 1e-6
"""Of a map that is the same everywhere: Window Width may not be 0."""

_LONGEST_LABEL: Final = 16
_LONGEST_EXPLANATION: Final = 64


def encode(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the saliency map of the findings, a frame for each of its slices.

    Args:
        findings: with a saliency map.
        sources: the headers of the image, in slice order.
        provenance: who found it.

    Raises:
        ValueError: there is no map, or it is larger than any map should be, or not of numbers.
        UnsuitableImage: the sources lack a UID without which nothing can refer to them.
    """
    saliency = findings.saliency
    if saliency is None:
        raise ValueError("there is no saliency map to encode")
    if saliency.voxels.size > GREATEST_VOXELS or not np.isfinite(saliency.voxels).all():
        raise ValueError(f"a saliency map of {saliency.voxels.size} voxels, or with values that are none")
    refuse_nameless(sources)
    parametric = _header(saliency, sources[0], provenance)
    # No person; type 2 (PS3.3 Table 10-12), and highdicom leaves it out.
    parametric.ContentCreatorName = None
    parametric.ConceptNameCodeSequence = [concept(VISUAL_EXPLANATION)]
    derive_dimension_uid(parametric, provenance.uid("saliency/dimensions"))
    _fill(parametric, saliency)
    _derive(parametric, sources)
    _locate(parametric, sources[0])
    inherit_compression(parametric, sources)
    stamp(parametric, provenance, sources[0])
    without_side(parametric)
    return parametric


def _header(saliency: SaliencyMap, source: Dataset, provenance: Provenance) -> ParametricMap:
    """All but the frames, as highdicom writes it for a single one."""
    low, high = float(saliency.voxels.min()), float(saliency.voxels.max())
    slices, rows, columns = np.linalg.norm(saliency.affine_mm[:3, :3], axis=0)
    bare = reference(source)
    bare.SliceThickness = slices  # highdicom reads it of every source, and writes that of the map
    return ParametricMap(
        source_images=[bare],
        pixel_array=saliency.voxels[:1],
        series_instance_uid=provenance.uid("saliency/series"),
        series_number=SERIES_NUMBERS["saliency"],
        sop_instance_uid=provenance.uid("saliency/instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=provenance.algorithm,
        software_versions=provenance.version,
        device_serial_number=provenance.device_serial_number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_values(saliency, low, high)],
        voi_lut_transformations=[
            VOILUTTransformation(
                window_center=(low + high) / 2,
                window_width=max(high - low, _NARROWEST_WINDOW),
                voi_lut_function="LINEAR_EXACT",
            )
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="RESEARCH",
        content_description=RESEARCH_USE_ONLY,
        pixel_measures=PixelMeasuresSequence((rows, columns), slices, slices),
        plane_orientation=PlaneOrientationSequence("PATIENT", _directions(saliency.affine_mm)),
        plane_positions=[PlanePositionSequence("PATIENT", saliency.affine_mm[:3, 3].tolist())],
        series_description=f"AI {provenance.algorithm} {saliency.name.lower()}",
    )


def _values(saliency: SaliencyMap, low: float, high: float) -> RealWorldValueMapping:
    """What is stored is the quantity itself."""
    return RealWorldValueMapping(
        lut_label=saliency.code.meaning[:_LONGEST_LABEL],
        lut_explanation=saliency.name[:_LONGEST_EXPLANATION],
        unit=concept(saliency.unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept(saliency.code),
    )


def _directions(affine_mm: Affine) -> tuple[float, ...]:
    """Image Orientation (Patient): the direction of a row, which the columns follow, and of a column."""
    units = affine_mm[:3, [2, 1]] / np.linalg.norm(affine_mm[:3, [2, 1]], axis=0)
    return tuple(float(cosine) for cosine in units.T.ravel())


def _fill(parametric: Dataset, saliency: SaliencyMap) -> None:
    """Put the slices in place of the single one of the header, rising along the normal of their planes.

    dcmqi takes frames for ordered so, wherever they say they are; highdicom orders them the other way.
    """
    step, along_column, along_row = saliency.affine_mm[:3, :3].T
    order = range(len(saliency.voxels))
    if step @ np.cross(along_row, along_column) < 0:
        order = order[::-1]
    parametric.PerFrameFunctionalGroupsSequence = [
        _frame(rank, saliency.affine_mm[:3, 3] + index * step) for rank, index in enumerate(order, start=1)
    ]
    parametric.DimensionOrganizationType = "3D"
    parametric.NumberOfFrames = len(order)
    parametric.FloatPixelData = np.ascontiguousarray(saliency.voxels[list(order)], dtype="<f4").tobytes()


def _frame(rank: int, position_mm: npt.NDArray[np.float64]) -> Dataset:
    content = Dataset()
    content.DimensionIndexValues = [rank]
    group = plane_position([DSfloat(float(mm), auto_format=True) for mm in position_mm])
    group.FrameContentSequence = [content]
    return group


def _derive(parametric: Dataset, sources: Sequence[Dataset]) -> None:
    """Every frame comes of every source image, so the shared groups name them, once."""
    parametric.SharedFunctionalGroupsSequence[0].update(derivation_image(sources, DERIVATION))
    refer(parametric, sources)


def _locate(parametric: Dataset, source: Dataset) -> None:
    """Frame Anatomy (PS3.3 C.7.6.16.2.8) where the source says what it shows; dcmqi reads no map without."""
    region = BODY_PARTS.get(str(source.get("BodyPartExamined", "")).upper())
    if region:
        anatomy = Dataset()
        anatomy.AnatomicRegionSequence = [concept(region)]
        anatomy.FrameLaterality = "U"
        parametric.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
