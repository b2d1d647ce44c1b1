"""Brain, fluid spaces, dura, vessels and calcifications: all that is in a skull without a bleed."""

from collections.abc import Iterator

import numpy as np

from algorithms.phantoms.frame import Point
from algorithms.phantoms.head_ct_patient import SIDES, Head
from algorithms.phantoms.head_ct_shapes import Sheet, widened
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import Layer
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Shape, Union, tube, turned

_CSF = 7.0
_DURA = 56.0


def brain(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Fluid, cortex, white matter, deep grey matter, cerebellum and brain stem."""
    grey, white = float(rng.normal(37, 1.2)), float(rng.normal(29, 1.2))
    yield Layer(head.cavity, _CSF, Label.CEREBROSPINAL_FLUID)
    yield Layer(head.brain, grey, Label.BRAIN)
    inner = Cut(Grown(head.brain, -4.5), without=(Grown(head.folds, 3.2),))
    yield Layer(Cut(inner, within=(HalfSpace((0.0, 0.0, -1.0), 28.0),)), white, Label.BRAIN)
    yield Layer(head.folds, _CSF, Label.CEREBROSPINAL_FLUID, onto=(Label.BRAIN,))
    for side in SIDES:
        yield Layer(Ellipsoid((side * 12, 14, 4), (9, 15, 9)), grey, Label.BRAIN)
        yield Layer(Ellipsoid((side * 25, -6, 0), (7, 18, 10), turned(z=-side * 18)), grey + 1.0, Label.BRAIN)
        yield Layer(tube(((side * 14, -24, 4), (side * 16, -4, 20)), (7, 4)), grey, Label.BRAIN)
        yield Layer(Ellipsoid((side * 24, 50, -40), (22, 24, 17)), white + 3, Label.BRAIN)
    if rng.random() < 0.15 + 0.004 * head.age:
        yield from _leukoaraiosis(rng, head)
    if rng.random() < 0.06:
        yield from _old_infarct(rng, head, grey)
    yield Layer(tube(((0, 2, -8), (0, 12, -34), (0, 26, -66)), (15, 17, 9)), white + 2, Label.BRAIN)


def spinal_cord() -> Layer:
    """The cord below the foramen magnum."""
    return Layer(tube(((0, 27, -62), (0, 31, -112)), (8, 6)), 33.0, Label.BRAIN)


def ventricles(head: Head) -> Union:
    """Lateral ventricles, third and fourth."""
    size = head.ventricles
    parts: list[Shape] = []
    for side in SIDES:
        line = ((side * 12, -34, 4), (side * 10, -8, 17), (side * 14, 16, 18), (side * 27, 36, 8))
        parts.append(tube(line, (4.5 * size, 5.5 * size, 5 * size, 6 * size)))
        parts.append(tube(((side * 27, 36, 8), (side * 21, 58, 4)), (5 * size, 2 * size)))
        parts.append(
            tube(((side * 27, 36, 8), (side * 33, 16, -12), (side * 32, 0, -20)), (4 * size, 2, 1.5))
        )
    third = Ellipsoid((0, 4, 0), (1.3 + 1.4 * max(0.0, size - 0.8), 14, 10))
    return Union((*parts, third, Ellipsoid((0, 34, -36), (7 * size, 4.5 * size, 8))))


def cisterns(head: Head) -> Union:
    """The wider spaces around the brain stem, above the sella, and the Sylvian fissures."""
    wide = 0.7 + 0.4 * head.ventricles
    parts: list[Shape] = [Ellipsoid((0, -12, -13), (11 * wide, 9 * wide, 6))]
    for side in SIDES:
        parts.append(tube(((side * 12, -14, -13), (side * 16, 6, -14), (side * 13, 22, -6)), 2.4 * wide))
        fissure = ((side * 14, -20, -12), (side * 34, -24, -8), (side * 44, -8, 4), (side * 50, 12, 12))
        parts.append(tube(fissure, (3 * wide, 3 * wide, 2.2 * wide, 1.2)))
        parts.append(tube(((side * 18, 6, -36), (side * 30, 14, -38)), (4 * wide, 2)))
    parts.append(tube(((0, 24, -6), (side * 0, 34, -8)), (4 * wide, 2.5)))
    parts.append(Ellipsoid((0, 62, -62), (9 * wide, 8 * wide, 8)))
    parts.append(Ellipsoid((0, 3, -38), (11, 3.5 * wide, 14)))
    return Union(tuple(parts))


def fluid(head: Head) -> Iterator[Layer]:
    """Ventricles and cisterns."""
    for shape in (cisterns(head), ventricles(head)):
        yield Layer(shape, _CSF, Label.CEREBROSPINAL_FLUID, onto=(Label.BRAIN, Label.CEREBROSPINAL_FLUID))


def dura_and_vessels(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Falx, tentorium, venous sinuses and arteries; thin and denser than the brain."""
    inside = (Label.BRAIN, Label.CEREBROSPINAL_FLUID)
    dense = head.blood + float(rng.uniform(1, 8))
    corpus = Ellipsoid((0, 0, -8), (40, 52, 36))
    upper = Cut(head.cavity, within=(HalfSpace((0.0, 0.0, -1.0), 5.0),), without=(corpus,))
    falx = Sheet(upper, (1.0, 0.0, 0.0), 0.0, float(rng.uniform(0.5, 1.1)))
    yield Layer(falx, _DURA, Label.SOFT_TISSUE, onto=inside)
    for side in SIDES:
        across = np.array((side * 0.5, 0.25, 0.83)) / np.linalg.norm((0.5, 0.25, 0.83))
        normal = (float(across[0]), float(across[1]), float(across[2]))
        notch = Ellipsoid((0, 10, -15), (21, 30, 40))
        half = Cut(
            head.cavity,
            within=(HalfSpace((-side, 0.0, 0.0), 0.0), HalfSpace((0.0, -1.0, 0.0), 0.0)),
            without=(notch,),
        )
        offset = float(across @ (0.0, 40.0, -2.0))
        yield Layer(Sheet(half, normal, offset, float(rng.uniform(0.5, 0.9))), _DURA, onto=inside)
    crest = [
        (0, y, 2 + 71 * float(np.sqrt(max(0.0, 1 - ((y + 2) / 83) ** 2))) - 3) for y in (-70, -40, 0, 40, 70)
    ]
    yield Layer(tube((*crest, (0, 78, -8)), (1.5, 2, 3, 4, 4.5, 5)), dense, onto=inside)
    size = rng.uniform(2.5, 5.0, 2)
    for side, radius in zip(SIDES, size.tolist(), strict=True):
        line = ((0, 77, -10), (side * 32, 66, -14), (side * 51, 38, -22), (side * 44, 26, -48))
        yield Layer(tube(line, (4, radius, radius, radius)), dense, onto=inside)
        sylvian = ((side * 10, -14, -13), (side * 24, -18, -12), (side * 36, -16, -6))
        yield Layer(tube(sylvian, (1.5, 1.3, 1.0)), head.blood, onto=inside)
        siphon = Ellipsoid((side * 10, -16, -20), (3, 6, 5))
        yield Layer(siphon, head.blood, Label.SOFT_TISSUE)
    yield Layer(tube(((0, 36, 0), (0, 56, 0), (0, 77, -9)), 2.0), dense, onto=inside)
    yield Layer(tube(((0, -4, -14), (0, -2, -36)), 1.8), head.blood, onto=inside)


def calcifications(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Pineal gland, choroid plexus, falx, carotid siphon, basal ganglia: dense, but no bleeds."""
    if rng.random() < 0.7:
        yield _spot(rng, (0.0, 30.0, 2.0), float(rng.uniform(1.2, 3.5)), (120, 500))
    if rng.random() < 0.65:
        for side in SIDES:
            yield _spot(rng, (side * 27, 36, 8), float(rng.uniform(1.5, 5)), (100, 400))
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 5))):
            y, z = float(rng.uniform(-60, -20)), float(rng.uniform(25, 55))
            plaque = Ellipsoid((0, y, z), (float(rng.uniform(0.8, 2.5)), float(rng.uniform(3, 12)), 7))
            yield Layer(Cut(plaque, within=(head.cavity,)), float(rng.uniform(250, 900)))
    if rng.random() < 0.3 + 0.005 * head.age:
        for side in SIDES:
            yield _spot(rng, (side * 10, -16, -19), float(rng.uniform(0.8, 2.2)), (200, 700))
    if rng.random() < 0.08:
        for side in SIDES:
            yield _spot(rng, (side * 20, -6, 0), float(rng.uniform(1.5, 4)), (60, 200))


def _spot(rng: np.random.Generator, centre: Point, size: float, hu: tuple[int, int]) -> Layer:
    a, b, c = (size * rng.uniform(0.7, 1.4, 3)).tolist()
    x, y, z = (np.array(centre) + rng.normal(0, 1, 3)).tolist()
    return Layer(Ellipsoid((x, y, z), (a, b, c)), float(rng.uniform(*hu)))


def _leukoaraiosis(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """Less dense white matter around the ventricles of older people."""
    rim = widened(ventricles(head), float(rng.uniform(3, 9)))
    deep = Cut(rim, within=(Grown(head.brain, -16),))
    yield Layer(deep, float(rng.uniform(20, 26)), onto=(Label.BRAIN,))


def _old_infarct(rng: np.random.Generator, head: Head, grey: float) -> Iterator[Layer]:
    side = float(rng.choice(SIDES))
    centre = (side * float(rng.uniform(40, 62)), float(rng.uniform(-50, 60)), float(rng.uniform(-5, 40)))
    a, b, c = rng.uniform(9, 26, 3).tolist()
    lost = Cut(Ellipsoid(centre, (a, b, c)), within=(head.brain,))
    yield Layer(lost, float(rng.uniform(10, grey - 12)), onto=(Label.BRAIN,))
