from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydicom.dataset import Dataset

from node.jobs.conditions import FACTS, Condition
from node.jobs.series import Facts, study_of

words = st.text(alphabet="abAB \\é1", max_size=4)
numbers = st.floats(-1e6, 1e6)


def series(**attributes):
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.1", "1.2.2", "CT"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return study_of([ds]).series[0]


def held(attributes=None, **condition):
    return Condition(**condition).check(series(**(attributes or {}))).held


conditions = st.one_of(
    st.builds(lambda v: {"keyword": "SeriesDescription", "equals": v}, words),
    st.builds(lambda v: {"keyword": "SeriesDescription", "one_of": v}, st.lists(words, min_size=1)),
    st.builds(
        lambda v: {"keyword": "SeriesDescription", "matches": v}, st.sampled_from(["a.*", "", "[ab]+"])
    ),
    st.builds(lambda a, b: {"keyword": "SliceThickness", "between": sorted([a, b])}, numbers, numbers),
    st.builds(lambda v: {"keyword": "SliceThickness", "equals": v}, numbers),
    st.builds(lambda v: {"keyword": "SeriesDescription", "exists": v}, st.booleans()),
)


@given(condition=conditions, values=st.lists(words) | st.lists(numbers))
def test_negate_is_the_complement(condition, values):
    plain, negated = Condition(**condition), Condition(**condition, negate=True)
    assert plain.holds(tuple(values)) != negated.holds(tuple(values))


@given(low=numbers, high=numbers, value=numbers)
def test_between_includes_both_ends(low, high, value):
    low, high = sorted([low, high])
    condition = Condition(series="coverage_mm", between=(low, high))
    assert condition.holds((value,)) == (low <= value <= high)
    assert condition.holds((low,))
    assert condition.holds((high,))


@given(wanted=st.lists(words, min_size=1), value=words)
def test_one_of_is_equals_to_any(wanted, value):
    one_of = Condition(keyword="SeriesDescription", one_of=wanted).holds((value,))
    assert one_of == any(Condition(keyword="SeriesDescription", equals=w).holds((value,)) for w in wanted)


@given(condition=conditions)
def test_an_absent_attribute_satisfies_nothing_but_absence(condition):
    if "exists" not in condition:
        assert not Condition(**condition).holds(())


def test_text_is_compared_without_regard_to_case_or_padding():
    assert held({"SeriesDescription": "Thorax "}, keyword="SeriesDescription", equals="THORAX")


def test_a_regular_expression_covers_the_whole_value():
    described = {"SeriesDescription": "Thorax 5mm"}
    assert held(described, keyword="SeriesDescription", matches="thorax.*")
    assert not held(described, keyword="SeriesDescription", matches="thorax")


def test_one_of_several_values_is_enough():
    image_type = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
    assert held(image_type, keyword="ImageType", equals="AXIAL")
    assert not held(image_type, keyword="ImageType", equals="AXIAL", negate=True)


def test_ages_are_compared_in_years():
    assert held({"PatientAge": "058Y"}, keyword="PatientAge", between=(18, 120))
    assert not held({"PatientAge": "011M"}, keyword="PatientAge", between=(1, 120))


def test_a_sequence_can_be_there_or_not():
    assert held(
        {"ContributingEquipmentSequence": [Dataset()]}, keyword="ContributingEquipmentSequence", exists=True
    )
    assert held({}, keyword="ContributingEquipmentSequence", exists=False)


def test_every_fact_but_the_sentence_can_be_asked_for():
    assert set(FACTS) == {f.name for f in fields(Facts)} - {"irregularity"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"keyword": "BodyPart", "equals": "CHEST"}, "no DICOM keyword"),
        ({"series": "slice", "equals": 1}, "no fact"),
        ({"equals": "CHEST"}, "either keyword or series"),
        ({"keyword": "Modality", "series": "modality", "equals": "CT"}, "either keyword or series"),
        ({"keyword": "Modality"}, "not none"),
        ({"keyword": "Modality", "equals": "CT", "matches": "CT"}, "not equals and matches"),
        ({"keyword": "Modality", "matches": "C("}, "no regular expression"),
        ({"keyword": "SliceThickness", "between": (2, 1)}, "no range"),
        ({"keyword": "SliceThickness", "between": (float("nan"), 1)}, "no range"),
        ({"keyword": "Modality", "between": (1, 2)}, "between cannot be asked"),
        ({"keyword": "SliceThickness", "matches": "1"}, "matches cannot be asked"),
        ({"keyword": "ContributingEquipmentSequence", "equals": "x"}, "equals cannot be asked"),
        ({"series": "localizer", "equals": "no"}, "'no' is not"),
        ({"series": "localizer", "equals": 0}, "0 is not"),
        ({"series": "slices", "equals": "20"}, "'20' is not"),
        ({"series": "slices", "equals": True}, "True is not"),
        ({"keyword": "SeriesDescription", "one_of": ["5mm", 5]}, "5 is not"),
        ({"series": "orientation", "equals": "transversal"}, "never transversal"),
        ({"keyword": "Modality", "one_of": []}, "at least 1"),
        ({"keyword": "Modality", "is": "CT"}, "Extra inputs"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(condition, words):
    with pytest.raises(ValidationError, match=words):
        Condition(**condition)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"keyword": "BodyPartExamined", "equals": "CHEST"}, "BodyPartExamined is CHEST"),
        ({"keyword": "BodyPartExamined", "equals": "HEAD"}, "BodyPartExamined is CHEST (asked: HEAD)"),
        (
            {"keyword": "BodyPartExamined", "one_of": ["CHEST", "LUNG"], "negate": True},
            "BodyPartExamined is CHEST (asked: not one of CHEST, LUNG)",
        ),
        ({"keyword": "SeriesDescription", "exists": True}, "SeriesDescription is absent (asked: present)"),
        ({"keyword": "SeriesDescription", "exists": True, "negate": True}, "SeriesDescription is absent"),
        ({"series": "slices", "between": (20, float("inf"))}, "slices is 1 (asked: 20 or more)"),
        ({"series": "slices", "between": (float("-inf"), 0)}, "slices is 1 (asked: 0 or less)"),
        ({"series": "slices", "between": (2, 2.5)}, "slices is 1 (asked: between 2 and 2.5)"),
        ({"series": "localizer", "equals": True}, "localizer is false (asked: true)"),
    ],
)
def test_a_check_says_what_it_found_and_what_was_asked(condition, sentence):
    assert str(Condition(**condition).check(series(BodyPartExamined="CHEST"))) == sentence


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "OperatorsName"])
def test_who_the_patient_is_never_stands_in_a_sentence(keyword):
    check = Condition(keyword=keyword, equals="x").check(series(**{keyword: "Secret^Name"}))
    assert str(check) == f"{keyword} is present (asked: x)"
