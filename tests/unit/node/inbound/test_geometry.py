import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.errors import IrregularGeometry, UnsuitableImage
from node.inbound.geometry import geometry, outline

AXES = [np.array(axis) * sign for axis in np.eye(3) for sign in (1.0, -1.0)]
PERPENDICULAR = [(row, column) for row, column in itertools.permutations(AXES, 2) if row @ column == 0]


def header(position, row=(1, 0, 0), column=(0, 1, 0), spacing=(0.5, 0.25), size=(4, 5), **attributes):
    ds = Dataset()
    ds.SOPInstanceUID = "1.2.3"
    ds.ImagePositionPatient = [float(p) for p in position]
    ds.ImageOrientationPatient = [float(d) for d in (*row, *column)]
    ds.PixelSpacing = [float(s) for s in spacing]
    ds.Rows, ds.Columns = size
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def axial(places, **attributes):
    return [header((0, 0, z), **attributes) for z in places]


def refusal(headers):
    with pytest.raises(IrregularGeometry) as caught:
        geometry(headers)
    return str(caught.value)


def test_the_affine_puts_row_and_column_spacing_on_the_axes_the_standard_says():
    found = geometry(axial([0, 2, 4]))
    # Down one row is 0.5 mm to the back; right one column is 0.25 mm to the patient's left.
    assert found.affine_mm @ [0, 1, 0, 1] == pytest.approx([0, 0.5, 0, 1])
    assert found.affine_mm @ [0, 0, 1, 1] == pytest.approx([0.25, 0, 0, 1])
    assert found.spacing_mm == pytest.approx((2, 0.5, 0.25))
    assert found.coverage_mm == pytest.approx(6)


@pytest.mark.parametrize(("row", "column"), PERPENDICULAR)
@given(order=st.permutations(range(5)))
def test_slices_ascend_along_row_cross_column_in_every_patient_orientation(row, column, order):
    normal = np.cross(row, column)
    positions = [np.array([10, -20, 30]) + 1.5 * k * normal for k in order]
    found = geometry([header(p, row, column) for p in positions])
    assert [order[i] for i in found.order] == [0, 1, 2, 3, 4]
    assert found.affine_mm[:3, 0] == pytest.approx(1.5 * normal)
    assert found.affine_mm[:3, 3] == pytest.approx([10, -20, 30])


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [
        ((1, 0, 0), (0, 1, 0), "axial"),
        ((1, 0, 0), (0, 0, -1), "coronal"),
        ((0, 1, 0), (0, 0, -1), "sagittal"),
        ((1, 0, 0), (0, np.cos(0.3), -np.sin(0.3)), "axial"),
        ((1, 0, 0), (0, np.cos(0.75), -np.sin(0.75)), "oblique"),
    ],
)
def test_the_plane_is_named_after_the_axis_its_normal_is_near(row, column, name):
    assert geometry([header((0, 0, 0), row, column, SliceThickness=1)]).orientation == name


@given(spacing=st.floats(0.5, 10), count=st.integers(2, 400), start=st.floats(-2000, 2000))
def test_positions_rounded_to_a_tenth_of_a_millimetre_are_still_regular(spacing, count, start):
    found = geometry(axial([round(start + k * spacing, 1) for k in range(count)]))
    assert found.order == tuple(range(count))


@given(count=st.integers(4, 300), spacing=st.floats(0.3, 10), data=st.data())
def test_a_missing_slice_is_never_overlooked(count, spacing, data):
    places = [k * spacing for k in range(count)]
    del places[data.draw(st.integers(1, count - 2))]
    assert "form no regular volume" in refusal(axial(places))


def test_missing_slices_are_counted_and_placed():
    message = refusal(axial([0, 5, 10, 25, 30, 40, 45]))
    assert "slices are missing (3) after 10.00, 30.00 mm" in message
    assert "0.00, 5.00, 10.00, 25.00, 30.00, 40.00, 45.00 mm" in message


def test_uneven_distances_are_listed():
    message = refusal(axial([0, 4, 8, 9.3, 16, 23]))
    assert "neighbouring slices are 1.30 to 7.00 mm apart" in message
    assert "9.30" in message


def test_doubled_positions_are_listed():
    assert "4 slices share 2 positions: 5.00, 10.00 mm" in refusal(axial([0, 5, 5, 10, 10, 15]))


def test_long_lists_of_positions_are_shortened():
    message = refusal(axial([*range(300), 400]))
    assert "(261 more)" in message
    assert len(message) < 700


def test_a_tilted_gantry_is_named_in_degrees():
    column = (0, np.cos(np.radians(18.5)), -np.sin(np.radians(18.5)))
    tilted = [header((0, 0, 4 * k), column=column) for k in range(10)]
    assert "tilted by 18.5 degrees" in refusal(tilted)


def test_slices_shifted_sideways_are_refused():
    shifted = [header((2.0 * (k == 3), 0, 4 * k)) for k in range(7)]
    assert "shifted sideways" in refusal(shifted)


def test_one_slice_of_another_orientation_is_placed():
    mixed = [*axial([0, 5, 10]), header((0, 0, 15), (0, 1, 0), (0, 0, -1))]
    assert "differ in orientation: 1 of 4 differ from the others, at 15.00 mm" in refusal(mixed)


def test_one_slice_of_another_size_is_placed():
    mixed = [*axial([0, 5, 10]), *axial([15], size=(5, 4))]
    assert "differ in rows and columns: 1 of 4 differ from the others, at 15.00 mm" in refusal(mixed)


def test_one_slice_of_another_pixel_spacing_is_placed():
    mixed = [*axial([0]), *axial([5, 10], spacing=(1, 1))]
    assert "differ in pixel spacing: 1 of 3 differ from the others, at 0.00 mm" in refusal(mixed)


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"]
)
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_missing_geometry_attributes_are_named(keyword, how):
    series = axial([0, 5, 10])
    if how == "absent":
        delattr(series[1], keyword)
    else:
        setattr(series[1], keyword, None)
    message = refusal(series)
    assert keyword in message
    assert "1.2.3" in message


@pytest.mark.parametrize("directions", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 0]])
def test_directions_that_are_not_perpendicular_unit_vectors_are_refused(directions):
    assert "perpendicular unit vectors" in refusal(axial([0, 5], ImageOrientationPatient=directions))


def test_a_spacing_of_zero_is_refused():
    assert "not positive" in refusal(axial([0, 5], spacing=(0, 1)))


def test_a_single_slice_takes_its_depth_from_the_header():
    assert geometry(axial([7], SliceThickness=3)).spacing_mm[0] == 3
    assert geometry(axial([7], SliceThickness=3, SpacingBetweenSlices=2)).spacing_mm[0] == 2
    assert "has no depth" in refusal(axial([7]))


def test_several_frames_in_an_instance_are_unsuitable():
    with pytest.raises(UnsuitableImage, match="several frames"):
        geometry(axial([0, 5], NumberOfFrames=10))


def test_no_instance_is_no_volume():
    assert "no instance" in refusal([])


def test_the_outline_of_an_irregular_series_is_still_known():
    found = outline(axial([0, 5, 10, 25, 30], size=(5, 4)))
    assert (found.orientation, found.spacing_mm, found.coverage_mm) == ("axial", 5, 35)


@given(
    row=st.sampled_from(PERPENDICULAR),
    degrees=st.floats(-30, 30),
    gaps=st.lists(st.floats(3.0, 4.0), min_size=2, max_size=12),
    data=st.data(),
)
def test_a_leaning_uneven_stack_puts_every_voxel_where_its_header_does(row, degrees, gaps, data):
    along_row, along_column = row
    lean = np.cross(along_row, along_column) + np.tan(np.radians(degrees)) * along_column
    positions = [np.array([10, -20, 30]) + place * lean for place in np.cumsum([0.0, *gaps])]
    order = data.draw(st.permutations(range(len(positions))))
    headers = [header(positions[k], along_row, along_column, SliceThickness=4) for k in order]
    found = geometry(headers, any_stack=True)
    assert [order[i] for i in found.order] == list(range(len(positions)))
    places = np.arange(len(positions)) if found.slice_places is None else found.slice_places
    for place, position in zip(places, positions, strict=True):
        voxel = position + 3 * 0.5 * along_column + 4 * 0.25 * along_row
        assert (found.affine_mm @ [place, 3, 4, 1])[:3] == pytest.approx(voxel, abs=0.11)
        if found.slice_places is not None:
            assert (found.affine_mm @ [place, 3, 4, 1])[:3] == pytest.approx(voxel, abs=1e-9)


def test_a_thickness_that_is_missing_or_zero_does_not_stop_a_stack():
    for thickness in (None, 0):
        headers = axial([0, 4, 8, 12, 18, 24], SliceThickness=thickness)
        assert geometry(headers, any_stack=True).slice_places is not None


def test_slices_that_are_not_parallel_are_no_stack():
    mixed = [*axial([0, 5, 10]), header((0, 0, 15), (0, 1, 0), (0, 0, -1))]
    with pytest.raises(IrregularGeometry, match="differ in orientation"):
        geometry(mixed, any_stack=True)
