"""Scores made clean, and the verdict on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.body_part.scores import Reference, assess, line_slope, smooth, without_tails

REFERENCE = Reference(raw_ends=(-3.0, 39.4))
SPACINGS = st.floats(0.5, 7.0)


def raw(scores):
    """Published scores as this network would give them."""
    return REFERENCE.raw_ends[0] + np.asarray(scores) * 0.424


def line(first, length_mm, spacing_mm, slope=0.118):
    return first + slope * spacing_mm * np.arange(max(int(length_mm / spacing_mm), 8))


@given(spacing=SPACINGS, first=st.floats(-10, 40), length=st.floats(120, 600))
def test_a_linear_score_is_plausible_and_kept(spacing, first, length):
    scores = line(first, length, spacing)
    curve = assess(raw(scores), spacing, REFERENCE)
    assert curve.is_plausible
    assert curve.slope_ratio == pytest.approx(1.0, abs=0.1)
    inner = slice(len(scores) // 3, -len(scores) // 3)
    assert curve.values[inner] == pytest.approx(scores[inner], abs=0.5)


@given(spacing=SPACINGS, first=st.floats(-10, 40), length=st.floats(120, 600))
def test_head_and_feet_exchanged_are_noticed_and_nothing_else_changes(spacing, first, length):
    upright = assess(raw(line(first, length, spacing)), spacing, REFERENCE)
    turned = assess(raw(line(first, length, spacing))[::-1], spacing, REFERENCE)
    assert turned.is_reversed
    assert not turned.is_plausible
    assert turned.has_valid_spacing
    assert turned.values == pytest.approx(upright.values[::-1], nan_ok=True)
    assert turned.slope_per_mm == pytest.approx(-upright.slope_per_mm)


@given(spacing=st.floats(1.0, 5.0), factor=st.sampled_from([0.25, 0.5, 1.6, 2.0, 4.0]))
def test_a_wrong_spacing_is_noticed(spacing, factor):
    curve = assess(raw(line(20, 300, spacing)), spacing * factor, REFERENCE)
    assert not curve.has_valid_spacing
    assert curve.slope_ratio == pytest.approx(1 / factor, rel=0.15)


@given(noise=st.floats(0, 1.5), seed=st.integers(0, 2**16))
def test_noise_does_not_change_the_verdict(noise, seed):
    scores = line(10, 500, 5.0)
    scores += np.random.default_rng(seed).normal(0, noise, len(scores))
    assert assess(raw(scores), 5.0, REFERENCE).is_plausible


@given(before=st.integers(1, 9), after=st.integers(1, 9))
def test_empty_slices_have_no_score_and_do_no_harm(before, after):
    body = raw(line(30, 300, 5.0))
    curve = assess(np.r_[[np.nan] * before, body, [np.nan] * after], 5.0, REFERENCE)
    assert np.isnan(curve.values[:before]).all()
    assert np.isnan(curve.values[-after:]).all()
    assert not np.isnan(curve.values[before:-after]).any()
    assert curve.is_plausible


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_scores_give_no_verdict(count):
    scores = np.full(12, np.nan)
    scores[:count] = raw(np.arange(count))
    curve = assess(scores, 5.0, REFERENCE)
    assert np.isnan(curve.slope_per_mm)
    assert not curve.is_plausible


def test_a_tail_above_the_head_is_cut_and_one_below_the_pelvis():
    body = line(-20, 1100, 5.0)
    wild = np.r_[[60.0] * 10, body, [30.0] * 10]
    cut = without_tails(wild, 5.0, REFERENCE)
    assert np.isnan(cut[:9]).all()
    assert np.isnan(cut[-10:]).all()
    assert np.array_equal(cut[12:-12], wild[12:-12])


def test_an_outlier_within_the_body_is_no_tail():
    chest = line(50, 200, 5.0)
    chest[20] += 10
    assert np.array_equal(without_tails(chest, 5.0, REFERENCE), chest)


def test_the_line_does_not_follow_a_quarter_of_wild_scores():
    scores = line(20, 500, 5.0)
    scores[:20] = 90.0
    assert line_slope(scores, 5.0) == pytest.approx(0.118, rel=0.28)


@given(first=st.floats(-50, 50), spacing=SPACINGS)
def test_smoothing_leaves_what_does_not_change(first, spacing):
    assert smooth(np.full(30, first), spacing) == pytest.approx(np.full(30, first))


def test_a_reference_survives_its_configuration():
    reference = Reference((1.5, 40.0), slope_per_mm=0.11)
    assert Reference.from_config({"reference": reference.as_config()}, "any") == reference


def test_the_settings_of_the_published_weights_are_read():
    names = REFERENCE.landmarks
    settings = {
        "lookuptable_train_val": {
            "original": {name: {"mean": 0.4 * score - 5, "std": 1} for name, score in names.items()},
            "transformed": {name: {"mean": score, "std": 1} for name, score in names.items()},
        },
        "slope_mean": 0.117,
        "lower_quantile_tangential_slope": -0.03,
        "upper_quantile_tangential_slope": 0.24,
    }
    published = Reference.published(settings)
    assert published.raw_ends == (-5.0, 35.0)
    assert dict(published.landmarks) == dict(names)
    assert published.slope_range_per_mm == (-0.03, 0.24)
