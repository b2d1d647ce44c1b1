"""What patients have: diseases of the lungs and the pleura, fluid, hernia, metal and tubes."""

from collections.abc import Callable, Iterator

import numpy as np

from algorithms.phantoms.body import belly, cage
from algorithms.phantoms.frame import Point
from algorithms.phantoms.labels import LUNGS, Label
from algorithms.phantoms.lungs import Diaphragm
from algorithms.phantoms.mediastinum import Mediastinum
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Union, at, tube, turned

_Finding = Callable[[np.random.Generator, Patient], Iterator[Layer]]


def lung_diseases(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Each finding is there or not; several may meet."""
    findings: tuple[tuple[float, _Finding], ...] = (
        (0.25, _emphysema),
        (0.15, _fibrosis),
        (0.25, _opacities),
        (0.35, _nodules),
        (0.2, _mass),
        (0.4, _dependent_atelectasis),
        (0.25, _effusion),
    )
    for probability, finding in findings:
        if rng.random() < probability:
            yield from finding(rng, patient)


def _somewhere(rng: np.random.Generator, low: float = 10.0, high: float = 250.0) -> Point:
    """A point in one of the lungs, or near them."""
    side = float(rng.choice((-1, 1)))
    return side * float(rng.uniform(35, 120)), float(rng.uniform(-75, 85)), float(rng.uniform(low, high))


def _blob(rng: np.random.Generator, centre: Point, size: float) -> Ellipsoid:
    a, b, c = (size * rng.uniform(0.65, 1.35, 3)).tolist()
    return Ellipsoid(centre, (a, b, c), turned(z=float(rng.uniform(0, 180)), y=float(rng.uniform(-40, 40))))


def _emphysema(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    for _ in range(int(rng.integers(20, 90))):
        hole = _blob(rng, _somewhere(rng, low=60), float(rng.uniform(3, 14)))
        yield Layer(hole, float(rng.uniform(-990, -930)), onto=LUNGS)


def _fibrosis(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """A net along the pleura, most of it at the bases."""
    rim = Grown(cage(patient), -float(rng.uniform(8, 20)))
    for _ in range(int(rng.integers(40, 120))):
        spot = _blob(
            rng, _somewhere(rng, low=-10, high=float(rng.uniform(80, 200))), float(rng.uniform(3, 9))
        )
        yield Layer(Cut(spot, without=(rim,)), float(rng.uniform(-700, -300)), onto=LUNGS)


def _opacities(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Ground glass, or consolidation with air in the bronchi."""
    dense = rng.random() < 0.5
    for _ in range(int(rng.integers(1, 8))):
        centre = _somewhere(rng, low=0)
        size = float(rng.uniform(10, 38))
        parts = [_blob(rng, centre, size)]
        parts += [
            _blob(rng, _near(rng, centre, size), size * float(rng.uniform(0.3, 0.7)))
            for _ in range(int(rng.integers(2, 6)))
        ]
        yield Layer(
            Union(tuple(parts)), float(rng.uniform(0, 70) if dense else rng.uniform(-700, -450)), onto=LUNGS
        )
        if dense:
            for _ in range(4):
                way = (_near(rng, centre, 0.5 * size), _near(rng, centre, 0.8 * size))
                yield Layer(tube(way, 1.8), -900.0, onto=LUNGS)


def _near(rng: np.random.Generator, centre: Point, spread: float) -> Point:
    x, y, z = (np.array(centre) + rng.normal(0, 0.6 * spread, 3)).tolist()
    return x, y, z


def _nodules(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    for _ in range(int(rng.integers(1, 25))):
        nodule = _blob(rng, _somewhere(rng), float(rng.uniform(1.5, 6)))
        yield Layer(
            nodule, float(rng.choice((30.0, 45.0, -500.0, 300.0), p=(0.5, 0.3, 0.1, 0.1))), onto=LUNGS
        )


def _mass(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """A tumour with an uneven border and spicules, at times hollow."""
    centre, size = _somewhere(rng, low=30), float(rng.uniform(9, 32))
    parts = [_blob(rng, _near(rng, centre, 0.5 * size), 0.7 * size) for _ in range(5)]
    spicules = [tube((centre, _near(rng, centre, 2.2 * size)), (3.0, 0.8)) for _ in range(9)]
    hu = float(rng.uniform(15, 60)) + 0.15 * patient.blood.veins
    yield Layer(Union((*parts, *spicules)), hu, onto=LUNGS)
    if rng.random() < 0.2:
        yield Layer(_blob(rng, centre, 0.5 * size), -900.0, onto=LUNGS)


def _dependent_atelectasis(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """A haze or a band in the lowest parts of the lungs, as in a patient on the back."""
    rim = Grown(cage(patient), -float(rng.uniform(4, 14)))
    behind = HalfSpace((0.0, -1.0, 0.0), -float(rng.uniform(40, 75)))
    below = HalfSpace((0.0, 0.0, 1.0), float(rng.uniform(60, 200)))
    shape = Cut(cage(patient), within=(behind, below), without=(rim,))
    yield Layer(shape, float(rng.uniform(-650, 20)), onto=LUNGS)


def _effusion(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Fluid that runs to the back, on one or both sides, and the lung it presses together."""
    for side in ((1.0,), (-1.0,), (1.0, -1.0))[int(rng.integers(3))]:
        level, slope = float(rng.uniform(15, 80)), float(rng.uniform(0.0, 0.35))
        length = float(np.hypot(1, slope))
        normal = (0.0, -1 / length, slope / length)
        chest = Cut(cage(patient), within=(Diaphragm(patient.domes), HalfSpace((-side, 0.0, 0.0), 0.0)))
        offset = (-level + slope * 60) / length
        pressed = HalfSpace(normal, offset + float(rng.uniform(0, 22)))
        yield Layer(Cut(chest, within=(pressed,)), float(rng.uniform(-50, 70)), onto=LUNGS)
        fluid = Cut(chest, within=(HalfSpace(normal, offset),))
        yield Layer(fluid, float(rng.uniform(0, 25)), Label.EFFUSION, onto=LUNGS)


def hernia(rng: np.random.Generator, patient: Patient, middle: Mediastinum) -> Iterator[Layer]:
    """A part of the stomach above the diaphragm, behind the heart."""
    if rng.random() > 0.1:
        return
    z = float(rng.uniform(50, 80))
    size = float(rng.uniform(14, 28))
    centre = (float(rng.uniform(2, 18)), patient.spine(z) - size - 8, z)
    bag = Ellipsoid(centre, (1.2 * size, size, 1.1 * size))
    passed = Cut(middle.esophagus, within=(HalfSpace((0.0, 0.0, 1.0), z),))
    yield Layer(Grown(passed, 1.0), -90.0, Label.FAT, onto=(Label.ESOPHAGUS,))
    yield Layer(Grown(bag, 2.0), -90.0, Label.FAT, onto=(Label.FAT, *LUNGS))
    yield Layer(bag, 45.0, Label.STOMACH)
    yield Layer(Grown(bag, -3.5), float(rng.uniform(0, 40)), Label.STOMACH)
    gas = HalfSpace((0.0, 1.0, 0.0), centre[1] + float(rng.uniform(-0.6, 0.5)) * size)
    yield Layer(Cut(Grown(bag, -3.5), within=(gas,)), -950.0, Label.STOMACH)


def ascites(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    """Fluid between the organs of the belly."""
    if rng.random() < 0.05:
        level = HalfSpace((0.0, -1.0, 0.0), float(rng.uniform(0, 70)))
        yield Layer(
            Cut(Grown(belly(patient), -1.0), within=(level,)), 10.0, Label.SOFT_TISSUE, onto=(Label.FAT,)
        )


def implants(rng: np.random.Generator, patient: Patient, middle: Mediastinum) -> Iterator[Layer]:
    """Pacemaker, sternal wires, screws in the spine, artificial hips, tubes in esophagus and trachea."""
    if rng.random() < 0.06:
        yield from _pacemaker(patient, middle)
    if rng.random() < 0.06:
        yield from _sternal_wires(patient)
    if rng.random() < 0.04:
        yield from _screws(rng, patient)
    for side in (1.0, -1.0):
        if rng.random() < 0.05:
            yield _artificial_hip(side)
    if rng.random() < 0.06:
        yield from _feeding_tube(middle)
    if rng.random() < 0.04:
        yield _tracheal_tube(middle)


def _sternal_wires(patient: Patient) -> Iterator[Layer]:
    front = cage(patient)
    for z in np.arange(90.0, 225.0, 18.0).tolist():
        y = at(front.y - front.b, z) - 7.0
        ring = tube(((-14, y, z), (0, y - 8, z), (14, y, z), (0, y + 7, z), (-14, y, z)), 0.9, step_mm=4)
        yield Layer(ring, 2800.0)


def _artificial_hip(side: float) -> Layer:
    stem = tube(((side * 100, 0, -278), (side * 138, 12, -310), (side * 126, 5, -440)), (9, 10, 6))
    return Layer(Union((Ellipsoid((side * 91, -4.0, -270.0), (22, 22, 22)), stem)), 3000.0, Label.BONE)


def _feeding_tube(middle: Mediastinum) -> Iterator[Layer]:
    gullet = middle.esophagus
    heights = (42.0, 90.0, 140.0, 190.0, 240.0, 300.0)
    line = [(at(gullet.x, z), at(gullet.y, z), z) for z in heights]
    yield Layer(tube(line, 2.4), 220.0, onto=(Label.ESOPHAGUS,))
    yield Layer(tube(line, 1.3), -500.0, onto=(Label.ESOPHAGUS,))


def _tracheal_tube(middle: Mediastinum) -> Layer:
    *above, carina = middle.airway.trachea
    x, y, z = (0.35 * np.array(above[-1]) + 0.65 * np.array(carina)).tolist()
    pipe = tube((*above, (x, y, z)), 5.5)
    return Layer(Cut(pipe, without=(Grown(pipe, -1.3),)), 150.0)


def _pacemaker(patient: Patient, middle: Mediastinum) -> Iterator[Layer]:
    box = Ellipsoid((88, -92 - 0.3 * patient.fat, 205), (22, 5, 24), turned(z=30))
    yield Layer(box, 3000.0)
    (x, y, z), heart = middle.heart.valves["svc"], middle.heart
    lead = (
        (88, -88, 222),
        (76, -26, 256),
        (26, -47, 240),
        (-24, -40, 215),
        (x, y, z),
        heart.at(-18, -42, 100),
    )
    yield Layer(tube((*lead, heart.at(20, -62, 90), heart.at(52, -72, 80)), 1.1), 2500.0)


def _screws(rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
    base = float(rng.uniform(-170, 120))
    for side in (1.0, -1.0):
        rod = []
        for z in (base, base + 35, base + 70):
            front, back = patient.spine(z) + 6, patient.spine(z) + 62
            yield Layer(tube(((side * 8, front, z), (side * 20, back, z)), 2.6), 3000.0)
            rod.append((side * 20, back, z))
        yield Layer(tube(rod, 3.0), 3000.0)
