"""Slice scores made clean, and a verdict whether they are what a CT of the body gives.

The steps and their parameters are the published ones (`scores.py` of bpreg 1.1.0). Three are mended:
empty slices are known by their pixels (`regressor`), not by four scores that a slice of the body may
have as well; a stack whose head and feet are exchanged is turned before its tails are cut, since every
slope in it looks like an outlier otherwise; the line is fitted by the median slope, which tails do not
bend.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from algorithms.body_part.anatomy import LANDMARKS
from algorithms.weights import WeightsFaulty

Scores = npt.NDArray[np.float64]

LOWEST, HIGHEST = "pelvis_start", "eyes_end"
_FULL_SCALE = 100.0
_NEAR_AN_END = 10.0
_SMOOTHING_MM = 10.0
_FEWEST = 3  # slices that make a line


@dataclass(frozen=True)
class Reference:
    """How the raw scores of a network are read.

    Attributes:
        raw_ends: mean raw score of pelvis_start and of eyes_end, which become 0 and 100.
        landmarks: mean score of each landmark on that scale.
        slope_per_mm: mean slope of the scores from the feet to the head.
        slope_range_per_mm: slopes from slice to slice outside of it are outliers.
        slope_tolerance: how far the slope may be from the mean, as a share of it.
    """

    raw_ends: tuple[float, float]
    landmarks: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({name: site.score for name, site in LANDMARKS.items()})
    )
    slope_per_mm: float = 0.118
    slope_range_per_mm: tuple[float, float] = (-0.037, 0.25)
    slope_tolerance: float = 0.28

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str) -> Self:
        """The `reference` of a checkpoint's configuration; what it does not say is as published.

        Raises:
            WeightsFaulty: it lacks the raw scores of both ends, or a landmark.
        """
        given = dict(config.get("reference", {}))
        if "raw_ends" not in given:
            raise WeightsFaulty(f"{name}: the configuration lacks the raw scores of {LOWEST} and {HIGHEST}")
        if missing := LANDMARKS.keys() - given.get("landmarks", LANDMARKS).keys():
            raise WeightsFaulty(f"{name}: the configuration lacks the landmark {min(missing)}")
        read: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        return cls(**read)

    @classmethod
    def published(cls, settings: Mapping[str, Any]) -> Self:
        """The reference in the `inference-settings.json` that comes with the published weights."""
        original = settings["lookuptable_train_val"]["original"]
        transformed = settings["lookuptable_train_val"]["transformed"]
        return cls(
            raw_ends=(original[LOWEST]["mean"], original[HIGHEST]["mean"]),
            landmarks={name: transformed[name]["mean"] for name in LANDMARKS},
            slope_per_mm=settings["slope_mean"],
            slope_range_per_mm=(
                settings["lower_quantile_tangential_slope"],
                settings["upper_quantile_tangential_slope"],
            ),
        )

    def as_config(self) -> dict[str, Any]:
        """What `from_config` reads, ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"landmarks": dict(self.landmarks)}


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """Scores along the body and what their line says.

    Attributes:
        values: float64 (slice,), cleaned, 0 to 100 from pelvis to eyes, NaN where nothing can be said;
            the slices in the order of the heights that the header gives them, lowest first.
        spacing_mm: distance of the slices.
        slope_per_mm: of the line through the values; NaN if there are fewer than three.
        slope_ratio: its size as a share of what is expected; about 1 if the spacing is true.
        is_reversed: the scores fall from the lowest slice to the highest: head and feet are exchanged.
        has_valid_spacing: the slope is what is expected.
    """

    values: Scores
    spacing_mm: float
    slope_per_mm: float
    slope_ratio: float
    is_reversed: bool
    has_valid_spacing: bool

    @property
    def is_plausible(self) -> bool:
        """The header's order and spacing of the slices agree with the images."""
        return self.has_valid_spacing and not self.is_reversed


def assess(raw: Scores, spacing_mm: float, reference: Reference) -> ScoreCurve:
    """Clean raw scores and judge them.

    Args:
        raw: (slice,), from the lowest slice to the highest, NaN for empty slices.
        spacing_mm: distance of the slices.
        reference: of the network.
    """
    values = smooth(rescale(raw, reference), spacing_mm)
    is_reversed = line_slope(values, spacing_mm) < 0
    upwards = values[::-1] if is_reversed else values
    cleaned = without_tails(upwards, spacing_mm, reference)
    slope = line_slope(cleaned, spacing_mm)
    ratio = abs(slope) / reference.slope_per_mm
    return ScoreCurve(
        values=cleaned[::-1] if is_reversed else cleaned,
        spacing_mm=spacing_mm,
        slope_per_mm=-slope if is_reversed else slope,
        slope_ratio=ratio,
        is_reversed=bool(is_reversed),
        has_valid_spacing=bool(abs(1.0 - ratio) <= reference.slope_tolerance),
    )


def rescale(raw: Scores, reference: Reference) -> Scores:
    """Raw scores on the scale from 0 (lower end of the pelvis) to 100 (upper end of the eyes)."""
    low, high = reference.raw_ends
    return np.asarray((raw - low) * (_FULL_SCALE / (high - low)), dtype=np.float64)


def smooth(scores: Scores, spacing_mm: float) -> Scores:
    """A Gaussian of 10 mm over the slices that have a score."""
    known = ~np.isnan(scores)
    smoothed = scores.copy()
    smoothed[known] = ndimage.gaussian_filter1d(scores[known], _SMOOTHING_MM / spacing_mm)
    return smoothed


def without_tails(scores: Scores, spacing_mm: float, reference: Reference) -> Scores:
    """NaN below the pelvis and above the eyes from where the scores stop rising evenly.

    Args:
        scores: (slice,), smoothed, from the feet to the head.
        spacing_mm: distance of the slices.
        reference: of the network.
    """
    cut = scores.copy()
    if np.count_nonzero(~np.isnan(scores)) < _FEWEST:
        return cut
    steps = np.diff(scores)
    slopes = np.append(steps, steps[-1]) / spacing_mm
    low, high = reference.slope_range_per_mm
    outliers = np.flatnonzero((slopes < low) | (slopes > high))
    bottom, top = _nearest(scores, 0.0), _nearest(scores, _FULL_SCALE)
    if bottom is not None and top is not None and bottom > top:
        bottom = None
    if bottom is not None and (below := outliers[outliers < bottom]).size:
        cut[: below.max()] = np.nan
    if top is not None and (above := outliers[outliers > top]).size:
        cut[above.min() :] = np.nan
    return cut


def line_slope(scores: Scores, spacing_mm: float) -> float:
    """Slope of the line through the scores per mm: the median over all pairs (Theil and Sen)."""
    known = np.flatnonzero(~np.isnan(scores))
    if known.size < _FEWEST:
        return float("nan")
    return float(stats.theilslopes(scores[known], known * spacing_mm).slope)


def _nearest(scores: Scores, target: float) -> int | None:
    """The slice whose score is nearest to the target, if it is near."""
    distance = np.abs(scores - target)
    index = int(np.nanargmin(distance))
    return index if distance[index] < _NEAR_AN_END else None
