"""Between the lungs: fat, great vessels, esophagus, azygos vein, lymph nodes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.phantoms.body import cage
from algorithms.phantoms.heart import Heart
from algorithms.phantoms.labels import LUNGS, Label
from algorithms.phantoms.lungs import CRICOID_MM, Airway
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Column, Cut, Ellipsoid, Grown, Shape, Union, profile, tube
from algorithms.phantoms.vessels import (
    aorta_course,
    azygos_vein,
    branches,
    inferior_vena_cava,
    pulmonary_artery,
    superior_vena_cava,
)

CARDIA_MM = 40.0
"""Height at which the esophagus opens into the stomach."""


@dataclass(frozen=True, eq=False)
class Mediastinum:
    """The organs between the lungs of one patient."""

    airway: Airway
    heart: Heart
    aorta: Union
    pulmonary_artery: Shape
    veins: tuple[Shape, ...]
    svc: Shape
    branches: tuple[tuple[Shape, bool], ...]  # and whether it is an artery
    ivc: Shape
    azygos: Shape
    esophagus: Column

    @classmethod
    def draw(cls, rng: np.random.Generator, patient: Patient) -> "Mediastinum":
        """Great vessels that fit the heart, the spine and the airway."""
        airway, heart = Airway.draw(rng, patient), Heart.draw(rng, patient)
        valves = heart.valves
        arch = airway.trachea[-1][2] + float(rng.uniform(30, 40))
        aorta, radii = aorta_course(rng, patient, valves["aorta"], arch)
        return cls(
            airway=airway,
            heart=heart,
            aorta=tube(aorta, radii, step_mm=6),
            pulmonary_artery=pulmonary_artery(rng, airway, valves["pulmonary"]),
            veins=tuple(heart.veins()),
            svc=superior_vena_cava(rng, valves["svc"], arch, patient.elongation),
            branches=tuple(branches(rng, patient, arch)),
            ivc=inferior_vena_cava(patient, valves["ivc"]),
            azygos=azygos_vein(patient, airway, valves["svc"]),
            esophagus=_esophagus(rng, patient),
        )

    def layers(self, rng: np.random.Generator, patient: Patient) -> Iterator[Layer]:
        """Fat first, then nodes, vessels, heart, esophagus and airway."""
        yield from self._fat(patient)
        yield from _nodes(rng, self.airway)
        blood = patient.blood
        yield Layer(self.azygos, blood.vena_cava, Label.AZYGOS_VEIN)
        yield Layer(self.ivc, 0.6 * blood.vena_cava + 0.4 * blood.infrarenal_cava, Label.INFERIOR_VENA_CAVA)
        for vein in self.veins:
            yield Layer(vein, blood.left_heart, Label.PULMONARY_VEIN)
        yield Layer(self.svc, blood.vena_cava, Label.SUPERIOR_VENA_CAVA)
        yield from self.heart.layers(patient)
        yield Layer(self.pulmonary_artery, blood.pulmonary_artery, Label.PULMONARY_ARTERY)
        for shape, artery in self.branches:
            yield Layer(shape, blood.aorta if artery else blood.veins, Label.VESSEL)
        yield from _wall(rng, self.aorta, patient)
        yield from _gullet(rng, self.esophagus)
        yield from self.airway.layers()

    def _fat(self, patient: Patient) -> Iterator[Layer]:
        """The space the lungs leave."""
        x = profile(((60, 12), (110, 10), (160, 2), (300, 0)))
        front = cage(patient)
        edge = front.y - front.b
        core = Column(
            x,
            profile(((60, -28), (150, -24), (200, -20), (250, -8), (275, 2))),
            profile(((60, 30), (140, 28), (180, 27), (210, 25), (250, 22), (280, 18))),
            profile(((60, 42), (150, 44), (200, 34), (240, 28), (280, 22))),
            55.0,
            276.0,
        )
        behind = Column(
            profile(((0, 4), (300, 2))),
            (patient.spine_y - patient.spine_radius - 8).astype(np.float32),
            profile(((-20, 18), (80, 17), (180, 19), (270, 20))),
            profile(((-20, 26), (80, 26), (180, 26), (270, 22))),
            -40.0,
            280.0,
        )
        wedge = np.full_like(edge, patient.wedge + 6)
        retro = Column(np.zeros_like(edge), edge - 4, (wedge * np.float32(0.5)), wedge, 55.0, 232.0)
        soft: list[Shape] = [core, behind, retro]
        soft += [Grown(self.aorta, 2.5), Grown(self.svc, 2.0), Grown(self.airway.shape(), 5.0)]
        soft += [Grown(self.azygos, 2.0), Grown(self.esophagus, 2.5), self.heart.pericardium()]
        soft += [Grown(self.pulmonary_artery, 1.5), *(Grown(vein, 1.5) for vein in self.veins)]
        soft += [Ellipsoid(hilum, (13, 16, 20)) for hilum in self.airway.hila.values()]
        soft += [Grown(shape, 2.0) for shape, _ in self.branches]
        for shape in soft:
            yield Layer(shape, -92.0, Label.FAT, onto=(*LUNGS, Label.FAT))


def _esophagus(rng: np.random.Generator, patient: Patient) -> Column:
    """From the cricoid behind the trachea and the left atrium to the cardia."""
    levels = (CRICOID_MM, 260, 220, 190, 160, 130, 100, 75, 55, CARDIA_MM - 6)
    loose = float(rng.beta(1.2, 2.5)) * np.array((0, 0, 0, 0, 2, 8, 18, 16, 8, 0))
    pushed = 14 * max(0.0, patient.aorta_size - 0.85) * np.array((0, 0, 0, 0, 0.1, 0.4, 1, 1, 0.6, 0))
    gap = np.array((8, 9.5, 10.5, 10.5, 10, 12, 17, 23, 29, 31)) + rng.normal(0, 1.0, 10) + loose + pushed
    x = np.array((0, 4, 6, 4.5, 3, 3, 7, 13, 20, 29)) + rng.normal(0, 2.2, 10)
    x[0] = float(rng.normal(0, 1))
    size = float(rng.uniform(0.85, 1.25))
    a = np.array((7.5, 8.5, 8.5, 8.5, 9, 9, 9, 9, 9.5, 11)) * size * rng.uniform(0.85, 1.2, 10)
    b = np.array((4.6, 5.2, 5.4, 5.6, 5.6, 5.6, 6, 6.5, 7.5, 9)) * size * rng.uniform(0.85, 1.2, 10)
    line = [patient.before_spine(0.0, float(g), z)[1] for g, z in zip(gap, levels, strict=True)]
    centre, across, wide, deep = (
        profile(tuple(zip(levels, values.tolist(), strict=True))) for values in (x, np.array(line), a, b)
    )
    return Column(centre, across, wide, deep, CARDIA_MM - 6, CRICOID_MM)


def _gullet(rng: np.random.Generator, esophagus: Column) -> Iterator[Layer]:
    """Wall of the esophagus, and what is in its lumen: nothing, gas, or fluid."""
    yield Layer(esophagus, float(rng.uniform(30, 48)), Label.ESOPHAGUS)
    for _ in range(int(rng.integers(0, 5))):
        low = float(rng.uniform(60, 280))
        high = low + float(rng.uniform(8, 70))
        share = np.float32(rng.uniform(0.18, 0.6))
        gas = rng.random() < 0.75
        lumen = Column(
            esophagus.x + np.float32(rng.normal(0, 1)),
            esophagus.y,
            esophagus.a * share,
            esophagus.b * share,
            low,
            min(high, 300.0),
        )
        yield Layer(lumen, -900.0 if gas else 8.0, Label.ESOPHAGUS)


def _wall(rng: np.random.Generator, aorta: Union, patient: Patient) -> Iterator[Layer]:
    """Wall and blood of the aorta, and plaques of calcium in the wall."""
    yield Layer(aorta, 42.0, Label.AORTA)
    yield Layer(Grown(aorta, -1.4), patient.blood.aorta, Label.AORTA)
    pieces = [part.bounds for part in aorta.parts]
    for _ in range(int(patient.calcified * 45)):
        low, high = pieces[int(rng.integers(len(pieces)))]
        x, y, z = rng.uniform(low, high).tolist()
        a, b, c = rng.uniform((2, 2, 2), (6, 6, 9)).tolist()
        rim = Cut(Ellipsoid((x, y, z), (a, b, c)), without=(Grown(aorta, -1.6),))
        yield Layer(rim, float(rng.uniform(350, 1100)), onto=(Label.AORTA,))


def _nodes(rng: np.random.Generator, airway: Airway) -> Iterator[Layer]:
    """Lymph nodes around trachea and bronchi."""
    x, y, z = airway.trachea[-1]
    for _ in range(int(rng.integers(4, 16))):
        centre = (x + float(rng.normal(0, 22)), y + float(rng.normal(-4, 12)), z + float(rng.normal(0, 28)))
        size = float(rng.gamma(4.0, 1.0))
        yield Layer(
            Ellipsoid(centre, (size, 0.8 * size, 1.3 * size)), 45.0, Label.SOFT_TISSUE, onto=(Label.FAT,)
        )
