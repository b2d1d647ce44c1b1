from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.jobs.matching import BadQuery, Matching
from tests.unit.node.jobs.arrivals import arrival

PEOPLE = (
    {"PatientID": "A_1", "PatientName": "Doe^Jane", "StudyDate": "20260101", "StudyTime": "081500"},
    {"PatientID": "AX1", "PatientName": "Doe^John=山田^太郎", "StudyDate": "20260215", "StudyTime": "2359"},
    {"PatientID": "100%", "PatientName": "Müller^Eva", "StudyDate": "20270101"},
    {"PatientID": "C", "AccessionNumber": "77"},
)


@pytest.fixture
def matching(index, engine) -> Matching:
    for number, attributes in enumerate(PEOPLE, start=1):
        stored = arrival(1, study=f"1.{number}", series=f"1.{number}.3")
        modality = "MR" if number == 4 else "CT"
        instance = replace(stored.instance, attributes={"Modality": modality, **attributes})
        index.record([replace(stored, instance=instance)])
    return Matching(engine)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "1234"),
        ({"PatientID": ""}, "1234"),
        ({"PatientID": "A_1"}, "1"),
        ({"PatientID": "A?1"}, "12"),
        ({"PatientID": "A_*"}, "1"),
        ({"PatientID": "*%"}, "3"),
        ({"PatientID": "100"}, ""),
        ({"PatientName": "doe^*"}, "12"),
        ({"PatientName": "Doe^John"}, "2"),
        ({"PatientName": "山田^太郎"}, "2"),
        ({"PatientName": "Doe"}, ""),
        ({"StudyDate": "20260101"}, "1"),
        ({"StudyDate": "20260101-20260215"}, "12"),
        ({"StudyDate": "20260102-"}, "23"),
        ({"StudyDate": "-20260101"}, "1"),
        ({"StudyTime": "08-09"}, "1"),
        ({"StudyTime": "0815-2359"}, "12"),
        ({"AccessionNumber": "77"}, "4"),
        ({"ModalitiesInStudy": "MR"}, "4"),
        ({"ModalitiesInStudy": "MR,CT", "PatientID": "C"}, "4"),
        ({"StudyInstanceUID": "1.1,1.3"}, "13"),
        ({"StudyInstanceUID": "1.1\\1.4"}, "14"),
        ({"PatientID": "' OR 1=1 --"}, ""),
    ],
)
def test_a_query_finds_the_studies_that_match_every_key(matching, keys, expected):
    assert sorted(matching.studies(keys, 10)) == [f"1.{n}" for n in expected]


def test_pages_follow_one_another_the_latest_first(matching):
    assert matching.studies({}, 10) == matching.studies({}, 2) + matching.studies({}, 2, offset=2)
    assert matching.studies({}, 10) == ["1.4", "1.3", "1.2", "1.1"]


@pytest.mark.parametrize("value", ["tomorrow", "2026", "20260101-2026", "2026-01-01", "20260101-x"])
def test_a_date_that_is_none_is_refused(matching, value):
    with pytest.raises(BadQuery, match="StudyDate"):
        matching.studies({"StudyDate": value}, 10)


@given(st.text(max_size=20), st.sampled_from(["PatientID", "PatientName", "AccessionNumber"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_text_is_a_key(matching, text, keyword):
    assert set(matching.studies({keyword: text.replace("\x00", "")}, 10)) <= {"1.1", "1.2", "1.3", "1.4"}
