"""Segments as a DICOM Segmentation (PS3.3 A.51): BINARY, Explicit VR Little Endian, one per series.

Masks are on the source grid, so a frame takes position and orientation of the slice it lies on.
Nothing is resampled, and only slices that hold a segment become frames. highdicom writes the header,
`frames` all that grows with the number of segments and slices: whole, highdicom takes some 14 bytes
for each voxel of each segment's grid and several times as long (`benchmarks/seg.py`).
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from algorithms.protocol import Findings, Segment, Volume
from node.config import MANUFACTURER
from node.errors import IrregularGeometry, UnsuitableImage
from node.outbound import frames
from node.outbound.coding import concept
from node.outbound.equipment import (
    COMPRESSION,
    RESEARCH_USE_ONLY,
    SERIES_NUMBERS,
    Provenance,
    instances,
    reference,
    sop_reference,
    stamp,
)
from node.outbound.seg_reading import PLACE_TOLERANCE, affine_of, places_of, slice_spacing_mm, thickness_mm


def encode(findings: Findings, volume: Volume, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode all segments of the findings, numbered 1 to N in their order.

    Args:
        findings: with at least one segment.
        volume: the image whose grid the masks are on.
        sources: the headers of its slices, in slice order.
        provenance: who found them.

    Raises:
        ValueError: there is no segment.
        UnsuitableImage: the sources lack a UID without which nothing can refer to them.
        IrregularGeometry: the sources are not the slices of the volume, or lie elsewhere.
    """
    if not findings.segments:
        raise ValueError("there is no segment to encode")
    refuse_nameless(sources)
    refuse_misplaced(volume, sources)
    segmentation = _header(volume, sources, findings.segments[0], provenance)
    segmentation.SegmentSequence = [
        _describe(number, segment, provenance) for number, segment in enumerate(findings.segments, start=1)
    ]
    segmentation.SegmentsOverlap = "YES" if frames.overlap(findings.segments, volume.voxels.shape) else "NO"
    refer(segmentation, sources)
    inherit_compression(segmentation, sources)
    stamp(segmentation, provenance, sources[0])
    _fill(segmentation, findings.segments, volume, sources)
    return segmentation


def derive_dimension_uid(dataset: Dataset, uid: str) -> None:
    """Replace the one UID that highdicom draws at random (PS3.3 C.7.6.17)."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def refer(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    """Name every source instance and their one series (PS3.3 C.12.1.1.1, and OHIF needs it)."""
    images = [sop_reference(source) for source in instances(sources)]
    series = Dataset()
    series.SeriesInstanceUID = sources[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = images
    dataset.ReferencedSeriesSequence = [series]
    dataset.SourceImageSequence = images


def inherit_compression(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    """What was compressed with loss once stays so in what comes of it (PS3.3 C.7.6.1.1.5 and C.8.20.2)."""
    lossy = next((s for s in sources if s.get("LossyImageCompression") == "01"), Dataset())
    for keyword in COMPRESSION:
        if keyword in lossy:
            dataset[keyword] = lossy[keyword]


def tracking_uid(segment: Segment, provenance: Provenance) -> str:
    """The UID by which SEG and SR speak of the same segment."""
    return provenance.uid(f"segment/{segment.label}")


def refuse_nameless(sources: Sequence[Dataset]) -> None:
    """Raise UnsuitableImage for sources that nothing can refer to."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID"):
        if not all(source.get(keyword) for source in sources):
            raise UnsuitableImage(f"the source images lack {keyword}, so no result can refer to them")


def refuse_misplaced(volume: Volume, sources: Sequence[Dataset]) -> None:
    """Raise IrregularGeometry for sources that are not the slices of the volume, in order and in place."""
    if tuple(str(s.SOPInstanceUID) for s in sources) != volume.sop_instance_uids:
        raise IrregularGeometry(
            "the source headers are not those of the volume's slices, or in another order"
        )
    _, rows, columns = volume.voxels.shape
    corners = np.array([[0, 0, 1], [rows - 1, 0, 1], [0, columns - 1, 1]]).T
    to_index = np.linalg.inv(volume.affine_mm)
    for number, (source, place) in enumerate(zip(sources, places_of(volume), strict=True)):
        if (source.Rows, source.Columns) != (rows, columns):
            raise IrregularGeometry(f"slice {number + 1} has {source.Rows} x {source.Columns} pixels")
        index = to_index[:3, :3] @ (affine_of(source) @ corners) + to_index[:3, 3:]
        expected = np.vstack([np.full(3, place), corners[:2]])
        if np.abs(index - expected).max() > PLACE_TOLERANCE:
            raise IrregularGeometry(f"slice {number + 1} does not lie where the volume's affine puts it")


def _header(
    volume: Volume, sources: Sequence[Dataset], segment: Segment, provenance: Provenance
) -> Segmentation:
    """All that does not grow with the segments, as highdicom writes it for a single voxel."""
    voxel = np.zeros((1, *volume.voxels.shape[1:]), dtype=np.uint8)
    voxel[0, 0, 0] = 1
    header = Segmentation(
        source_images=[_slice(sources[0], volume)],
        pixel_array=voxel,
        segmentation_type="BINARY",
        segment_descriptions=[_describe(1, segment, provenance)],
        series_instance_uid=provenance.uid("seg/series"),
        series_number=SERIES_NUMBERS["seg"],
        sop_instance_uid=provenance.uid("seg/instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=provenance.algorithm,
        software_versions=provenance.version,
        device_serial_number=provenance.device_serial_number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="RESEARCH",
        content_description=RESEARCH_USE_ONLY,
        series_description=f"AI {provenance.algorithm} segmentation",
    )
    # No person; type 2 (PS3.3 Table 10-12), and highdicom leaves it out.
    header.ContentCreatorName = None
    derive_dimension_uid(header, provenance.uid("seg/dimensions"))
    if volume.slice_places is not None:  # no single number says it
        del header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    return header


def _fill(
    segmentation: Dataset, segments: Sequence[Segment], volume: Volume, sources: Sequence[Dataset]
) -> None:
    """Put the frames in place of the single one of the header; last, or pydicom would decode them."""
    places = frames.places(segments)
    groups = frames.functional_groups(places, sources, _pixel_measures(segmentation, volume, sources))
    tag = Tag(tag_for_keyword("PerFrameFunctionalGroupsSequence") or 0)
    segmentation[tag] = RawDataElement(tag, "SQ", len(groups), groups, 0, False, True)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    del shared.SegmentIdentificationSequence  # of the one segment of the header
    segmentation.NumberOfFrames = len(places)
    segmentation.PixelData = frames.packed_bits(segments, places, segmentation.Rows, segmentation.Columns)


def _slice(source: Dataset, volume: Volume) -> Dataset:
    """What highdicom sees of a slice; an enhanced one is like a classic one, for `refer` names it anyway."""
    bare = reference(source)
    if hasattr(source, "frame_number"):
        del bare.SOPClassUID  # the element is the source's own
        bare.SOPClassUID = MRImageStorage
    bare.SpacingBetweenSlices = DSfloat(slice_spacing_mm(volume), auto_format=True)
    bare.SliceThickness = DSfloat(thickness_mm(source, volume), auto_format=True)
    return bare


def _pixel_measures(segmentation: Dataset, volume: Volume, sources: Sequence[Dataset]) -> list[Dataset]:
    """Pixel Measures of each slice, out of the shared ones, if the slices differ in thickness; else none."""
    thickness = [thickness_mm(source, volume) for source in sources]
    if len(set(thickness)) == 1:
        return []
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    own = []
    for mm in thickness:
        macro = Dataset()
        macro.PixelMeasuresSequence = deepcopy(shared.PixelMeasuresSequence)
        macro.PixelMeasuresSequence[0].SliceThickness = DSfloat(mm, auto_format=True)
        own.append(macro)
    del shared.PixelMeasuresSequence
    return own


def _describe(number: int, segment: Segment, provenance: Provenance) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=provenance.algorithm,
            family=codes.DCM.ArtificialIntelligence,
            version=provenance.version,
            source=MANUFACTURER,
            parameters=provenance.parameters,
        ),
        tracking_uid=tracking_uid(segment, provenance),
        tracking_id=segment.label,
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )
    sides = [concept(segment.laterality)] if segment.laterality else None
    if segment.site:
        description.AnatomicRegionSequence = [concept(segment.site)]
        if sides:
            description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = sides
    elif sides:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = sides
    if segment.review:
        description.SegmentDescription = segment.review
    return description
