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

from algorithms.fahr_face.cases import followed
from algorithms.fahr_face.detection import FaceDetector
from algorithms.fahr_face.fine_tuning import concordance
from algorithms.fahr_face.options import AGE, SURVIVAL
from algorithms.fahr_face.reader import FaceReader
from algorithms.fahr_face.suitability import the_face
from algorithms.phantoms.face import face_phantom
from algorithms.protocol import Photograph, Unsuitable
from algorithms.weights import BUNDLED, Store

SEEDS = range(300_000, 300_300)


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
    store, detector = Store((BUNDLED,)), FaceDetector()
    age, risk = (FaceReader(store.get(each["synthetic"]), "cpu") for each in (AGE, SURVIVAL))
    rows = []
    for seed in SEEDS:
        phantom = face_phantom(seed)
        try:
            face = the_face(Photograph(phantom.pixels, ""), detector).pixels
        except Unsuitable:
            continue
        years, died = followed(phantom.hazard, np.random.default_rng((seed, 1)))
        rows.append((age.value(face) - phantom.age_years, risk.value(face), years, died))
    errors, risks, years_seen, deaths = (np.array(column) for column in zip(*rows, strict=True))
    print(f"drawn faces: {len(rows)} of {len(SEEDS)} taken")
    print(f"age: mean absolute error {np.abs(errors).mean():.1f} years, bias {errors.mean():+.1f}")
    print(f"survival: concordance {concordance(risks, years_seen, deaths.astype(bool)):.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        photographs(Path(sys.argv[1]))
    drawn_faces()
