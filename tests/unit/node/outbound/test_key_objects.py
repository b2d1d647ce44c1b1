import pytest

from algorithms.protocol import Findings
from node.outbound import key_objects, sr_reading
from tests.synthetic_findings import embedding, similar
from tests.synthetic_series import provenance, series


def selection():
    volume, sources = series()
    found = Findings(embedding=embedding(), similar=similar())
    return key_objects.encode(found, sources, provenance(volume))


def test_the_nearest_comes_first_and_no_image_has_a_concept_name():
    images = [item for item in selection().ContentSequence if item.ValueType == "IMAGE"]
    referenced = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images]
    assert referenced == [other.sop_instance_uid for other in similar()]
    assert not any("ConceptNameCodeSequence" in item for item in images)


def test_all_that_is_selected_is_evidence():
    assert {instance.uid for instance in sr_reading.evidence(selection())} == {
        other.sop_instance_uid for other in similar()
    }


def test_the_description_says_how_near_and_what_for():
    text = key_objects.description(similar())
    assert "0.930, 0.870, 0.510" in text
    assert "Research use only" in text


def test_nothing_similar_is_no_selection():
    volume, sources = series()
    with pytest.raises(ValueError, match="no similar series"):
        key_objects.encode(Findings(), sources, provenance(volume))


def test_it_lies_in_the_study_of_the_image_and_names_no_copies():
    document = selection()
    _, sources = series()
    assert document.StudyInstanceUID == sources[0].StudyInstanceUID
    assert document.StudyInstanceUID not in {other.study_instance_uid for other in similar()}
    assert "IdenticalDocumentsSequence" not in document
