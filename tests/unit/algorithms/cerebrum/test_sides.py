"""The plane between the halves of a brain is found however the head is turned; sides are told apart by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.cerebrum.sides import MidPlane, asymmetry_percent

AFFINE = np.zeros((4, 4))
AFFINE[[2, 1, 0], [0, 1, 2]] = 3.0
AFFINE[:3, 3], AFFINE[3, 3] = (-100.0, -90.0, 30.0), 1.0
SHAPE = (56, 70, 56)


def brain(turn: float, lean: float, shift: float):
    """A brain that is narrower in front and at the base, and the normal of its middle."""
    turn, lean = np.radians([turn, lean])
    normal = np.array([np.cos(turn) * np.cos(lean), np.sin(turn) * np.cos(lean), np.sin(lean)])
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    places = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    middle = AFFINE[:3, :3] @ (np.array(SHAPE) / 2) + AFFINE[:3, 3] + [shift, 0, 0]
    aside = (places - middle) @ normal
    along = places - middle - aside[..., None] * normal
    width = 62 + 0.15 * along[..., 1] + 0.1 * along[..., 2]
    return (aside / width) ** 2 + (along[..., 1] / 80) ** 2 + (along[..., 2] / 60) ** 2 < 1, normal


@settings(max_examples=8, deadline=None)
@given(st.floats(-12, 12), st.floats(-12, 12), st.floats(-6, 6))
def test_the_plane_is_found(turn: float, lean: float, shift: float) -> None:
    mask, normal = brain(turn, lean, shift)
    found = MidPlane.of(mask, AFFINE)
    assert np.degrees(np.arccos(min(1.0, found.normal @ normal))) < 3.0
    left = found.left_of(mask.shape, AFFINE)
    assert abs(asymmetry_percent(left[mask].sum(), (1 - left)[mask].sum())) < 2.0
    assert found.likeness > 0.9


def test_what_is_larger_on_the_left_is_told() -> None:
    mask, _ = brain(5.0, 0.0, 0.0)
    left = MidPlane.of(mask, AFFINE).left_of(mask.shape, AFFINE)
    columns = np.broadcast_to(np.arange(SHAPE[2]), SHAPE)
    assert columns[left > 0.5].mean() > columns[left < 0.5].mean()
    assert asymmetry_percent(3.0, 1.0) == pytest.approx(100)
    assert asymmetry_percent(1.0, 1.0) == 0
