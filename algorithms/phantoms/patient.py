"""One patient: size, habitus, spine, blood and the state of the organs, drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from algorithms.phantoms.frame import Point, Pose
from algorithms.phantoms.shapes import Profile, at, profile

_HEIGHTS_MM = (
    *(("L5", 36.0), ("L4", 36.5), ("L3", 36.0), ("L2", 35.5), ("L1", 35.0)),
    *(("Th12", 27.0), ("Th11", 26.0), ("Th10", 25.0), ("Th9", 24.5), ("Th8", 24.0), ("Th7", 23.5)),
    *(("Th6", 23.0), ("Th5", 22.5), ("Th4", 22.0), ("Th3", 21.5), ("Th2", 21.0), ("Th1", 20.5)),
    *(("C7", 18.5), ("C6", 18.0), ("C5", 18.0), ("C4", 18.0), ("C3", 18.0), ("C2", 24.0), ("C1", 15.0)),
)
"""Vertebra and the disc below it, from below (means of adults)."""


def _vertebrae() -> Mapping[str, tuple[float, float]]:
    """Lower and upper border of each vertebra, z in the standard body; the disc above it included."""
    bottom = -sum(height for name, height in _HEIGHTS_MM if name.startswith("L"))
    borders = {}
    for name, height in _HEIGHTS_MM:
        borders[name] = (bottom, bottom + height)
        bottom += height
    return MappingProxyType(borders)


VERTEBRAE = _vertebrae()


@dataclass(frozen=True, eq=False)
class Blood:
    """Attenuation of blood by compartment and of the organs it fills, HU."""

    veins: float
    vena_cava: float
    right_heart: float
    pulmonary_artery: float
    left_heart: float
    aorta: float
    infrarenal_cava: float
    myocardium: float
    liver: float
    spleen: float
    kidney: float


@dataclass(frozen=True, eq=False)
class Patient:
    """What the shapes of the anatomy are made from; lengths in millimetres of the standard body.

    Attributes:
        pose: size, tilt and irregularity.
        female: has breasts and a wider pelvis.
        fat: thickness of the fat under the skin of the abdomen.
        visceral: how far the belly bulges.
        kyphosis: change of the forward bend of the upper spine.
        arms_raised: beside the head, else beside the trunk.
        blood: attenuation of blood and of the organs it fills.
        heart_size: relative to a normal heart.
        aorta_size: relative calibre of the aorta.
        elongation: how far the arch and the descending aorta of an old person stray.
        domes: height of the right and the left diaphragm.
        junction: thickness of the membrane where the lungs meet in front.
        wedge: depth of the fat behind the sternum.
        parenchyma: HU of the lungs.
        calcified: share of the wall of the aorta that is calcified.
        bone: attenuation of cancellous bone relative to a young adult.
        spine_y: y of the middle of the vertebral bodies.
        spine_radius: half depth of the vertebral bodies.
    """

    pose: Pose
    female: bool
    fat: float
    visceral: float
    kyphosis: float
    arms_raised: bool
    blood: Blood
    heart_size: float
    aorta_size: float
    elongation: float
    domes: tuple[float, float]
    junction: float
    wedge: float
    parenchyma: float
    calcified: float
    bone: float
    spine_y: Profile
    spine_radius: Profile

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Patient":
        """A patient of the population."""
        female = bool(rng.random() < 0.5)
        height = float(np.clip(rng.normal(0.95 if female else 1.0, 0.035), 0.88, 1.1))
        width = height * rng.normal(0.97 if female else 1.0, 0.04)
        depth = height * float(np.clip(rng.normal(1.05, 0.07), 0.9, 1.2))
        old = float(rng.random())
        kyphosis = float(rng.normal(4 * old, 5))
        dome = float(np.clip(rng.normal(84, 12), 58, 116))
        return cls(
            pose=Pose.draw(rng, (height, depth, width), float(rng.uniform(1.5, 3.2))),
            female=female,
            fat=float(np.clip(rng.gamma(3.0, 6.5), 4, 50)),
            visceral=float(np.clip(rng.gamma(2.0, 9.0), 0, 55)),
            kyphosis=kyphosis,
            arms_raised=bool(rng.random() < 0.7),
            blood=_blood(rng),
            heart_size=float(np.clip(rng.normal(1.0 + 0.07 * old, 0.07), 0.86, 1.35)),
            aorta_size=float(np.clip(rng.normal(0.88 + 0.25 * old, 0.08), 0.75, 1.5)),
            elongation=float(max(0.0, rng.normal(14 * old - 4, 3))),
            domes=(dome, dome - float(rng.normal(12, 5))),
            junction=float(rng.uniform(1.5, 5)),
            wedge=float(rng.uniform(0, 30)),
            parenchyma=float(rng.uniform(-890, -800)),
            calcified=float(max(0.0, rng.uniform(-0.4, 1.0) * old)),
            bone=float(np.clip(1.15 - 0.5 * old + rng.normal(0, 0.12), 0.45, 1.3)),
            spine_y=_spine(kyphosis, float(rng.normal(0, 5))),
            spine_radius=profile(
                (
                    (-215, 15),
                    (-160, 17.5),
                    (-60, 16.5),
                    (0, 15.8),
                    (100, 14.6),
                    (200, 11.5),
                    (280, 8.5),
                    (400, 8),
                )
            ),
        )

    @property
    def lift(self) -> float:
        """How far the diaphragm, on which the heart lies, lifts it above its place in the standard body."""
        return 0.9 * (sum(self.domes) / 2 - 76.0) - 3.0

    def spine(self, z: float) -> float:
        """Y of the front of the vertebral body at a height."""
        return at(self.spine_y - self.spine_radius, z)

    def before_spine(self, x: float, gap: float, z: float) -> Point:
        """A point at a height, so far in front of the vertebral body; negative is behind its front."""
        return (x, self.spine(z) - gap, z)


def _spine(kyphosis: float, lordosis: float) -> Profile:
    """Middle of the vertebral bodies: sacrum, lordosis, kyphosis, neck."""
    return profile(
        (
            *((-300, 72), (-270, 82), (-245, 74), (-215, 52), (-182, 28), (-140, 17 - 0.4 * lordosis)),
            *((-90, 13 - lordosis), (-45, 18 - 0.6 * lordosis), (0, 27), (50, 35), (100, 40), (150, 41)),
            *((200, 38), (240, 30 - 0.5 * kyphosis), (280, 18 - kyphosis), (320, 5 - 1.6 * kyphosis)),
            *((360, -3 - 2.2 * kyphosis), (400, -2 - 2.6 * kyphosis), (425, 0 - 2.6 * kyphosis)),
        )
    )


def _blood(rng: np.random.Generator) -> Blood:
    """One of the phases: none, arteries of the lung, arteries, portal veins, late."""
    phase = rng.choice(5, p=(0.34, 0.1, 0.2, 0.26, 0.1))
    plain = rng.uniform(32, 50)
    means = (
        (plain, plain, plain, plain, plain, plain, plain, plain, 57, 48, 33),
        (500, 110, 380, 400, 220, 190, 70, 80, 65, 75, 90),
        (420, 160, 250, 290, 300, 310, 75, 100, 72, 120, 140),
        (155, 150, 155, 155, 160, 160, 130, 105, 108, 120, 185),
        (115, 115, 115, 115, 115, 115, 112, 85, 92, 95, 150),
    )[phase]
    spread = 1 + (0.02 if phase == 0 else 0.12) * rng.standard_normal(11)
    values = [float(mean * factor) for mean, factor in zip(means, spread, strict=True)]
    values[5] = values[4] * float(rng.normal(1, 0.03))
    if phase == 0:
        values[7] = plain + float(rng.uniform(-3, 8))
    if phase in {1, 2} and rng.random() < 0.5:
        values[0] *= float(rng.uniform(1.2, 2.5))
        values[1] *= float(rng.uniform(1.5, 4.0))
    if rng.random() < 0.2:
        values[8] -= float(rng.uniform(10, 55))  # a fatty liver
    return Blood(*values)
