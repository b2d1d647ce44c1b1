"""Ribs and sternum, shoulder girdle, pelvis and femora."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.backbone import bone
from algorithms.phantoms.body import cage
from algorithms.phantoms.frame import Point
from algorithms.phantoms.labels import Label
from algorithms.phantoms.patient import VERTEBRAE, Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import (
    Column,
    Cut,
    Ellipsoid,
    HalfSpace,
    Shape,
    Union,
    at,
    profile,
    tube,
    turned,
)

_SIDES = (1.0, -1.0)


def thorax(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Twelve pairs of ribs with cartilage, sternum, clavicles, scapulae, heads of the humeri."""
    drop = float(rng.uniform(0.85, 1.2))
    calcified = float(rng.uniform(90, 220))
    for number in range(1, 13):
        for side in _SIDES:
            yield from _rib(patient, number, side, drop, calcified)
    front = cage(patient)
    y = [at(front.y - front.b, z) for z in (75, 105, 160, 190, 226)]
    plate = Column(
        np.zeros_like(front.y),
        (front.y - front.b - 7).astype(np.float32),
        profile(((62, 5), (80, 13), (150, 17), (190, 16), (202, 20), (226, 30))),
        profile(((62, 4), (100, 5.5), (200, 6.5), (226, 7.5))),
        64.0,
        226.0,
        2.6,
    )
    yield from bone(plate, patient, Label.BONE, cortex_mm=1.4)
    for side in _SIDES:
        line = (
            (side * 18, y[-1] - 8, 224),
            (side * 65, y[-1] - 10, 238),
            (side * 110, -12, 252),
            (side * 150, 8, 256),
        )
        yield from bone(tube(line, (9, 6, 5.5, 6)), patient, Label.BONE, cortex_mm=2.2)
        yield from _scapula(patient, side)


def _scapula(patient: Patient, side: float) -> Iterator[Layer]:
    """Blade behind the ribs, spine with acromion, glenoid and the head of the humerus."""
    blade = Ellipsoid((side * 106, 66, 185), (45, 4.0, 72), turned(z=side * -40, x=-6))
    below = HalfSpace((0.0, 0.0, 1.0), 246.0)
    yield from bone(Cut(blade, within=(below,)), patient, Label.BONE, cortex_mm=1.5)
    crest = tube(((side * 72, 90, 212), (side * 116, 72, 234), (side * 160, 32, 256)), (4, 6, 7))
    yield from bone(crest, patient, Label.BONE, cortex_mm=1.8)
    neck = tube(((side * 120, 56, 220), (side * 142, 34, 228)), (8, 13))
    yield from bone(neck, patient, Label.BONE, cortex_mm=1.8)
    hook = tube(((side * 134, 34, 238), (side * 128, 8, 246), (side * 136, -6, 238)), 5.5)
    yield from bone(hook, patient, Label.BONE, cortex_mm=1.8)
    yield from bone(Ellipsoid((side * 164, 18, 236), (23, 23, 23)), patient, Label.BONE)


def _rib(patient: Patient, number: int, side: float, drop: float, calcified: float) -> Iterator[Layer]:
    head = VERTEBRAE[f"Th{number}"][1] - 3.0
    inside = cage(patient)
    fall = drop * float(np.interp(number, (1, 2, 5, 8, 10, 12), (26, 44, 62, 66, 58, 40)))
    last = float(np.interp(number, (1, 2, 7, 9, 10, 11, 12), (2.55, 2.6, 2.2, 1.85, 1.55, 1.1, 0.62)))
    points: list[Point] = [(side * 17, at(patient.spine_y, head) + 8, head)]
    for angle in np.linspace(0.38, last, 12):  # from the back to the front
        share = (1 - np.cos(min(angle, 2.7))) / 2
        z = head + 3 - fall * share**0.9
        a, b = (at(p, min(z, 268)) + 5.5 for p in (inside.a, inside.b))
        across, back = np.sin(angle), np.cos(angle)
        size = (abs(across / a) ** 2.25 + abs(back / b) ** 2.25) ** (-1 / 2.25)
        points.append((float(side * across * size), float(at(inside.y, min(z, 268)) + back * size), float(z)))
    radii = [4.0] + [4.6 if number > 1 else 5.0] * (len(points) - 1)
    yield from bone(tube(points, radii, step_mm=9), patient, Label.BONE, cortex_mm=1.7)
    if number <= 10:
        yield from _cartilage(inside, number, side, points[-1], calcified)


def _cartilage(inside: Column, number: int, side: float, tip: Point, calcified: float) -> Iterator[Layer]:
    z = float(np.interp(number, (1, 2, 3, 4, 5, 6, 7, 10), (218, 201, 180, 158, 136, 112, 90, 76)))
    y = at(inside.y - inside.b, z) - 6.0
    bow = ((tip[0] + side * 26) / 2, min(tip[1], y) - 1.0, (tip[2] + min(z, tip[2] + 30)) / 2 - 4)
    yield Layer(tube((tip, bow, (side * 20, y, z)), 5.5, step_mm=8), calcified, Label.BONE)


def pelvis(patient: Patient) -> Iterator[Layer]:
    """Sacrum, hip bones, femora."""
    y = patient.spine_y
    sacrum = Union(
        tuple(
            Ellipsoid((x * w, at(y, z) + d, z), (w * 0.62, 15 - 0.08 * (-180 - z), 17))
            for z, w, d in (
                (-190, 48, 8),
                (-208, 48, 4),
                (-226, 40, 2),
                (-244, 30, 0),
                (-262, 20, -2),
                (-280, 13, -4),
            )
            for x in (-0.6, 0.0, 0.6)
        )
    )
    yield from bone(sacrum, patient, Label.BONE)
    wide = 4.0 if patient.female else 0.0
    for side in _SIDES:
        yield from _hip(patient, side, wide)


def _hip(patient: Patient, side: float, wide: float) -> Iterator[Layer]:
    """Wing, acetabulum, ischium, pubis; head, neck and shaft of the femur."""
    wing = tube(
        ((side * 50, 74, -172), (side * 88, 38, -148), (side * 122, -12, -148), (side * 120, -60, -190)), 6.0
    )
    plates: list[Shape] = [wing]
    blade = Ellipsoid((side * 88, 10, -198), (74, 6.5, 62), turned(z=side * -59, x=-18))
    plates.append(Cut(blade, within=(HalfSpace((0.0, 0.0, -1.0), 252.0),)))
    plates.append(tube(((side * 120, -58, -190), (side * 112, -50, -225), (side * 96, -30, -252)), (6, 7, 9)))
    plates.append(tube(((side * 82, 30, -262), (side * 76, 42, -300), (side * 62, 42, -330)), (13, 12, 14)))
    plates.append(tube(((side * 82, -28, -258), (side * 45, -62, -268), (side * 8, -66, -288)), (9, 7, 9)))
    plates.append(tube(((side * 9, -62, -296), (side * 34, -30, -318), (side * 60, 30, -334)), (7, 6, 8)))
    socket = Ellipsoid((side * 86, -2, -268), (32, 33, 33))
    outside = HalfSpace((side, 0.0, 0.0), 98.0)
    yield from bone(Union((*plates, Cut(socket, within=(outside,)))), patient, Label.BONE, cortex_mm=2.0)
    head = (side * (91 + wide), -4.0, -270.0)
    yield Layer(Ellipsoid(head, (26.5, 26.5, 26.5)), 60.0, Label.MUSCLE)
    femur = Union(
        (
            Ellipsoid(head, (24, 24, 24)),
            tube((head, (side * 118, 8, -292), (side * 143, 14, -306)), (18, 15, 17)),
            tube(
                ((side * 142, 14, -300), (side * 134, 10, -350), (side * 118, 0, -540)),
                (18, 15, 14),
                step_mm=20,
            ),
        )
    )
    yield from bone(femur, patient, Label.BONE, cortex_mm=2.5)
    yield Layer(tube(((side * 136, 10, -345), (side * 118, 0, -540)), 8.5, step_mm=30), -10.0, Label.BONE)
