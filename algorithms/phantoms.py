"""Synthetic studies with known truth: for the demonstration, for tests, and for measuring.

Shapes are signed distances in millimetres (negative inside) in a patient frame whose origin is the
middle of the chest at the level of the lowest lung: x to the left, y to the back, z to the head.
Each slice is the mean of thin sub-slices, so its partial volume is that of a thick slice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.protocol import BoolMask, Volume

Field = npt.NDArray[np.floating[Any]]
_Point = npt.NDArray[np.float64]

_LEVELS_MM = (-60.0, 0.0, 60.0, 120.0, 180.0, 215.0, 240.0, 258.0, 275.0, 300.0)
_SKIN_X = (148.0, 155.0, 160.0, 164.0, 172.0, 178.0, 172.0, 120.0, 78.0, 66.0)
_SKIN_Y = (104.0, 108.0, 112.0, 113.0, 108.0, 98.0, 86.0, 76.0, 68.0, 64.0)
_CAGE_X = (124.0, 127.0, 129.0, 124.0, 108.0, 86.0, 56.0, 26.0, 5.0, 5.0)
_CAGE_Y = (86.0, 90.0, 92.0, 89.0, 76.0, 60.0, 42.0, 20.0, 5.0, 5.0)
_SPINE_Y = 58.0
_SUB_SLICES = 2
_TRUTH = ("Body", "Left lung", "Right lung", "Trachea and main bronchi")


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic image and what is in it.

    Attributes:
        volume: the image.
        truth: mask of each structure by the label of its segment, on the grid of the volume.
    """

    volume: Volume
    truth: Mapping[str, BoolMask]


class _Tube(NamedTuple):
    """A piece of vessel or bronchus between two points."""

    start: _Point
    end: _Point
    radius: float


@dataclass(frozen=True, eq=False)
class _Patient:
    """What differs from one seed to the next; lengths in millimetres, values in HU."""

    size: float
    fat: float
    junction: float  # of the membrane where the lungs meet in front
    wedge: float  # depth of the fat behind the sternum
    heart: float
    domes: tuple[float, float]  # height of the right and left diaphragm
    tilt: float  # of the ribs
    arms_raised: bool
    stomach_gas: float  # radius
    contrast: float  # of blood
    parenchyma: float
    noise: float
    airway: tuple[_Tube, ...]
    bronchi: tuple[_Tube, ...]
    vessels: tuple[_Tube, ...]


class _Frame(NamedTuple):
    """Coordinates of the sub-slices of one slice, ready to broadcast, and the size of a pixel."""

    z: Field
    y: Field
    x: Field
    pixel: float


def chest_ct(
    seed: int,
    *,
    slices: int = 66,
    columns: int = 384,
    slice_spacing_mm: float = 5.0,
    sop_instance_uids: tuple[str, ...] | None = None,
) -> Phantom:
    """A chest CT from the upper abdomen to the neck, supine, with contrast or without.

    Args:
        seed: the anatomy, the noise and, unless given, the SOP Instance UIDs follow from it.
        slices: number of axial slices, feet first.
        columns: and rows; the field of view is 410 mm.
        slice_spacing_mm: distance of the slices, which is also their thickness.
        sop_instance_uids: one for each slice.
    """
    rng = np.random.default_rng(seed)
    patient = _patient(rng)
    pixel = 410.0 / columns
    first = -(slices - 1) * slice_spacing_mm / 2 + 125.0
    axis = ((np.arange(columns) - (columns - 1) / 2) * pixel).astype(np.float32)
    hu = np.empty((slices, columns, columns), dtype=np.float32)
    truth = {label: np.empty(hu.shape, dtype=np.bool_) for label in _TRUTH}
    thin = (np.arange(_SUB_SLICES) + 0.5) / _SUB_SLICES - 0.5
    for index in range(slices):
        z = (first + (index + thin) * slice_spacing_mm).astype(np.float32)[:, None, None]
        frame = _Frame(z, axis[None, :, None], axis[None, None, :], pixel)
        image, inside = _slice(patient, frame)
        hu[index] = ndimage.gaussian_filter(image.mean(axis=0), 0.6)
        for label, field in inside.items():
            truth[label][index] = (field < 0).mean(axis=0) >= 0.5
    for label in ("Left lung", "Right lung"):
        truth[label] &= ~truth["Trachea and main bronchi"]
    hu += _noise(rng, hu.shape, patient.noise)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = slice_spacing_mm, pixel, pixel, 1.0
    affine[:3, 3] = axis[0], axis[0], first
    uids = sop_instance_uids or tuple(
        f"2.25.{uuid5(NAMESPACE_OID, f'ainode phantom chest-ct {seed} {index}').int}"
        for index in range(slices)
    )
    hu = np.rint(np.clip(hu, -1024.0, 3071.0))
    return Phantom(Volume(hu, affine, "HU", "CT", uids), MappingProxyType(truth))


def _patient(rng: np.random.Generator) -> _Patient:
    carina = np.array([rng.uniform(-4, 4), rng.uniform(2, 10), rng.uniform(145, 158)])
    hila = (np.array([-46.0, 8.0, carina[2] - 28]), np.array([52.0, 14.0, carina[2] - 36]))
    airway = (
        _Tube(np.array([rng.uniform(-3, 3), -12.0, 330.0]), carina, float(rng.uniform(7.5, 10))),
        _Tube(carina, hila[0], float(rng.uniform(6.5, 7.5))),
        _Tube(carina, hila[1], float(rng.uniform(5.5, 6.5))),
    )
    outward = (np.array([-1.0, 0.1, -0.3]), np.array([1.0, 0.1, -0.3]))
    bronchi = [
        t for hilum, way in zip(hila, outward, strict=True) for t in _tree(rng, hilum, way, 3.2, 5, 24.0)
    ]
    vessels = [
        tube
        for hilum, way in zip(hila, outward, strict=True)
        for tilt in (-1.6, -1.0, -0.5, 0.0, 0.5, 1.1, 2.4)
        for tube in _tree(rng, hilum, way + np.array([0, rng.uniform(-1.2, 1.2), tilt]), 4.4, 8, 29.0)
    ]
    return _Patient(
        size=float(rng.uniform(0.9, 1.05)),
        fat=float(rng.uniform(8, 22)),
        junction=float(rng.uniform(1.5, 5)),
        wedge=float(rng.uniform(0, 30)),
        heart=float(rng.uniform(0.9, 1.1)),
        domes=(float(rng.uniform(62, 85)), float(rng.uniform(52, 75))),
        tilt=float(rng.uniform(35, 60)),
        arms_raised=bool(rng.random() < 0.7),
        stomach_gas=float(rng.uniform(10, 26)),
        contrast=float(rng.choice([42.0, 180.0])),
        parenchyma=float(rng.uniform(-890, -820)),
        noise=float(rng.uniform(9, 18)),
        airway=airway,
        bronchi=tuple(bronchi),
        vessels=tuple(vessels),
    )


def _tree(
    rng: np.random.Generator, start: _Point, way: _Point, radius: float, generations: int, length: float
) -> list[_Tube]:
    """A tube and, at its end, two thinner ones, and so on."""
    direction = way / np.linalg.norm(way)
    end = start + direction * length * rng.uniform(0.7, 1.2)
    tubes = [_Tube(start, end, radius)]
    if generations > 1:
        for _ in range(2):
            turned = direction + rng.normal(0, 0.55, 3)
            tubes += _tree(rng, end, turned, radius * 0.76, generations - 1, length * 0.86)
    return tubes


def _slice(patient: _Patient, frame: _Frame) -> tuple[Field, dict[str, Field]]:
    """HU, and the signed distances of the labelled structures; axes (sub-slice, row, column)."""
    skin = _outline(patient, frame, _SKIN_X, _SKIN_Y) - patient.fat + 12.0
    cage = _outline(patient, frame, _CAGE_X, _CAGE_Y)
    soft, domes = _mediastinum(patient, frame), _domes(patient, frame)
    image = np.full(skin.shape, -1000.0, dtype=np.float32)
    _paint_table(image, frame)
    _paint(image, skin, 10.0, frame)
    _paint(image, skin + 2.0, -105.0, frame)
    _paint(image, skin + patient.fat, 52.0, frame)
    _paint_arms(image, patient, frame)
    _paint(image, np.maximum(soft, cage), -85.0, frame)
    _paint_abdomen(image, patient, frame, np.maximum(cage, -np.minimum(*domes) + 4.0))
    _paint_blood(image, patient, frame)
    _paint_bones(image, patient, frame, cage)
    fields = [
        _intersection(cage, -soft, dome, side * frame.x + patient.junction / 2)
        for dome, side in zip(domes, (-1.0, 1.0), strict=True)
    ]
    _paint_lungs(image, patient, frame, (fields[0], fields[1]))
    lumen = np.full(image.shape, 99.0, dtype=np.float32)
    for wall, value, union in ((1.6, 25.0, None), (0.0, -1000.0, lumen)):
        for tube in patient.airway:
            _paint_tube(image, tube, frame, tube.radius + wall, value, union=union)
    body = np.minimum(skin, _arms(patient, frame))
    return image, dict(zip(_TRUTH, (body, *fields, lumen), strict=True))


def _outline(
    patient: _Patient, frame: _Frame, half_widths: tuple[float, ...], half_depths: tuple[float, ...]
) -> Field:
    return _ellipse(
        frame.x, frame.y, _at(frame.z, half_widths) * patient.size, _at(frame.z, half_depths) * patient.size
    )


def _domes(patient: _Patient, frame: _Frame) -> tuple[Field, Field]:
    """Left and right; negative above the diaphragm."""
    fields = []
    for top, side in zip(patient.domes, (-1.0, 1.0), strict=True):
        lateral = np.maximum(side * frame.x - 52.0, 0.0) / 66.0
        fields.append(0.75 * (top - 62.0 * (lateral**2 + ((frame.y + 22.0) / 86.0) ** 2) - frame.z))
    return np.asarray(fields[1], dtype=np.float32), np.asarray(fields[0], dtype=np.float32)


def _mediastinum(patient: _Patient, frame: _Frame) -> Field:
    x, y, z = frame.x, frame.y, frame.z
    parts = [
        _ellipse(x, y + 4.0, 27.0, 46.0 - 0.06 * np.abs(z - 140.0)),
        _ellipse(x, y - _SPINE_Y * patient.size, 23.0, 25.0),
        _ellipse(x, y - 34.0, 17.0, 34.0),
        _ellipse(x, y - 82.0, 22.0, 40.0),
        0.9 * (np.abs(x) - patient.junction / 2 - 0.4 * np.maximum(patient.wedge - 62.0 - y, 0.0)),
        _ellipse(x - 24.0, y - 46.0, 14.0, 14.0),
        _heart(patient, frame),
    ]
    parts += [_ellipsoid(frame, tube.end, (15.0, 17.0, 22.0)) for tube in patient.airway[1:]]
    return reduce(np.minimum, parts)


def _heart(patient: _Patient, frame: _Frame) -> Field:
    return _ellipsoid(frame, (22.0, -26.0, 76.0), tuple(patient.heart * r for r in (56.0, 44.0, 54.0)))


def _paint_blood(image: Field, patient: _Patient, frame: _Frame) -> None:
    x, y, z = frame.x, frame.y, frame.z
    vessels = [
        _heart(patient, frame) + 5.0,
        _ellipsoid(frame, (8.0, 10.0, 172.0), (15.0, 44.0, 13.0)),
        np.maximum(_ellipse(x - 24.0, y - 46.0, 12.0, 12.0), z - 176.0),
        np.maximum(_ellipse(x + 2.0, y + 28.0, 15.0, 15.0), np.maximum(z - 176.0, 100.0 - z)),
        np.maximum(_ellipse(x + 20.0, y + 20.0, 8.0, 9.0), 100.0 - z),
        *(_ellipsoid(frame, tube.end, (13.0, 15.0, 19.0)) for tube in patient.airway[1:]),
    ]
    for vessel in vessels:
        _paint(image, vessel, patient.contrast, frame)


def _paint_abdomen(image: Field, patient: _Patient, frame: _Frame, cavity: Field) -> None:
    _paint(image, cavity, -90.0, frame)
    _paint(image, np.maximum(cavity + 2.0, frame.x - 24.0), 62.0 + 0.25 * patient.contrast, frame)
    stomach = _ellipsoid(frame, (56.0, -22.0, patient.domes[1] - 42.0), (46.0, 44.0, 36.0))
    spleen = _ellipsoid(frame, (84.0, 44.0, patient.domes[1] - 52.0), (34.0, 40.0, 44.0))
    gas = _ellipsoid(frame, (56.0, -40.0, patient.domes[1] - 42.0), (patient.stomach_gas,) * 3)
    organs = (
        (spleen, 55.0 + 0.3 * patient.contrast),
        (stomach, 28.0),
        (_intersection(gas, stomach + 4.0), -1000.0),
    )
    for organ, value in organs:
        _paint(image, np.maximum(organ, cavity + 2.0), value, frame)


def _paint_lungs(image: Field, patient: _Patient, frame: _Frame, lungs: tuple[Field, Field]) -> None:
    parenchyma = patient.parenchyma + 0.35 * frame.y - 0.1 * (frame.z - 120.0)
    for lung in lungs:
        _paint(image, lung, parenchyma, frame)
    both = np.minimum(*lungs)
    for tube in patient.bronchi:
        _paint_tube(image, tube, frame, tube.radius + 1.0, 0.0, within=both)
        _paint_tube(image, tube, frame, tube.radius, -970.0, within=both)
    for tube in patient.vessels:
        _paint_tube(image, tube, frame, tube.radius, patient.contrast, within=both)


def _paint_bones(image: Field, patient: _Patient, frame: _Frame, cage: Field) -> None:
    x, y, z = frame.x, frame.y, frame.z
    depth = _at(z, _CAGE_Y) * patient.size
    along = z + patient.tilt * (1.0 - y / depth) / 2 + 13.0
    ribs = np.hypot(cage - 7.0, np.mod(along, 26.0) - 13.0) - 4.3
    ribs = _intersection(ribs, z - 226.0, np.where(y < 0, 24.0 - np.abs(x), -99.0))
    back = np.minimum(_SPINE_Y * patient.size, _at(z, _SKIN_Y) * patient.size - 40.0)
    vertebra = _ellipse(x, y - back, 19.0, 16.0)
    disk = np.abs(np.mod(z, 26.0) - 13.0) - 10.5
    arch = np.maximum(_ellipse(x, y - back - 22.0, 15.0, 13.0), -_ellipse(x, y - back - 22.0, 9.0, 9.0))
    spinous = np.maximum(np.abs(x) - 3.0, np.abs(y - back - 38.0) - 6.0)
    sternum = np.maximum(_ellipse(x, y + depth + 9.0, 19.0, 6.0), np.maximum(z - 214.0, 55.0 - z))
    blade = _ellipse(np.abs(x) - 104.0, y - 0.5 * np.abs(x) - 8.0, 34.0, 4.0)
    blade = _intersection(blade, 120.0 - z, z - 236.0)
    collar = np.hypot(y + 52.0 - 0.25 * np.abs(x), z - 226.0 - 0.12 * np.abs(x)) - 6.0
    collar = np.maximum(collar, np.maximum(np.abs(x) - 130.0, 22.0 - np.abs(x)))
    for bone in (vertebra, arch, spinous, sternum, ribs, collar, blade):
        _paint(image, bone, 620.0, frame)
        _paint(image, bone + 1.8, 210.0, frame)
    _paint(image, np.maximum(vertebra, disk), 90.0, frame)


def _arms(patient: _Patient, frame: _Frame) -> Field:
    """Raised arms beside the neck, or arms beside the trunk."""
    x, y, z = np.abs(frame.x), frame.y, frame.z
    if patient.arms_raised:
        return _intersection(_ellipse(x - 118.0 - 0.3 * (z - 250.0), y - 6.0, 44.0, 42.0), 236.0 - z)
    beside = _SKIN_X[2] * patient.size + patient.fat + 18.0
    return _intersection(_ellipse(x - beside, y - 16.0, 32.0, 38.0), z - 200.0)


def _paint_arms(image: Field, patient: _Patient, frame: _Frame) -> None:
    arms = _arms(patient, frame)
    for shrink, value in ((0.0, -100.0), (6.0, 55.0), (15.0, 800.0), (19.0, 40.0)):
        _paint(image, arms + shrink, value, frame)


def _paint_table(image: Field, frame: _Frame) -> None:
    surface = frame.y - 142.0 + 0.0012 * frame.x**2
    top = np.abs(surface) - 1.5
    _paint(image, _intersection(surface - 30.0, -surface, np.abs(frame.x) - 205.0), -950.0, frame)
    _paint(image, np.minimum(top, np.abs(surface - 30.0) - 1.5), 60.0, frame)


def _paint(image: Field, distance: Field, value: float | Field, frame: _Frame) -> None:
    """Blend a shape in; its border is as wide as a pixel, so partial volume is right in plane."""
    cover = np.clip(0.5 - distance / np.float32(frame.pixel), 0.0, 1.0).astype(np.float32)
    if cover.any():
        image += cover * (np.float32(1) * value - image)


def _paint_tube(
    image: Field,
    tube: _Tube,
    frame: _Frame,
    radius: float,
    value: float,
    *,
    within: Field | None = None,
    union: Field | None = None,
) -> None:
    """Blend a tube in, touching only the pixels near it; `union` collects its signed distance."""
    reach = radius + 2 * frame.pixel
    low, high = np.minimum(tube.start, tube.end) - reach, np.maximum(tube.start, tube.end) + reach
    if high[2] < frame.z.min() or low[2] > frame.z.max():
        return
    xs, ys = (
        slice(*np.searchsorted(axis.ravel(), (low[i], high[i]))) for i, axis in enumerate((frame.x, frame.y))
    )
    box = (slice(None), ys, xs)
    direction = [float(d) for d in tube.end - tube.start]
    x, y, z = (float(c) for c in tube.start)
    offsets = (frame.x[..., xs] - x, frame.y[:, ys] - y, frame.z - z)
    along = sum(o * d for o, d in zip(offsets, direction, strict=True)) / sum(d * d for d in direction)
    along = np.clip(along, 0.0, 1.0)
    squared = sum((o - along * d) ** 2 for o, d in zip(offsets, direction, strict=True))
    distance = np.asarray(np.sqrt(squared) - radius, dtype=np.float32)
    if union is not None:
        union[box] = np.minimum(union[box], distance)
    _paint(image[box], distance if within is None else np.maximum(distance, within[box]), value, frame)


def _at(z: Field, widths: tuple[float, ...]) -> Field:
    return np.interp(z, _LEVELS_MM, widths).astype(np.float32)


def _intersection(*fields: Field) -> Field:
    return reduce(np.maximum, fields)


def _ellipse(x: Field, y: Field, a: float | Field, b: float | Field) -> Field:
    """Distance to an ellipse, to first order."""
    q = np.sqrt((x / a) ** 2 + (y / b) ** 2) + 1e-6
    return np.asarray(q * (q - 1) / (np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2) + 1e-6), dtype=np.float32)


def _ellipsoid(frame: _Frame, centre: Iterable[float], radii: tuple[float, ...]) -> Field:
    """Distance to an ellipsoid, to first order."""
    scaled = [
        (axis - float(c)) / r for axis, c, r in zip((frame.x, frame.y, frame.z), centre, radii, strict=True)
    ]
    q = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2) + 1e-6
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) + 1e-6
    return np.asarray(q * (q - 1) / slope, dtype=np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Field:
    """Noise with the short correlation of a soft kernel and a slow drift, sigma in HU."""
    white = rng.standard_normal(shape, dtype=np.float32)
    fine = ndimage.gaussian_filter(white, (0.0, 0.8, 0.8))
    slow = ndimage.gaussian_filter(white[:, ::4, ::4], (0.0, 1.5, 1.5)).repeat(4, axis=1).repeat(4, axis=2)
    drift = slow[:, : shape[1], : shape[2]]
    return np.asarray(sigma * (fine / fine.std() + 0.3 * drift / drift.std()), dtype=np.float32)
