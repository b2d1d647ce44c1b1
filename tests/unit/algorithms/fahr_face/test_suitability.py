"""One face that is seen well is taken; everything else is refused with what was found and the mend."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from algorithms.fahr_face.detection import Face, FaceDetector, Pixels
from algorithms.fahr_face.suitability import the_face
from algorithms.phantoms.face import face_phantom
from algorithms.protocol import Photograph, Unsuitable


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    return data.astronaut()[:300, 80:380]


@pytest.fixture(scope="module")
def face(portrait: Pixels, detector: FaceDetector) -> Face:
    (found,) = detector.faces(portrait)
    return found


def photograph(pixels: Pixels) -> Photograph:
    return Photograph(np.ascontiguousarray(pixels), "1.2.3")


def covered(pixels: Pixels, face: Face, top: float, bottom: float, colour: int | tuple[int, ...]) -> Pixels:
    """A box over the face, from `top` to `bottom` in distances of the eyes below them."""
    changed, unit = pixels.copy(), face.eye_distance
    (left, row), right = face.landmarks[0], face.landmarks[1, 0]
    changed[
        int(row + top * unit) : int(row + bottom * unit), int(left - 0.5 * unit) : int(right + 0.5 * unit)
    ] = colour
    return changed


def test_a_portrait_is_laid_on_the_template(portrait: Pixels, detector: FaceDetector) -> None:
    found = the_face(photograph(portrait), detector)
    assert found.pixels.shape == (112, 112, 3)
    assert np.ptp(found.landmarks[:2, 1]) < 3


def test_a_drawn_face_is_taken(detector: FaceDetector) -> None:
    assert the_face(photograph(face_phantom(seed=1).pixels), detector).pixels.shape == (112, 112, 3)


def test_a_picture_without_a_face_is_refused(detector: FaceDetector) -> None:
    with pytest.raises(Unsuitable, match=r"no face was found; a photograph of the whole face"):
        the_face(photograph(data.coffee()), detector)


def test_two_faces_are_refused(portrait: Pixels, detector: FaceDetector) -> None:
    with pytest.raises(Unsuitable, match=r"2 faces were found; cut the photograph"):
        the_face(photograph(np.hstack([portrait, portrait])), detector)


def test_a_tiny_face_is_refused(portrait: Pixels, detector: FaceDetector) -> None:
    with pytest.raises(Unsuitable, match=r"tiny: \d+ pixels between the eyes.*from nearer"):
        the_face(photograph(ndimage.zoom(portrait, (0.45, 0.45, 1), order=1)), detector)


def test_a_blurred_face_is_refused(portrait: Pixels, detector: FaceDetector) -> None:
    with pytest.raises(Unsuitable, match=r"blurred.*in focus"):
        the_face(photograph(ndimage.gaussian_filter(portrait, (5, 5, 0))), detector)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_on_its_side_or_head_is_refused(
    quarters: int, portrait: Pixels, detector: FaceDetector
) -> None:
    with pytest.raises(Unsuitable, match=r"turn it upright"):
        the_face(photograph(np.rot90(portrait, quarters)), detector)


def test_a_tilted_face_is_refused(portrait: Pixels, detector: FaceDetector) -> None:
    tilted = ndimage.rotate(portrait, 45, reshape=False, order=1, mode="nearest")
    with pytest.raises(Unsuitable, match=r"rotated by -3\d degrees.*upright"):
        the_face(photograph(tilted), detector)


def test_covered_eyes_are_refused(portrait: Pixels, face: Face, detector: FaceDetector) -> None:
    with pytest.raises(Unsuitable, match=r"occluded"):
        the_face(photograph(covered(portrait, face, -0.3, 0.3, 20)), detector)


@pytest.mark.parametrize("colour", [(120, 160, 210), (235, 235, 235)])
def test_a_mask_over_the_mouth_is_refused(
    colour: tuple[int, int, int], portrait: Pixels, face: Face, detector: FaceDetector
) -> None:
    with pytest.raises(Unsuitable, match=r"occluded"):
        the_face(photograph(covered(portrait, face, 0.6, 1.7, colour)), detector)


def test_a_profile_is_refused(detector: FaceDetector) -> None:
    camera = np.repeat(data.camera()[..., None], 3, axis=-1)
    with pytest.raises(Unsuitable, match=r"tiny|looks to the side"):
        the_face(photograph(camera), detector)


def test_every_portrait_of_the_shared_data_is_taken(shared_data: Path, detector: FaceDetector) -> None:
    names = sorted((shared_data / "faces").glob("*/*.[jp][pn]g"))
    portraits = [name for name in names if name.stem != "two-people"]
    assert len(portraits) == 26
    for name in portraits:
        with Image.open(name) as picture:
            the_face(photograph(np.asarray(picture.convert("RGB"))), detector)


def test_both_faces_of_a_picture_of_two_people_are_found(shared_data: Path, detector: FaceDetector) -> None:
    with Image.open(shared_data / "faces/others/two-people.jpg") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert len(detector.faces(pixels)) == 2
    with pytest.raises(Unsuitable, match="2 faces"):
        the_face(photograph(pixels), detector)


@pytest.mark.parametrize(
    "name",
    ["cat", "coins", "rocket", "page", "clock", "brick", "grass", "gravel", "horse", "moon", "text", "retina",
     "checkerboard", "immunohistochemistry", "hubble_deep_field", "cell", "colorwheel", "logo",
     "microaneurysms", "shepp_logan_phantom"],
)  # fmt: skip
def test_what_is_no_face_is_refused(name: str, detector: FaceDetector) -> None:
    pixels = getattr(data, name)().astype(np.float64)
    pixels = np.uint8(255 * (pixels - pixels.min()) / np.ptp(pixels))
    rgb = pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    with pytest.raises(Unsuitable, match="no face was found"):
        the_face(photograph(rgb), detector)
