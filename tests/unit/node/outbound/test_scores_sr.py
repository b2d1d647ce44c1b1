import pytest

from algorithms.protocol import Findings, Score
from algorithms.terminology import NO_UNITS
from node.outbound import scores_sr, sr_reading
from tests.synthetic_findings import ABNORMAL, NORMALITY, PROBABILITY, scores
from tests.synthetic_series import provenance, series


def groups(*said: Score) -> list[sr_reading.Group]:
    volume, sources = series()
    return sr_reading.groups(scores_sr.encode_scores(Findings(scores=said), sources, provenance(volume)))


def test_the_answer_and_the_urgency_are_coded():
    first, _ = groups(*scores())
    high = scores_sr.PRIORITIES["HIGH"]
    assert first.evaluations == ((NORMALITY, ABNORMAL), (scores_sr.PRIORITY, high))


def test_a_number_stands_in_the_report_only_where_it_is_calibrated():
    certain, uncertain = groups(*scores())
    assert [(n.code, n.value, n.unit) for n in certain.numbers] == [(PROBABILITY, 0.9321, NO_UNITS)]
    assert certain.comment == ""
    assert (uncertain.numbers, uncertain.comment) == ((), scores_sr.NOT_CALIBRATED)


def test_every_slice_is_a_source_image():
    first, _ = groups(*scores())
    assert first.images == series()[0].sop_instance_uids


def test_groups_are_tracked_by_themselves():
    assert len({group.tracking_uid for group in groups(*scores(), *scores())}) == 4


def test_no_score_is_no_report():
    with pytest.raises(ValueError, match="no score"):
        groups()
