"""How the scores of a trained network are read: scores of the landmarks, and slopes."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from algorithms.body_part.anatomy import LANDMARKS
from algorithms.body_part.cases import Case
from algorithms.body_part.network import SliceRegressor, shrink
from algorithms.body_part.scores import HIGHEST, LOWEST, Reference, Scores, line_slope, rescale, smooth

_QUANTILES = (0.005, 0.995)
_SCAN_MM = 300.0  # of one part of the body
_LARGEST_TOLERANCE = 0.45  # a spacing of half or double must be noticed
_BATCH = 64


def raw_scores(network: SliceRegressor, factor: int, case: Case) -> Scores:
    """Raw scores of a case (slice,), from the feet to the head."""
    with torch.inference_mode():
        parts = [
            network(shrink(torch.from_numpy(case.slices[i : i + _BATCH].astype(np.float32)), factor)[:, None])
            for i in range(0, len(case.slices), _BATCH)
        ]
    return torch.cat(parts).double().numpy()


def calibrate(network: SliceRegressor, factor: int, cases: Sequence[Case]) -> Reference:
    """The reference of a network, for slices shrunk by a factor, from cases with known landmarks.

    A landmark that is known in no case lies between its neighbours as in the published table.

    Raises:
        ValueError: an end of the scale is known in no case.
    """
    curves = [smooth(raw_scores(network, factor, case), case.spacing_mm) for case in cases]
    known = _means(curves, cases)
    if missing := {LOWEST, HIGHEST} - known.keys():
        raise ValueError(f"no case has the landmark {min(missing)}")
    ends = Reference((known[LOWEST], known[HIGHEST]))
    found = {name: float(rescale(np.array(raw), ends)) for name, raw in known.items()}
    rescaled = [rescale(curve, ends) for curve in curves]
    slopes = [line_slope(curve, case.spacing_mm) for curve, case in zip(rescaled, cases, strict=True)]
    slope = float(np.median(slopes))
    steps = [np.diff(curve) / case.spacing_mm for curve, case in zip(rescaled, cases, strict=True)]
    low, high = np.quantile(np.concatenate(steps), _QUANTILES)
    return Reference(
        raw_ends=ends.raw_ends,
        landmarks=_completed(found),
        slope_per_mm=round(slope, 4),
        slope_range_per_mm=(round(float(low), 4), round(float(high), 4)),
        slope_tolerance=round(_tolerance(rescaled, cases, slope), 2),
    )


def _tolerance(curves: Sequence[Scores], cases: Sequence[Case], slope: float) -> float:
    """How far scans of one part of the body stray from the mean slope, as a share of it.

    The published tolerance at least; a narrow network is not as even from part to part.
    """
    strayed = [Reference.slope_tolerance]
    for curve, case in zip(curves, cases, strict=True):
        length = round(_SCAN_MM / case.spacing_mm)
        parts = [curve[first : first + length] for first in range(0, len(curve) - length + 1, length // 2)]
        strayed += [abs(1.0 - line_slope(part, case.spacing_mm) / slope) for part in parts]
    return min(max(float(np.quantile(strayed, _QUANTILES[1])), strayed[0]), _LARGEST_TOLERANCE)


def _means(curves: Sequence[Scores], cases: Sequence[Case]) -> dict[str, float]:
    """Mean raw score of each landmark, over the cases that show it."""
    raw: dict[str, list[float]] = {}
    for curve, case in zip(curves, cases, strict=True):
        for name, place in case.landmarks.items():
            if 0 <= place <= len(curve) - 1:
                raw.setdefault(name, []).append(float(np.interp(place, np.arange(len(curve)), curve)))
    return {name: float(np.mean(scores)) for name, scores in raw.items()}


def _completed(found: Mapping[str, float]) -> dict[str, float]:
    """Scores of all landmarks, those not found put between the others; beyond the last as published."""
    known = sorted((LANDMARKS[name].score, score) for name, score in found.items())
    published, scores = (np.array(column) for column in zip(*known, strict=True))
    completed = {}
    for name, site in LANDMARKS.items():
        beyond = max(site.score - published[-1], 0.0) + min(site.score - published[0], 0.0)
        between = float(np.interp(site.score, published, scores)) + beyond
        completed[name] = round(found.get(name, between), 3)
    return completed
