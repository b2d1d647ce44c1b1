"""First order against numpy, whatever the values are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from algorithms.protocol import Voxels
from algorithms.radiomics.firstorder import Distribution, first_order_features

whole = st.integers(-3024, 3071).map(float)
broken = st.floats(-1e4, 1e4, width=32)
images = st.one_of(*(arrays(np.float32, st.integers(1, 60), elements=e) for e in (whole, broken)))


def features_of(voxels: Voxels) -> dict[str, float]:
    return first_order_features(Distribution.of(voxels, np.ones(voxels.shape, dtype=np.bool_)), 2.0)


@given(images)
def test_a_distribution_holds_every_value_as_often_as_it_occurs(voxels: Voxels) -> None:
    values, counts = Distribution.of(voxels, np.ones(voxels.shape, dtype=np.bool_))
    assert np.array_equal(np.repeat(values, counts), np.sort(voxels).astype(np.float64))


@given(images)
def test_statistics_are_those_of_numpy_and_scipy(voxels: Voxels) -> None:
    x = voxels.astype(np.float64)
    features = features_of(voxels)
    p10, p25, p75, p90 = np.percentile(x, (10, 25, 75, 90))
    within = x[(x >= p10) & (x <= p90)]
    expected = {
        "Mean": x.mean(),
        "Median": np.median(x),
        "Minimum": x.min(),
        "Maximum": x.max(),
        "Range": np.ptp(x),
        "10Percentile": p10,
        "90Percentile": p90,
        "InterquartileRange": p75 - p25,
        "StandardDeviation": x.std(),
        "Variance": x.var(),
        "MeanAbsoluteDeviation": np.abs(x - x.mean()).mean(),
        "RootMeanSquared": np.sqrt((x**2).mean()),
        "Energy": (x**2).sum(),
        "TotalEnergy": (x**2).sum() * 2.0,
    }
    for name, value in expected.items():
        assert features[name] == pytest.approx(value, rel=1e-9, abs=1e-6), name
    if len(within) and within[0] not in (p10, p90):
        deviation = np.abs(within - within.mean()).mean()
        assert features["RobustMeanAbsoluteDeviation"] == pytest.approx(deviation, rel=1e-6, abs=1e-6)
    _, counts = np.unique(np.floor(x / 25), return_counts=True)
    assert features["Entropy"] == pytest.approx(stats.entropy(counts, base=2), abs=1e-9)
    assert features["Uniformity"] == pytest.approx(((counts / counts.sum()) ** 2).sum())


def test_skewness_and_kurtosis_are_moments_and_kurtosis_is_not_excess() -> None:
    voxels = np.random.default_rng(0).gamma(2, 100, 10_000).astype(np.float32)
    features = features_of(voxels)
    assert features["Skewness"] == pytest.approx(stats.skew(voxels.astype(np.float64)))
    assert features["Kurtosis"] == pytest.approx(stats.kurtosis(voxels.astype(np.float64), fisher=False))


def test_a_flat_segment_has_neither_skewness_nor_kurtosis() -> None:
    features = features_of(np.full(20, 40.0, dtype=np.float32))
    assert (features["Skewness"], features["Kurtosis"], features["Variance"]) == (0, 0, 0)
    assert (features["Entropy"], features["Uniformity"]) == (0, 1)


def test_only_the_voxels_of_the_mask_count() -> None:
    voxels = np.array([[[1, 2, 3, 1000]]], dtype=np.float32)
    mask = np.array([[[True, False, True, False]]])
    assert Distribution.of(voxels, mask).values.tolist() == [1, 3]


def test_no_value_between_the_percentiles_leaves_their_deviation_undefined() -> None:
    assert np.isnan(features_of(np.array([0.0, 1.0], dtype=np.float32))["RobustMeanAbsoluteDeviation"])
