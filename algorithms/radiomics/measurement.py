"""From an image and its segments to coded measurements."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from algorithms.protocol import Measurement, Segment, Volume
from algorithms.radiomics import codes
from algorithms.radiomics.codes import Coded
from algorithms.radiomics.firstorder import Distribution, first_order_features
from algorithms.radiomics.shape import shape_features
from algorithms.radiomics.texture import texture_features
from algorithms.radiomics.texture_codes import TEXTURE_FEATURES
from algorithms.terminology import NO_UNITS

_DIGITS = 10
"""Significant digits: what fits in the 16 characters of a decimal string (DS, PS3.5 6.2)."""

_TEXTURE = {feature.name: Coded(feature.code, NO_UNITS) for feature in TEXTURE_FEATURES}


def measure(volume: Volume, segments: Sequence[Segment], classes: frozenset[str]) -> tuple[Measurement, ...]:
    """Features of each segment, by their names in pyradiomics.

    Each voxel is looked at once for each segment whose box it is in; segments may overlap. A feature
    that is not defined for a segment is left out, and so is a segment without voxels.

    Args:
        volume: the image.
        segments: on its grid.
        classes: among "shape", "firstorder" and "texture".

    Raises:
        TextureUnavailable: texture is asked for and mirp is not installed.
    """
    first_order = codes.first_order(volume)
    return tuple(
        Measurement(segment.label, name, coded.code, _rounded(value), coded.unit, coded.derivation)
        for segment in segments
        if segment.mask.any()
        for features, table in _classes(volume, segment, classes, first_order)
        for name, value in features.items()
        if isfinite(value)
        for coded in [table[name]]
    )


def _classes(
    volume: Volume, segment: Segment, classes: frozenset[str], first_order: Mapping[str, Coded]
) -> Iterator[tuple[dict[str, float], Mapping[str, Coded]]]:
    voxels = volume.voxels[segment.box]
    if "shape" in classes:
        yield shape_features(segment.mask, volume.affine_mm), codes.SHAPE
    if "firstorder" in classes:
        distribution = Distribution.of(voxels, segment.mask)
        yield first_order_features(distribution, volume.voxel_volume_ml * 1000.0), first_order
    if "texture" in classes:
        yield texture_features(voxels, segment.mask), _TEXTURE


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
