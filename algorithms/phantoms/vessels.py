"""Course of the great vessels, fitted to the spine, the heart and the airway."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.frame import Point
from algorithms.phantoms.lungs import Airway
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.shapes import Shape, Union, tube

BIFURCATION_MM = -122.0
"""Height at which the aorta divides."""


def aorta_course(
    rng: np.random.Generator, patient: Patient, valve: Point, arch: float
) -> tuple[list[Point], list[float]]:
    """Points and radii of the aorta, from the valve to the bifurcation."""
    far, e = patient.elongation, patient.aorta_size
    up = arch - 12
    shift = rng.normal(0, 2.2, (14, 3))
    bow = float(rng.uniform(-1, 1)) * far
    points: list[Point] = [
        valve,
        (-5 - 0.4 * far, -49, 0.5 * (valve[2] + up) - 6),
        (-10 - 0.5 * far, -49, up - 12),
        (-5, -44, up + 5),
        (9, -35, up + 13),
        (22 + 0.2 * far, -17, up + 14),
        (27 + 0.4 * far, 3, up + 8),
        patient.before_spine(26 + 0.3 * far, 9, up - 8),
        patient.before_spine(24 + 0.2 * far, 4, up - 30),
        patient.before_spine(22 + 0.3 * far, 5, 130),
        patient.before_spine(20 + 0.6 * far, 8, 85),
        patient.before_spine(12 + 0.3 * far, 13, 40),
        patient.before_spine(7, 13.5, 0),
        patient.before_spine(9 + bow, 13, -50),
        patient.before_spine(11 + bow, 13, -90),
        patient.before_spine(6, 12.5, BIFURCATION_MM),
    ]
    for index in range(14):
        x, y, z = points[index + 1] if index < 13 else points[-1]
        points[min(index + 1, 15)] = (x + float(shift[index, 0]), y + 0.6 * float(shift[index, 1]), z)
    radii = [15.5, 16, 16, 15, 14, 13.5, 13, 12.6, 12.2, 12, 11.8, 11.4, 11, 9.8, 9, 8.6]
    radii = [r * e for r in radii]
    if rng.random() < 0.1:
        where = int(rng.choice((1, 2, 5, 8, 10, 13, 14)))
        radii[where] *= float(rng.uniform(1.3, 2.0))
    return points, radii


def pulmonary_artery(rng: np.random.Generator, airway: Airway, valve: Point) -> Union:
    """Trunk, right artery in front of the right bronchus, left artery over the left bronchus."""
    size = float(rng.normal(1.0, 0.1))
    (rx, ry, rz), (lx, ly, lz) = airway.right[-1], airway.left[-1]
    carina = airway.trachea[-1]
    split = (18.0, carina[1] - 33, carina[2] - 10)
    middle = ((valve[0] + split[0]) / 2 + 2, (valve[1] + split[1]) / 2 - 3, (valve[2] + split[2]) / 2)
    trunk = tube((valve, middle, split), (14 * size, 14 * size, 13 * size))
    right = tube(
        (split, (-6, carina[1] - 17, carina[2] - 13), (-30, ry - 16, rz + 8), (rx - 8, ry - 8, rz - 2)),
        (11 * size, 10.5 * size, 9.5 * size, 7 * size),
    )
    left = tube(
        (split, (27, carina[1] - 18, lz + 22), (lx - 6, ly - 4, lz + 18), (lx + 5, ly + 6, lz + 2)),
        (11.5 * size, 11 * size, 9.5 * size, 7 * size),
    )
    return Union((trunk, right, left))


def superior_vena_cava(rng: np.random.Generator, entry: Point, arch: float, far: float) -> Union:
    """From the confluence of the brachiocephalic veins to the right atrium."""
    size = float(rng.uniform(7.5, 11))
    return tube(
        (entry, (-31 - 0.3 * far, -33, 0.5 * (entry[2] + arch)), (-28, -35, arch), (-25, -40, arch + 10)),
        size,
    )


def branches(rng: np.random.Generator, patient: Patient, arch: float) -> Iterator[tuple[Shape, bool]]:
    """Vessels of neck and arms above the arch."""
    neck = [(z, patient.spine(z)) for z in (265.0, 300.0, 350.0, 385.0)]
    common = [(y - 8.0, z) for z, y in neck]
    right_split = (-20.0, -24.0, arch + 30)
    yield tube(((-4, -35, arch + 4), (-12, -30, arch + 18), right_split), (7, 6.5, 6)), True
    yield tube((right_split, *((-24.0 - 0.02 * i, y, z) for i, (y, z) in enumerate(common))), 3.6), True
    yield tube((right_split, (-38, -14, 262), (-70, -8, 262), (-120, 0, 238), (-160, 10, 205)), 4.4), True
    yield tube(((12, -28, arch + 6), (15, -22, arch + 30), *((24.0, y, z) for y, z in common)), 3.8), True
    yield (
        tube(
            (
                (24, -12, arch + 8),
                (25, -8, arch + 30),
                (42, -8, 262),
                (75, -4, 262),
                (120, 0, 238),
                (160, 10, 205),
            ),
            4.6,
        ),
        True,
    )
    size = float(rng.uniform(5.0, 7.5))
    yield (
        tube(
            ((-25, -41, arch + 8), (-26, -43, arch + 28), (-40, -40, 258), (-75, -26, 256), (-120, 0, 232)),
            (size + 1, size + 1, size, 5, 5),
        ),
        False,
    )
    yield (
        tube(
            (
                (-25, -41, arch + 8),
                (0, -51, arch + 20),
                (26, -47, arch + 32),
                (42, -40, 258),
                (76, -26, 256),
                (120, 0, 232),
            ),
            (size + 1, size, size, size, 5, 5),
        ),
        False,
    )
    for side, wide in ((-1.0, rng.uniform(4, 8)), (1.0, rng.uniform(4, 8))):
        line = ((side * 38, -38, 257), *((side * 34.0, y + 1, z) for y, z in common))
        yield tube(line, float(wide)), False


def inferior_vena_cava(patient: Patient, entry: Point) -> Union:
    """From the confluence of the iliac veins to the right atrium, through the liver."""
    line = (
        patient.before_spine(-12, 11, -132),
        patient.before_spine(-18, 13, -90),
        patient.before_spine(-20, 17, -40),
        patient.before_spine(-21, 27, 10),
        patient.before_spine(-24, 38, 50),
        entry,
    )
    return tube(line, (10, 10.5, 11, 12, 13, 13))


def azygos_vein(patient: Patient, airway: Airway, svc: Point) -> Union:
    """Right of the spine, then over the right main bronchus into the superior vena cava."""
    top = airway.trachea[-1][2] + 14
    line = (
        patient.before_spine(-6, 4, 0),
        patient.before_spine(-8, 4, 90),
        patient.before_spine(-9, 4, top - 14),
        patient.before_spine(-17, 12, top + 1),
        (-24.0, airway.trachea[-1][1] - 10, top + 2),
        (-27.0, -30.0, top - 2),
    )
    return tube(line, (2.5, 3.2, 3.8, 4.2, 4.4, 4.6))
