"""Places of a CT embedded when asked for, and the climb among them."""

import numpy as np
import pytest

from algorithms.ct_fm.embedded_body import EmbeddedBody, Lattice, Prior
from algorithms.ct_fm.embedding import Encoder
from algorithms.phantoms import torso
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.weights import BUNDLED, Store

NOTHING_KNOWN = Prior(np.zeros(3), np.full(3, np.inf))


@pytest.fixture(scope="module")
def encoder():
    return Encoder(Store((BUNDLED,)).get("ct-fm-encoder-bundled"), "cpu")


@pytest.fixture(scope="module")
def body(encoder):
    chest = torso(3104, spacing_mm=5.0, bottom_mm=0.0, top_mm=290.0)
    volume = Volume(np.asarray(chest.hu), chest.affine_mm, "HU", "CT", tuple(map(str, range(len(chest.hu)))))
    return EmbeddedBody(encoder, volume)


def test_a_climb_comes_back_to_the_place_that_is_looked_for(body):
    wanted = np.rint(np.array(body.grid.voxels.shape) / 2)
    (query,) = body.vectors(wanted[None], silent)
    place, likeness = body.climbed(
        wanted + np.array([1, -1, 1]), np.full(3, 3.0), query, NOTHING_KNOWN, silent
    )
    assert likeness > 0.99
    assert np.abs(place - wanted).max() <= 1


def test_a_narrow_prior_holds_the_climb_where_it_is_expected(body):
    wanted = np.rint(np.array(body.grid.voxels.shape) / 2)
    (query,) = body.vectors(wanted[None], silent)
    expected = wanted + np.array([4, 0, 4])
    place, _ = body.climbed(expected, np.full(3, 3.0), query, Prior(expected, np.full(3, 0.1)), silent)
    assert place == pytest.approx(expected)


def test_the_penalty_is_half_the_squared_distance_in_standard_deviations():
    prior = Prior(np.zeros(3), np.array([1.0, 2.0, 3.0]))
    assert prior.penalty(np.array([[0, 0, 0], [1, 2, 3], [0, 4, 0]])) == pytest.approx([0, 1.5, 2])
    assert NOTHING_KNOWN.penalty(np.array([[9.0, 9, 9]])) == pytest.approx([0])


def air(*dense):
    """A volume of air, as large as three patches, with some dense voxels."""
    hu = np.full((64, 64, 64), -1000, dtype=np.float32)
    hu[tuple(np.array(dense, dtype=int).reshape(-1, 3).T)] = 40
    return Volume(hu, np.diag([8.0, 8, 8, 1])[[2, 1, 0, 3]], "HU", "CT", tuple(map(str, range(64))))


def test_air_between_what_is_dense_is_like_nothing(encoder):
    body = EmbeddedBody(encoder, air((0, 0, 0), (63, 63, 63)))
    query = np.ones(128, dtype=np.float32)
    assert body.similarity(np.full((1, 3), 32.0), query) == pytest.approx([0])
    assert not body.vectors(np.full((1, 3), 32.0), silent).any()
    assert body.outside_mm(np.array([-10.0, 5, 5])) == pytest.approx(80)
    assert body.outside_mm(np.array([63.0, 63, 63])) == 0


def test_only_air_is_refused(encoder):
    with pytest.raises(Unsuitable, match="water"):
        EmbeddedBody(encoder, air())


def test_a_lattice_has_equal_margins_at_both_ends():
    lattice = Lattice.over(np.zeros((10, 7, 13), dtype=np.float32), np.array([4.0, 3.0, 6.0]))
    assert lattice.shape == (3, 3, 3)
    assert lattice.places[0] == pytest.approx([0.5, 0, 0])
    assert lattice.places[-1] == pytest.approx([8.5, 6, 12])
