"""Fresh bleeds in the head, by the space they are in."""

from collections.abc import Callable, Iterator
from enum import StrEnum

import numpy as np

from algorithms.phantoms.frame import Point
from algorithms.phantoms.head_ct_brain import cisterns, ventricles
from algorithms.phantoms.head_ct_patient import SIDES, Head
from algorithms.phantoms.head_ct_shapes import Shifted, widened
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Shape, Union, turned

_INSIDE = (Label.BRAIN, Label.CEREBROSPINAL_FLUID, Label.SOFT_TISSUE)


class Bleed(StrEnum):
    """Where the blood is."""

    INTRAPARENCHYMAL = "intraparenchymal"
    EPIDURAL = "epidural"
    SUBDURAL = "subdural"
    SUBARACHNOID = "subarachnoid"
    INTRAVENTRICULAR = "intraventricular"


def bleed(rng: np.random.Generator, head: Head, kind: Bleed) -> Iterator[Layer]:
    """The layers of a fresh bleed of the given kind, from small to life-threatening."""
    yield from _BLEEDS[kind](rng, head)


def _blood(rng: np.random.Generator, shape: Shape, head: Head, onto: tuple[Label, ...] = _INSIDE) -> Layer:
    inside = Cut(shape, within=(head.cavity,))
    return Layer(inside, float(rng.uniform(58, 80)), Label.BLEED, onto=onto)


def _intraparenchymal(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """In the basal ganglia, a lobe or the cerebellum, with a rim of oedema."""
    side, place = float(rng.choice(SIDES)), rng.random()
    if place < 0.45:
        centre = rng.normal((side * 26, -2, 4), (4, 8, 5))
    elif place < 0.88:
        centre = np.array((side * rng.uniform(28, 46), rng.uniform(-52, 52), rng.uniform(8, 42)))
    else:
        centre = rng.normal((side * 22, 46, -36), 4)
    size = float(np.exp(rng.uniform(np.log(8), np.log(25))))
    parts = [_blob(rng, _point(centre), size)]
    parts += [_blob(rng, _point(centre + rng.normal(0, 0.45 * size, 3)), 0.6 * size) for _ in range(4)]
    clot = Union(tuple(parts))
    oedema = Cut(widened(clot, float(rng.uniform(1.5, 8))), within=(head.brain,))
    yield Layer(oedema, float(rng.uniform(17, 25)), onto=(Label.BRAIN,))
    yield _blood(rng, Cut(clot, within=(Grown(head.brain, -1.0),)), head)


def _epidural(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """A lens between skull and dura, at the side."""
    side = float(rng.choice(SIDES))
    y, z = float(rng.uniform(-45, 50)), float(rng.uniform(-2, 32))
    x = side * 67 * float(np.sqrt(1 - ((y + 2) / 83) ** 2 - ((z - 2) / 71) ** 2))
    outward = np.array((x / 67**2, (y + 2) / 83**2, 0.0))
    angle = float(np.degrees(np.arctan2(outward[1], outward[0])))
    width, height = rng.uniform(18, 42, 2).tolist()
    yield _blood(rng, Ellipsoid((x, y, z), (float(rng.uniform(7, 24)), width, height), turned(z=angle)), head)


def _subdural(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """A crescent over one hemisphere, thickest where the brain has moved away most."""
    side, angle = float(rng.choice(SIDES)), float(rng.uniform(-0.7, 0.7))
    thick = float(np.exp(rng.uniform(np.log(4), np.log(16))))
    way = (-side * thick * float(np.cos(angle)), thick * float(np.sin(angle)), -0.3 * thick)
    half = HalfSpace((-side, 0.0, 0.0), -4.0)
    above = HalfSpace((0.0, 0.0, -1.0), -float(rng.uniform(-12, 10)))
    crescent = Cut(head.cavity, within=(half, above), without=(Shifted(head.cavity, way),))
    yield _blood(rng, crescent, head)


def _subarachnoid(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Blood instead of fluid in the cisterns, and in sulci near to where it came from."""
    side = float(rng.choice(SIDES))
    reach = Ellipsoid((side * float(rng.uniform(0, 30)), -14, -10), (float(rng.uniform(26, 60)), 44, 26))
    onto = (Label.CEREBROSPINAL_FLUID, Label.BRAIN)
    thick = widened(cisterns(head), float(rng.uniform(0.0, 1.8)))
    yield _blood(rng, Cut(thick, within=(reach,)), head, onto)
    yield _blood(rng, Cut(head.folds, within=(reach,)), head, (Label.CEREBROSPINAL_FLUID,))


def _intraventricular(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """A cast of some ventricles, or blood that has settled in their back parts."""
    spaces = widened(ventricles(head), float(rng.uniform(0.0, 2.0)))
    level = HalfSpace((0.0, -1.0, 0.0), -float(rng.uniform(-45, 38)))
    side: tuple[Shape, ...] = ()
    if rng.random() < 0.5:
        side = (HalfSpace((float(rng.choice(SIDES)), 0.0, 0.0), 2.0),)
    yield _blood(rng, Cut(spaces, within=(level, *side)), head)


def _blob(rng: np.random.Generator, centre: Point, size: float) -> Ellipsoid:
    a, b, c = (size * rng.uniform(0.7, 1.3, 3)).tolist()
    return Ellipsoid(centre, (a, b, c), turned(z=float(rng.uniform(0, 180)), y=float(rng.uniform(-40, 40))))


def _point(values: np.ndarray) -> Point:
    x, y, z = values.tolist()
    return x, y, z


_BLEEDS: dict[Bleed, Callable[[np.random.Generator, Head], Iterator[Layer]]] = {
    Bleed.INTRAPARENCHYMAL: _intraparenchymal,
    Bleed.EPIDURAL: _epidural,
    Bleed.SUBDURAL: _subdural,
    Bleed.SUBARACHNOID: _subarachnoid,
    Bleed.INTRAVENTRICULAR: _intraventricular,
}
