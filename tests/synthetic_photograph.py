"""Photographs without people, and an algorithm that finds fixed numbers on them."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Code, Findings, Highlights, Measurement, Photograph, Progress, Score, Weights
from algorithms.terminology import FACE_AGE, FACE_AGE_DIFFERENCE
from node.inbound import pictures
from node.outbound.equipment import Provenance

YEARS = Code("a", "UCUM", "year")
NO_UNITS = Code("1", "UCUM", "no units")

PROBABILITY = Code("122157", "DCM", "Probability")
WEIGHTS = Weights("fahr-face-age-synthetic", "ab" * 32)
SAID = {
    "PatientName": "Möller^Ada",
    "PatientID": "P-7",
    "PatientBirthDate": "19710815",
    "PatientSex": "F",
    "StudyDate": "20210815",
    "StudyTime": "101500",
}


def pixels(rows: int = 90, columns: int = 70) -> np.ndarray:
    """A gradient in three colours, uint8 (row, column, RGB)."""
    row, column = np.indices((rows, columns))
    return np.stack([row * 255 // rows, column * 255 // columns, (row + column) % 256], axis=-1).astype(
        np.uint8
    )


def file(kind: str = "PNG", array: np.ndarray | None = None, **said: Any) -> bytes:
    """A JPEG or PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels() if array is None else array).save(buffer, kind, **said)
    return buffer.getvalue()


def instance(path: Path, **said: str) -> Dataset:
    """A VL Photographic Image, written to a file and described by its dataset."""
    wrapped = pictures.wrap(file(), {**SAID, **said})
    path.write_bytes(pictures.written(wrapped))
    return wrapped


def findings(shape: tuple[int, ...] = (90, 70)) -> Findings:
    """An age, a difference, a score that may not be read as a probability, and highlights."""
    weight = np.zeros(shape, dtype=np.float32)
    weight[20:60, 10:50] = np.linspace(0, 1, 40, dtype=np.float32)
    return Findings(
        measurements=(
            Measurement(None, "FaceAge", FACE_AGE, 47.25, YEARS),
            Measurement(None, "Difference", FACE_AGE_DIFFERENCE, -2.75, YEARS),
        ),
        scores=(Score("Risk", PROBABILITY, 0.4, NO_UNITS),),
        highlights=Highlights("Occlusion sensitivity", weight),
    )


def provenance(sop_instance_uid: str) -> Provenance:
    """Made with weights that were trained on synthetic faces."""
    return Provenance("face-age", "0.1.0", (WEIGHTS,), {"weights": "synthetic"}, (sop_instance_uid,))


@dataclass(frozen=True)
class FixedAge:
    """Stands in for an algorithm: whoever is on the photograph is 47.25 years old."""

    name: str = "face-age"
    version: str = "0.1.0"

    def run(self, image: Photograph, progress: Progress) -> Findings:
        """The same for all."""
        progress(1.0, "found")
        return Findings(measurements=findings(image.pixels.shape[:2]).measurements)

    def explain(self, image: Photograph, found: Findings, progress: Progress) -> Highlights | None:
        """A part of every photograph."""
        assert found.measurements
        progress(1.0, "explained")
        return Highlights("Occlusion sensitivity", image.pixels[..., 0].astype(np.float32) / 255)


ENTRY = CatalogueEntry(
    name="face-age",
    version="0.1.0",
    summary="The age of a face",
    modalities=frozenset({"XC", "OT"}),
    input="a photograph",
    outputs=("SR TID 1500: scores", "Secondary Capture"),
    load=lambda _options, _device, _store: FixedAge(),
    needs=lambda _options: (),
    photograph=True,
)
