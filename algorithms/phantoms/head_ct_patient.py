"""What differs between heads: age, size, skull, width of the fluid spaces, how the head lies.

The standard head: x to the left, y to the back, z to the crown, the origin in the midline between the
foramina of Monro; millimetres. Its brain fills 1.4 l.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.phantoms.frame import LEVELS_MM, Pose
from algorithms.phantoms.head_ct_shapes import Folds
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Shape, Union

SIDES = (1.0, -1.0)
_IRREGULARITY_MM = 1.1


@dataclass(frozen=True, eq=False)
class Head:
    """One person's head.

    Attributes:
        pose: how it lies.
        age: years.
        cavity: all within the inner table.
        brain: within the fluid around the brain.
        folds: sulci of the cerebrum.
        skull_mm: thickness of the skull.
        ventricles: their size relative to those of a young person.
        blood: HU of flowing blood (haematocrit).
    """

    pose: Pose
    age: float
    cavity: Union
    brain: Shape
    folds: Folds
    skull_mm: float
    ventricles: float
    blood: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Head":
        """An adult of the population."""
        age = float(rng.uniform(20, 92))
        atrophy = float(np.clip((age - 30) / 60 + rng.normal(0, 0.25), 0, 1.3))
        cavity = _cavity(rng)
        brain = Grown(cavity, -(1.0 + 2.2 * atrophy))
        folds = Folds.draw(
            rng, _cerebrum(brain), depth_mm=float(rng.uniform(13, 20)), half_mm=0.3 + 1.0 * atrophy
        )
        return cls(
            pose=_pose(rng),
            age=age,
            cavity=cavity,
            brain=brain,
            folds=folds,
            skull_mm=float(rng.uniform(4.5, 9.5)),
            ventricles=0.85 + 0.55 * atrophy + float(rng.normal(0, 0.08)),
            blood=float(np.clip(rng.normal(45, 4), 34, 56)),
        )


def _pose(rng: np.random.Generator) -> Pose:
    scale = rng.normal(1, 0.025) * rng.normal(1, 0.02, 3)
    tilt = rng.normal(0, (0.07, 0.04, 0.14))
    deformation = rng.normal(0, 1, (24, 11, 14, 3)) * _IRREGULARITY_MM * 2.6
    sizes, angles = scale.tolist(), tilt.tolist()
    return Pose(
        (sizes[0], sizes[1], sizes[2]),
        (angles[0], angles[1], angles[2]),
        np.zeros_like(LEVELS_MM),
        deformation,
    )


def _cavity(rng: np.random.Generator) -> Union:
    """Vault above the floors of the anterior fossa, and middle and posterior fossae below."""
    floor = HalfSpace((0.0, 0.0, -1.0), 19.0)
    vault = Cut(Ellipsoid((0, -2, 2), (67, 83, 71)), within=(floor,))
    middle = [Ellipsoid((side * 40, -20, -27), (23, 31, float(rng.uniform(20, 25)))) for side in SIDES]
    posterior = Ellipsoid((0, 36, -34), (53, 45, 38))
    return Union((vault, *middle, posterior))


def _cerebrum(brain: Shape) -> Shape:
    """The brain above the tentorium."""
    length = float(np.hypot(1, 0.45))
    return Cut(brain, within=(HalfSpace((0.0, 0.45 / length, -1 / length), (0.45 * 20 + 14) / length),))
