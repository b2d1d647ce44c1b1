from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset

from node.outbound.window import Window
from node.web import drawing


def plane(rows_mm=1.0, columns_mm=1.0, position=(0.0, 0.0, 0.0), turn=0.0):
    """Where a slice lies that is turned about the z axis."""
    cos, sin = np.cos(turn), np.sin(turn)
    along_column = np.array([-sin, cos, 0.0]) * rows_mm
    along_row = np.array([cos, sin, 0.0]) * columns_mm
    return np.column_stack([along_column, along_row, position])


def spots(*places):
    return tuple(np.array(places, dtype=np.intp).T)


def test_a_frame_on_the_same_grid_marks_the_same_pixels():
    mask = drawing.onto(spots((1, 2), (3, 0)), plane(), plane(), (4, 5))
    assert np.argwhere(mask).tolist() == [[1, 2], [3, 0]]


def test_a_frame_whose_columns_run_the_other_way_marks_the_mirrored_pixels():
    other = plane()
    other[:, 1] *= -1
    other[0, 2] = 4.0
    assert np.argwhere(drawing.onto(spots((1, 0)), other, plane(), (4, 5))).tolist() == [[1, 4]]


def test_what_lies_beside_the_slice_is_left_out():
    assert not drawing.onto(spots((0, 0)), plane(position=(50.0, 0.0, 0.0)), plane(), (4, 5)).any()


@given(
    turn=st.floats(-3.0, 3.0),
    rows_mm=st.floats(0.3, 3.0),
    columns_mm=st.floats(0.3, 3.0),
    position=st.tuples(*[st.floats(-500, 500)] * 3),
    row=st.integers(0, 6),
    column=st.integers(0, 8),
)
def test_wherever_a_slice_lies_its_own_pixels_come_back(turn, rows_mm, columns_mm, position, row, column):
    where = plane(rows_mm, columns_mm, position, turn)
    assert np.argwhere(drawing.onto(spots((row, column)), where, where, (7, 9))).tolist() == [[row, column]]


def test_a_coarse_map_is_shown_under_each_pixel_of_a_fine_slice():
    coarse = np.arange(4, dtype=np.float32).reshape(2, 2)
    frame = plane(2.0, 2.0, (0.5, 0.5, 0.0))
    found = drawing.under(coarse, frame, plane(), (4, 5))
    assert found.tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [2, 2, 3, 3, 0], [2, 2, 3, 3, 0]]


def test_grey_goes_from_black_to_white_through_the_window():
    values = np.array([[-200.0, 40.0, 300.0]], dtype=np.float32)
    assert drawing.grey(values, Window(40.0, 400.0)).tolist() == [[0, 128, 255]]


def test_a_recommended_colour_comes_back_as_red_green_and_blue():
    segment = Dataset()
    segment.RecommendedDisplayCIELabValue = [34885, 53485, 50171]  # red, by the table of 3D Slicer's author
    red, green, blue = drawing.colour_of(segment)
    assert red > 240
    assert max(green, blue) < 20


def test_a_thumbnail_has_the_shape_of_the_patient_and_shows_what_was_found():
    over = drawing.layer((10, 20))
    over[:, :10] = (255, 0, 0, 255)
    picture = Image.open(BytesIO(drawing.thumbnail(np.zeros((10, 20), np.uint8), over, 2.0, 40)))
    assert picture.size == (40, 40)
    assert picture.getpixel((5, 20))[0] > 100
    assert picture.getpixel((35, 20)) == (0, 0, 0)


@pytest.mark.parametrize(("strength", "seen"), [(0.0, 0), (0.05, 0), (1.0, 255), (7.0, 255)])
def test_faint_saliency_is_not_shown(strength, seen):
    assert drawing.heat(np.full((1, 1), strength))[0, 0, 3] == seen
