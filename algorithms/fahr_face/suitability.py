"""Whether a photograph shows one face well enough; what is wrong, and what helps, in a sentence."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.fahr_face.alignment import AlignedFace, aligned
from algorithms.fahr_face.detection import Face, FaceDetector, Pixels
from algorithms.protocol import Photograph, Unsuitable

_LEAST_EYE_DISTANCE: Final = 24.0
"""Pixels; the template has 35."""

_MOST_ROLL_DEGREES: Final = 25.0
"""As the detector sees it, which makes a tilt of 45 degrees 30."""
_MOST_ASIDE: Final = 0.3
"""How far the nose may be beside the middle of the eyes, as a share of their distance."""

_LEAST_CONFIDENCE: Final = 0.75
_LEAST_SHARPNESS: Final = 0.04
_LEAST_DETAIL: Final = 0.4
_FARTHEST_COLOUR: Final = 0.06

_Grey = npt.NDArray[np.floating[Any]]


def the_face(photograph: Photograph, detector: FaceDetector) -> AlignedFace:
    """The one face of a photograph, aligned.

    Raises:
        Unsuitable: none, several, too small, turned, blurred or partly covered.
    """
    found = detector.faces(photograph.pixels)
    if not found:
        raise Unsuitable(_why_none(photograph.pixels, detector))
    if len(found) > 1:
        raise Unsuitable(f"{len(found)} faces were found; cut the photograph so that it shows one person")
    _check_pose(found[0])
    face = aligned(photograph.pixels, found[0].landmarks)
    _check_crop(face)
    return face


def _why_none(pixels: Pixels, detector: FaceDetector) -> str:
    """A face that lies on its side is not found, but it is once the picture is turned."""
    for quarters in (1, 2, 3):
        if detector.faces(np.rot90(pixels, quarters)):
            return f"the face is turned by about {90 * quarters} degrees in the picture; turn it upright"
    return "no face was found; a photograph of the whole face from the front is needed"


def _check_pose(face: Face) -> None:
    if abs(face.roll_degrees) > _MOST_ROLL_DEGREES:
        raise Unsuitable(
            f"the face is rotated by {face.roll_degrees:.0f} degrees in the picture, at most "
            f"{_MOST_ROLL_DEGREES:.0f} will do; turn it upright"
        )
    if face.eye_distance < _LEAST_EYE_DISTANCE:
        raise Unsuitable(
            f"the face is tiny: {face.eye_distance:.0f} pixels between the eyes, at least "
            f"{_LEAST_EYE_DISTANCE:.0f} are needed; take the photograph from nearer or with more pixels"
        )
    if (aside := _aside(face)) > _MOST_ASIDE:
        raise Unsuitable(
            f"the face looks to the side: the nose is {aside:.0%} of the distance of the eyes beside their "
            "middle; take the photograph from the front"
        )
    if face.confidence < _LEAST_CONFIDENCE:
        raise Unsuitable(
            f"the face is hard to see (confidence {face.confidence:.2f}, at least {_LEAST_CONFIDENCE} is "
            "needed): it may be occluded, badly lit or cut off; take another photograph"
        )


def _aside(face: Face) -> float:
    left, right, nose = face.landmarks[:3]
    eyes = right - left
    return float(abs((nose - (left + right) / 2) @ eyes) / (eyes @ eyes))


def _check_crop(face: AlignedFace) -> None:
    if (found := sharpness(face)) < _LEAST_SHARPNESS:
        raise Unsuitable(
            f"the face is blurred (sharpness {found:.3f}, at least {_LEAST_SHARPNESS} is needed); take the "
            "photograph again, in focus and held still"
        )
    if hidden := occluded_parts(face):
        raise Unsuitable(f"the face is occluded at the {' and the '.join(hidden)}; take off what covers it")


def sharpness(face: AlignedFace) -> float:
    """How much of the contrast between the pixels of the crop is fine: 0 for a blurred one."""
    grey = _grey(face.pixels)[16:104, 20:92]
    fine = grey - ndimage.gaussian_filter(grey, 1.0)
    return float(fine.std() / max(grey.std(), 1.0))


def occluded_parts(face: AlignedFace) -> Sequence[str]:
    """Names of the parts of a face that show no detail, or are not of the colour of skin around the nose."""
    left, right, _, mouth_left, mouth_right = face.landmarks
    grey = _grey(face.pixels)
    spread = max(float(grey[16:104, 20:92].std()), 1.0)
    parts = {
        "eyes": min(_detail(grey, left), _detail(grey, right)) / spread,
        "mouth": _detail(grey, (mouth_left + mouth_right) / 2) / spread,
    }
    hidden = [name for name, detail in parts.items() if detail < _LEAST_DETAIL]
    if "mouth" not in hidden and colour_distance(face) > _FARTHEST_COLOUR:
        hidden.append("mouth")
    return hidden


def colour_distance(face: AlignedFace) -> float:
    """How far the colour beside the mouth is from that below the eyes, as a distance of shares of RGB."""
    below_eyes = face.pixels[62:72, 28:84].reshape(-1, 3)
    at_mouth = face.pixels[82:106, 38:74].reshape(-1, 3)
    shares = [
        np.median(each / np.maximum(each.sum(axis=1, keepdims=True), 1), axis=0)
        for each in (below_eyes.astype(np.float64), at_mouth.astype(np.float64))
    ]
    return float(np.linalg.norm(shares[0] - shares[1]))


def _detail(grey: _Grey, centre: npt.NDArray[np.float64]) -> float:
    column, row = (round(float(value)) for value in centre)
    return float(grey[max(0, row - 7) : row + 8, max(0, column - 10) : column + 11].std())


def _grey(pixels: Pixels) -> _Grey:
    grey: _Grey = pixels.mean(axis=-1, dtype=np.float64)
    return grey
