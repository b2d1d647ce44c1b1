"""A place in one CT, found in another, by the bundled encoder."""

import numpy as np
import pytest

from algorithms.ct_fm.anatomical_search import locate
from algorithms.ct_fm.embedding import Encoder
from algorithms.perturbations import noisy
from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.weights import BUNDLED, Store

ORGANS = (Label.AIRWAY, Label.LEFT_LUNG, Label.RIGHT_LUNG)
MOVED = np.array([40.0, -25.0, 310.0])


@pytest.fixture(scope="module")
def encoder():
    return Encoder(Store((BUNDLED,)).get("ct-fm-encoder-bundled"), "cpu")


def chest(seed, moved=(0.0, 0.0, 0.0)):
    """A chest, its frame of reference moved, and the centres of organs in it."""
    body = torso(seed, spacing_mm=5.0, bottom_mm=-60.0, top_mm=290.0)
    affine = body.affine_mm.copy()
    affine[:3, 3] += moved
    volume = Volume(np.asarray(body.hu), affine, "HU", "CT", tuple(map(str, range(len(body.hu)))))
    centres = [np.argwhere(body.labels == organ).mean(axis=0) for organ in ORGANS]
    return volume, [affine[:3, :3] @ centre + affine[:3, 3] for centre in centres]


def test_a_point_is_found_in_the_same_ct(encoder):
    volume, places = chest(3100)
    for place in places:
        match = locate(volume, tuple(place), noisy(volume, 15.0, 2), encoder, silent)
        assert np.linalg.norm(match.position_mm - place) < 16  # two voxels of the encoder
        assert match.similarity > 0.9


def test_organs_are_found_in_another_body_in_another_frame(encoder):
    (source, known), (target, wanted) = chest(3101), chest(3102, MOVED)
    found = [locate(source, tuple(point), target, encoder, silent).position_mm for point in known]
    assert np.median(np.linalg.norm(np.subtract(found, wanted), axis=1)) < 30


def test_the_heat_is_on_a_grid_of_its_own_and_greatest_near_the_match(encoder):
    (source, known), (target, _) = chest(3101), chest(3102, MOVED)
    match = locate(source, tuple(known[0]), target, encoder, silent)
    heat = match.heat
    assert heat.voxels.min() >= 0
    assert 0.7 < heat.voxels.max() <= 1
    hottest = np.unravel_index(int(heat.voxels.argmax()), heat.voxels.shape)
    place = heat.affine_mm[:3, :3] @ hottest + heat.affine_mm[:3, 3]
    assert np.linalg.norm(place - match.position_mm) < 60  # the first pass looks every 48 mm


def test_a_point_outside_the_image_is_refused(encoder):
    volume, _ = chest(3101)
    with pytest.raises(Unsuitable, match="outside"):
        locate(volume, (0.0, 0.0, 2000.0), volume, encoder, silent)


def test_a_target_without_a_scale_is_refused(encoder):
    volume, places = chest(3101)
    other = Volume(volume.voxels, volume.affine_mm, "arbitrary", "CT", volume.sop_instance_uids)
    with pytest.raises(Unsuitable, match="Hounsfield"):
        locate(volume, tuple(places[0]), other, encoder, silent)
