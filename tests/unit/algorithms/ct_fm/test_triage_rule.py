"""A head is called normal only if both witnesses say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.ct_fm.triage_rule import (
    ABNORMAL,
    NORMAL,
    SUSPICIOUS_ML,
    UNDETERMINED,
    Thresholds,
    urgency_of,
    verdict_of,
)

THRESHOLDS = Thresholds(0.3, 0.7)


@pytest.mark.parametrize(
    ("probability", "ml", "verdict", "urgency"),
    [
        (0.1, 0.0, NORMAL, "LOW"),
        (0.1, 1.9, NORMAL, "LOW"),
        (0.1, 2.0, UNDETERMINED, "HIGH"),
        (0.3, 0.0, UNDETERMINED, "MEDIUM"),
        (0.69, 0.0, UNDETERMINED, "MEDIUM"),
        (0.7, 0.0, ABNORMAL, "HIGH"),
        (0.99, 30.0, ABNORMAL, "HIGH"),
    ],
)
def test_verdict_and_urgency(probability, ml, verdict, urgency) -> None:
    found = verdict_of(probability, THRESHOLDS, ml)
    assert found == verdict
    assert urgency_of(found, ml) == urgency


@given(probability=st.floats(0, 1), ml=st.floats(0, 300), more=st.floats(0, 300))
def test_more_blood_never_makes_a_head_less_urgent(probability, ml, more) -> None:
    rank = {"LOW": 0, "MEDIUM": 1, "HIGH": 2}
    before, after = (rank[urgency_of(verdict_of(probability, THRESHOLDS, v), v)] for v in (ml, ml + more))
    assert after >= before


def test_weights_without_thresholds_are_cut_at_one_half_as_published() -> None:
    assert verdict_of(0.5, Thresholds(), 0.0) == ABNORMAL
    assert verdict_of(0.499, Thresholds(), 0.0) == NORMAL


def test_suspicious_volume_is_what_no_healthy_head_may_show() -> None:
    assert urgency_of(NORMAL, SUSPICIOUS_ML) == "HIGH"
