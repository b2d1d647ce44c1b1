"""Liver, spleen, kidneys, stomach, pancreas, bowel, bladder, psoas, iliac vessels."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.body import belly, cage
from algorithms.phantoms.frame import Point
from algorithms.phantoms.labels import Label
from algorithms.phantoms.lungs import Diaphragm
from algorithms.phantoms.mediastinum import CARDIA_MM
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Shape, Union, tube, turned
from algorithms.phantoms.vessels import BIFURCATION_MM

_SIDES = (1.0, -1.0)


def _under(shape: Shape, patient: Patient, gap: float = 4.0) -> Cut:
    """A shape below the diaphragm and inside ribs and belly."""
    wall = Union((Grown(cage(patient), -2.0), Grown(belly(patient), -1.0)))
    return Cut(shape, within=(wall,), without=(Grown(Diaphragm(patient.domes), gap),))


def abdomen(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """All organs below the diaphragm, from back to front."""
    yield from _psoas(patient)
    yield from _iliac_vessels(patient)
    yield from _bowel(rng, patient)
    yield from _bladder(rng)
    yield from _pancreas(rng, patient)
    yield from _liver(rng, patient)
    yield from _stomach(rng, patient)
    yield from _spleen(rng, patient)
    yield from _kidneys(rng, patient)


def _liver(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    top, size = patient.domes[0], float(rng.normal(1.0, 0.07))
    right = Ellipsoid((-66, -6, top - 64), (66 * size, 84 * size, 76 * size), turned(y=14))
    left = Ellipsoid((8, -46, top - 42), (68 * size, 36 * size, 34 * size), turned(y=10))
    whole = _under(Union((right, left)), patient)
    hu = patient.blood.liver
    yield Layer(whole, hu, Label.LIVER)
    vein = 0.3 * hu + 0.7 * max(patient.blood.infrarenal_cava, min(patient.blood.vena_cava, 150))
    start = patient.before_spine(-24, 38, top - 24)
    for end in ((-95, -20, top - 40), (-60, -55, top - 35), (-10, -50, top - 30), (-100, 30, top - 60)):
        yield Layer(tube((start, end), (5, 2.5)), vein, onto=(Label.LIVER,))
    for end in ((-90, -10, top - 85), (-80, 20, top - 75), (-20, -45, top - 65)):
        yield Layer(tube(((-28, -22, top - 85), end), (6, 2.5)), vein, onto=(Label.LIVER,))
    for _ in range(int(rng.integers(0, 4))):
        centre = (
            float(rng.uniform(-110, 20)),
            float(rng.uniform(-60, 50)),
            float(rng.uniform(top - 110, top - 15)),
        )
        lesion = Ellipsoid(centre, (float(rng.uniform(3, 18)),) * 3)
        yield Layer(lesion, float(rng.choice((5, 40, hu - 25))), onto=(Label.LIVER,))
    bag = Ellipsoid((-48, -48, top - 112), (14, 18, 26))
    yield Layer(bag, float(rng.uniform(2, 18)), Label.SOFT_TISSUE)


def _spleen(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    top, size = patient.domes[1], float(rng.normal(1.0, 0.13))
    shape = Ellipsoid((97, 30, top - 84), (29 * size, 42 * size, 55 * size), turned(z=22, y=10))
    yield Layer(_under(Grown(shape, 2.0), patient), -95.0, Label.FAT)
    yield Layer(_under(shape, patient), patient.blood.spleen, Label.SPLEEN)


def _kidneys(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    for side in _SIDES:
        z = -45.0 + (6 if side > 0 else -8) + float(rng.normal(0, 8))
        size = float(rng.normal(1.0, 0.07))
        centre = (side * 57.0, patient.spine(z) + 22.0, z)
        turn = turned(z=side * 25, y=side * 12, x=10)
        shape = Ellipsoid(centre, (27 * size, 24 * size, 55 * size), turn)
        capsule = Grown(shape, 1.0 + 0.12 * patient.visceral)
        yield Layer(capsule, -100.0, Label.FAT, onto=(Label.LIVER, Label.STOMACH, Label.BOWEL, Label.MUSCLE))
        yield Layer(shape, patient.blood.kidney, Label.KIDNEY)
        sinus = (centre[0] - side * 9, centre[1] - 5, z)
        yield Layer(Ellipsoid(sinus, (13, 7, 27), turn), -50.0, Label.KIDNEY)
        yield Layer(Ellipsoid(sinus, (8, 4, 14), turn), 10.0, Label.KIDNEY)
        gland = Ellipsoid((side * 36, patient.spine(z + 60) - 2, z + 52), (12, 4, 16), turned(z=side * 40))
        yield Layer(gland, 30.0, Label.SOFT_TISSUE, onto=(Label.FAT,))


def _pancreas(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    line = ((-30, -20, -62), (-18, -24, -40), (12, -26, -26), (45, -8, -14), (76, 18, -2))
    yield Layer(tube(line, (13, 11, 8, 9, 8)), 40.0 + 0.25 * (patient.blood.spleen - 50), Label.SOFT_TISSUE)
    vein = tube(((-28, -20, -20), (-12, -22, -30), (20, -22, -20), (78, 24, -2)), (7, 7, 4.5, 4))
    yield Layer(vein, max(patient.blood.infrarenal_cava, patient.blood.liver), Label.VESSEL)


def _stomach(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Wall, fluid or contrast, and gas in front, as in a patient on the back."""
    top, fill = patient.domes[1], float(rng.uniform(0.75, 1.3))
    cardia = (29.0, patient.spine(CARDIA_MM) - 34, CARDIA_MM - 4)
    low = float(rng.uniform(-95, -40))
    bag = Union(
        (
            tube((cardia, (44, -2, top - 40)), (10, 16)),
            tube(
                (
                    (64, 0, top - 44),
                    (70, -28, top - 74),
                    (50, -58, low + 12),
                    (10, -66, low),
                    (-22, -50, low + 16),
                ),
                (30 * fill, 28 * fill, 23 * fill, 18 * fill, 10),
            ),
        )
    )
    inner = _under(bag, patient)
    yield Layer(inner, 48.0 + 0.2 * (patient.blood.spleen - 50), Label.STOMACH)
    content = float(rng.choice((5.0, 25.0, 40.0, 220.0), p=(0.35, 0.3, 0.2, 0.15)))
    yield Layer(Grown(inner, -4.0), content + float(rng.normal(0, 5)), Label.STOMACH)
    level = HalfSpace((0.0, 1.0, 0.0), float(rng.uniform(-62, 10)))
    yield Layer(Cut(Grown(inner, -4.0), within=(level,)), -980.0, Label.STOMACH)


def _colon(rng: np.random.Generator, patient: Patient) -> list[Point]:
    sag = float(rng.uniform(-60, 0))
    v = 0.5 * patient.visceral
    return [
        (-84, -30, -178), (-94, -8, -140), (-94, 0, -90), (-88, -12, -55), (-55, -62 - v, -72 + sag / 2),
        (0, -72 - v, -85 + sag), (55, -62 - v, -70 + sag / 2), (92, -5, -20), (98, 20, -5), (98, 20, -50),
        (98, 12, -110), (92, -8, -165), (72, -5, -205), (35, 10, -218), (15, -10, -205), (-8, 20, -222),
        (0, 55, -240), (0, 62, -275), (0, 40, -310),
    ]  # fmt: skip


def _bowel(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Loops of small bowel, then the colon with stool and gas."""
    oral = float(rng.choice((15.0, 30.0, 250.0), p=(0.5, 0.3, 0.2)))
    inside = Grown(belly(patient), -3.0)
    v = patient.visceral
    for _ in range(40):
        centre = np.array([rng.uniform(-85, 85), rng.uniform(-75 - 0.8 * v, 0), rng.uniform(-262, -60)])
        way = rng.normal(0, 1, (5, 3)) * (24, 14, 18)
        line = [tuple((centre + np.cumsum(way, axis=0)[i] * 0.8).tolist()) for i in range(5)]
        size = float(rng.uniform(8, 14))
        loop = Cut(tube(line, size, step_mm=9), within=(inside,))
        yield Layer(loop, 45.0, Label.BOWEL, onto=(Label.FAT, Label.BOWEL))
        hu = -950.0 if rng.random() < 0.15 else oral + float(rng.normal(0, 8))
        yield Layer(Grown(loop, -2.5), hu, onto=(Label.BOWEL,))
    yield from _large_bowel(rng, patient, inside)


def _large_bowel(rng: np.random.Generator, patient: Patient, inside: Shape) -> Iterator[Layer]:
    line = _colon(rng, patient)
    wide = rng.uniform(0.7, 1.35) * np.interp(np.arange(len(line)), (0, 3, 9, 15, 18), (27, 23, 18, 15, 17))
    radii = (wide * rng.uniform(0.75, 1.25, len(line))).tolist()
    low_wall = HalfSpace((0.0, 0.0, -1.0), 312.0)
    wall = Cut(tube(line, radii, step_mm=9), within=(Union((inside, Grown(cage(patient), -4.0))), low_wall))
    yield Layer(wall, 42.0, Label.BOWEL, onto=(Label.FAT, Label.BOWEL))
    yield Layer(Grown(wall, -2.2), float(rng.uniform(5, 60)), onto=(Label.BOWEL,))
    for index, (x, y, z) in enumerate(line[:-1]):
        if rng.random() < 0.55:
            size = radii[index] - 2.5
            bubble = Ellipsoid(
                (x, y - 0.35 * size, z), (0.85 * size, 0.6 * size, size * float(rng.uniform(0.8, 2)))
            )
            yield Layer(Cut(bubble, within=(Grown(wall, -2.2),)), -950.0, onto=(Label.BOWEL,))
        for _ in range(3):
            at = np.array((x, y, z)) + rng.normal(0, 0.4 * radii[index], 3)
            crumb = Ellipsoid(tuple(at.tolist()), (float(rng.uniform(2, 5)),) * 3)
            yield Layer(crumb, float(rng.uniform(-500, -50)), onto=(Label.BOWEL,))


def _bladder(rng: np.random.Generator) -> Iterator[Layer]:
    size = float(rng.uniform(0.6, 1.25))
    yield Layer(Ellipsoid((0, 12, -262), (30, 20, 30)), 45.0, Label.SOFT_TISSUE, onto=(Label.FAT,))
    bag = Ellipsoid((0, -30, -270 + 20 * size), (42 * size, 30 * size, 32 * size))
    yield Layer(bag, 40.0, Label.SOFT_TISSUE)
    yield Layer(Grown(bag, -3.0), float(rng.choice((6.0, 6.0, 300.0))), Label.SOFT_TISSUE)


def _psoas(patient: Patient) -> Iterator[Layer]:
    thick = float(np.clip(1.15 - 0.1 * patient.kyphosis / 5, 0.8, 1.2))
    for side in _SIDES:
        line = (
            (side * 24, patient.spine(-5) + 12, -5),
            (side * 36, patient.spine(-60) + 18, -60),
            (side * 46, patient.spine(-120) + 14, -120),
            (side * 62, -4, -190),
            (side * 80, -38, -250),
            (side * 100, -10, -310),
        )
        radii = [r * thick for r in (7, 17, 24, 25, 20, 14)]
        yield Layer(tube(line, radii, step_mm=12), 55.0, Label.MUSCLE, onto=(Label.FAT, Label.MUSCLE))
        iliacus = Ellipsoid((side * 96, 6, -195), (12, 46, 42), turned(z=side * 35))
        yield Layer(iliacus, 55.0, Label.MUSCLE, onto=(Label.FAT,))
        inner = Ellipsoid((side * 66, 5, -275), (10, 42, 36), turned(z=side * -12))
        yield Layer(inner, 55.0, Label.MUSCLE, onto=(Label.FAT,))


def _iliac_vessels(patient: Patient) -> Iterator[Layer]:
    blood = patient.blood
    for side in _SIDES:
        start = patient.before_spine(6, 12.5, BIFURCATION_MM - 2)
        path = ((side * 36, -4, -178), (side * 56, -14, -215), (side * 74, -58, -265), (side * 78, -62, -330))
        yield Layer(tube((start, *path), (7, 5.8, 5, 4.6, 4.2)), 0.9 * blood.aorta, Label.VESSEL)
        begin = patient.before_spine(-12, 9, -134)
        path = ((side * 34, 6, -182), (side * 52, -2, -218), (side * 64, -48, -268), (side * 66, -52, -330))
        yield Layer(tube((begin, *path), (8, 7, 6.4, 6, 5.4)), blood.infrarenal_cava, Label.VESSEL)
