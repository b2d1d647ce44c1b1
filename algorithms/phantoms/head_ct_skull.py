"""Scalp, skull, skull base and face, and the head rest below."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.head_ct_patient import SIDES, Head
from algorithms.phantoms.head_ct_shapes import widened
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Union, tube


def outside(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Head rest, skin, fat, muscles; then the plates of the skull. The cavity is left to be filled."""
    rest = Ellipsoid((0, 30, -20), (118, 96, 400))
    lower = HalfSpace((0.0, -1.0, 0.0), -float(rng.uniform(30, 60)))
    yield Layer(Cut(rest, within=(lower,), without=(Grown(rest, -3.0),)), float(rng.uniform(-150, 500)))
    skull = widened(head.cavity, head.skull_mm)
    face = Union((Ellipsoid((0, -52, -58), (60, 50, 62)), Ellipsoid((0, 20, -95), (60, 62, 70))))
    nose = tube(((0, -96, -28), (0, -116, -62), (0, -98, -70)), (7, 11, 10))
    scalp = float(rng.uniform(4, 8))
    for shape, hu, label in (
        (Union((widened(skull, scalp), face, nose)), 10.0, Label.FAT),
        (Union((widened(skull, scalp - 1.5), Grown(face, -1.5))), -80.0, Label.FAT),
        (Union((widened(skull, 1.5), Grown(face, -7.0))), 52.0, Label.MUSCLE),
    ):
        yield Layer(shape, hu, label)
    yield from _face(rng)
    table, diploe = float(rng.uniform(900, 1400)), float(rng.uniform(350, 750))
    yield Layer(skull, table, Label.BONE)
    yield Layer(Grown(skull, -0.33 * head.skull_mm), diploe, Label.BONE)
    yield Layer(Grown(skull, -0.67 * head.skull_mm), table, Label.BONE)
    yield from _orbits()


def base(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """What juts into the cavity, or is hollow beside it: pyramids, clivus, sinuses, mastoids."""
    yield Layer(tube(((0, -14, -24), (0, 2, -44), (0, 16, -70)), (11, 9, 7)), 700.0, Label.BONE)
    yield Layer(Ellipsoid((0, -10, -21), (7, 5, 4)), 45.0, Label.SOFT_TISSUE)
    air = -850.0 if rng.random() < 0.85 else 30.0
    for side in SIDES:
        yield Layer(tube(((side * 56, 18, -40), (side * 16, -6, -36)), (12, 7)), 1050.0, Label.BONE)
        yield Layer(
            tube(((side * 28, -36, -19), (side * 48, -44, -17), (side * 66, -46, -10)), 3.5),
            800.0,
            Label.BONE,
        )
        mastoid = Ellipsoid((side * 60, 26, -46), (9, 14, 18))
        yield Layer(Grown(mastoid, 3.0), 800.0, Label.BONE)
        yield Layer(mastoid, float(rng.uniform(-600, 300)), Label.BONE)
        yield Layer(Ellipsoid((side * 66, 6, -42), (10, 3, 3)), -900.0, Label.UPPER_AIRWAY)
        yield Layer(Ellipsoid((side * 9, -34, -34), (8, 13, 9)), air, Label.UPPER_AIRWAY)
        frontal = Ellipsoid((side * 13, -88, -2), (11, 4, float(rng.uniform(6, 16))))
        yield Layer(Grown(frontal, 2.0), 900.0, Label.BONE)
        yield Layer(frontal, -950.0, Label.UPPER_AIRWAY)
    if rng.random() < 0.12:
        yield from _hyperostosis(rng, head)


def foramen_magnum() -> Iterator[Layer]:
    """The way of the spinal cord out of the skull, and the atlas below."""
    ring = Ellipsoid((0, 32, -94), (32, 28, 9))
    yield Layer(Cut(ring, without=(Ellipsoid((0, 34, -94), (16, 17, 40)),)), 600.0, Label.BONE)
    yield Layer(tube(((0, 12, -110), (0, 11, -84)), (7, 4)), 600.0, Label.BONE)
    yield Layer(tube(((0, 32, -64), (0, 33, -112)), 14.5), 10.0, Label.CEREBROSPINAL_FLUID)


def _face(rng: np.random.Generator) -> Iterator[Layer]:
    bone = Ellipsoid((0, -64, -58), (44, 36, 40))
    yield Layer(bone, 420.0, Label.BONE)
    yield Layer(Grown(bone, -3.0), 40.0, Label.SOFT_TISSUE)
    for side in SIDES:
        cheek = tube(((side * 36, -88, -52), (side * 60, -62, -50), (side * 68, -14, -46)), 4.5)
        yield Layer(cheek, 700.0, Label.BONE)
        sinus = Ellipsoid((side * 28, -72, -62), (14, 17, 17))
        yield Layer(Grown(sinus, 1.8), 500.0, Label.BONE)
        yield Layer(sinus, -980.0 if rng.random() < 0.85 else 25.0, Label.UPPER_AIRWAY)
        yield Layer(Ellipsoid((side * 7, -68, -58), (4.5, 32, 17)), -900.0, Label.UPPER_AIRWAY)
        yield Layer(tube(((side * 48, -18, -112), (side * 51, -10, -58)), 6), 900.0, Label.BONE)
    fillings = rng.random() < 0.35
    for x, y in ((-24, -54), (-21, -72), (-11, -86), (0, -90), (11, -86), (21, -72), (24, -54)):
        hu = 3000.0 if fillings and rng.random() < 0.4 else float(rng.uniform(1200, 2000))
        yield Layer(Ellipsoid((x, y, -98), (4.2, 4.2, 12)), hu, Label.BONE)


def _orbits() -> Iterator[Layer]:
    for side in SIDES:
        yield Layer(Ellipsoid((side * 32, -72, -34), (19, 26, 17)), 750.0, Label.BONE)
        yield Layer(Ellipsoid((side * 32, -76, -34), (17, 25, 15)), -90.0, Label.FAT)
        yield Layer(tube(((side * 14, -46, -33), (side * 30, -72, -34)), 2.2), 38.0, Label.SOFT_TISSUE)
        yield Layer(Ellipsoid((side * 32, -84, -34), (12, 12, 12)), 38.0, Label.SOFT_TISSUE)
        yield Layer(Ellipsoid((side * 32, -84, -34), (11, 11, 11)), 12.0, Label.SOFT_TISSUE)
        yield Layer(Ellipsoid((side * 32, -93, -34), (5, 2, 5)), 80.0, Label.SOFT_TISSUE)
        yield Layer(Ellipsoid((side * 8, -66, -32), (6, 20, 10)), -800.0, Label.UPPER_AIRWAY)


def _hyperostosis(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Uneven thickening of the inner table of the frontal bone."""
    for _ in range(int(rng.integers(3, 8))):
        x, z = float(rng.uniform(-40, 40)), float(rng.uniform(0, 45))
        y = -2 - 83 * float(np.sqrt(max(0.05, 1 - (x / 67) ** 2 - ((z - 2) / 71) ** 2)))
        bump = Ellipsoid((x, y, z), (float(rng.uniform(8, 16)), float(rng.uniform(4, 8)), 11))
        yield Layer(Cut(bump, within=(widened(head.cavity, 2.0),)), float(rng.uniform(700, 1100)), Label.BONE)
