from dataclasses import replace

import pytest
from pydicom import Dataset

from algorithms.protocol import Code, Findings, Measurement, Photograph, Weights
from node.outbound import photograph_sr, sr_reading
from tests import synthetic_photograph

UID = "2.25.5"


def source():
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.4", UID
    header.StudyInstanceUID, header.SeriesInstanceUID, header.Modality = "2.25.6", "2.25.7", "XC"
    return header


def report(findings=None, years=50.0, made_by=None):
    photograph = Photograph(synthetic_photograph.pixels(), UID, years)
    return photograph_sr.encode_report(
        findings or synthetic_photograph.findings(),
        photograph,
        source(),
        made_by or synthetic_photograph.provenance(UID),
    )


def test_all_numbers_stand_in_one_group_of_the_face():
    (group,) = sr_reading.groups(report())
    assert [number.value for number in group.numbers] == [47.25, -2.75]
    assert group.sites == (sr_reading.Site(photograph_sr.FACE),)
    assert group.images == (UID,)


def test_a_number_that_is_no_probability_is_not_written_as_one():
    (group,) = sr_reading.groups(report())
    assert synthetic_photograph.PROBABILITY not in [number.code for number in group.numbers]
    assert "Risk: Not calibrated" in group.comment


def test_the_age_of_the_subject_follows_the_observer_and_precedes_the_procedure():
    names = [item.ConceptNameCodeSequence[0].CodeValue for item in report().ContentSequence]
    assert names[names.index("121033") - 1] == "121016"
    assert names[names.index("121033") + 1] == "121058"


def test_an_age_that_is_not_known_is_not_written():
    assert list(sr_reading.items(report(years=None), "121033")) == []


def test_weights_that_know_synthetic_faces_alone_are_named_as_such():
    made_by = synthetic_photograph.provenance(UID)
    assert "fahr-face-age-synthetic were trained on synthetic faces" in photograph_sr.caution(
        Findings(), made_by
    )
    published = replace(made_by, weights=(Weights("fahr-face-age", "ab" * 32),))
    assert "synthetic" not in photograph_sr.caution(Findings(), published)
    assert "Research use only" in photograph_sr.caution(Findings(), published)


def test_a_code_of_more_than_sixteen_characters_is_read_back():
    long = Code("LANDMARK-STABILITY", "99AINODE", "Shift of landmarks under small changes of the image")
    measured = Measurement(None, "Stability", long, 1.5, Code("mm", "UCUM", "mm"))
    (group,) = sr_reading.groups(report(Findings(measurements=(measured,))))
    assert [number.code for number in group.numbers] == [long]


def test_nothing_found_is_no_report():
    with pytest.raises(ValueError, match="nothing to report"):
        report(Findings())
