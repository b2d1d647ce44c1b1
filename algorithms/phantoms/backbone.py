"""Vertebrae with discs, the canal in them, and the spinal cord."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.labels import Label
from algorithms.phantoms.patient import VERTEBRAE, Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import (
    Capsule,
    Column,
    Cut,
    Ellipsoid,
    Grown,
    HalfSpace,
    Shape,
    Union,
    at,
    profile,
    turned,
)

_SIDES = (1.0, -1.0)


def bone(shape: Shape, patient: Patient, label: Label, *, cortex_mm: float = 1.6) -> Iterator[Layer]:
    """Cortex around cancellous bone."""
    yield Layer(shape, 250 + 370 * patient.bone, label)
    yield Layer(Grown(shape, -cortex_mm), 190 * patient.bone, label)


def spine(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Vertebrae C2 to L5 with discs, the canal in them, and the cord; the atlas belongs to the head."""
    half_width = patient.spine_radius * profile(
        ((-200, 1.4), (-60, 1.35), (60, 1.15), (200, 1.15), (300, 1.5))
    )
    flat = np.zeros_like(half_width)
    core = Column(flat, patient.spine_y, half_width, patient.spine_radius, -181.0, 406.0, 2.3)
    canal = _canal(patient)
    yield Layer(core, 85.0, Label.VERTEBRA)
    for name, (low, high) in VERTEBRAE.items():
        yield from _vertebra(rng, patient, name, low, high)
    yield Layer(canal, -40.0, Label.FAT)
    yield from _cord(rng, patient, canal)


def _canal(patient: Patient) -> Column:
    a = profile(((-260, 9), (-180, 11.5), (-60, 11), (0, 10), (100, 8.8), (230, 9.5), (300, 12), (425, 13)))
    b = profile(((-260, 4), (-180, 8), (-60, 8), (0, 8), (100, 8), (250, 8), (330, 8), (425, 11)))
    y = patient.spine_y + patient.spine_radius + b + 0.5
    return Column(np.zeros_like(a), y.astype(np.float32), a, b, -262.0, 426.0)


def _cord(rng: np.random.Generator, patient: Patient, canal: Column) -> Iterator[Layer]:
    conus = float(rng.uniform(-52, -8))
    fill = float(rng.uniform(0.76, 0.95))
    sac = Column(
        canal.x, canal.y - 0.3, canal.a * np.float32(fill), canal.b * np.float32(fill), -215.0, 424.0
    )
    yield Layer(sac, float(rng.uniform(5, 22)), Label.CAUDA_EQUINA)
    yield Layer(
        Cut(sac, within=(HalfSpace((0, 0, -1), -conus),)), float(rng.uniform(8, 22)), Label.SPINAL_CORD
    )
    a = profile(((conus - 8, 0.4), (conus + 20, 3.6), (25, 4.8), (80, 4.1), (230, 4.3), (320, 6.4), (425, 6)))
    b = profile(((conus - 8, 0.4), (conus + 20, 3.2), (25, 4.0), (80, 3.5), (230, 3.6), (320, 4.0), (425, 5)))
    yield Layer(Column(canal.x, canal.y - 0.8, a, b, conus - 5, 430.0), 40.0, Label.SPINAL_CORD)
    roots = Column(
        canal.x,
        canal.y + canal.b * np.float32(0.35),
        canal.a * np.float32(0.5),
        canal.b * np.float32(0.3),
        -205.0,
        conus,
    )
    yield Layer(roots, 32.0)


def _vertebra(
    rng: np.random.Generator, patient: Patient, name: str, low: float, high: float
) -> Iterator[Layer]:
    """Body with end plates, arch, spinous and transverse processes, from z of the disc below it."""
    if name == "C1":
        return
    height = high - low
    disc = 0.24 * height if name.startswith("L") else 0.17 * height
    middle = (low + disc + high) / 2
    y, radius = at(patient.spine_y, middle), at(patient.spine_radius, middle)
    slope = float(np.degrees(np.arctan2(at(patient.spine_y, high) - at(patient.spine_y, low), height)))
    wide = radius * {"L": 1.42, "T": 1.18, "C": 1.5}[name[0]]
    half = (high - low - disc) / 2
    block = Cut(
        _body(patient, middle, wide, radius, slope),
        within=(_plane(y, middle, slope, half), _plane(y, middle, slope + 180, half)),
    )
    yield from bone(block, patient, Label.VERTEBRA, cortex_mm=1.3)
    yield from _arch(rng, patient, name, middle, half, y + radius, wide)


def _body(patient: Patient, z: float, a: float, b: float, slope: float) -> Ellipsoid:
    return Ellipsoid((0.0, at(patient.spine_y, z), z), (a, b, 4 * b), turned(x=-slope))


def _plane(y: float, z: float, slope: float, half: float) -> HalfSpace:
    normal = (0.0, float(np.sin(np.radians(slope))), float(np.cos(np.radians(slope))))
    return HalfSpace(normal, normal[1] * y + normal[2] * z + half)


def _arch(
    rng: np.random.Generator, patient: Patient, name: str, z: float, half: float, back: float, wide: float
) -> Iterator[Layer]:
    canal = {"L": 16.0, "T": 16.0, "C": 15.0}[name[0]]
    across = {"L": 14.5, "T": 12.0, "C": 15.0}[name[0]]
    droop = {"L": 6.0, "T": 20.0, "C": 8.0}[name[0]] + float(rng.normal(0, 2))
    length = {"L": 30.0, "T": 30.0, "C": 20.0 if name != "C7" else 32.0}[name[0]]
    reach = {"L": 42.0, "T": 32.0, "C": 26.0}[name[0]]
    thick = {"L": 4.6, "T": 3.8, "C": 3.2}[name[0]]
    parts: list[Shape] = []
    for side in _SIDES:
        pedicle = (side * (across - 1), back - 2, z + 0.25 * half)
        joint = (side * across, back + 0.62 * canal, z - 0.3 * half)
        roof = (side * 2.0, back + canal + 2.0, z - 0.55 * half)
        tip = (side * reach, back + 0.75 * canal, z + (0.2 * half if name[0] != "C" else 0))
        parts += [
            Capsule(pedicle, joint, (thick, thick)),
            Capsule(joint, roof, (thick, 0.8 * thick)),
            Capsule(joint, tip, (0.9 * thick, 0.7 * thick)),
            Capsule(joint, (joint[0], joint[1], z - 1.3 * half), (1.1 * thick, 1.3 * thick)),
        ]
    start = (0.0, back + canal + 3.0, z - 0.6 * half)
    end = (0.0, back + canal + length, z - 0.6 * half - droop)
    parts.append(Capsule(start, end, (0.8 * thick, 0.9 * thick)))
    yield from bone(Union(tuple(parts)), patient, Label.VERTEBRA, cortex_mm=1.9)
