"""Five landmarks lay a face onto the template."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from algorithms.fahr_face.alignment import TEMPLATE, Similarity, aligned

_turns = st.floats(-3.1, 3.1)
_scales = st.floats(0.3, 4.0)
_shifts = st.floats(-200, 200)


def test_the_template_itself_stays_where_it_is() -> None:
    found = Similarity.between(TEMPLATE, TEMPLATE)
    np.testing.assert_allclose([found.scale_turn, found.shift], [1, 0], atol=1e-12)


def test_a_face_on_the_template_is_cut_out_unchanged() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(aligned(picture, TEMPLATE).pixels, picture)


@given(_turns, _scales, _shifts, _shifts)
def test_turn_scale_and_shift_are_undone(turn: float, scale: float, right: float, down: float) -> None:
    moved = Similarity(scale * np.exp(1j * turn), complex(right, down)).of(TEMPLATE)
    np.testing.assert_allclose(Similarity.between(moved, TEMPLATE).of(moved), TEMPLATE, atol=1e-6)


@given(_turns, _scales, _shifts, _shifts)
def test_the_way_back_leads_back(turn: float, scale: float, right: float, down: float) -> None:
    way = Similarity(scale * np.exp(1j * turn), complex(right, down))
    np.testing.assert_allclose(way.inverse.of(way.of(TEMPLATE)), TEMPLATE, atol=1e-6)


def test_a_turned_face_twice_as_large_gives_the_same_crop() -> None:
    rows, columns = np.mgrid[0:400, 0:400].astype(np.float64)

    def scene(column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return 128 + 60 * np.sin(column / 14) + 50 * np.cos(row / 11)

    way = Similarity(2 * np.exp(0.4j), 120 + 60j)
    at = way.inverse.of(np.stack([columns.ravel(), rows.ravel()], axis=1))
    picture = scene(at[:, 0], at[:, 1]).reshape(400, 400)
    photograph = np.repeat(picture.round().astype(np.uint8)[..., None], 3, axis=-1)
    crop = aligned(photograph, way.of(TEMPLATE)).pixels[..., 0]
    columns, rows = np.meshgrid(np.arange(112.0), np.arange(112.0))
    np.testing.assert_allclose(crop[8:104, 8:104], scene(columns, rows)[8:104, 8:104], atol=3)


def test_a_map_over_the_crop_lies_on_the_face_in_the_photograph() -> None:
    photograph = np.zeros((300, 260, 3), dtype=np.uint8)
    landmarks = Similarity(1.5 * np.exp(0.2j), 60 + 80j).of(TEMPLATE)
    spot = np.zeros((112, 112), dtype=np.float32)
    spot[70:74, 54:59] = 1
    on_photograph = aligned(photograph, landmarks).on_photograph(spot, (300, 260))
    row, column = np.argwhere(on_photograph > 0.5).mean(axis=0)
    assert on_photograph.shape == (300, 260)
    assert np.hypot(column - landmarks[2, 0], row - landmarks[2, 1]) < 1.5
