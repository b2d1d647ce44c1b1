"""Hyperdense tissue inside the skull of a non-contrast head CT, by thresholds; without weights.

Fresh blood attenuates 50 to 90 HU, grey matter near 37, white near 29. What is denser than the brain of
its slice by half of what the middle of the same piece is, thick enough not to be falx, tentorium or a
vessel, and neither calcified nor the edge of the skull, is counted. It is no diagnosis: a dense venous
sinus, a meningioma or contrast medium look the same.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy import ndimage

from algorithms.ct_fm.skull import Heights, Skull, deeper, find_skull, nearer, opened
from algorithms.protocol import BoolMask, Unsuitable, Volume, Voxels

_SMOOTH_MM = 1.3
_SHARP_MM = 0.7
_TABLE_MM = 1.2
_ROOF_MM = 6.0
_REACH = 0.08
_BRAIN_HU = (10.0, 55.0)
_FULL_BONE_HU = 1200.0
_SHINE_MM = 5.0
_SOFT_HU = (5.0, 100.0)
_BINS = 40
_TYPICAL = 0.3
_MOST_SHINE_HU = 25.0
_ENOUGH = 200
_EVERY = 7
_SPREAD_HU = 12.0
_MOST_DRIFT_HU = 15.0
_CALCIFIED_HU = 105.0
_HALO_MM = 3.0
_EDGE_HU = 6.0
_AROUND_MM = 5.0
_CORE_HU = 15.0
_THIN_MM = 1.5
_SPREAD_MM = 6.0
_PASSES = 3
_LEAST_CORE_ML = 0.8
_LEAST_AREA_MM2 = 60.0
_MANY_ML = 150.0
_METAL_HU = 2500.0


@dataclass(frozen=True, eq=False)
class Hyperdense:
    """What is denser than the brain.

    Attributes:
        mask: bool, on the grid of the volume.
        ml: its volume.
        brain_ml: volume of the cavity of the skull that is in view.
        review: why a person should look at it first; None if there is no doubt.
    """

    mask: BoolMask
    ml: float
    brain_ml: float
    review: str | None


def hyperdense(volume: Volume) -> Hyperdense:
    """Measure the hyperdense tissue inside the skull.

    Args:
        volume: a non-contrast head CT in HU, axial; slices may be uneven or lean.

    Raises:
        Unsuitable: no HU, no axial slices, or no skull around a brain in view.
    """
    skull = find_skull(volume)
    found = _found(skull)
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    fine = found.repeat(skull.step, axis=1).repeat(skull.step, axis=2)
    mask[:, : fine.shape[1], : fine.shape[2]] = fine
    ml = skull.volume_ml(found)
    return Hyperdense(mask, ml, skull.volume_ml(skull.cavity), _doubt(skull, found, ml))


def _found(skull: Skull) -> BoolMask:
    """What is denser than the brain; looked for again once the brain is measured without it."""
    edge = _with_spurs(skull, _edge_of_bone(skull))
    trusted = skull.cavity & ~edge & ~_calcified(skull, edge)
    even, sharp = (_smoothed(skull, trusted, sigma_mm) for sigma_mm in (_SMOOTH_MM, _SHARP_MM))
    found = np.zeros_like(trusted)
    for _ in range(2):
        blood = nearer(found, _HALO_MM, skull.pixel_mm)
        expected = _expected(skull, even, trusted & ~blood)
        flat, fine = (_to_bone(skull, hu - expected, edge) for hu in (even, sharp))
        found = _pieces(skull, flat, fine, edge)
        if not found.any():
            break
    return found


def _smoothed(skull: Skull, trusted: BoolMask, sigma_mm: float) -> Voxels:
    """Means of what is trusted around each voxel, -inf where there is too little."""
    gap = float(np.median(np.abs(np.diff(skull.heights_mm))))
    sigma = [sigma_mm / size for size in (gap, *skull.pixel_mm)]
    sigma[0] *= gap < 2 * sigma_mm
    weight = ndimage.gaussian_filter(trusted.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(trusted, skull.hu, np.float32(0)), sigma)
    known = skull.cavity & (weight > _REACH)
    smooth = np.where(known, total / np.maximum(weight, np.float32(1e-6)), np.float32(-np.inf))
    return np.asarray(smooth, dtype=np.float32)


def _expected(skull: Skull, even: Voxels, brain: BoolMask) -> Voxels:
    """HU that brain would have in each place: its median in the slice, slow drift and the shine of bone."""
    flat = np.where(np.isfinite(even), even, np.float32(0))
    drift = _drift(skull, flat, brain)
    shine = _shine(skull, flat - drift, brain)
    level = _brain_hu(skull, flat - drift - shine, brain)
    return np.asarray(drift + shine + level[:, None, None], dtype=np.float32)


def _edge_of_bone(skull: Skull) -> BoolMask:
    """Pixels that share their voxel with bone: near it, or between its borders in neighbouring slices."""
    signed = [_signed_distance(~plane, skull.pixel_mm) for plane in skull.cavity]
    gaps = np.diff(skull.heights_mm)
    reach = np.maximum(np.abs(np.r_[gaps[:1], gaps]), np.abs(np.r_[gaps, gaps[-1:]])) / 2
    edge = np.stack(signed) < _TABLE_MM
    for index, gap in enumerate(gaps):
        for here, there, rise in ((index, index + 1, gap), (index + 1, index, -gap)):
            share = min(1.0, reach[here] / abs(gap))
            moved = [rise * lean / size for lean, size in zip(skull.lean, skull.pixel_mm, strict=True)]
            beyond = ndimage.shift(signed[there], moved, order=1, mode="nearest")
            edge[here] |= signed[here] + share * (beyond - signed[here]) < _TABLE_MM
            edge[here] |= beyond < -_ROOF_MM
    return edge


def _signed_distance(outside: BoolMask, pixel_mm: tuple[float, float]) -> Voxels:
    """Distance to what is outside the cavity, negative there."""
    if outside.all():
        return np.full(outside.shape, -99.0, dtype=np.float32)
    depth = ndimage.distance_transform_edt(~outside, pixel_mm)
    return np.asarray(depth - ndimage.distance_transform_edt(outside, pixel_mm), dtype=np.float32)


def _drift(skull: Skull, smooth: Voxels, trusted: BoolMask) -> Voxels:
    """Slow change of the brain's HU over the head: a polynomial of second order, deaf to blood."""
    at = np.argwhere(trusted & (smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1]))[::_EVERY]
    hu = smooth[tuple(at.T)]
    kept = np.abs(hu - np.median(hu)) < 2 * _SPREAD_HU
    weights = np.zeros(10)
    middle, size = at.mean(axis=0), at.std(axis=0) + 1.0
    terms = _terms(*((at - middle) / size).T)
    for _ in range(4):
        weights = np.linalg.lstsq(terms[kept], hu[kept], rcond=None)[0]
        kept = np.abs(hu - terms @ weights) < _SPREAD_HU
    axes = [(np.arange(n) - m) / s for n, m, s in zip(smooth.shape, middle, size, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    field = sum(w * t for w, t in zip(weights[1:], _products(*grid), strict=True))
    return np.asarray(np.clip(field, -_MOST_DRIFT_HU, _MOST_DRIFT_HU), dtype=np.float32)


def _products(z: Heights, y: Heights, x: Heights) -> tuple[Heights, ...]:
    return z, y, x, z * z, y * y, x * x, z * y, z * x, y * x


def _terms(z: Heights, y: Heights, x: Heights) -> Heights:
    return np.stack([np.ones_like(z), *_products(z, y, x)], axis=1)


def _shine(skull: Skull, smooth: Voxels, trusted: BoolMask) -> Voxels:
    """HU that beam hardening, scatter and thick slices add near bone: what most brain near as much has.

    The bone around a voxel is a blur of the bone; the brain's typical HU is tabulated by it over the
    whole head, so that blood along a part of the skull does not pass for shine.
    """
    bone = np.clip(skull.hu, 0, _FULL_BONE_HU) * skull.bone / _FULL_BONE_HU
    gap = float(np.median(np.abs(np.diff(skull.heights_mm))))
    around = ndimage.gaussian_filter(bone, [_SHINE_MM / size for size in (gap, *skull.pixel_mm)])
    brain = trusted & (smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1])
    near, hu = around[brain], smooth[brain]
    order = np.argsort(near)
    parts = np.array_split(order, _BINS)
    at = np.array([near[part].mean() for part in parts])
    typical = np.array([np.quantile(hu[part], _TYPICAL) for part in parts])
    rise = np.maximum.accumulate(np.clip(typical - np.median(typical[: _BINS // 2]), 0, _MOST_SHINE_HU))
    return np.interp(around, at, rise).astype(np.float32)


def _with_spurs(skull: Skull, edge: BoolMask) -> BoolMask:
    """The edge of bone, with what is as dense as calcifications and joined to it, and the halo of that."""
    within = edge | _dense_as_calcium(skull)
    joined = ndimage.binary_propagation(edge, np.ones((1, 3, 3), dtype=np.bool_), within)
    return edge | nearer(joined & ~edge, _HALO_MM, skull.pixel_mm)


def _calcified(skull: Skull, edge: BoolMask) -> BoolMask:
    """Calcifications that bone does not hold, and the halo of partial volume around them."""
    return nearer(_dense_as_calcium(skull) & ~edge, _HALO_MM, skull.pixel_mm)


def _dense_as_calcium(skull: Skull) -> BoolMask:
    return np.asarray(skull.cavity & (ndimage.gaussian_filter(skull.hu, (0.0, 0.5, 0.5)) > _CALCIFIED_HU))


def _brain_hu(skull: Skull, smooth: Voxels, trusted: BoolMask) -> Heights:
    """Median of the brain in each slice, steadied by its neighbours."""
    brain = trusted & (smooth > _BRAIN_HU[0]) & (smooth < _BRAIN_HU[1])
    if not brain.any():
        raise Unsuitable("nothing in the skull has the density of brain")
    whole = float(np.median(smooth[brain]))
    medians = [
        float(np.median(plane[inside])) if np.count_nonzero(inside) > _ENOUGH else whole
        for plane, inside in zip(smooth, brain, strict=True)
    ]
    return np.asarray(ndimage.median_filter(np.array(medians), size=3, mode="nearest"))


def _to_bone(skull: Skull, excess: Voxels, edge: BoolMask) -> Voxels:
    """At the edge of bone, where the HU say nothing about soft tissue: the excess of what lies nearest."""
    blind = edge & skull.cavity
    size = (float(np.median(np.abs(np.diff(skull.heights_mm)))), *skull.pixel_mm)
    unknown = ~(skull.cavity & ~edge)
    nearest = ndimage.distance_transform_edt(unknown, size, return_distances=False, return_indices=True)
    return np.where(blind, excess[tuple(nearest)], excess)


def _pieces(skull: Skull, even: Voxels, sharp: Voxels, edge: BoolMask) -> BoolMask:
    """Each piece out to half way between its middle and what lies around it, where it is not thin."""
    core = _large(opened(even > _CORE_HU, _THIN_MM, skull.pixel_mm), skull)
    numbers = cc3d.connected_components(core, connectivity=26)
    found = np.zeros_like(core)
    for number in range(1, int(numbers.max()) + 1):
        piece = numbers == number
        if skull.volume_ml(piece & ~edge) < _LEAST_CORE_ML:
            continue
        inner = deeper(piece, 1.5, skull.pixel_mm)
        middle = float(np.median(even[inner if inner.any() else piece]))
        rough = _grown(piece, sharp > max(_EDGE_HU, middle / 2), skull)
        around = _around(skull, even, nearer(_with_neighbours(rough), _HALO_MM, skull.pixel_mm))
        found |= _grown(piece, sharp > np.maximum(_EDGE_HU, (middle + around) / 2), skull)
    return found


def _around(skull: Skull, excess: Voxels, piece: BoolMask) -> Voxels:
    """Excess of the tissue around a piece, blurred into it."""
    other = np.isfinite(excess) & ~piece & (excess < _CORE_HU)
    gap = float(np.median(np.abs(np.diff(skull.heights_mm))))
    sigma = [_AROUND_MM / size for size in (gap, *skull.pixel_mm)]
    weight = ndimage.gaussian_filter(other.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(other, excess, np.float32(0)), sigma)
    return np.asarray(total / np.maximum(weight, np.float32(1e-3)))


def _grown(piece: BoolMask, dense: BoolMask, skull: Skull) -> BoolMask:
    """A piece and what is dense within reach of it."""
    for _ in range(_PASSES):
        piece = nearer(_with_neighbours(piece), _SPREAD_MM / _PASSES, skull.pixel_mm) & dense
    return piece


def _large(core: BoolMask, skull: Skull) -> BoolMask:
    """Without what is as small within its slice as the cross-section of a sinus or a vessel."""
    kept = core.copy()
    least = _LEAST_AREA_MM2 / (skull.pixel_mm[0] * skull.pixel_mm[1])
    for plane in kept:
        numbers = cc3d.connected_components(plane, connectivity=8)
        plane &= (np.bincount(numbers.ravel()) >= least)[numbers]  # noqa: PLW2901 - in place
    return kept


def _with_neighbours(piece: BoolMask) -> BoolMask:
    return np.asarray(ndimage.binary_dilation(piece, np.ones((3, 1, 1), dtype=np.bool_)))


def _doubt(skull: Skull, found: BoolMask, ml: float) -> str | None:
    if ml > _MANY_ML:
        return f"{ml:.0f} ml of hyperdense tissue: contrast medium or an artefact?"
    slices = found.any(axis=(1, 2))
    if (skull.hu[slices] > _METAL_HU).any():
        return "metal in the same slices: its streaks may be counted"
    return None
