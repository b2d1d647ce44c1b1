"""How well faces are found, and what the synthetic weights say of drawn faces that were not trained on.

    python -m benchmarks.faces [FOLDER OF PHOTOGRAPHS [SERIES OF CT OR MR ...]]

No age and no risk is computed for a photograph of a person.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydicom import dcmread
from skimage import data
from skimage.util import img_as_ubyte

from algorithms.fahr_face.cases import synthetic
from algorithms.fahr_face.detection import FaceDetector, Pixels
from algorithms.fahr_face.fine_tuning import concordance
from algorithms.fahr_face.options import AGE, SURVIVAL
from algorithms.fahr_face.reader import FaceReader
from algorithms.fahr_face.suitability import the_face
from algorithms.protocol import Photograph, Unsuitable
from algorithms.weights import BUNDLED, Store

SEEDS = range(500_000, 500_300)
THINGS = (
    *("coffee", "chelsea", "coins", "brick", "grass", "clock", "horse"),
    *("moon", "page", "rocket", "retina"),
)


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


def others(series: Sequence[Path]) -> None:
    """How many pictures without a face are refused: things, a cat, coins, and slices of CT and MR."""
    detector, reasons = FaceDetector(), Counter[str]()
    pictures = {name: img_as_ubyte(getattr(data, name)()) for name in THINGS}
    pictures |= {f"{folder.name} {n}": each for folder in series for n, each in enumerate(_slices(folder))}
    for name, pixels in pictures.items():
        colours = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels
        try:
            the_face(Photograph(np.ascontiguousarray(colours[..., :3]), ""), detector)
            reasons[f"{name} was taken"] += 1
        except Unsuitable as reason:
            reasons[str(reason)] += 1
    print(f"pictures without a face, {len(pictures)}:", dict(reasons))


def _slices(folder: Path) -> Iterator[Pixels]:
    """Three slices of a series as they are shown."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for share in (0.3, 0.5, 0.7):
        values = dcmread(files[int(share * len(files))]).pixel_array.astype(np.float64)
        low, high = np.percentile(values, (1, 99))
        yield (np.clip((values - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)


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
        others([Path(each) for each in sys.argv[2:]])
    drawn_faces()
