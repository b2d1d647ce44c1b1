"""The whole body as layers, from the skin inwards; every later layer covers the earlier ones."""

from dataclasses import dataclass

import numpy as np

from algorithms.phantoms import backbone, body, disease, head, skeleton
from algorithms.phantoms.abdomen import abdomen
from algorithms.phantoms.frame import Field, Frame, Grid
from algorithms.phantoms.lungs import lungs, trees
from algorithms.phantoms.mediastinum import Mediastinum
from algorithms.phantoms.patient import Patient
from algorithms.phantoms.scene import LabelMap, Layer, paint


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One patient, ready to be rendered on any grid."""

    patient: Patient
    layers: tuple[Layer, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, *, diseased: bool) -> "Anatomy":
        """A patient of the population, from the thighs to the crown.

        Args:
            rng: source of all that differs between patients.
            diseased: findings may be present: in most patients some are.
        """
        patient = Patient.draw(rng)
        middle = Mediastinum.draw(rng, patient)
        sick = np.random.default_rng(rng.integers(2**63)) if diseased else None
        layers = [
            *body.table(patient),
            *body.trunk(rng, patient),
            *head.scalp(patient),
            *body.cavities(patient),
            *abdomen(rng, patient),
            *(disease.ascites(sick, patient) if sick else ()),
            *lungs(patient),
            *body.backbone_muscles(patient),
            *trees(rng, patient, middle.airway),
            *(disease.lung_diseases(sick, patient) if sick else ()),
            *middle.layers(rng, patient),
            *(disease.hernia(sick, patient, middle) if sick else ()),
            *head.neck(rng, patient),
            *backbone.spine(rng, patient),
            *skeleton.thorax(rng, patient),
            *skeleton.pelvis(patient),
            *head.throat(patient),
            *head.head(rng, patient),
            *(disease.implants(sick, patient, middle) if sick else ()),
        ]
        return cls(patient, tuple(layers))

    def render(self, grid: Grid) -> tuple[Field, LabelMap]:
        """HU and labels on a grid; axes (slice, row, column)."""
        return paint(self.layers, Frame.of(grid, self.patient.pose))
