"""Two bodies laid over each other by the places whose embeddings are alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algorithms.ct_fm.body_alignment import BodyMap, Sampled, aligned
from algorithms.ct_fm.embedding import unit

PLACES_MM = np.stack(np.meshgrid(*[np.arange(0.0, 250.0, 50.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
STRETCH, SHIFT_MM = np.array([0.9, 1.2, 1.05]), np.array([30.0, -200.0, 400.0])


def embeddings(count, seed):
    return unit(np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32))


def test_the_map_is_found_though_half_of_the_matches_are_wrong():
    vectors = embeddings(len(PLACES_MM), 0)
    there = PLACES_MM * STRETCH + SHIFT_MM
    wrong = np.arange(0, len(there), 2)
    there[wrong] = there[np.random.default_rng(1).permutation(wrong)]
    found = aligned(Sampled(PLACES_MM, vectors), Sampled(there, vectors))
    assert found is not None
    assert np.linalg.norm(found(PLACES_MM) - (PLACES_MM * STRETCH + SHIFT_MM), axis=1).max() < 30


def test_bodies_whose_places_are_alike_by_chance_are_not_laid_over_each_other():
    here, there = Sampled(PLACES_MM, embeddings(125, 2)), Sampled(4 * PLACES_MM, embeddings(125, 3))
    assert aligned(here, there) is None


def test_few_places_are_not_enough():
    vectors = embeddings(19, 4)
    few = Sampled(PLACES_MM[:19], vectors)
    assert aligned(few, few) is None


def test_air_matches_nothing():
    vectors = np.zeros((len(PLACES_MM), 16), dtype=np.float32)
    vectors[::7] = embeddings(18, 5)
    body = Sampled(PLACES_MM, vectors)
    assert aligned(body, body) is None


@given(
    arrays(np.float64, 3, elements=st.floats(0.71, 1.39)),
    arrays(np.float64, 3, elements=st.floats(-900, 900)),
)
def test_a_stretch_between_bodies_is_estimated_exactly(stretch, shift_mm):
    there = PLACES_MM * stretch + shift_mm
    estimate = BodyMap.from_estimate(PLACES_MM, there)
    assert estimate is not None
    assert estimate.residuals(PLACES_MM, there) == pytest.approx(0, abs=1e-6)


@given(*[arrays(np.float64, 3, elements=st.floats(0.71, 1.39))] * 2)
def test_one_map_after_another_is_one_map(first, second):
    on, further = BodyMap(first, SHIFT_MM), BodyMap(second, -2 * SHIFT_MM)
    assert on.then(further)(PLACES_MM) == pytest.approx(further(on(PLACES_MM)), abs=1e-6)


def test_a_mirrored_body_is_not_mirrored_back():
    estimate = BodyMap.from_estimate(PLACES_MM, PLACES_MM * [-1.0, 1.0, 1.0])
    assert estimate is not None
    assert estimate.stretch == pytest.approx([0.7, 1, 1])


def test_places_in_a_plane_give_no_map():
    assert BodyMap.from_estimate(PLACES_MM[:25], PLACES_MM[:25]) is None
