"""How well faces are found, and what the synthetic weights say of drawn faces that were not trained on.

    python -m benchmarks.faces [FOLDER OF PHOTOGRAPHS]

No age and no risk is computed for a photograph of a person.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from algorithms.fahr_face.cases import synthetic
from algorithms.fahr_face.detection import FaceDetector
from algorithms.fahr_face.fine_tuning import concordance
from algorithms.fahr_face.options import AGE, SURVIVAL
from algorithms.fahr_face.reader import FaceReader
from algorithms.fahr_face.suitability import the_face
from algorithms.protocol import Photograph, Unsuitable
from algorithms.weights import BUNDLED, Store

SEEDS = range(500_000, 500_300)


def photographs(folder: Path) -> None:
    """How many photographs are taken, and why others are not."""
    detector, reasons = FaceDetector(), Counter[str]()
    for name in sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"}):
        with Image.open(name) as picture:
            image = Photograph(np.asarray(picture.convert("RGB")), "")
        try:
            the_face(image, detector)
            reasons["taken"] += 1
        except Unsuitable as reason:
            reasons[str(reason)] += 1
    print("photographs:", dict(reasons))


def drawn_faces() -> None:
    """Age error and concordance on drawn faces, found and aligned as photographs are."""
    store, cases = Store((BUNDLED,)), synthetic(SEEDS)
    age, risk = (FaceReader(store.get(each["synthetic"]), "cpu") for each in (AGE, SURVIVAL))
    errors = np.array([age.value(face) for face in cases.faces]) - cases.age_years
    risks = np.array([risk.value(face) for face in cases.faces])
    print(f"drawn faces: {len(cases)} of {len(SEEDS)} taken, {np.count_nonzero(cases.died)} deaths")
    print(f"age: mean absolute error {np.abs(errors).mean():.1f} years, bias {errors.mean():+.1f}")
    print(f"survival: concordance {concordance(risks, cases.years, cases.died):.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        photographs(Path(sys.argv[1]))
    drawn_faces()
