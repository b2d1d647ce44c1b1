from dataclasses import replace

import pytest

from tests.unit.node.jobs.arrivals import arrival

ATTRIBUTES = {
    "Modality": "CT",
    "PatientID": "P1",
    "PatientName": "Yamada^Taro=山田^太郎",
    "StudyDate": "20260102",
    "StudyDescription": "Chest",
}


@pytest.fixture
def study(rooms) -> str:
    stored = [arrival(1, study="1.5", series="1.5.1"), arrival(1, study="1.5", series="1.5.2")]
    rooms.index.record([replace(s, instance=replace(s.instance, attributes=ATTRIBUTES)) for s in stored])
    return "1.5"


def test_a_study_is_found_with_what_the_ledger_knows(client, study):
    answer = client.get("/dicom-web/studies?PatientName=yamada*")
    assert answer.headers["content-type"] == "application/dicom+json"
    assert answer.json() == [
        {
            "00080020": {"vr": "DA", "Value": ["20260102"]},
            "00080056": {"vr": "CS", "Value": ["ONLINE"]},
            "00080061": {"vr": "CS", "Value": ["CT"]},
            "00081030": {"vr": "LO", "Value": ["Chest"]},
            "00100010": {
                "vr": "PN",
                "Value": [{"Alphabetic": "Yamada^Taro", "Ideographic": "山田^太郎"}],
            },
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "0020000D": {"vr": "UI", "Value": ["1.5"]},
            "00201206": {"vr": "IS", "Value": [2]},
            "00201208": {"vr": "IS", "Value": [2]},
        }
    ]


@pytest.mark.parametrize("query", ["00100020=P1", "PatientID=P1", "0020000d=1.5", "", "includefield=all"])
def test_attributes_are_named_by_keyword_or_tag(client, study, query):
    assert len(client.get(f"/dicom-web/studies?{query}").json()) == 1


def test_nothing_found_is_no_content(client, study):
    answer = client.get("/dicom-web/studies?PatientID=other")
    assert (answer.status_code, answer.content) == (204, b"")


def test_what_is_not_supported_is_ignored_and_said(client, study):
    answer = client.get("/dicom-web/studies?ReferringPhysicianName=X&fuzzymatching=true")
    assert len(answer.json()) == 1
    assert "ReferringPhysicianName, fuzzymatching" in answer.headers["warning"]
    assert "warning" not in client.get("/dicom-web/studies?includefield=00081030&limit=5").headers


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "offset=1.5", "StudyDate=tomorrow", "limit=٣"])
def test_a_value_that_cannot_be_is_a_bad_request(client, study, query):
    answer = client.get(f"/dicom-web/studies?{query}")
    assert (answer.status_code, query.split("=")[0] in answer.json()["detail"]) == (400, True)
