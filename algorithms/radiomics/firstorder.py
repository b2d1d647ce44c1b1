"""First-order features, as pyradiomics 3.0.1 (class firstorder) and the IBSI define them.

All follow from the distinct values and how often each occurs. In CT there are a few thousand
distinct values at most, so that it is one pass over the voxels and nothing is sorted.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from algorithms.protocol import BoolMask, Voxels

BIN_WIDTH = 25.0
"""Width of the bins of entropy, uniformity and texture, which begin at 0 (pyradiomics' default)."""

_MOST_BINS = 1 << 20
_AT_ONCE = 1 << 20


class Distribution(NamedTuple):
    """Distinct values in rising order, and how often each occurs."""

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, voxels: Voxels, mask: BoolMask) -> "Distribution":
        """Values of the voxels in the mask.

        Args:
            voxels: float32, finite.
            mask: bool, of the same shape, with at least one voxel.
        """
        inside = voxels[mask]
        low, high = float(inside.min()), float(inside.max())
        if low.is_integer() and high - low < _MOST_BINS and abs(low) < _MOST_BINS:
            counts = np.zeros(int(high - low) + 1, dtype=np.int64)
            for start in range(0, len(inside), _AT_ONCE):
                part = inside[start : start + _AT_ONCE]
                whole = part.astype(np.int32)
                if (whole != part).any():
                    break
                counts += np.bincount(whole - int(low), minlength=len(counts))
            else:
                present = np.flatnonzero(counts)
                return cls(np.add(present, low, dtype=np.float64), counts[present])
        values, counts = np.unique(inside, return_counts=True)
        return cls(values.astype(np.float64), counts)


def first_order_features(
    distribution: Distribution, voxel_mm3: float, bin_width: float = BIN_WIDTH
) -> dict[str, float]:
    """All 19 first-order features by their names in pyradiomics.

    Args:
        distribution: of the values in the segment.
        voxel_mm3: volume of a voxel in cubic millimetres.
        bin_width: of the histogram behind entropy and uniformity, in the unit of the values.
    """
    values, counts = distribution
    count = int(counts.sum())
    low, p10, p25, median, p75, p90, high = _quantiles(distribution, (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1))
    mean = float(values @ counts) / count
    deviations = values - mean
    second, third, fourth = (float(deviations**power @ counts) / count for power in (2, 3, 4))
    energy = float(values**2 @ counts)
    shares = _histogram(distribution, bin_width) / count
    return {
        "Mean": mean,
        "Median": median,
        "Minimum": low,
        "Maximum": high,
        "Range": high - low,
        "10Percentile": p10,
        "90Percentile": p90,
        "InterquartileRange": p75 - p25,
        "StandardDeviation": second**0.5,
        "Variance": second,
        "Skewness": third / second**1.5 if second else 0.0,
        "Kurtosis": fourth / second**2 if second else 0.0,
        "MeanAbsoluteDeviation": float(np.abs(deviations) @ counts) / count,
        "RobustMeanAbsoluteDeviation": _robust_deviation(distribution, p10, p90),
        "RootMeanSquared": (energy / count) ** 0.5,
        "Energy": energy,
        "TotalEnergy": energy * voxel_mm3,
        "Entropy": -float(shares @ np.log2(shares)),
        "Uniformity": float(shares @ shares),
    }


def _quantiles(distribution: Distribution, fractions: tuple[float, ...]) -> list[float]:
    """By linear interpolation between the two nearest ranks."""
    cumulative = np.cumsum(distribution.counts)
    ranks = np.asarray(fractions) * (cumulative[-1] - 1)
    below, above = (
        distribution.values[np.searchsorted(cumulative, rank, side="right")]
        for rank in (np.floor(ranks), np.ceil(ranks))
    )
    return [float(value) for value in below + (above - below) * (ranks % 1)]


def _robust_deviation(distribution: Distribution, low: float, high: float) -> float:
    """Mean absolute deviation of the values from `low` to `high`, both included."""
    within = (distribution.values >= low) & (distribution.values <= high)
    values, counts = distribution.values[within], distribution.counts[within]
    count = counts.sum()
    if not count:  # of two voxels, neither lies between the percentiles
        return float("nan")
    return float(np.abs(values - values @ counts / count) @ counts / count)


def _histogram(distribution: Distribution, width: float) -> npt.NDArray[np.int64]:
    """Counts of the bins that are not empty."""
    bins = np.floor(distribution.values / width)
    starts = np.flatnonzero(np.diff(bins, prepend=-np.inf))
    return np.add.reduceat(distribution.counts, starts)
