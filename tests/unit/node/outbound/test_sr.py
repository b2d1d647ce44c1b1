from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from algorithms.protocol import Code, Findings, Measurement
from node.outbound import equipment, seg, sr, sr_reading
from tests.synthetic_series import MEAN, MM3, SERIES, STUDY, VOLUME, findings, provenance, series


def report(found: Findings | None = None, **attributes: object) -> Dataset:
    volume, sources = series(**attributes)  # type: ignore[arg-type]
    found = found or findings(volume)
    segmentation = seg.encode(found, volume, sources, provenance(volume))
    dataset = sr.encode_measurements(found, sources, segmentation, provenance(volume))
    return dcmread(BytesIO(equipment.encoded("sr", dataset).content))


def test_the_report_says_that_it_is_unverified_research() -> None:
    dataset = report()
    assert dataset.SeriesDescription == "AI chest-ct-annotation measurements"
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert dataset.ContentQualification == "RESEARCH"
    assert "not for diagnosis" in dataset.CompletionFlagDescription
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_there_is_a_group_for_each_measured_segment() -> None:
    groups = sr_reading.groups(report())
    assert [group.tracking_identifier for group in groups] == ["Right lung", "Trachea"]
    assert [group.segment[1] for group in groups if group.segment] == [1, 2]


def test_values_are_exact_and_derivations_are_kept() -> None:
    volume, _ = series()
    first, second = sr_reading.groups(report())[0].numbers
    wanted = findings(volume).measurements
    assert (first.value, first.derivation) == (wanted[0].value, None)
    assert (second.value, second.derivation) == (wanted[1].value, MEAN)


def test_the_doubt_about_a_segment_stands_with_its_measurements() -> None:
    assert [group.comment for group in sr_reading.groups(report())] == ["", "small"]


@pytest.mark.parametrize("value", [0.0, -1e-12, 123456789012.345, 1 / 3, -2.5e300])
def test_any_finite_value_is_kept(value: float) -> None:
    volume, _ = series()
    found = findings(volume)
    found = replace(found, measurements=(Measurement("Trachea", "V", VOLUME, value, MM3),))
    (number,) = sr_reading.groups(report(found))[0].numbers
    assert number.value == value
    assert number.decimal == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("modality", "code"), [("CT", "25045-6"), ("MR", "25056-3"), ("PT", "44136-0"), ("OT", "363679005")]
)
def test_the_procedure_is_the_imaging_procedure(modality: str, code: str) -> None:
    source = Dataset()
    source.Modality = modality
    assert sr.procedure_reported(source).value == code


def test_the_side_is_a_modifier_of_the_site() -> None:
    (container,) = (i for i in report().ContentSequence if i.ValueType == "CONTAINER")
    right, trachea = container.ContentSequence
    (site,) = sr_reading.items(right, "363698007")
    assert site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning == "Right"
    (site,) = sr_reading.items(trachea, "363698007")
    assert "ContentSequence" not in site


def test_what_is_no_part_of_the_body_has_no_site() -> None:
    volume, _ = series()
    found = findings(volume)
    tumour = replace(
        found.segments[0],
        category=Code("49755003", "SCT", "Morphologically Abnormal Structure"),
        type=Code("108369006", "SCT", "Neoplasm"),
    )
    dataset = report(replace(found, segments=(tumour, *found.segments[1:])))
    (container,) = (i for i in dataset.ContentSequence if i.ValueType == "CONTAINER")
    assert list(sr_reading.items(container.ContentSequence[0], "363698007")) == []


def test_the_evidence_is_the_images_and_the_segmentation_each_in_its_study_and_series() -> None:
    volume, sources = series()
    found, made_by = findings(volume), provenance(volume)
    segmentation = seg.encode(found, volume, sources, made_by)
    segmentation.StudyInstanceUID = "2.25.77"
    dataset = sr.encode_measurements(found, sources, segmentation, made_by)
    assert sr_reading.evidence(dataset) == [
        *((STUDY, SERIES, source.SOPClassUID, source.SOPInstanceUID) for source in sources),
        ("2.25.77", made_by.uid("seg/series"), segmentation.SOPClassUID, segmentation.SOPInstanceUID),
    ]


def test_measurements_of_no_segment_are_refused() -> None:
    volume, sources = series()
    found = findings(volume)
    segmentation = seg.encode(found, volume, sources, provenance(volume))
    for stranger in ("Heart", None):
        wrong = replace(found, measurements=(Measurement(stranger, "V", VOLUME, 1.0, MM3),))
        with pytest.raises(ValueError, match="measurements of no segment"):
            sr.encode_measurements(wrong, sources, segmentation, provenance(volume))
    with pytest.raises(ValueError, match="none at all"):
        sr.encode_measurements(replace(found, measurements=()), sources, segmentation, provenance(volume))
