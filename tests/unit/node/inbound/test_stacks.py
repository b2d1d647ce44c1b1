"""Stacks that lean or change their step are taken where they may be; what is no stack never is."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.errors import IrregularGeometry
from node.inbound.stacks import stacked

NORMAL = np.array([0.0, 0.0, 1.0])


def leaning(along, degrees=0.0):
    """Positions at these places along the normal, on a line that leans to the back."""
    along = np.asarray(along, dtype=float)
    return np.stack([0 * along - 100, np.tan(np.radians(degrees)) * along, along], axis=1)


def refusal(along, degrees=0.0, thickness=None):
    with pytest.raises(IrregularGeometry) as caught:
        stacked(
            leaning(along, degrees),
            NORMAL,
            None if thickness is None else np.array(thickness),
            any_stack=True,
        )
    return str(caught.value)


@given(
    gaps=st.lists(st.floats(0.75, 1.0), min_size=2, max_size=40),
    step=st.floats(0.5, 12),
    degrees=st.floats(-35, 35),
)
def test_every_slice_of_a_stack_lies_where_its_header_says(gaps, step, degrees):
    positions = leaning(np.cumsum([-300.0, *(step * g for g in gaps)]), degrees)
    stack = stacked(positions, NORMAL, any_stack=True)
    assert np.abs(stack.off(positions)).max() <= (0.11 if stack.even else 1e-9)
    assert (np.diff(stack.places) > 0).all()
    assert (stack.places[0], stack.places[-1]) == pytest.approx((0, len(gaps)))


@given(count=st.integers(3, 60), spacing=st.floats(0.5, 10), degrees=st.floats(0.2, 35))
def test_an_even_stack_may_lean_where_any_stack_is_taken_and_only_there(count, spacing, degrees):
    positions = leaning(spacing * np.arange(count), degrees)
    stack = stacked(positions, NORMAL, any_stack=True)
    assert stack.even
    assert stack.step_mm == pytest.approx(positions[1] - positions[0])
    with pytest.raises(IrregularGeometry, match="tilted by"):
        stacked(positions, NORMAL)


@given(count=st.integers(2, 60), spacing=st.floats(0.5, 10))
def test_a_regular_stack_is_the_same_whether_or_not_any_is_taken(count, spacing):
    positions = leaning(spacing * np.arange(count))
    strict, lenient = (stacked(positions, NORMAL, any_stack=any_stack) for any_stack in (False, True))
    assert strict.even
    assert lenient.even
    assert np.array_equal(strict.step_mm, lenient.step_mm)
    assert np.array_equal(strict.origin_mm, lenient.origin_mm)


@given(count=st.integers(4, 200), spacing=st.floats(0.5, 10), degrees=st.floats(0, 30), data=st.data())
def test_a_lost_slice_is_never_made_up(count, spacing, degrees, data):
    lost = data.draw(st.integers(1, count - 2))
    along = np.delete(spacing * np.arange(count), lost)
    assert f"slices are missing after {along[lost - 1]:.2f} mm" in refusal(along, degrees)


def test_a_change_of_step_is_no_lost_slice():
    fossa_then_brain = [0, 5, 10, 15, 25, 35, 45]
    thickness = np.array([5, 5, 5, 10, 10, 10, 10])
    stack = stacked(leaning(fossa_then_brain), NORMAL, thickness, any_stack=True)
    assert stack.places == pytest.approx(np.array(fossa_then_brain) / 7.5)


def test_tissue_between_thin_slices_is_not_made_up():
    along = [0, 5, 10, 15, 25, 35, 45]
    assert "slices are missing after 15.00, 25.00, 35.00 mm" in refusal(along, thickness=[5] * 7)
    unknown = np.full(7, np.nan)
    assert not stacked(leaning(along), NORMAL, unknown, any_stack=True).even


def test_no_gap_beyond_twelve_millimetres_is_bridged():
    assert "slices are missing after 24.00, 38.00 mm" in refusal([0, 8, 16, 24, 38, 52])


@given(along=st.lists(st.integers(0, 40), min_size=3, max_size=20).map(sorted))
def test_doubled_positions_are_refused_by_name(along):
    assume(len(set(along)) < len(along))
    assert "share" in refusal(along)


def test_two_stacks_in_one_another_are_refused():
    assert "slices are missing" in refusal([0, 0.3, 4, 4.3, 8, 8.3])


@given(where=st.integers(1, 5), by=st.floats(0.5, 5))
def test_slices_shifted_sideways_are_refused_in_a_leaning_stack_too(where, by):
    positions = leaning([0, 4, 8, 12, 16, 23, 30], 15)
    positions[where, 0] += by
    with pytest.raises(IrregularGeometry, match="shifted sideways"):
        stacked(positions, NORMAL, any_stack=True)


def test_no_gantry_leans_by_fifty_degrees():
    assert "leans by 50.0 degrees" in refusal([0, 4, 8, 12], 50)


def test_the_positions_are_listed():
    assert "0.00, 4.00, 12.00, 16.00 mm" in refusal([0, 4, 12, 16])
