"""The gate against faults injected into scores, similar series, saliency maps and pictures, one by one."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from algorithms.protocol import Findings
from node.errors import Quarantined
from node.outbound import equipment, gate
from node.outbound.equipment import Role
from node.outbound.objects import encode_all
from tests import synthetic_findings
from tests.conformance.test_gate import (
    Fault,
    content,
    draw_a_new_uid,
    group,
    lose_the_contribution,
    lose_the_digest,
    lose_the_issuer,
    numbers,
    observe_by_another_device,
    rest_on_another_series,
    take_another_patient,
    track_another_group,
)
from tests.synthetic_series import provenance, series


def change_the_probability(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence[0].FloatingPointValue = 0.99


def give_a_number_that_is_not_calibrated(dataset: Dataset) -> None:
    certain, uncertain = dataset.ContentSequence[-1].ContentSequence
    uncertain.ContentSequence.append(numbers(dataset)[0])
    assert certain


def call_it_normal(dataset: Dataset) -> None:
    answer = content(group(dataset), "121402").ConceptCodeSequence[0]
    answer.CodeValue, answer.CodeMeaning = "17621005", "Normal"


def lower_the_priority(dataset: Dataset) -> None:
    answer = content(group(dataset), "260870009").ConceptCodeSequence[0]
    answer.CodeValue, answer.CodeMeaning = "62482003", "Low"


def rename_a_score(dataset: Dataset) -> None:
    content(group(dataset), "112039").TextValue = "Bleeding"


def lose_an_image(dataset: Dataset) -> None:
    items = group(dataset).ContentSequence
    del items[next(n for n, item in enumerate(items) if item.ValueType == "IMAGE")]


def lose_a_group(dataset: Dataset) -> None:
    del dataset.ContentSequence[-1].ContentSequence[0]


def bring_a_series_nearer(dataset: Dataset) -> None:
    numbers(dataset)[0].MeasuredValueSequence[0].FloatingPointValue = 0.99


def refer_to_another_series(dataset: Dataset) -> None:
    (image,) = (item for item in group(dataset).ContentSequence if item.ValueType == "IMAGE")
    image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.4001"


def refer_to_a_stranger(dataset: Dataset) -> None:
    (image,) = (item for item in group(dataset).ContentSequence if item.ValueType == "IMAGE")
    image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.4711"


def compare_in_another_space(dataset: Dataset) -> None:
    content(group(dataset), "121106").TextValue = "Embedding space: another"


def call_other_studies_current(dataset: Dataset) -> None:
    dataset.CurrentRequestedProcedureEvidenceSequence.extend(dataset.PertinentOtherEvidenceSequence)
    del dataset.PertinentOtherEvidenceSequence


def hide_the_private_scheme(dataset: Dataset) -> None:
    del dataset.CodingSchemeIdentificationSequence


def frame_content(dataset: Dataset, number: int) -> Dataset:
    return dataset.PerFrameFunctionalGroupsSequence[number]


def change_a_map_value(dataset: Dataset) -> None:
    values = np.frombuffer(dataset.FloatPixelData, "<f4").copy()
    values[7] += 1e-6
    dataset.FloatPixelData = values.tobytes()


def cut_the_values(dataset: Dataset) -> None:
    dataset.FloatPixelData = dataset.FloatPixelData[:-8]


def swap_places(dataset: Dataset) -> None:
    first, second = (frame_content(dataset, n) for n in (0, 1))
    first.PlanePositionSequence, second.PlanePositionSequence = (
        second.PlanePositionSequence,
        first.PlanePositionSequence,
    )


def shift_a_place(dataset: Dataset) -> None:
    place = frame_content(dataset, 1).PlanePositionSequence[0]
    place.ImagePositionPatient = [float(mm) + 0.3 for mm in place.ImagePositionPatient]


def mirror_the_rows(dataset: Dataset) -> None:
    plane = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def values_of(dataset: Dataset) -> Dataset:
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    return mapping


def double_the_slope(dataset: Dataset) -> None:
    values_of(dataset).RealWorldValueSlope = 2.0


def measure_in_percent(dataset: Dataset) -> None:
    unit = values_of(dataset).MeasurementUnitsCodeSequence[0]
    unit.CodeValue, unit.CodeMeaning = "%", "percent"


def call_it_class_activation(dataset: Dataset) -> None:
    code = values_of(dataset).QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "130402", "Class activation"


def explain_something_else(dataset: Dataset) -> None:
    dataset.ConceptNameCodeSequence[0].CodeValue = "130402"


def come_of_one_image(dataset: Dataset) -> None:
    (derivation,) = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence
    del derivation.SourceImageSequence[1:]


def refer_to_one_image(dataset: Dataset) -> None:
    del dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence[1:]


def change_the_frame_of_reference(dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = "2.25.9"


def painted(dataset: Dataset) -> np.ndarray:
    size = dataset.NumberOfFrames * dataset.Rows * dataset.Columns * 3
    pixels = np.frombuffer(dataset.PixelData, np.uint8)[:size].copy()
    return pixels.reshape(dataset.NumberOfFrames, dataset.Rows, dataset.Columns, 3)


def repaint(dataset: Dataset, pixels: np.ndarray) -> None:
    content = pixels.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)


def flip_a_picture(dataset: Dataset) -> None:
    repaint(dataset, painted(dataset)[:, :, ::-1])


def bleach_a_picture(dataset: Dataset) -> None:
    pixels = painted(dataset)
    pixels[...] = pixels[..., :1]
    repaint(dataset, pixels)


def paint_a_corner(dataset: Dataset) -> None:
    pixels = painted(dataset)
    pixels[0, 0, 0] = (255, 0, 0)
    repaint(dataset, pixels)


def swap_pictures(dataset: Dataset) -> None:
    repaint(dataset, painted(dataset)[::-1])


def name_the_slices_backwards(dataset: Dataset) -> None:
    dataset.SourceImageSequence = dataset.SourceImageSequence[::-1]


def lose_a_source(dataset: Dataset) -> None:
    del dataset.SourceImageSequence[0]


def hide_the_strongest(dataset: Dataset) -> None:
    """The middle of five slices, in all that speaks of frames."""
    middle = next(
        n for n, item in enumerate(dataset.SourceImageSequence) if item.ReferencedSOPInstanceUID[-2:] == ".3"
    )
    repaint(dataset, np.delete(painted(dataset), middle, axis=0))
    dataset.NumberOfFrames -= 1
    del dataset.SourceImageSequence[middle]
    del dataset.PerFrameFunctionalGroupsSequence[middle]


def admit_to_a_burned_in_name(dataset: Dataset) -> None:
    dataset.BurnedInAnnotation = "YES"


def images(dataset: Dataset) -> list[Dataset]:
    return [item for item in dataset.ContentSequence if item.ValueType == "IMAGE"]


def name_an_image(dataset: Dataset) -> None:
    images(dataset)[0].ConceptNameCodeSequence = dataset.ConceptNameCodeSequence


def select_another_image(dataset: Dataset) -> None:
    images(dataset)[0].ReferencedSOPSequence = images(dataset)[1].ReferencedSOPSequence


def select_one_less(dataset: Dataset) -> None:
    del dataset.ContentSequence[-1]


def title_it_for_teaching(dataset: Dataset) -> None:
    title = dataset.ConceptNameCodeSequence[0]
    title.CodeValue, title.CodeMeaning = "113004", "For Teaching"


def describe_it_otherwise(dataset: Dataset) -> None:
    (description,) = (
        item
        for item in dataset.ContentSequence
        if item.ValueType == "TEXT" and "similarity" in item.TextValue
    )
    description.TextValue = "The same disease"


def select_by_another_device(dataset: Dataset) -> None:
    (observer,) = (item for item in dataset.ContentSequence if item.ValueType == "UIDREF")
    observer.UID = "2.25.9"


def lose_a_study(dataset: Dataset) -> None:
    del dataset.CurrentRequestedProcedureEvidenceSequence[0]


ANYWHERE = [
    (take_another_patient, "PatientID is not that of the source"),
    (lose_the_issuer, "IssuerOfPatientID"),
    (draw_a_new_uid, "SOPInstanceUID is 2.25.9"),
    (lose_the_contribution, "0 items of Contributing Equipment"),
    (lose_the_digest, "digest of the weights"),
]
IN_REPORTS = [
    (track_another_group, "the tracking UID is 2.25.9"),
    (rest_on_another_series, "the evidence names .* in series 2.25.5"),
    (observe_by_another_device, "the device observer UID is 2.25.9"),
]
FAULTS: dict[Role, list[tuple[Fault, str]]] = {
    "scores": [
        *ANYWHERE,
        *IN_REPORTS,
        (change_the_probability, "the list of numbers is"),
        (give_a_number_that_is_not_calibrated, "score 'Certainty': the list of numbers is"),
        (call_it_normal, "the list of evaluations is"),
        (lower_the_priority, "the list of evaluations is"),
        (rename_a_score, "the tracking identifier is Bleeding"),
        (lose_an_image, "the list of images is"),
        (lose_a_group, "there are 1 groups for 2 scores"),
    ],
    "similar": [
        *ANYWHERE,
        *IN_REPORTS,
        (bring_a_series_nearer, "similar series 1: the similarity is"),
        (refer_to_another_series, "the list of images is"),
        (refer_to_a_stranger, "2.25.4711, which is neither a source nor a result"),
        (compare_in_another_space, "the comment is Embedding space: another"),
        (call_other_studies_current, "CurrentRequestedProcedureEvidenceSequence holds study 2.25.2001"),
        (hide_the_private_scheme, "the list of private coding schemes"),
        (lose_a_group, "there are 2 groups for 3 similar series"),
    ],
    "saliency": [
        *ANYWHERE,
        (change_a_map_value, "1 values are not as they were found"),
        (cut_the_values, "values for 3 frames"),
        (swap_places, "values are not as they were found"),
        (shift_a_place, "frame 2 does not lie on the map"),
        (mirror_the_rows, "lies outside the map"),
        (double_the_slope, "the slope is 2.0"),
        (measure_in_percent, "the unit is"),
        (call_it_class_activation, "the quantity is"),
        (explain_something_else, "the concept is"),
        (come_of_one_image, "does not name exactly the source images"),
        (refer_to_one_image, "ReferencedSeriesSequence does not hold exactly"),
        (change_the_frame_of_reference, "FrameOfReferenceUID"),
    ],
    "picture": [
        *ANYWHERE,
        (flip_a_picture, "does not show its slice"),
        (bleach_a_picture, "has no colour where the map is strong"),
        (paint_a_corner, "frame 1: it does not show its slice"),
        (swap_pictures, "does not show its slice"),
        (swap_places, "mm off its slice"),
        (shift_a_place, "frame 2: it lies 0.30 mm off its slice"),
        (name_the_slices_backwards, "not slices in their order"),
        (lose_a_source, "the number of source images is"),
        (hide_the_strongest, "the slice at the greatest value of the map is not shown"),
        (admit_to_a_burned_in_name, "the burned in annotation is YES"),
        (change_the_frame_of_reference, "FrameOfReferenceUID"),
    ],
    "keyobjects": [
        *ANYWHERE,
        (name_an_image, "TID 2010 forbids"),
        (select_another_image, "the list of images is"),
        (select_one_less, "the list of images is"),
        (title_it_for_teaching, "the title is"),
        (describe_it_otherwise, "the description is"),
        (lose_a_study, "the evidence is"),
        (select_by_another_device, "the device observer UID is 2.25.9"),
    ],
}

SAID_BY: dict[Role, tuple[str, ...]] = {
    "scores": ("scores",),
    "similar": ("embedding", "similar"),
    "keyobjects": ("embedding", "similar"),
    "saliency": ("saliency",),
    "picture": ("saliency",),
}
"""The findings that a result says, so that no others are proved with it."""


@pytest.mark.parametrize(
    ("role", "fault", "reason"),
    [(role, *fault) for role, faults in FAULTS.items() for fault in faults],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_gate_stops(role: Role, fault: Callable[[Dataset], None], reason: str) -> None:
    volume, sources = series()
    everything, made_by = synthetic_findings.findings(volume), provenance(volume)
    found = Findings(**{name: getattr(everything, name) for name in SAID_BY[role]})
    results = {item.role: item for item in encode_all(found, volume, sources, made_by, rtstruct=False)}
    dataset = dcmread(BytesIO(results[role].content))
    fault(dataset)
    results[role] = equipment.encoded(role, dataset)
    with pytest.raises(Quarantined, match=f"{role}: .*{reason}"):
        gate.prove(list(results.values()), found, volume, sources, made_by)
