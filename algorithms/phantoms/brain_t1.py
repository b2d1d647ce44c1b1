"""A whole head as a T1-weighted MR shows it, with the seven structures of the brain, and the truth.

The anatomy is that of the head CT; brightness is that of T1: fat and white matter bright, fluid, bone and
air dark, with a coil's field over all and Rician noise.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from algorithms.phantoms import head_ct_skull as skull
from algorithms.phantoms.chest import Phantom
from algorithms.phantoms.frame import Field, Frame, Grid
from algorithms.phantoms.head_ct_brain import cisterns, ventricles
from algorithms.phantoms.head_ct_patient import SIDES, Head
from algorithms.phantoms.labels import Label
from algorithms.phantoms.scene import LabelMap, Layer, paint
from algorithms.phantoms.shapes import Cut, Ellipsoid, Grown, HalfSpace, Shape, tube, turned
from algorithms.protocol import Volume

_GRID: Final = Grid((-118.0, -122.0, -92.0), (1.0, 1.0, 1.0), (224, 232, 184))
_SLAB: Final = 8
_AIR: Final = -1000.0  # what painting begins with
_BRIGHTNESS: Final = {
    Label.AIR: 0.0,
    Label.FAT: 950.0,
    Label.MUSCLE: 380.0,
    Label.SOFT_TISSUE: 420.0,
    Label.BONE: 90.0,
    Label.UPPER_AIRWAY: 5.0,
    Label.CEREBROSPINAL_FLUID: 130.0,
    Label.SPINAL_CORD: 650.0,
    Label.VENTRICLE: 120.0,
    Label.GREY_MATTER: 480.0,
    Label.BASAL_GANGLIA: 590.0,
    Label.CEREBELLUM: 560.0,
    Label.WHITE_MATTER: 760.0,
    Label.BRAINSTEM: 730.0,
}
_TRUTH: Final = {
    "Grey matter": Label.GREY_MATTER,
    "Basal ganglia": Label.BASAL_GANGLIA,
    "White matter": Label.WHITE_MATTER,
    "Ventricles": Label.VENTRICLE,
    "Cerebellum": Label.CEREBELLUM,
    "Brainstem": Label.BRAINSTEM,
    "Cerebrospinal fluid": Label.CEREBROSPINAL_FLUID,
}
_BELOW_THE_TENTORIUM: Final = (HalfSpace((0.0, -0.41, 0.91), -31.0), HalfSpace((0.0, -1.0, 0.0), -8.0))
_COIL: Final = 0.15  # of the logarithm, at the edge of the head
_NOISE: Final = 18.0


def brain_t1(seed: int) -> Phantom:
    """A head of 1 mm from the chin to the crown; the same seed gives the same one."""
    anatomy, scanner = (np.random.default_rng((seed, stream)) for stream in range(2))
    head = Head.draw(anatomy)
    layers = tuple(_layers(anatomy, head))
    brightness, labels = _painted(layers, head)
    affine = np.eye(4)[[2, 1, 0, 3]]
    affine[:3, 3] = _GRID.first_mm[::-1]
    uids = tuple(
        f"2.25.{uuid5(NAMESPACE_OID, f'ainode phantom brain-t1 {seed} {index}').int}"
        for index in range(len(labels))
    )
    volume = Volume(_scanned(scanner, brightness), affine, "arbitrary", "MR", uids)
    return Phantom(volume, MappingProxyType({name: labels == label for name, label in _TRUTH.items()}))


def _layers(rng: np.random.Generator, head: Head) -> Iterator[Layer]:
    """From the skin inwards; what the CT paints in HU has the brightness of its tissue here."""
    for layer in (*skull.outside(rng, head), *skull.base(rng, head), *_brain(head)):
        if layer.label is not None:
            yield replace(layer, hu=_BRIGHTNESS[layer.label] + _AIR)


def _brain(head: Head) -> Iterator[Layer]:
    above = HalfSpace((0.0, 0.0, -1.0), 28.0)
    white = Cut(Grown(head.brain, -4.5), within=(above,), without=(Grown(head.folds, 3.2),))
    yield _layer(head.cavity, Label.CEREBROSPINAL_FLUID)
    yield _layer(head.brain, Label.GREY_MATTER)
    yield _layer(white, Label.WHITE_MATTER)
    yield _layer(head.folds, Label.CEREBROSPINAL_FLUID, Label.GREY_MATTER, Label.WHITE_MATTER)
    for side in SIDES:
        yield _layer(Ellipsoid((side * 12, 14, 4), (9, 15, 9)), Label.GREY_MATTER)  # thalamus
        lentiform = Ellipsoid((side * 25, -6, 0), (7, 18, 10), turned(z=-side * 18))
        yield _layer(lentiform, Label.BASAL_GANGLIA)
        yield _layer(tube(((side * 14, -24, 4), (side * 16, -4, 20)), (7, 4)), Label.BASAL_GANGLIA)
    yield _layer(Cut(head.brain, within=_BELOW_THE_TENTORIUM), Label.CEREBELLUM)
    yield _layer(tube(((0, 24, -62), (0, 31, -116)), (8, 6)), Label.SPINAL_CORD)
    yield _layer(tube(((0, 2, -8), (0, 12, -34), (0, 26, -66)), (15, 17, 9)), Label.BRAINSTEM)
    brain = tuple(label for label in _TRUTH.values() if label is not Label.BRAINSTEM)
    yield _layer(cisterns(head), Label.CEREBROSPINAL_FLUID, *brain)
    yield _layer(ventricles(head), Label.VENTRICLE, *brain)


def _layer(shape: Shape, label: Label, *onto: Label) -> Layer:
    return Layer(shape, 0.0, label, onto)


def _painted(layers: tuple[Layer, ...], head: Head) -> tuple[Field, LabelMap]:
    """Brightness from 0 and labels, slab by slab."""
    brightness = np.empty(_GRID.shape, dtype=np.float32)
    labels = np.empty(_GRID.shape, dtype=np.uint8)
    for start in range(0, _GRID.shape[0], _SLAB):
        stop = min(start + _SLAB, _GRID.shape[0])
        planes = Grid(
            (_GRID.first_mm[0] + start, *_GRID.first_mm[1:]),
            _GRID.spacing_mm,
            (stop - start, *_GRID.shape[1:]),
        )
        painted, labels[start:stop] = paint(layers, Frame.of(planes, head.pose))
        brightness[start:stop] = painted - np.float32(_AIR)
    return brightness, labels


def _scanned(rng: np.random.Generator, brightness: Field) -> Field:
    """With the field of a coil, and the noise of a magnitude image."""
    field = np.zeros(brightness.shape, dtype=np.float32)
    for axis, length in enumerate(brightness.shape):
        shape = [1, 1, 1]
        shape[axis] = length
        field += (float(rng.normal(0, _COIL)) * np.linspace(-1, 1, length, dtype=np.float32)).reshape(shape)
    real, imaginary = (
        rng.standard_normal(brightness.shape, dtype=np.float32) * np.float32(_NOISE) for _ in "ri"
    )
    return np.asarray(np.hypot(brightness * np.exp(field) + real, imaginary), dtype=np.float32)
