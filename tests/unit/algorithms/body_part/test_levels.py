"""Landmarks, regions and the tag from scores that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.body_part.anatomy import EXAMINED, LANDMARKS, REGIONS
from algorithms.body_part.levels import landmark_slices, landmarks_in_view, region_slices, tag
from algorithms.body_part.scores import Reference, ScoreCurve

REFERENCE = Reference(raw_ends=(0.0, 100.0))


def curve_of(values, *, spacing_mm=5.0, is_reversed=False, has_valid_spacing=True):
    return ScoreCurve(np.asarray(values, dtype=float), spacing_mm, 0.118, 1.0, is_reversed, has_valid_spacing)


def scan(low, high, **more):
    return curve_of(np.arange(low, high, 0.59), **more)


def test_there_are_35_landmarks_in_their_order():
    scores = [site.score for site in LANDMARKS.values()]
    assert len(scores) == 35
    assert scores == sorted(scores)


def test_rules_and_regions_name_landmarks_that_exist():
    named = {name for part in REGIONS.values() for name in (part.begins, part.ends) if name}
    named |= {name for rule in EXAMINED.values() for name in (*rule.landmarks, rule.begins, rule.ends)}
    assert named <= LANDMARKS.keys()


@given(low=st.floats(-30, 60), length=st.floats(20, 140))
def test_a_landmark_is_on_the_last_slice_below_its_score(low, length):
    curve = scan(low, low + length)
    for name, index in landmark_slices(curve, REFERENCE).items():
        assert curve.values[index] < LANDMARKS[name].score <= curve.values[index + 1]
        assert 0 < index < len(curve.values) - 1


@given(low=st.floats(-30, 60), length=st.floats(20, 140))
def test_landmarks_of_a_reversed_stack_are_on_the_same_slices(low, length):
    upright = scan(low, low + length)
    turned = curve_of(upright.values[::-1], is_reversed=True)
    last = len(upright.values) - 1
    assert landmark_slices(turned, REFERENCE) == {
        name: last - index for name, index in landmark_slices(upright, REFERENCE).items()
    }


def test_a_landmark_beyond_a_tail_without_scores_is_not_found():
    curve = curve_of(np.r_[np.nan, np.arange(40, 70, 0.59), [np.nan] * 5])
    found = landmark_slices(curve, REFERENCE)
    assert "Th8" in found
    assert not {"Th3", "L2"} & found.keys()
    assert landmarks_in_view(curve.values, REFERENCE) >= found.keys()


def test_no_score_no_landmark_no_region_no_tag():
    curve = curve_of([np.nan] * 30)
    assert landmark_slices(curve, REFERENCE) == {}
    assert region_slices(curve, REFERENCE) == {}
    assert tag(curve, REFERENCE) == "NONE"


@pytest.mark.parametrize(
    ("score", "regions"),
    [
        (-5, {"legs"}),
        (10, {"pelvis"}),
        (27, {"pelvis", "abdomen"}),
        (40, {"abdomen"}),
        (50, {"abdomen", "chest"}),
        (65, {"chest"}),
        (73, {"chest", "shoulder-neck"}),
        (84, {"shoulder-neck", "head"}),
        (104, {"head"}),
    ],
)
def test_a_slice_shows_the_regions_of_its_score(score, regions):
    assert region_slices(curve_of([score]), REFERENCE).keys() == regions


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-5, 40, "PELVIS"),
        (20, 56, "ABDOMEN"),
        (42, 80, "CHEST"),
        (-5, 56, "ABDOMEN-PELVIS"),
        (20, 80, "CHEST-ABDOMEN"),
        (42, 87.5, "NECK-CHEST"),
        (84, 108, "HEAD"),
        (69, 108, "HEAD-NECK"),
        (-5, 108, "HEAD-NECK-CHEST-ABDOMEN-PELVIS"),
        (88, 108, "HEAD"),
        (60, 68, "CHEST"),
        (-60, -20, "NONE"),
    ],
)
def test_the_tag_names_what_is_in_view(low, high, expected):
    assert tag(scan(low, high), REFERENCE) == expected


def test_a_scan_whose_spacing_is_wrong_has_no_tag():
    assert tag(scan(42, 80, has_valid_spacing=False), REFERENCE) == "NONE"
