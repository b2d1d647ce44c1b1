import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.misc import is_dicom
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless, generate_uid
from scipy.spatial.transform import Rotation

from algorithms.spatial import evened, lean_degrees
from node.errors import IncompleteInput, IrregularGeometry, ResourceInadequate, UnsuitableImage
from node.inbound import volumes

AXES = [np.array(axis) * sign for axis in np.eye(3) for sign in (1.0, -1.0)]
PERPENDICULAR = [(row, column) for row, column in itertools.permutations(AXES, 2) if row @ column == 0]


def write(path, pixels, syntax=ExplicitVRLittleEndian, **attributes):
    """One CT slice; attributes replace or, where None, remove what an ordinary one has."""
    bits = pixels.dtype.itemsize * 8
    ds = Dataset()
    ordinary = {
        "SOPClassUID": pydicom.uid.CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "Modality": "CT",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": attributes.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.25],
        "SliceThickness": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    }
    for keyword, value in (ordinary | attributes).items():
        if isinstance(value, DataElement):
            ds.add(value)
        elif value is not None:
            setattr(ds, keyword, value)
    big = syntax == ExplicitVRBigEndian
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True, little_endian=not big, implicit_vr=False)
    return path


def one(tmp_path, pixels, **attributes):
    volume, _ = volumes.read([write(tmp_path / "one.dcm", pixels, **attributes)])
    return volume.voxels[0]


def labelled_series(folder, row, column, step, order):
    """3 slices of 4 x 5 voxels, each voxel a value of its own; returns value -> position."""
    where = {}
    for slice_, name in zip(range(3), order, strict=True):
        position = np.array([12.5, -200, 1000]) + slice_ * step
        values = np.arange(20, dtype=np.uint16).reshape(4, 5) + 20 * slice_
        for (r, c), value in np.ndenumerate(values):
            # PS3.3 C.7.6.2.1.1: index along the row times the distance between columns, and so on.
            where[int(value)] = position + row * 0.25 * c + column * 0.5 * r
        write(
            folder / f"{name}.dcm",
            values,
            ImagePositionPatient=[f"{p:.10g}" for p in position],
            ImageOrientationPatient=[f"{d:.12f}" for d in (*row, *column)],
        )
    return where


def assert_every_value_in_its_place(folder, where):
    volume, headers = volumes.read(sorted(folder.iterdir()))
    assert [h.SOPInstanceUID for h in headers] == list(volume.sop_instance_uids)
    found = {int(value): volume.affine_mm @ (*index, 1) for index, value in np.ndenumerate(volume.voxels)}
    assert found.keys() == where.keys()
    for value, position in where.items():
        assert found[value][:3] == pytest.approx(position, abs=1e-5)


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize(("row", "column"), PERPENDICULAR)
def test_values_keep_their_place_in_all_48_orientations(tmp_path, row, column, way):
    where = labelled_series(tmp_path, row, column, way * 2 * np.cross(row, column), [2, 0, 1])
    assert_every_value_in_its_place(tmp_path, where)


@settings(max_examples=40, deadline=None)
@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), order=st.permutations(range(3)))
def test_values_keep_their_place_in_oblique_series(tmp_path_factory, angles, order):
    folder = tmp_path_factory.mktemp("oblique")
    row, column, normal = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    where = labelled_series(folder, row, column, 3 * normal, order)
    assert_every_value_in_its_place(folder, where)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), stored=st.integers(8, 16), signed=st.booleans())
def test_bits_outside_bits_stored_are_ignored(tmp_path, data, stored, signed):
    high = data.draw(st.integers(stored - 1, 15))
    low = -(1 << (stored - 1)) if signed else 0
    value = data.draw(st.integers(low, low + (1 << stored) - 1))
    noise = data.draw(st.integers(0, 0xFFFF))
    shift = high + 1 - stored
    field = ((1 << stored) - 1) << shift
    cell = ((value << shift) & field) | (noise & ~field)
    cells = np.full((2, 2), cell, dtype=np.uint16).view(np.int16 if signed else np.uint16)
    assert (one(tmp_path, cells, BitsStored=stored, HighBit=high) == value).all()


def test_each_slice_has_its_own_rescale(tmp_path):
    paths = [
        write(
            tmp_path / f"{k}.dcm",
            np.full((2, 2), 100, np.uint16),
            ImagePositionPatient=[0, 0, k],
            RescaleSlope=slope,
            RescaleIntercept=intercept,
        )
        for k, (slope, intercept) in enumerate([(1, -1024), ("0.00056706498757", 0), (2, 5)])
    ]
    volume, _ = volumes.read(paths)
    assert volume.voxels[:, 0, 0] == pytest.approx([-924, 0.056706498757, 205])


@pytest.mark.parametrize(
    ("dtype", "stored", "raw", "written"),
    [
        (np.int16, 16, -2000, -2000),
        (np.int16, 16, -2000, 63536),  # the sign lost in an explicit US
        (np.uint16, 16, 65535, 65535),
        (np.uint16, 12, 63536, 63536),  # padding needs the whole cell
        (np.uint16, 12, 0, 0),
    ],
)
def test_padding_becomes_air_in_ct(tmp_path, dtype, stored, raw, written):
    cells = np.array([[raw, 40], [50, 60]]).astype(dtype)
    values = one(tmp_path, cells, BitsStored=stored, PixelPaddingValue=padding(written), RescaleIntercept=-10)
    assert values.tolist() == [[-1000, 30], [40, 50]]


def padding(value):
    vr = "SS" if value < 0 else "US"
    return DataElement("PixelPaddingValue", vr, value)


def test_padding_reaches_to_the_range_limit_and_is_zero_in_mr(tmp_path):
    cells = np.array([[0, 5], [10, 11]], np.uint16)
    values = one(
        tmp_path,
        cells,
        Modality="MR",
        PixelPaddingValue=DataElement("PixelPaddingValue", "US", 10),
        PixelPaddingRangeLimit=DataElement("PixelPaddingRangeLimit", "US", 4),
        RescaleIntercept=3,
    )
    assert values.tolist() == [[3, 0], [0, 14]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, RLELossless])
def test_other_transfer_syntaxes_give_the_same_values(tmp_path, dtype, syntax):
    cells = np.array([[0, 1, 2], [100, 101, 127]], dtype)
    assert (one(tmp_path, cells, syntax=syntax) == cells).all()


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({}, "HU"),
        ({"RescaleType": "HU"}, "HU"),
        ({"RescaleType": "US"}, "arbitrary"),
        ({"RescaleIntercept": None, "RescaleSlope": None}, "arbitrary"),
        ({"Modality": "MR"}, "arbitrary"),
    ],
)
def test_the_unit_is_hounsfield_only_where_the_header_allows_it(tmp_path, attributes, unit):
    path = write(tmp_path / "one.dcm", np.zeros((2, 2), np.int16), **attributes)
    assert volumes.read([path])[0].unit == unit


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Modality": "US"}, "Modality US"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour"),
        ({"NumberOfFrames": 2}, "several frames"),
        ({"Rows": 200}, "cannot be decoded"),
    ],
)
def test_other_images_are_unsuitable(tmp_path, attributes, words):
    path = write(tmp_path / "one.dcm", np.zeros((2, 2), np.int16), **attributes)
    with pytest.raises(UnsuitableImage, match=words):
        volumes.read([path])


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path = write(tmp_path / "one.dcm", np.zeros((2, 2), np.int16), Rows=65535, Columns=65535)
    with pytest.raises(ResourceInadequate, match="65535 x 65535"):
        volumes.read([path])


def test_a_file_that_is_gone_is_incomplete_input(tmp_path):
    with pytest.raises(IncompleteInput, match="gone"):
        volumes.read([tmp_path / "gone.dcm"])


def test_a_file_that_is_not_dicom_is_unsuitable(tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM here")
    with pytest.raises(UnsuitableImage, match=r"notes\.txt"):
        volumes.headers([tmp_path / "notes.txt"])


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("sound", "damaged"),
    [
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR\x00100"),
        (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00UL"),
        (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00ZZ"),
        (b"\x18\x00\x50\x00DS", b"\x18\x00\x50\x00FD"),
        (b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00FD"),
        (b"\x28\x00\x53\x10DS", b"\x28\x00\x53\x10FD"),
    ],
    ids=["character set", "wrong length", "unknown VR", "thickness", "pixel spacing", "slope"],
)
def test_a_header_that_cannot_be_decoded_ends_as_a_sentence(tmp_path, sound, damaged):
    path = write(tmp_path / "one.dcm", np.zeros((2, 2), np.int16), SpecificCharacterSet="ISO_IR 100")
    assert path.read_bytes().count(sound) == 1
    path.write_bytes(path.read_bytes().replace(sound, damaged))
    with pytest.raises((IrregularGeometry, UnsuitableImage)):
        volumes.read([path])


def test_progress_goes_up_and_may_stop_the_reading(tmp_path):
    paths = [
        write(tmp_path / f"{k}.dcm", np.zeros((2, 2), np.int16), ImagePositionPatient=[0, 0, k])
        for k in range(40)
    ]
    told = []
    volumes.read(paths, lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert len(told) == 20

    def stop(fraction, stage):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        volumes.read(paths, stop)


def files(folder: Path):
    return [path for path in folder.rglob("*") if path.is_file() and is_dicom(path)]


def test_a_real_chest_ct_has_air_in_the_lungs_and_five_millimetre_slices(shared_data):
    volume, headers = volumes.read(files(shared_data / "ct-thorax-lungdx"))
    assert volume.voxels.shape == (64, 512, 512)
    assert volume.spacing_mm == pytest.approx((5.0, 0.841796875, 0.841796875))
    assert volume.unit == "HU"
    assert headers[0].ImagePositionPatient[2] == -439
    right_lung, spine = volume.voxels[36, 230:250, 130:160], volume.voxels[36, 350:370, 250:262]
    assert right_lung.mean() < -700
    assert spine.mean() > 50
    for header, plane in zip(headers[::16], volume.voxels[::16], strict=True):
        assert (pydicom.dcmread(header.filename).pixel_array - 1024.0 == plane).all()


def test_a_real_oblique_sagittal_brain_lies_where_its_header_says(shared_data):
    volume, headers = volumes.read(files(shared_data / "mr-t1-brain-dicom"))
    assert volume.voxels.shape == (192, 256, 256)
    assert volume.spacing_mm == pytest.approx((0.9, 0.859375, 0.859375))
    assert volumes.geometry(headers).orientation == "sagittal"
    assert (volume.unit, volume.voxels.max()) == ("arbitrary", 713)
    for index in (0, 100, 191):
        corner = volume.affine_mm @ (index, 0, 0, 1)
        assert corner[:3] == pytest.approx([float(p) for p in headers[index].ImagePositionPatient])


@pytest.mark.parametrize(
    ("folder", "shape", "unit"),
    [
        ("ct-pet-mr-rtstruct-sts/STS_002/dicom/CT/image", (48, 143, 161), "HU"),
        ("ct-pet-mr-rtstruct-sts/STS_002/dicom/MR_T1/image", (35, 90, 115), "arbitrary"),
        ("ct-pet-mr-rtstruct-sts/STS_002/dicom/PET/image", (48, 27, 30), "arbitrary"),
        ("ct-head/ge-ct8800-tiny", (93, 64, 64), "arbitrary"),
        ("ct-labelled-totalsegmentator/example_ct_dicom", (20, 512, 512), "HU"),
    ],
)
def test_real_series_are_read_whole(shared_data, folder, shape, unit):
    volume, _ = volumes.read(files(shared_data / folder))
    assert (volume.voxels.shape, volume.unit) == (shape, unit)


def test_a_real_tilted_and_uneven_head_is_refused_with_its_positions(shared_data):
    with pytest.raises(
        IrregularGeometry, match=r"18\.5 degrees; .* 1\.08 to 7\.00 mm .*-33\.67, .*110\.42 mm"
    ):
        volumes.read(files(shared_data / "ct-head" / "ge-hispeed-tilted"))


def test_a_real_tilted_and_uneven_head_is_a_stack_whose_voxels_lie_where_its_headers_say(shared_data):
    volume, headers = volumes.read(files(shared_data / "ct-head" / "ge-hispeed-tilted"), any_stack=True)
    assert volume.voxels.shape == (28, 512, 512)
    assert lean_degrees(volume.affine_mm) == pytest.approx(18.5, abs=0.01)
    assert volume.sop_instance_uids == tuple(str(header.SOPInstanceUID) for header in headers)
    for place, header in zip(volume.slice_places, headers, strict=True):
        position = np.array([float(p) for p in header.ImagePositionPatient])
        far = position + 511 * 0.4882812 * np.array([float(d) for d in header.ImageOrientationPatient[3:]])
        assert (volume.affine_mm @ [place, 0, 0, 1])[:3] == pytest.approx(position, abs=0.02)
        assert (volume.affine_mm @ [place, 511, 0, 1])[:3] == pytest.approx(far, abs=0.02)


def test_an_evened_real_head_has_brain_in_its_middle_and_stands_upright(shared_data):
    volume, _ = volumes.read(files(shared_data / "ct-head" / "ge-hispeed-tilted"), any_stack=True)
    even = evened(volume)
    assert even.spacing_mm == pytest.approx((4.0, 0.488, 0.488), abs=0.01)
    inner = np.linalg.inv(even.affine_mm) @ volume.affine_mm @ [volume.slice_places[20], 256, 256, 1]
    plane, row, column = np.rint(inner[:3]).astype(int)
    brain = even.voxels[plane - 3 : plane + 4, row - 20 : row + 20, column - 20 : column + 20]
    assert 0 < np.median(brain) < 50


LOSSLESS = [
    "LittleEndianImplicit",
    "BigEndianExplicit",
    "Deflated",
    "JPEG2000LosslessOnly",
    "JPEGLSLossless",
    "JPEGProcess14T",
    "JPEGProcess14SV1",
    "RLE",
]


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_real_slice_has_the_same_values_in_every_lossless_transfer_syntax(shared_data, name):
    folder = shared_data / "dicom-oddities" / "one-ct-many-transfer-syntaxes"
    (plain,) = folder.glob("*LittleEndianExplicitT*")
    (other,) = folder.glob(f"*{name}*")
    expected, actual = volumes.read([plain])[0], volumes.read([other])[0]
    assert np.array_equal(expected.voxels, actual.voxels)


@pytest.mark.parametrize("name", ["JPEGProcess6_8", "JPEGProcess10_12"])
def test_a_transfer_syntax_that_no_decoder_knows_ends_as_a_sentence(shared_data, name):
    folder = shared_data / "dicom-oddities" / "one-ct-many-transfer-syntaxes"
    with pytest.raises(UnsuitableImage, match="cannot be decoded"):
        volumes.read(folder.glob(f"*{name}*"))


@pytest.mark.parametrize("name", ["eCT_Supplemental.dcm", "emri_small.dcm"])
def test_enhanced_multi_frame_objects_are_refused_with_a_sentence(shared_data, name):
    with pytest.raises(UnsuitableImage, match="several frames"):
        volumes.read([shared_data / "dicom-oddities" / "pydicom-data" / name])
