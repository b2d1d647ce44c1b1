"""Neck and head: airway above the cricoid, thyroid, muscles, skull, brain, sinuses, jaws and teeth."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.labels import Label
from algorithms.phantoms.lungs import CRICOID_MM
from algorithms.phantoms.patient import VERTEBRAE, Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Column, Cut, Ellipsoid, Grown, HalfSpace, Shape, Union, profile, tube

_SIDES = (1.0, -1.0)
CROWN_MM = 566.0
"""Height of the top of the skull."""


def _set_back(patient: Patient) -> float:
    """How far the head lies in front of where the standard neck carries it."""
    return -2.6 * patient.kyphosis


def scalp(patient: Patient) -> Iterator[Layer]:
    """The outside of head and face; painted before all that is in them."""
    y = _set_back(patient)
    head = Union((Ellipsoid((0, -8 + y, 488), (77, 98, 82)), Ellipsoid((0, -52 + y, 430), (63, 62, 70))))
    chin = Ellipsoid((0, -60 + y, 385), (48, 46, 34))
    nose = tube(((0, -106 + y, 460), (0, -124 + y, 428), (0, -108 + y, 420)), (7, 11, 10))
    for grow, hu, label in ((0.0, 5.0, Label.FAT), (-1.5, -70.0, Label.FAT), (-6.0, 50.0, Label.MUSCLE)):
        yield Layer(Grown(Union((head, chin, nose)), grow), hu, label)
    for side in _SIDES:
        yield Layer(Ellipsoid((side * 80, 8 + y, 445), (8, 16, 28)), 0.0, Label.FAT)


def neck(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Muscles set in fat, thyroid, larynx and pharynx."""
    front = (patient.spine_y - patient.spine_radius).astype(np.float32)
    wide = profile(((262, 20), (290, 30), (330, 33), (380, 32)))
    sheath = Column(
        np.zeros_like(front), front - 8, wide, profile(((262, 12), (320, 15), (380, 16))), 255.0, 392.0
    )
    yield Layer(sheath, -85.0, Label.FAT)
    for side in _SIDES:
        strap = tube(
            ((side * 14, -44, 232), (side * 34, -34, 290), (side * 50, -8, 350), (side * 56, 12, 412)), 9
        )
        yield Layer(strap, 58.0, Label.MUSCLE)
    for side in _SIDES:
        for x, d, r in ((12, 44, 10), (28, 36, 11)):
            line = [(side * x, patient.spine(z) + d, z) for z in (260.0, 310.0, 360.0, 410.0)]
            yield Layer(tube(line, r), -70.0, Label.FAT, onto=(Label.MUSCLE,))
            yield Layer(tube(line, r - 1.3), 58.0, Label.MUSCLE)
    gland = float(rng.uniform(85, 125)) + 0.3 * max(0.0, patient.blood.aorta - 50)
    for side in _SIDES:
        line = [(side * 17, patient.spine(z) - 24, z) for z in (286.0, 300.0, 318.0)]
        yield Layer(tube(line, (6, float(rng.uniform(7, 12)), 5)), gland, Label.SOFT_TISSUE)


def throat(patient: Patient) -> Iterator[Layer]:
    """Larynx and pharynx with their air, up to the nose."""
    y = _set_back(patient)
    line = [(0.0, patient.spine(z) - 23, z) for z in (CRICOID_MM - 2, 325.0, 345.0)]
    yield Layer(tube(line, (13, 17, 17)), 50.0, Label.SOFT_TISSUE)
    shield = Grown(tube(line, (12, 16, 16)), 0.0)
    yield Layer(
        Cut(shield, without=(Grown(shield, -2.5),), within=(HalfSpace((0, 1, 0), line[1][1]),)),
        180.0,
        Label.BONE,
    )
    hyoid = tube(((30, -26 + y, 362), (14, -50 + y, 360), (-14, -50 + y, 360), (-30, -26 + y, 362)), 3.0)
    yield Layer(hyoid, 420.0, Label.BONE)
    pipe = [*line, (0, patient.spine(375) - 14, 375.0), (0, -30 + y, 410.0), (0, -40 + y, 432.0)]
    yield Layer(tube(pipe, (8, 5, 9, 9, 8, 8)), -1000.0, Label.UPPER_AIRWAY)


def head(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Atlas, skull and brain, face, jaws and teeth."""
    y = _set_back(patient)
    yield from _skull(rng, y)
    yield from _face(rng, y)
    yield from _jaws(rng, y)
    low, high = VERTEBRAE["C1"]
    z = (low + high) / 2
    middle = patient.spine(z) + 12
    ring = Ellipsoid((0, middle, z), (30, 25, 9))
    hole = Ellipsoid((0, middle + 2, z), (15, 16, 40))
    yield Layer(Cut(ring, without=(hole,)), 520.0, Label.VERTEBRA)
    yield Layer(
        tube(((0, patient.spine(z) + 8, low - 6), (0, patient.spine(z) + 4, high - 2)), (7, 5)),
        480.0,
        Label.VERTEBRA,
    )


def _skull(rng: np.random.Generator, y: float) -> Iterator[Layer]:
    vault = Union((Ellipsoid((0, -4 + y, 492), (72, 90, 75)), Ellipsoid((0, 22 + y, 450), (58, 60, 42))))
    thick = float(rng.uniform(5.5, 8.5))
    yield Layer(vault, 1000.0, Label.BONE)
    yield Layer(Grown(vault, -0.38 * thick), 480.0, Label.BONE)
    yield Layer(Grown(vault, -0.62 * thick), 1000.0, Label.BONE)
    above = HalfSpace((0, -0.34, -1), -432.0 + 0.34 * -(20 + y))
    yield Layer(Cut(Grown(vault, -thick), within=(above,)), 12.0, Label.BRAIN)
    yield Layer(Cut(Grown(vault, -thick - 3), within=(above,)), 34.0, Label.BRAIN)
    for side in _SIDES:
        yield Layer(Ellipsoid((side * 14, -8 + y, 500), (7, 34, 12)), 6.0, Label.BRAIN)
        pyramid = tube(((side * 62, 12 + y, 440), (side * 22, -16 + y, 440)), (14, 8))
        yield Layer(pyramid, 950.0, Label.BONE)
        mastoid = Ellipsoid((side * 58, 22 + y, 424), (11, 13, 17))
        yield Layer(mastoid, 600.0, Label.BONE)
        yield Layer(Grown(mastoid, -3.0), -450.0, Label.BONE)
        yield Layer(Ellipsoid((side * 66, 2 + y, 438), (9, 3, 3)), -900.0, Label.UPPER_AIRWAY)
    yield Layer(tube(((0, 20 + y, 412), (0, 16 + y, 436)), (15, 13)), 20.0, Label.BRAIN)
    yield Layer(tube(((0, 20 + y, 405), (0, 14 + y, 445)), (7, 10)), 36.0, Label.BRAIN)


def _face(rng: np.random.Generator, y: float) -> Iterator[Layer]:
    bone: Shape = Ellipsoid((0, -72 + y, 432), (46, 36, 40))
    yield Layer(bone, 420.0, Label.BONE)
    yield Layer(Grown(bone, -3.0), 40.0, Label.SOFT_TISSUE)
    for side in _SIDES:
        yield Layer(Ellipsoid((side * 33, -74 + y, 464), (19, 24, 18)), 800.0, Label.BONE)
        yield Layer(Ellipsoid((side * 33, -78 + y, 464), (17, 24, 16)), -90.0, Label.FAT)
        yield Layer(Ellipsoid((side * 32, -86 + y, 464), (12, 12, 12)), 25.0, Label.SOFT_TISSUE)
        cheek = tube(((side * 36, -92 + y, 440), (side * 62, -66 + y, 442), (side * 68, -20 + y, 444)), 5)
        yield Layer(cheek, 650.0, Label.BONE)
        sinus = Ellipsoid((side * 28, -76 + y, 431), (14, 17, 17))
        yield Layer(Grown(sinus, 1.8), 500.0, Label.BONE)
        yield Layer(sinus, -1000.0 if rng.random() < 0.85 else 25.0, Label.UPPER_AIRWAY)
        yield Layer(Ellipsoid((side * 7, -72 + y, 432), (4.5, 34, 17)), -900.0, Label.UPPER_AIRWAY)
        yield Layer(Ellipsoid((side * 8, -72 + y, 460), (6, 20, 10)), -750.0, Label.UPPER_AIRWAY)
        yield Layer(Ellipsoid((side * 11, -96 + y, 486), (10, 6, 9)), -980.0, Label.UPPER_AIRWAY)
    yield Layer(Ellipsoid((0, -40 + y, 452), (13, 11, 10)), -980.0, Label.UPPER_AIRWAY)


def _jaws(rng: np.random.Generator, y: float) -> Iterator[Layer]:
    arch = [(-24, -58), (-21, -76), (-11, -90), (0, -94), (11, -90), (21, -76), (24, -58)]
    yield Layer(tube([(x, v + y, 410) for x, v in arch], 7.5), 550.0, Label.BONE)
    jaw = [(-48, -22), (-44, -42), (-30, -70), (0, -92), (30, -70), (44, -42), (48, -22)]
    bend = (402, 378, 374, 374, 374, 378, 402)
    line = [(x, v + y, z) for (x, v), z in zip(jaw, bend, strict=True)]
    yield Layer(tube(line, (6, 8, 8, 9, 8, 8, 6)), 1100.0, Label.BONE)
    yield Layer(tube(line, (3, 5, 5, 5.5, 5, 5, 3)), 350.0, Label.BONE)
    for side in _SIDES:
        yield Layer(tube(((side * 48, -22 + y, 400), (side * 52, -14 + y, 436)), 6), 900.0, Label.BONE)
    tongue = Ellipsoid((0, -58 + y, 388), (23, 28, 18))
    yield Layer(tongue, 55.0, Label.SOFT_TISSUE)
    fillings = rng.random() < 0.4
    for z in (388.0, 400.0):
        for x, v in arch:
            hu = 2600.0 if fillings and rng.random() < 0.3 else float(rng.uniform(1300, 2100))
            yield Layer(Ellipsoid((x, v + y - (2 if z > 390 else 0), z), (4.2, 4.2, 7)), hu, Label.BONE)
