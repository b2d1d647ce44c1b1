"""A place in one CT, found in another, by the bundled encoder."""

import numpy as np
import pytest

from algorithms.ct_fm.anatomical_search import Query, Search, locate
from algorithms.ct_fm.embedding import Encoder
from algorithms.perturbations import cropped, noisy
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


@pytest.fixture(scope="module")
def bodies():
    return chest(3101), chest(3102, MOVED)


@pytest.fixture(scope="module")
def matches(encoder, bodies):
    (source, known), (target, _) = bodies
    search = Search(source, target, encoder, silent)
    return [search.match(Query.of(source, tuple(point), encoder), silent) for point in known]


def test_a_point_is_found_in_the_same_ct(encoder):
    volume, places = chest(3100)
    search = Search(volume, noisy(volume, 15.0, 2), encoder, silent)
    for place in places:
        match = search.match(Query.of(volume, tuple(place), encoder), silent)
        assert np.linalg.norm(match.position_mm - place) < 16  # two voxels of the encoder
        assert match.similarity > 0.9


def test_organs_are_found_in_another_body_in_another_frame(bodies, matches):
    _, wanted = bodies[1]
    errors_mm = np.linalg.norm([match.position_mm for match in matches] - np.array(wanted), axis=1)
    assert np.median(errors_mm) < 30
    assert errors_mm.max() < 50


def test_a_point_alone_is_found_where_it_is_found_among_others(encoder, bodies, matches):
    (source, known), (target, _) = bodies
    alone = locate(source, tuple(known[1]), target, encoder, silent)
    assert alone.position_mm == matches[1].position_mm


def test_the_heat_is_on_a_grid_of_its_own_and_greatest_near_the_match(matches):
    match = matches[0]
    heat = match.heat
    assert heat.voxels.min() >= 0
    assert 0.7 < heat.voxels.max() <= 1
    hottest = np.unravel_index(int(heat.voxels.argmax()), heat.voxels.shape)
    place = heat.affine_mm[:3, :3] @ hottest + heat.affine_mm[:3, 3]
    assert np.linalg.norm(place - match.position_mm) < 60  # the first pass looks every 48 mm


def test_a_slab_too_thin_to_be_laid_over_is_searched_all_the_same(encoder):
    volume, places = chest(3100)
    slab = cropped(volume, 32, len(volume.voxels) - 42)
    match = locate(volume, tuple(places[2]), slab, encoder, silent)
    index = np.linalg.solve(slab.affine_mm, [*match.position_mm, 1.0])[:3]
    assert (index > -1).all()
    assert (index < slab.voxels.shape).all()
    assert np.linalg.norm(match.position_mm - places[2]) < 30


def test_two_cts_that_hardly_overlap_are_laid_over_a_whole_body(encoder):
    above, below = (torso(3105, spacing_mm=5.0, bottom_mm=b, top_mm=t) for b, t in ((-20, 300), (-360, 20)))
    chest, abdomen = (
        Volume(part.hu, part.affine_mm, "HU", "CT", tuple(map(str, range(len(part.hu)))))
        for part in (above, below)
    )
    search = Search(chest, abdomen, encoder, silent)
    spleen = np.argwhere(above.labels == Label.SPLEEN).mean(axis=0)
    near = above.affine_mm[:3, :3] @ spleen + above.affine_mm[:3, 3]
    there = np.argwhere(below.labels == Label.SPLEEN)
    spleen_mm = there @ below.affine_mm[:3, :3].T + below.affine_mm[:3, 3]
    found = search.match(Query.of(chest, tuple(near), encoder), silent)
    assert np.linalg.norm(spleen_mm - found.position_mm, axis=1).min() < 30
    lung = np.argwhere(above.labels == Label.RIGHT_LUNG)
    apex = (
        above.affine_mm[:3, :3] @ lung[lung[:, 0] == lung[:, 0].max()].mean(axis=0) + above.affine_mm[:3, 3]
    )
    assert search.match(Query.of(chest, tuple(apex), encoder), silent).outside_mm > 100


def test_a_point_outside_the_image_is_refused(encoder):
    volume, _ = chest(3101)
    with pytest.raises(Unsuitable, match="outside"):
        locate(volume, (0.0, 0.0, 2000.0), volume, encoder, silent)


def test_a_target_without_a_scale_is_refused(encoder):
    volume, places = chest(3101)
    other = Volume(volume.voxels, volume.affine_mm, "arbitrary", "CT", volume.sop_instance_uids)
    with pytest.raises(Unsuitable, match="Hounsfield"):
        locate(volume, tuple(places[0]), other, encoder, silent)
