"""Drawn faces are the same again, show their age, and are faces to a detector."""

import numpy as np

from algorithms.fahr_face.detection import FaceDetector
from algorithms.phantoms.face import face_phantom
from algorithms.phantoms.face_traits import Traits


def test_a_seed_gives_one_face() -> None:
    first, again, other = (face_phantom(seed) for seed in (5, 5, 6))
    assert first.pixels.shape == (512, 512, 3)
    assert first.pixels.dtype == np.uint8
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.age_years, first.hazard) == (again.age_years, again.hazard)
    assert (first.pixels != other.pixels).any()


def test_most_drawn_faces_are_found_where_they_are() -> None:
    detector, near = FaceDetector(), 0
    for seed in range(12):
        phantom = face_phantom(seed)
        found = detector.faces(phantom.pixels)
        near += len(found) == 1 and bool(
            np.linalg.norm(found[0].landmarks - phantom.landmarks, axis=1).mean()
            < 0.15 * found[0].eye_distance
        )
    assert near >= 10


def test_hazard_rises_with_age_and_with_frailty() -> None:
    people = [Traits.drawn(np.random.default_rng(seed)) for seed in range(400)]
    hazards = np.log([person.hazard for person in people])
    for cause in ("age_years", "frailty"):
        assert np.corrcoef(hazards, [getattr(person, cause) for person in people])[0, 1] > 0.5
    assert abs(np.corrcoef([p.age_years for p in people], [p.frailty for p in people])[0, 1]) < 0.15
