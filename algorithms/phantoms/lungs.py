"""Lungs above the diaphragm, the trees of vessels and bronchi in them, and the airway that feeds them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from algorithms.phantoms.body import cage
from algorithms.phantoms.frame import Box, Field, Frame, Point
from algorithms.phantoms.labels import Label
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Bounds, Capsule, Cut, HalfSpace, Shape, Union, tube

CRICOID_MM = 306.0
"""Height of the cricoid, where trachea and esophagus begin."""

_SIDES = {Label.LEFT_LUNG: 1.0, Label.RIGHT_LUNG: -1.0}


@dataclass(frozen=True)
class Diaphragm:
    """What lies above the two domes and the tendon between them.

    Attributes:
        domes: height of the right and the left dome.
    """

    domes: tuple[float, float]

    @property
    def bounds(self) -> Bounds:
        """Corners that enclose it."""
        return (-999.0, -999.0, -40.0), (999.0, 999.0, 999.0)

    def distance(self, frame: Frame, box: Box) -> Field:
        """Signed distance of the voxels of the box."""
        x, y = frame.x[box], frame.y[box]
        left = np.clip(0.5 + x / np.float32(50.0), 0, 1)
        lateral = np.maximum(np.abs(x) - np.float32(52.0), 0) / np.float32(66.0)
        depth = (y + np.float32(22.0)) / np.float32(86.0)
        top = np.float32(self.domes[0]) + left * np.float32(self.domes[1] - self.domes[0])
        top -= np.float32(62.0) * (lateral * lateral + depth * depth)
        return np.asarray(np.float32(0.75) * (top - frame.z[box]), dtype=np.float32)


@dataclass(frozen=True)
class Airway:
    """Course of the trachea and the main bronchi: lumen, from the cricoid to the lobar bronchi."""

    trachea: tuple[Point, ...]
    right: tuple[Point, ...]
    left: tuple[Point, ...]
    radii: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, patient: Patient) -> "Airway":
        """Trachea in front of the esophagus; the right main bronchus is shorter, wider and steeper."""
        z = float(rng.uniform(170, 186)) + 0.4 * patient.lift
        carina = patient.before_spine(float(rng.uniform(-5, 3)), float(rng.uniform(26, 33)), z)
        middle = patient.before_spine(float(rng.uniform(-4, 2)), float(rng.uniform(24, 29)), 240.0)
        top = patient.before_spine(float(rng.uniform(-2, 2)), float(rng.uniform(20, 25)), CRICOID_MM)
        x, y, _ = carina
        spread = float(rng.uniform(-3, 3))
        right = (carina, (x - 19, y + 1, z - 12 - spread), (-39.0, y + 4, z - 26 - spread))
        left = (carina, (x + 24, y + 3, z - 13 + spread), (47.0, y + 8, z - 27 + spread))
        size = float(np.clip(rng.normal(8.3 if patient.female else 9.3, 0.8), 6.8, 10.8))
        return cls((top, middle, carina), right, left, (size, 0.8 * size, 0.69 * size))

    def shape(self, wall: float = 0.0) -> Union:
        """The lumen, or lumen and wall."""
        lines = (self.trachea, self.right, self.left)
        parts = [tube(line, r + wall, step_mm=9) for line, r in zip(lines, self.radii, strict=True)]
        return Union(tuple(parts))

    def layers(self) -> Iterator[Layer]:
        """Wall and lumen."""
        yield Layer(self.shape(1.5), 20.0, Label.SOFT_TISSUE)
        yield Layer(self.shape(), -1000.0, Label.AIRWAY)

    @property
    def hila(self) -> dict[Label, Point]:
        """Where the main bronchi end."""
        return {Label.LEFT_LUNG: self.left[-1], Label.RIGHT_LUNG: self.right[-1]}


def lungs(patient: Patient) -> Iterator[Layer]:
    """Parenchyma from wall to wall; what lies between the lungs is painted over it."""
    diaphragm = Diaphragm(patient.domes)
    for label, side in _SIDES.items():
        half = HalfSpace((-side, 0.0, 0.0), -patient.junction / 2)
        shape: Shape = Cut(cage(patient), within=(diaphragm, half))
        yield Layer(shape, patient.parenchyma - 12, label, gradient=(0.0, 0.35, -0.1))


def trees(rng: np.random.Generator, patient: Patient, airway: Airway) -> Iterator[Layer]:
    """Vessels and bronchi within the lungs, from the hila to the periphery."""
    for label, hilum in airway.hila.items():
        side = _SIDES[label]
        for tilt in (-1.7, -1.1, -0.6, -0.1, 0.4, 1.0, 1.8, 2.8):
            way = np.array([side, float(rng.uniform(-1.3, 1.3)), tilt])
            hu = patient.blood.pulmonary_artery if rng.random() < 0.5 else patient.blood.left_heart
            for branch in _tree(rng, np.array(hilum), way, float(rng.uniform(4.0, 5.4)), 7, 30.0):
                yield Layer(branch, hu, onto=(label,))
        for tilt in (-1.5, -0.6, 0.2, 1.4):
            way = np.array([side, float(rng.uniform(-1.0, 1.0)), tilt])
            yield from _bronchi(rng, np.array(hilum), way, label)


def _bronchi(
    rng: np.random.Generator, hilum: npt.NDArray[np.float64], way: npt.NDArray[np.float64], label: Label
) -> Iterator[Layer]:
    branches = list(_tree(rng, hilum, way, 4.2, 4, 21.0))
    for branch in branches:
        wall = Capsule(branch.start, branch.end, (branch.radii[0] + 1.1, branch.radii[1] + 1.0))
        yield Layer(wall, 10.0, onto=(label,))
    for branch in branches:
        yield Layer(branch, -970.0, onto=(label,))


def _tree(
    rng: np.random.Generator,
    start: npt.NDArray[np.float64],
    way: npt.NDArray[np.float64],
    radius: float,
    generations: int,
    length: float,
) -> Iterator[Capsule]:
    """A tube and, at its end, two thinner ones, and so on."""
    direction = way / np.linalg.norm(way)
    end = start + direction * length * rng.uniform(0.7, 1.2)
    (x, y, z), (u, v, w) = start.tolist(), end.tolist()
    yield Capsule((x, y, z), (u, v, w), (radius, 0.85 * radius))
    if generations > 1:
        for factor in rng.uniform(0.62, 0.84, 2):
            turned = direction + rng.normal(0, 0.5, 3)
            yield from _tree(rng, end, turned, radius * float(factor), generations - 1, length * 0.87)
