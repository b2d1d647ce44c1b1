"""The algorithm `face-age`: how old a face looks to FAHR-FaceAge (arXiv:2506.14909). Research use only."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from algorithms.fahr_face.detection import FaceDetector
from algorithms.fahr_face.options import AGE, AGE_OPTIONS
from algorithms.fahr_face.reader import FaceReader
from algorithms.fahr_face.suitability import the_face
from algorithms.options import chosen
from algorithms.protocol import Findings, Highlights, Measurement, Photograph, Progress
from algorithms.terminology import FACE_AGE, FACE_AGE_DIFFERENCE, SUBJECT_AGE, YEAR
from algorithms.weights import Store

OLDEST: Final = 120.0
"""Years; what the network says is cut to 0 to this."""


@dataclass(frozen=True)
class FaceAge:
    """The algorithm, with what it runs.

    Attributes:
        detector: finds the face.
        reader: reads the age.
        explains: whether it shows what a result rests on.
    """

    detector: FaceDetector
    reader: FaceReader
    explains: bool
    name: ClassVar[str] = "face-age"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        read = chosen(cls.name, AGE_OPTIONS, options)
        reader = FaceReader(store.get(AGE[read["weights"]]), device)
        return cls(FaceDetector(), reader, read["saliency"] == "true")

    def run(self, image: Photograph, progress: Progress) -> Findings:
        """Read the age, and compare it with the age at the photograph where that is known.

        Raises:
            Unsuitable: not one face that is seen well.
        """
        progress(0.0, "looking for the face")
        face = the_face(image, self.detector)
        progress(0.5, "reading the age")
        age = min(max(self.reader.value(face.pixels), 0.0), OLDEST)
        found = [Measurement(None, "FaceAge", FACE_AGE, age, YEAR)]
        if (known := image.subject_age_years) is not None:
            found.append(Measurement(None, "ChronologicalAge", SUBJECT_AGE, known, YEAR))
            found.append(Measurement(None, "FaceAgeDifference", FACE_AGE_DIFFERENCE, age - known, YEAR))
        progress(1.0, "done")
        return Findings(measurements=tuple(found))

    def explain(self, image: Photograph, _findings: Findings, progress: Progress) -> Highlights | None:
        """Cover parts of the face and see how far the age changes.

        Raises:
            Unsuitable: not one face that is seen well.
        """
        if not self.explains:
            return None
        return self.reader.highlights(image, the_face(image, self.detector), progress)
