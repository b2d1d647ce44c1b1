"""The gate against faults injected into results, one by one."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from algorithms.protocol import Code, Findings, Segment
from node.errors import Quarantined
from node.outbound import equipment, gate
from node.outbound.equipment import ROLES, EncodedObject, Role
from node.outbound.objects import encode_all
from tests import synthetic_findings
from tests.synthetic_series import findings, objects, provenance, series

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")

Fault = Callable[[Dataset], None]


def shift_a_frame(dataset: Dataset) -> None:
    position = dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    position.ImagePositionPatient = [
        float(v) + d for v, d in zip(position.ImagePositionPatient, (0.7, 0, 0), strict=True)
    ]


def shift_a_frame_by_a_hair(dataset: Dataset) -> None:
    position = dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    position.ImagePositionPatient = [float(v) + 0.1 for v in position.ImagePositionPatient]


def swap_frames(dataset: Dataset) -> None:
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    groups[0], groups[1] = groups[1], groups[0]
    dataset.PerFrameFunctionalGroupsSequence = groups


def flip_a_voxel(dataset: Dataset) -> None:
    pixels = bytearray(dataset.PixelData)
    pixels[3] ^= 4
    dataset.PixelData = bytes(pixels)


def pack_bits_the_other_way(dataset: Dataset) -> None:
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    dataset.PixelData = np.packbits(bits, bitorder="big").tobytes()


def cut_the_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def turn_the_plane(dataset: Dataset) -> None:
    plane = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def stretch_the_pixels(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.8]


def name_another_image(dataset: Dataset) -> None:
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "2.25.4711"


def name_the_wrong_slice(dataset: Dataset) -> None:
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    other = dataset.PerFrameFunctionalGroupsSequence[1]
    frame.DerivationImageSequence = other.DerivationImageSequence


def refer_to_two_series(dataset: Dataset) -> None:
    dataset.ReferencedSeriesSequence = [dataset.ReferencedSeriesSequence[0]] * 2


def take_another_patient(dataset: Dataset) -> None:
    dataset.PatientID = "P 2"


def lose_the_ideographs(dataset: Dataset) -> None:
    dataset.PatientName = "Müller^Jürgen="


def lose_the_issuer(dataset: Dataset) -> None:
    del dataset.IssuerOfPatientID


def move_to_another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = "2.25.9"


def change_the_frame_of_reference(dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = "2.25.9"


def draw_a_new_uid(dataset: Dataset) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.9"


def lose_the_device_uid(dataset: Dataset) -> None:
    del dataset.ContributingEquipmentSequence[0].DeviceUID


def lose_the_contribution(dataset: Dataset) -> None:
    del dataset.ContributingEquipmentSequence


def lose_the_digest(dataset: Dataset) -> None:
    dataset.ContributingEquipmentSequence[0].ContributionDescription = "Research use only"


def age_the_version(dataset: Dataset) -> None:
    dataset.SoftwareVersions = "1.2.2"


def hide_that_it_is_research(dataset: Dataset) -> None:
    dataset.ContentQualification = "PRODUCT"


def age_the_algorithm(dataset: Dataset) -> None:
    dataset.SegmentSequence[1].SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion = "1"


def mistype_the_type(dataset: Dataset) -> None:
    dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "39607009"


def call_an_organ_a_category(dataset: Dataset) -> None:
    category = dataset.SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0]
    category.CodeValue, category.CodeMeaning = "91772007", "Organ"


def confuse_the_dimensions(dataset: Dataset) -> None:
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.FrameContentSequence[0].DimensionIndexValues = [7, 7]


def sort_by_another_dimension(dataset: Dataset) -> None:
    dataset.DimensionIndexSequence = dataset.DimensionIndexSequence[::-1]


def deny_the_overlap(dataset: Dataset) -> None:
    dataset.SegmentsOverlap = "NO"


def show_another_colour(dataset: Dataset) -> None:
    dataset.SegmentSequence[0].RecommendedDisplayCIELabValue = [0, 0, 0]


def space_the_slices_apart(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 50


def thin_the_slices(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = 0.1


def stretch_the_pixels_by_a_hair(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.705]


def refer_to_one_image(dataset: Dataset) -> None:
    series = dataset.ReferencedSeriesSequence[0]
    series.ReferencedInstanceSequence = series.ReferencedInstanceSequence[:1]


def name_one_source_image(dataset: Dataset) -> None:
    dataset.SourceImageSequence = dataset.SourceImageSequence[:1]


def lose_the_parameters(dataset: Dataset) -> None:
    algorithm = dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    algorithm.AlgorithmParameters = "x"


def call_it_lossy(dataset: Dataset) -> None:
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = 10, "ISO_10918_1"


def lose_the_side(dataset: Dataset) -> None:
    del (
        dataset.SegmentSequence[0]
        .SegmentedPropertyTypeCodeSequence[0]
        .SegmentedPropertyTypeModifierCodeSequence
    )


def swap_the_segments(dataset: Dataset) -> None:
    first, second = dataset.SegmentSequence[:2]
    first.SegmentLabel, second.SegmentLabel = second.SegmentLabel, first.SegmentLabel


def track_another_segment(dataset: Dataset) -> None:
    dataset.SegmentSequence[0].TrackingUID = "2.25.9"


def write_a_bad_label(dataset: Dataset) -> None:
    dataset.ContentLabel = "research!"


def group(dataset: Dataset) -> Dataset:
    return dataset.ContentSequence[-1].ContentSequence[0]


def numbers(dataset: Dataset) -> list[Dataset]:
    return [item for item in group(dataset).ContentSequence if item.ValueType == "NUM"]


def change_a_value(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence[0].FloatingPointValue += 0.001


def change_a_decimal(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence[0].NumericValue = "7"


def change_a_unit(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "cm3"


def lose_a_value(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence = []


def lose_the_derivation(dataset: Dataset) -> None:
    del numbers(dataset)[1].ContentSequence


def refer_to_another_segment(dataset: Dataset) -> None:
    (item,) = (i for i in group(dataset).ContentSequence if i.ValueType == "IMAGE")
    item.ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def refer_to_another_segmentation(dataset: Dataset) -> None:
    (item,) = (i for i in group(dataset).ContentSequence if i.ValueType == "IMAGE")
    item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.9"


def report_the_other_side(dataset: Dataset) -> None:
    (site,) = (
        i for i in group(dataset).ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "363698007"
    )
    side = site.ContentSequence[0].ConceptCodeSequence[0]
    side.CodeValue, side.CodeMeaning = "7771000", "Left"


def keep_a_doubt_quiet(dataset: Dataset) -> None:
    measured = dataset.ContentSequence[-1].ContentSequence[1]
    del measured.ContentSequence[-1]


def keep_a_doubt_out_of_the_segment(dataset: Dataset) -> None:
    del dataset.SegmentSequence[1].SegmentDescription


def lose_a_group(dataset: Dataset) -> None:
    del dataset.ContentSequence[-1].ContentSequence[0]


def track_another_group(dataset: Dataset) -> None:
    group(dataset).ContentSequence[1].UID = "2.25.9"


def report_wrong_numbers_twice(dataset: Dataset) -> None:
    double = deepcopy(group(dataset))
    for item in double.ContentSequence:
        if item.ValueType == "NUM":
            item.MeasuredValueSequence[0].FloatingPointValue = item.MeasuredValueSequence[0].NumericValue = 99
    dataset.ContentSequence[-1].ContentSequence.insert(0, double)


def report_another_parameter(dataset: Dataset) -> None:
    parameter = next(
        i for i in group(dataset).ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "111002"
    )
    parameter.TextValue = "fast=no"


def rest_on_another_study(dataset: Dataset) -> None:
    dataset.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = "2.25.5"


def rest_on_another_series(dataset: Dataset) -> None:
    series = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.SeriesInstanceUID = "2.25.5"


def rest_on_one_image(dataset: Dataset) -> None:
    series = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    del series.ReferencedSOPSequence[1:]


def lose_the_evidence(dataset: Dataset) -> None:
    for study in dataset.CurrentRequestedProcedureEvidenceSequence:
        study.ReferencedSeriesSequence = [
            s for s in study.ReferencedSeriesSequence if s.SeriesInstanceUID == "2.25.1002"
        ]


def report_the_algorithm_as_the_procedure(dataset: Dataset) -> None:
    (item,) = (i for i in dataset.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121058")
    item.ConceptCodeSequence[0].CodeValue = "24725-4"


def observe_by_another_device(dataset: Dataset) -> None:
    (item,) = (i for i in dataset.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121012")
    item.UID = "2.25.9"


def verify(dataset: Dataset) -> None:
    dataset.VerificationFlag = "VERIFIED"


def slices(dataset: Dataset) -> list[Dataset]:
    return list(dataset.ContentSequence[-1].ContentSequence)


def content(parent: Dataset, name: str) -> Dataset:
    (item,) = (i for i in parent.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == name)
    return item


def show_another_slice(dataset: Dataset) -> None:
    images = [content(group, "121112").ReferencedSOPSequence[0] for group in slices(dataset)]
    images[0].ReferencedSOPInstanceUID = "2.25.1002.5"


def exchange_slices(dataset: Dataset) -> None:
    first, second = (content(group, "121112").ReferencedSOPSequence[0] for group in slices(dataset)[:2])
    first.ReferencedSOPInstanceUID, second.ReferencedSOPInstanceUID = (
        second.ReferencedSOPInstanceUID,
        first.ReferencedSOPInstanceUID,
    )


def lose_a_slice(dataset: Dataset) -> None:
    del dataset.ContentSequence[-1].ContentSequence[0]


def empty_a_slice(dataset: Dataset) -> None:
    evaluated = slices(dataset)[0]
    evaluated.ContentSequence = [
        i for i in evaluated.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue != "123014"
    ]


def track_two_slices_as_one(dataset: Dataset) -> None:
    first, second = (content(group, "112040") for group in slices(dataset)[:2])
    second.UID = first.UID


def name_another_region(dataset: Dataset) -> None:
    region = content(slices(dataset)[0], "123014").ConceptCodeSequence[0]
    region.CodeValue, region.CodeMeaning = "69536005", "Head"


def mistype_a_region(dataset: Dataset) -> None:
    content(slices(dataset)[0], "123014").ConceptCodeSequence[0].CodeValue = "113345002"


def call_a_region_something_else(dataset: Dataset) -> None:
    content(slices(dataset)[0], "123014").ConceptNameCodeSequence[0].CodeValue = "123015"


def name_another_landmark(dataset: Dataset) -> None:
    site = content(slices(dataset)[0], "363698007").ConceptCodeSequence[0]
    site.CodeValue, site.CodeMeaning = "64033007", "Kidney"


def take_the_bottom_for_the_top(dataset: Dataset) -> None:
    part = content(slices(dataset)[0], "363698007").ContentSequence[0].ConceptCodeSequence[0]
    part.CodeValue, part.CodeMeaning = "421610009", "Bottom"


def lose_the_modifier(dataset: Dataset) -> None:
    del content(slices(dataset)[0], "363698007").ContentSequence


def contours(dataset: Dataset) -> list[Dataset]:
    return list(dataset.ROIContourSequence[0].ContourSequence)


def moved(contour: Dataset, x: float, y: float, z: float) -> None:
    points = np.reshape(np.array(contour.ContourData, dtype=float), (-1, 3)) + (x, y, z)  # noqa: RUF005
    contour.ContourData = [f"{value:.3f}" for value in points.ravel()]


def shift_a_contour(dataset: Dataset) -> None:
    moved(contours(dataset)[0], 0.7, 0, 0)


def lift_a_contour(dataset: Dataset) -> None:
    moved(contours(dataset)[0], 0, 0, 0.1)


def lose_a_contour(dataset: Dataset) -> None:
    del dataset.ROIContourSequence[0].ContourSequence[0]


def draw_a_contour_twice(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence.append(contours(dataset)[0])


def draw_on_another_slice(dataset: Dataset) -> None:
    contours(dataset)[0].ContourImageSequence[0].ReferencedSOPInstanceUID = "2.25.1002.5"


def draw_on_another_image(dataset: Dataset) -> None:
    contours(dataset)[0].ContourImageSequence[0].ReferencedSOPInstanceUID = "2.25.4711"


def leave_a_contour_open(dataset: Dataset) -> None:
    contours(dataset)[0].ContourGeometricType = "OPEN_PLANAR"


def miscount_the_points(dataset: Dataset) -> None:
    contours(dataset)[0].NumberOfContourPoints += 1


def exchange_regions_of_interest(dataset: Dataset) -> None:
    first, second = dataset.ROIContourSequence[:2]
    first.ContourSequence, second.ContourSequence = second.ContourSequence, first.ContourSequence


def number_a_region_of_interest_anew(dataset: Dataset) -> None:
    dataset.RTROIObservationsSequence[0].ReferencedROINumber = 2


def rename_a_region_of_interest(dataset: Dataset) -> None:
    dataset.StructureSetROISequence[0].ROIName = "Left lung"


def code_another_organ(dataset: Dataset) -> None:
    code = dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "80891009", "Heart"


def lose_the_side_of_an_organ(dataset: Dataset) -> None:
    code = dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    del code.SegmentedPropertyTypeModifierCodeSequence


def take_an_organ_for_the_body(dataset: Dataset) -> None:
    dataset.RTROIObservationsSequence[0].RTROIInterpretedType = "EXTERNAL"


def approve(dataset: Dataset) -> None:
    dataset.ApprovalStatus = "APPROVED"


def plan_on_another_frame_of_reference(dataset: Dataset) -> None:
    dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "2.25.9"


def plan_on_another_study(dataset: Dataset) -> None:
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.ReferencedSOPInstanceUID = "2.25.9"


def plan_on_half_of_the_image(dataset: Dataset) -> None:
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    del study.RTReferencedSeriesSequence[0].ContourImageSequence[2:]


IN_BOTH = [
    (take_another_patient, "PatientID is not that of the source"),
    (lose_the_ideographs, "PatientName is not that of the source"),
    (lose_the_issuer, "IssuerOfPatientID"),
    (move_to_another_study, "StudyInstanceUID"),
    (draw_a_new_uid, "SOPInstanceUID is 2.25.9"),
    (lose_the_device_uid, "Contributing Equipment DeviceUID"),
    (lose_the_contribution, "0 items of Contributing Equipment"),
    (lose_the_digest, "digest of the weights"),
    (age_the_version, "SoftwareVersions is 1.2.2"),
    (hide_that_it_is_research, "ContentQualification"),
]
IN_SEG = [
    (shift_a_frame, "does not lie on its source image"),
    (shift_a_frame_by_a_hair, "does not lie on its source image"),
    (swap_frames, "voxels are not as they were found"),
    (flip_a_voxel, "1 voxels are not as they were found"),
    (pack_bits_the_other_way, "voxels are not as they were found"),
    (cut_the_pixels, "is cut short"),
    (turn_the_plane, "lies outside the image"),
    (stretch_the_pixels, "voxels off the image"),
    (name_another_image, "2.25.4711, which is neither a source nor a result"),
    (name_the_wrong_slice, "does not lie on its source image"),
    (refer_to_two_series, "exactly the source series"),
    (change_the_frame_of_reference, "FrameOfReferenceUID"),
    (confuse_the_dimensions, r"frame 1: the dimension index is \(7, 7\) instead of"),
    (sort_by_another_dimension, "the list of dimensions is"),
    (deny_the_overlap, "SegmentsOverlap is NO"),
    (show_another_colour, "segment 'Right lung': the colour is"),
    (space_the_slices_apart, r"SpacingBetweenSlices is 50(\.0)? instead of 2\.5"),
    (thin_the_slices, r"SliceThickness is 0\.1 instead of 2\.5"),
    (stretch_the_pixels_by_a_hair, "orientation or pixel spacing"),
    (refer_to_one_image, "ReferencedInstanceSequence does not list exactly the source images"),
    (name_one_source_image, "SourceImageSequence does not list exactly the source images"),
    (lose_the_parameters, "the algorithm parameters is x"),
    (call_it_lossy, "LossyImageCompression is 01 instead of 00"),
    (age_the_algorithm, "the algorithm version is 1"),
    (mistype_the_type, "fails the check digit"),
    (call_an_organ_a_category, "no segmented property category"),
    (lose_the_side, "the laterality is"),
    (swap_the_segments, "the label is Trachea"),
    (track_another_segment, "the tracking UID is 2.25.9"),
    (keep_a_doubt_out_of_the_segment, "the description is"),
    (write_a_bad_label, "dciodvfy: </ContentLabel"),
]
IN_SR = [
    (change_a_value, "VoxelVolume is"),
    (change_a_decimal, "VoxelVolume is"),
    (change_a_unit, "VoxelVolume is"),
    (lose_a_value, "cannot be read back"),
    (lose_the_derivation, "Mean is"),
    (refer_to_another_segment, "the referenced segment is"),
    (refer_to_another_segmentation, "the referenced segment is"),
    (report_the_other_side, "the list of sites is"),
    (keep_a_doubt_quiet, "the comment is"),
    (lose_a_group, "0 measurement groups have its tracking UID"),
    (track_another_group, "0 measurement groups have its tracking UID"),
    (lose_the_evidence, "1 instances are not listed as evidence"),
    (report_wrong_numbers_twice, "2 measurement groups have its tracking UID"),
    (report_another_parameter, "the list of algorithm parameters"),
    (report_the_algorithm_as_the_procedure, "the procedure is"),
    (observe_by_another_device, "the device observer UID is 2.25.9"),
    (verify, "the verification flag is VERIFIED"),
]
IN_REPORTS = [
    (rest_on_another_study, "the evidence names .* of study 2.25.5"),
    (rest_on_another_series, "the evidence names .* in series 2.25.5"),
    (rest_on_one_image, "4 instances are not listed as evidence"),
]
IN_EITHER_OF_SLICES = [
    (show_another_slice, "do not refer, one by one, to the slices"),
    (exchange_slices, "do not refer, one by one, to the slices"),
    (lose_a_slice, "do not refer, one by one, to the slices"),
    (track_two_slices_as_one, "the tracking UID is"),
    (observe_by_another_device, "the device observer UID is 2.25.9"),
]
IN_REGIONS = [
    (name_another_region, "the list of evaluations is"),
    (empty_a_slice, "the list of evaluations is"),
    (call_a_region_something_else, "the list of evaluations is"),
    (mistype_a_region, "fails the check digit"),
]
IN_LANDMARKS = [
    (name_another_landmark, "the list of sites is"),
    (take_the_bottom_for_the_top, "the list of sites is"),
    (lose_the_modifier, "the list of sites is"),
]
IN_RTSTRUCT = [
    (shift_a_contour, "voxels are not as they were found"),
    (lift_a_contour, "lies 0.10 mm off its image"),
    (lose_a_contour, "voxels are not as they were found"),
    (draw_a_contour_twice, "voxels are not as they were found"),
    (draw_on_another_slice, "mm off its image"),
    (draw_on_another_image, "names 2.25.4711"),
    (leave_a_contour_open, "contour 1 is OPEN_PLANAR"),
    (miscount_the_points, "contour 1 has not the"),
    (exchange_regions_of_interest, "voxels are not as they were found"),
    (number_a_region_of_interest_anew, "not numbered 1 to N"),
    (rename_a_region_of_interest, "the name is Left lung"),
    (code_another_organ, "the type is"),
    (lose_the_side_of_an_organ, "the laterality is"),
    (take_an_organ_for_the_body, "the interpreted type is EXTERNAL instead of ORGAN"),
    (approve, "the approval status is APPROVED"),
    (plan_on_another_frame_of_reference, "the referenced frame of reference is 2.25.9"),
    (plan_on_another_study, "the referenced study is 2.25.9"),
    (plan_on_half_of_the_image, "the list of images"),
]
FAULTS: dict[Role, list[tuple[Fault, str]]] = {
    "seg": [*IN_BOTH, *IN_SEG],
    "sr": [*IN_BOTH, *IN_REPORTS, *IN_SR],
    "regions": [*IN_BOTH, *IN_REPORTS, *IN_EITHER_OF_SLICES, *IN_REGIONS],
    "landmarks": [*IN_BOTH, *IN_REPORTS, *IN_EITHER_OF_SLICES, *IN_LANDMARKS],
    "rtstruct": [*IN_BOTH, *IN_RTSTRUCT],
}


@pytest.mark.parametrize(
    ("role", "fault", "reason"),
    [(role, *fault) for role, faults in FAULTS.items() for fault in faults],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_gate_stops(role: Role, fault: Fault, reason: str) -> None:
    volume, sources = series()
    found, made_by = synthetic_findings.findings(volume), provenance(volume)
    # Scores and maps have faults of their own in `test_gate_scores_and_maps`.
    found = replace(found, scores=(), embedding=None, similar=(), saliency=None)
    results = encode_all(found, volume, sources, made_by, rtstruct=True)
    dataset = dcmread(BytesIO(results[ROLES.index(role)].content))
    fault(dataset)
    results[ROLES.index(role)] = equipment.encoded(role, dataset)
    with pytest.raises(Quarantined, match=f"{role}: .*{reason}"):
        gate.prove(results, found, volume, sources, made_by, rtstruct=True)


def test_the_gate_stops_a_landmark_that_names_a_slice_it_does_not_lie_on() -> None:
    volume, sources = series()
    found, made_by = synthetic_findings.findings(volume), provenance(volume)
    mark = replace(found.landmarks[0], position_mm=synthetic_findings.position(volume, 2))
    found = replace(found, landmarks=(mark,))
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    with pytest.raises(Quarantined, match="landmark 'L1' does not lie on the slice that it names"):
        gate.prove(made, found, volume, sources, made_by)


@pytest.mark.parametrize("role", ROLES)
def test_the_gate_stops_when_any_object_is_missing(role: Role) -> None:
    volume, sources = series()
    found, made_by = synthetic_findings.findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    with pytest.raises(Quarantined, match=f"{role}: there are 0 objects, and 1 should be"):
        gate.prove([i for i in made if i.role != role], found, volume, sources, made_by, rtstruct=True)


def test_the_gate_stops_structures_that_nobody_asked_for() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    with pytest.raises(Quarantined, match="rtstruct: there are 1 objects, and 0 should be"):
        gate.prove(made, found, volume, sources, made_by, rtstruct=False)


def test_the_gate_tells_every_reason_of_every_object() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    results = objects(found, volume, sources, made_by)
    for number, fault in enumerate((flip_a_voxel, change_a_value)):
        dataset = dcmread(BytesIO(results[number].content))
        fault(dataset)
        take_another_patient(dataset)
        results[number] = equipment.encoded(results[number].role, dataset)
    with pytest.raises(Quarantined) as verdict:
        gate.prove(results, found, volume, sources, made_by)
    reasons = str(verdict.value).split("; ")
    assert [r for r in reasons if "PatientID" in r] == [
        f"{k}: PatientID is not that of the source" for k in ("seg", "sr")
    ]
    assert any(r.startswith("seg: segment 'Right lung': 1 voxels") for r in reasons)
    assert any(r.startswith("sr: segment 'Right lung': VoxelVolume") for r in reasons)


def test_the_gate_stops_when_an_object_is_missing_or_no_dicom() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    segmentation, report = objects(found, volume, sources, made_by)
    with pytest.raises(Quarantined, match="sr: there are 0 objects, and 1 should be"):
        gate.prove([segmentation], found, volume, sources, made_by)
    broken = EncodedObject("sr", report.study_instance_uid, "1", "2", "3", b"not DICOM")
    with pytest.raises(Quarantined, match="sr: cannot be read back"):
        gate.prove([segmentation, broken], found, volume, sources, made_by)


def test_the_gate_stops_a_code_that_the_algorithm_itself_mistyped() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    wrong = Segment(
        **{**vars(found.segments[0]), "type": Code("39607009", "SCT", "Lung")},
    )
    found = Findings((wrong, *found.segments[1:]), found.measurements)
    with pytest.raises(Quarantined, match="fails the check digit of SNOMED CT"):
        gate.prove(objects(found, volume, sources, made_by), found, volume, sources, made_by)
