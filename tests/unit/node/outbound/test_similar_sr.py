import pytest

from algorithms.protocol import Findings
from algorithms.terminology import SIMILARITY
from node.outbound import similar_sr, sr_reading
from tests.synthetic_findings import embedding, similar
from tests.synthetic_series import STUDY, provenance, series

FOUND = Findings(embedding=embedding(), similar=similar())


def report():
    volume, sources = series()
    return similar_sr.encode_similar(FOUND, sources, provenance(volume))


def test_each_series_has_its_similarity_and_the_instance_in_its_middle():
    groups = sr_reading.groups(report())
    assert [g.numbers[0].value for g in groups] == [0.93, 0.87, 0.51]
    assert {g.numbers[0].code for g in groups} == {SIMILARITY}
    assert [g.images for g in groups] == [("2.25.4000",), ("2.25.4001",), ("2.25.4002",)]


def test_the_space_is_named():
    assert {g.comment for g in sr_reading.groups(report())} == {f"Embedding space: {embedding().space}"}


def test_other_studies_are_pertinent_evidence_and_this_one_is_current():
    written = report()
    (current,) = written.CurrentRequestedProcedureEvidenceSequence
    others = written.PertinentOtherEvidenceSequence
    assert current.StudyInstanceUID == STUDY
    assert [study.StudyInstanceUID for study in others] == ["2.25.2001", "2.25.2002"]
    assert [len(study.ReferencedSeriesSequence) for study in others] == [2, 1]


def test_the_private_scheme_is_identified():
    (scheme,) = report().CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == SIMILARITY.scheme


@pytest.mark.parametrize("found", [Findings(embedding=embedding()), Findings(similar=similar())])
def test_nothing_similar_or_no_space_is_no_report(found):
    volume, sources = series()
    with pytest.raises(ValueError, match="no similar series"):
        similar_sr.encode_similar(found, sources, provenance(volume))
