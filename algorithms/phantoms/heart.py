"""Heart: chambers, myocardium, pericardium, and the vessels within it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from algorithms.phantoms.frame import Point
from algorithms.phantoms.labels import Label
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Capsule, Ellipsoid, Grown, Shape, Union, tube, turned

_PIVOT = np.array((6.0, -30.0, 132.0))


@dataclass(frozen=True, eq=False)
class Heart:
    """The heart of one patient: the standard heart turned and scaled about its base."""

    turn: npt.NDArray[np.float64]
    size: float
    wall: float
    fat: float
    lift: float

    @classmethod
    def draw(cls, rng: np.random.Generator, patient: Patient) -> "Heart":
        """A heart whose axis lies more or less flat."""
        turn = turned(z=float(rng.normal(0, 8)), y=float(rng.normal(0, 8)), x=float(rng.normal(0, 6)))
        return cls(
            turn, patient.heart_size, float(rng.uniform(7, 12)), float(rng.uniform(1, 8)), patient.lift
        )

    def at(self, x: float, y: float, z: float) -> Point:
        """Where a point of the standard heart is."""
        u, v, w = (_PIVOT + self.size * self.turn @ (np.array((x, y, z)) - _PIVOT)).tolist()
        return u, v, w + self.lift

    def _ball(self, centre: Point, radii: Point, own: npt.NDArray[np.float64] | None = None) -> Ellipsoid:
        x, y, z = (self.size * r for r in radii)
        turn = self.turn if own is None else self.turn @ own
        return Ellipsoid(self.at(*centre), (x, y, z), turn)

    def _ventricle(self, wall: float) -> Ellipsoid:
        """The left ventricle, its long axis to the left, the front and below."""
        own = turned(z=-38, y=22)
        return self._ball((46, -46, 100), (57 - 0.6 * wall, 35 - wall, 36 - wall), own)

    def chambers(self) -> dict[str, Shape]:
        """Outer shapes of the chambers."""
        rv = (
            self._ball((20, -62, 95), (51, 24, 31), turned(z=-20, y=12)),
            Capsule(self.at(10, -62, 108), self.at(21, -62, 138), (20 * self.size, 14 * self.size)),
        )
        ra = (
            self._ball((-25, -40, 112), (24, 26, 37)),
            Capsule(self.at(-20, -50, 132), self.at(-2, -60, 142), (11 * self.size, 8 * self.size)),
        )
        la = (
            self._ball((4, -10, 130), (38, 18, 25)),
            Capsule(self.at(32, -20, 138), self.at(46, -36, 142), (9 * self.size, 7 * self.size)),
        )
        return {"rv": Union(rv), "ra": Union(ra), "la": Union(la), "lv": self._ventricle(0.0)}

    def pericardium(self) -> Union:
        """Everything of the heart with the fat around it."""
        return Union(tuple(Grown(shape, 1.0 + self.fat) for shape in self.chambers().values()))

    def layers(self, patient: Patient) -> Iterator[Layer]:
        """Fat, walls and blood."""
        blood = patient.blood
        parts = self.chambers()
        grooves = Union(tuple(Grown(shape, 2.0) for shape in parts.values()))
        yield Layer(grooves, -60.0, Label.HEART)
        for name, wall, hu in (
            ("rv", 3.5, blood.right_heart),
            ("ra", 2.5, blood.right_heart),
            ("la", 2.5, blood.left_heart),
        ):
            yield Layer(parts[name], blood.myocardium, Label.HEART)
            yield Layer(Grown(parts[name], -wall), hu, Label.HEART)
        yield Layer(parts["lv"], blood.myocardium, Label.HEART)
        yield Layer(self._ventricle(self.wall), blood.left_heart, Label.HEART)
        mitral = Capsule(self.at(15, -22, 120), self.at(32, -36, 108), (14 * self.size, 13 * self.size))
        outlet = Capsule(self.at(20, -40, 118), self.at(4, -42, 136), (12 * self.size, 12 * self.size))
        yield Layer(Union((mitral, outlet)), blood.left_heart, Label.HEART)

    @property
    def valves(self) -> dict[str, Point]:
        """Where vessels begin: aorta, pulmonary trunk, superior and inferior vena cava."""
        return {
            "aorta": self.at(3, -42, 139),
            "pulmonary": self.at(21, -62, 142),
            "svc": self.at(-25, -36, 142),
            "ivc": self.at(-22, -28, 84),
        }

    def veins(self) -> Iterator[Shape]:
        """The four pulmonary veins, from the left atrium to the hila."""
        for start, end in (
            ((-27, -14, 138), (-54, -16, 150)),
            ((-27, -6, 120), (-56, 8, 111)),
            ((34, -14, 138), (56, -14, 150)),
            ((34, -6, 122), (58, 12, 111)),
        ):
            (x, y, z), (u, v, w) = self.at(*start), end
            yield tube(
                ((x, y, z), ((x + u) / 2, (y + v) / 2 + 2, (z + w + self.lift) / 2), (u, v, w + self.lift)),
                (7.5, 6.5, 5.5),
            )
