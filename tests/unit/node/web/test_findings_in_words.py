import json

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

from node.web.findings import in_words, sentences


def score(name, value, urgency=None):
    return {"name": name, "value": value, "unit": "1", "urgency": urgency}


def segment(review=None):
    return {"label": "Heart", "review": review}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, ""),
        ({"scores": [score("Age", 61.234)]}, "Age 61.2"),
        ({"scores": [score("A", 0.1, "LOW"), score("B", 0.98, "HIGH")]}, "B 0.98"),
        ({"segments": [segment()]}, "1 structure"),
        ({"segments": [segment(), segment("leaks")]}, "2 structures, 1 to review"),
        ({"scores": [score("B", 0.98)], "segments": [segment()]}, "B 0.98; 1 structure"),
        ({"regions": [{"name": "chest"}, {"name": "abdomen"}]}, "chest, abdomen"),
    ],
)
def test_the_line_of_the_worklist(tmp_path, found, words):
    (tmp_path / "2.25.1").mkdir()
    nothing = {"scores": [], "segments": [], "regions": []}
    (tmp_path / "2.25.1" / "findings.json").write_text(json.dumps(nothing | found))
    assert in_words(tmp_path, "2.25.1") == words


def test_nothing_is_said_of_a_run_that_is_not_there(tmp_path):
    assert in_words(tmp_path, None) == in_words(tmp_path, "2.25.9") == ""


def test_a_report_is_told_in_its_order_and_depth():
    def item(kind, meaning, **values):
        content = Dataset()
        content.ValueType = kind
        content.ConceptNameCodeSequence = [Dataset()]
        content.ConceptNameCodeSequence[0].CodeMeaning = meaning
        for keyword, value in values.items():
            setattr(content, keyword, value)
        return content

    report, unit, measured, coded = Dataset(), Dataset(), Dataset(), Dataset()
    unit.CodeMeaning, coded.CodeMeaning = "milliliter", codes.SCT.Lung.meaning
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "3.5", [unit]
    group = item("CONTAINER", "Measurement Group")
    group.ContentSequence = [
        item("NUM", "Volume", MeasuredValueSequence=[measured]),
        item("CODE", "Finding", ConceptCodeSequence=[coded]),
        item("TEXT", "Comment", TextValue="<b>"),
    ]
    report.ContentSequence = [group]
    assert sentences(report) == [
        (0, "Measurement Group", ""),
        (1, "Volume", "3.5 milliliter"),
        (1, "Finding", "Lung"),
        (1, "Comment", "<b>"),
    ]
