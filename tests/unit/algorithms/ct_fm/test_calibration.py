"""Logits become probabilities that hold, and areas under curves are right."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import mannwhitneyu

from algorithms.ct_fm.calibration import Calibration, area_under_curve, calibration_error


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are three times too sure and shifted, and the truth."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, count)
    return 3 * logits + 1.5, rng.random(count) < expit(logits)


def test_fit_undoes_what_was_done_to_the_logits() -> None:
    calibration = Calibration.fit(*drawn(20_000), "normal numbers")
    assert calibration.slope == pytest.approx(1 / 3, rel=0.05)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.05)


def test_calibrated_probabilities_are_observed_frequencies() -> None:
    logits, positive = drawn(4000)
    calibration = Calibration.fit(logits[:2000], positive[:2000], "normal numbers")
    probabilities = np.array([calibration.probability(logit) for logit in logits[2000:]])
    assert calibration_error(probabilities, positive[2000:]) < 0.04
    assert calibration_error(expit(logits[2000:]), positive[2000:]) > 0.1


def test_fit_is_finite_where_the_classes_are_apart() -> None:
    calibration = Calibration.fit(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1], bool), "four")
    assert 0.0 < calibration.probability(-2.0) < 0.5 < calibration.probability(2.0) < 1.0


def test_configuration_is_read_as_it_was_written() -> None:
    calibration = Calibration(0.7, -0.2, "synthetic heads")
    assert Calibration.of(calibration.as_config()) == calibration


def test_area_is_the_mann_whitney_statistic_and_ties_count_half() -> None:
    rng = np.random.default_rng(5)
    scores, positive = rng.integers(0, 9, 300).astype(float), rng.random(300) < 0.4
    scores[positive] += 2
    wins = mannwhitneyu(scores[positive], scores[~positive]).statistic
    pairs = np.count_nonzero(positive) * np.count_nonzero(~positive)
    assert area_under_curve(scores, positive).value == pytest.approx(wins / pairs)


def test_interval_holds_the_true_area_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(400):
        scores = np.r_[rng.normal(1.5, 1, 60), rng.normal(0, 1, 60)]
        interval = area_under_curve(scores, np.arange(120) < 60)
        held += interval.low <= 0.8556 <= interval.high  # normal distribution at 1.5 / sqrt(2)
    assert 0.91 < held / 400 < 0.99


def test_perfect_separation_has_an_interval_of_the_rule_of_three() -> None:
    interval = area_under_curve(np.arange(20.0), np.arange(20) >= 10)
    assert interval == (1.0, 0.7, 1.0)
