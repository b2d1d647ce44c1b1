"""Skin, fat, muscle, arms and legs, breasts, and the cavities they enclose."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.labels import Label
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import (
    Column,
    Cut,
    Ellipsoid,
    Grown,
    HalfSpace,
    Profile,
    profile,
    tube,
    turned,
)

_TRUNK = (  # z, half width, front, back of the muscles; weight of the fat at the side, front, back
    (-345.0, 160.0, -70.0, 85.0, 0.9, 0.6, 0.9),
    (-310.0, 168.0, -80.0, 95.0, 0.9, 0.7, 1.1),
    (-270.0, 168.0, -84.0, 100.0, 0.9, 0.9, 1.1),
    (-200.0, 152.0, -88.0, 100.0, 0.9, 1.1, 1.0),
    (-130.0, 138.0, -90.0, 94.0, 0.9, 1.1, 0.8),
    (-60.0, 133.0, -94.0, 96.0, 0.7, 1.0, 0.6),
    (0.0, 138.0, -100.0, 100.0, 0.5, 0.7, 0.4),
    (60.0, 144.0, -107.0, 104.0, 0.5, 0.5, 0.4),
    (120.0, 150.0, -108.0, 106.0, 0.6, 0.5, 0.4),
    (170.0, 158.0, -101.0, 106.0, 0.7, 0.5, 0.5),
    (210.0, 172.0, -88.0, 102.0, 0.6, 0.4, 0.5),
    (238.0, 182.0, -74.0, 94.0, 0.4, 0.3, 0.5),
    (260.0, 160.0, -66.0, 86.0, 0.3, 0.3, 0.5),
    (278.0, 98.0, -60.0, 76.0, 0.3, 0.3, 0.4),
    (300.0, 66.0, -58.0, 68.0, 0.3, 0.3, 0.35),
    (330.0, 56.0, -58.0, 58.0, 0.25, 0.3, 0.3),
    (370.0, 57.0, -62.0, 54.0, 0.2, 0.25, 0.25),
    (420.0, 58.0, -64.0, 54.0, 0.15, 0.1, 0.2),
)
_CAGE = (  # z, half width, front, back of the inside of the ribs
    (-70.0, 112.0, -86.0, 78.0),
    (0.0, 122.0, -88.0, 88.0),
    (60.0, 129.0, -96.0, 93.0),
    (110.0, 128.0, -96.0, 95.0),
    (150.0, 121.0, -89.0, 94.0),
    (190.0, 105.0, -76.0, 90.0),
    (220.0, 85.0, -61.0, 81.0),
    (245.0, 60.0, -44.0, 67.0),
    (258.0, 41.0, -30.0, 55.0),
    (267.0, 18.0, -10.0, 42.0),
)
_BELLY = (  # z, half width, front, back of the inside of the abdominal wall
    (-330.0, 40.0, -45.0, 55.0),
    (-300.0, 55.0, -62.0, 72.0),
    (-260.0, 62.0, -72.0, 82.0),
    (-215.0, 80.0, -78.0, 66.0),
    (-170.0, 98.0, -80.0, 46.0),
    (-120.0, 112.0, -82.0, 44.0),
    (-60.0, 117.0, -85.0, 54.0),
    (-20.0, 120.0, -87.0, 70.0),
    (40.0, 126.0, -90.0, 90.0),
)


def _outline(
    table: tuple[tuple[float, ...], ...],
    *,
    bulge: Profile | float = 0.0,
    low: float,
    high: float,
    power: float,
) -> Column:
    z = [row[0] for row in table]
    a, front, back = (profile(tuple(zip(z, (row[i] for row in table), strict=True))) for i in (1, 2, 3))
    front = np.asarray(front - bulge, dtype=np.float32)
    middle = np.zeros_like(a)
    return Column(middle, (front + back) / 2, a, (back - front) / 2, low, high, power)


def _bulge(patient: Patient) -> Profile:
    """How far visceral fat pushes the wall of the belly forward."""
    return profile(((-260, 0), (-190, 0.6), (-110, 1), (-30, 0.8), (40, 0.25), (90, 0))) * np.float32(
        patient.visceral
    )


def cage(patient: Patient) -> Column:
    """The inside of the rib cage, from the costal margin to the apex of the lungs."""
    bulge = _bulge(patient) * np.float32(0.5)
    return _outline(_CAGE, bulge=bulge, low=-70.0, high=269.0, power=2.25)


def belly(patient: Patient) -> Column:
    """The inside of the abdominal and pelvic wall."""
    return _outline(_BELLY, bulge=_bulge(patient), low=-286.0, high=45.0, power=2.4)


def muscle(patient: Patient) -> Column:
    """The trunk and neck without the fat under the skin."""
    return _outline(_TRUNK, bulge=_bulge(patient), low=-348.0, high=420.0, power=2.5)


def skin(patient: Patient) -> Column:
    """The trunk and neck."""
    inner = muscle(patient)
    z = [row[0] for row in _TRUNK]
    side, front, back = (
        2.0 + patient.fat * profile(tuple(zip(z, (row[i] for row in _TRUNK), strict=True))) for i in (4, 5, 6)
    )
    y, b = inner.y + (back - front) / 2, inner.b + (back + front) / 2
    return Column(inner.x, y, inner.a + side, b, inner.low - 8, inner.high, 2.35)


def _breasts(patient: Patient) -> Iterator[Layer]:
    size = 26.0 + 0.9 * patient.fat
    for side in (1.0, -1.0):
        shape = Ellipsoid((side * 78.0, -92.0, 112.0), (1.15 * size, 0.85 * size + 8, 1.1 * size))
        yield Layer(shape, -100.0, Label.FAT)
        gland = Ellipsoid((side * 78.0, -98.0 - 0.2 * size, 112.0), (0.6 * size, 0.45 * size, 0.6 * size))
        yield Layer(gland, 5.0, onto=(Label.FAT,))


def _arm(patient: Patient, side: float) -> tuple[tuple[float, float, float], ...]:
    """Shoulder, elbow, wrist."""
    if patient.arms_raised:
        return ((side * 168, 15, 250), (side * 178, -15, 400), (side * 130, -50, 560), (side * 60, -60, 700))
    beside = side * (182 + 0.75 * patient.fat)
    return (
        (side * 172, 22, 232),
        (side * (172 + 0.7 * patient.fat), 28, 150),
        (beside, 40, 0),
        (beside, 5, -260),
    )


def _arms(patient: Patient) -> Iterator[Layer]:
    thin = 0.25 * patient.fat
    for side in (1.0, -1.0):
        line = _arm(patient, side)
        flesh = (44, 40, 33, 24)
        yield Layer(tube(line, [r + 4 + thin for r in flesh], step_mm=20), -100.0, Label.ARM)
        yield Layer(tube(line, flesh, step_mm=20), 52.0, Label.ARM)
        yield Layer(tube(line, (19, 11, 11, 9)), 900.0, Label.ARM)
        yield Layer(tube(line, (14, 6, 6, 5)), 60.0, Label.ARM)


def _legs(patient: Patient) -> Iterator[Layer]:
    for grow, hu, label in ((4 + 0.6 * patient.fat, -100.0, Label.FAT), (0.0, 55.0, Label.MUSCLE)):
        for side in (1.0, -1.0):
            line = ((side * 92, 8, -330), (side * 88, 5, -400), (side * 80, 5, -520))
            yield Layer(tube(line, (74 + grow, 76 + grow, 66 + grow), step_mm=25), hu, label)


def _marbling(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Sheets of fat between the muscles of back, buttocks and shoulders."""
    for _ in range(90):
        z = float(rng.uniform(-340, 330))
        x = float(rng.uniform(20, 150 if z < 250 else 45)) * float(rng.choice((-1, 1)))
        y = float(rng.uniform(40, 100))
        turn = turned(z=float(rng.normal(np.sign(x) * -35, 20)), y=float(rng.normal(0, 15)))
        size = (float(rng.uniform(18, 45)), float(rng.uniform(0.8, 3.2)), float(rng.uniform(25, 60)))
        yield Layer(Ellipsoid((x, y, z), size, turn), -80.0, Label.FAT, onto=(Label.MUSCLE,))


def trunk(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """From the skin to the walls of the cavities, which are left full of fat."""
    yield from _arms(patient)
    outer = skin(patient)
    if patient.female:
        yield from _breasts(patient)
    yield Layer(outer, 5.0, Label.FAT)
    yield Layer(Grown(outer, -2.0), -105.0, Label.FAT)
    yield from _legs(patient)
    yield Layer(muscle(patient), 55.0, Label.MUSCLE)
    yield from _marbling(rng, patient)
    pit = HalfSpace((0.0, 0.0, -1.0), -190.0)
    for side in (1.0, -1.0):
        hollow = Ellipsoid((side * 135.0, 20.0, 205.0), (24.0, 42.0, 40.0), turned(z=side * -20))
        yield Layer(Cut(hollow, within=(pit,)), -95.0, Label.FAT, onto=(Label.MUSCLE,))
        above_clavicle = Ellipsoid((side * 72.0, -22.0, 262.0), (40.0, 26.0, 20.0), turned(y=side * 15))
        yield Layer(above_clavicle, -95.0, Label.FAT, onto=(Label.MUSCLE,))


def cavities(patient: Patient) -> Iterator[Layer]:
    """Abdominal and thoracic cavity, before any organ."""
    yield Layer(belly(patient), -100.0, Label.FAT)
    yield Layer(cage(patient), -95.0, Label.FAT)


def table(patient: Patient) -> Iterator[Layer]:
    """A table top of carbon fibre with foam in it, under the patient."""
    back = 113.0 + 0.45 * patient.fat
    top, under = (Ellipsoid((0.0, back - sink, 0.0), (520.0, 520.0, 9000.0)) for sink in (518.0, 490.0))
    below = HalfSpace((0.0, -1.0, 0.0), 40.0 - back)
    yield Layer(Cut(under, within=(below,), without=(top,)), -940.0, Label.AIR)
    for shell in (top, under):
        yield Layer(Cut(shell, within=(below,), without=(Grown(shell, -2.6),)), 120.0, Label.AIR)


def backbone_muscles(patient: Patient) -> Iterator[Layer]:
    """The long muscles on both sides of the spinous processes, behind the lungs."""
    width = profile(((-200, 46), (-60, 62), (30, 50), (100, 42), (180, 40), (280, 40)))
    depth = profile(((-200, 26), (-60, 34), (30, 30), (100, 27), (180, 25), (280, 24)))
    gap = profile(((-60, 6), (20, 13), (250, 14), (300, 8)))
    y = (patient.spine_y + patient.spine_radius + depth + gap).astype(np.float32)
    shape = Column(np.zeros_like(width), y, width, depth, -230.0, 300.0, 2.2)
    inside = Cut(shape, within=(muscle(patient),))
    yield Layer(inside, 52.0, Label.MUSCLE)
    ring = Column(
        np.zeros_like(width),
        patient.spine_y,
        patient.spine_radius * np.float32(1.3) + 4,
        patient.spine_radius + 4,
        -180.0,
        300.0,
    )
    yield Layer(ring, -60.0, Label.FAT)
