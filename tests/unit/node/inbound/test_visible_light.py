from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from node.errors import IncompleteInput, ResourceInadequate, UnsuitableImage
from node.inbound import pictures, visible_light
from tests import synthetic_photograph

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def photograph(**changes):
    """A VL Photographic Image of the synthetic pixels, with other values."""
    instance = pictures.wrap(synthetic_photograph.file(), synthetic_photograph.SAID)
    for keyword, value in changes.items():
        setattr(instance, keyword, value)
    return instance


def read(instance, tmp_path):
    file = tmp_path / "photograph.dcm"
    file.write_bytes(pictures.written(instance))
    return visible_light.read([file])


def test_the_pixels_come_back_as_they_were_wrapped(tmp_path):
    instance = photograph()
    image, headers = read(instance, tmp_path)
    assert np.array_equal(image.pixels, synthetic_photograph.pixels())
    assert image.sop_instance_uid == instance.SOPInstanceUID == headers[0].SOPInstanceUID
    assert "PixelData" not in headers[0]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_losslessly_compressed_photograph_comes_back_exactly(syntax, tmp_path):
    instance = photograph()
    instance.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read(instance, tmp_path)[0].pixels, synthetic_photograph.pixels())


def test_the_colours_of_a_jpeg_are_those_that_other_software_shows(tmp_path):
    smooth = np.repeat(np.repeat(synthetic_photograph.pixels(12, 10), 8, axis=0), 8, axis=1)
    content = synthetic_photograph.file("JPEG", smooth, quality=90, subsampling=0)
    instance = photograph(Rows=96, Columns=80, PhotometricInterpretation="YBR_FULL")
    instance.PixelData = encapsulate([content])
    instance["PixelData"].is_undefined_length = True
    instance.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    shown = np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)
    assert np.abs(read(instance, tmp_path)[0].pixels.astype(int) - shown).max() <= 3


def test_a_palette_gives_its_colours(tmp_path):
    table = np.arange(256, dtype=np.uint16)
    instance = photograph(
        SamplesPerPixel=1,
        PhotometricInterpretation="PALETTE COLOR",
        Rows=2,
        Columns=2,
        PixelData=b"\0\1\2\xff",
    )
    del instance.PlanarConfiguration
    for colour, values in (("Red", table), ("Green", 255 - table), ("Blue", table * 0 + 7)):
        setattr(instance, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(instance, f"{colour}PaletteColorLookupTableData", (values * 257).astype("<u2").tobytes())
    found = read(instance, tmp_path)[0].pixels.reshape(4, 3).tolist()
    assert found == [[0, 255, 7], [1, 254, 7], [2, 253, 7], [255, 0, 7]]


@pytest.mark.parametrize(
    ("interpretation", "expected"), [("MONOCHROME2", [0, 128, 255]), ("MONOCHROME1", [255, 127, 0])]
)
def test_grey_has_three_equal_samples(interpretation, expected, tmp_path):
    cells = np.array([[0, 2048, 4095]], dtype="<u2")
    instance = photograph(
        SOPClassUID=SECONDARY_CAPTURE,
        SamplesPerPixel=1,
        PhotometricInterpretation=interpretation,
        Rows=1,
        Columns=3,
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelData=cells.tobytes(),
    )
    del instance.PlanarConfiguration
    assert read(instance, tmp_path)[0].pixels.tolist() == [[[value] * 3 for value in expected]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
            "is CT Image Storage; photographs are VL Photographic",
        ),
        ({"NumberOfFrames": 3}, "has 3 frames"),
        ({"Rows": None}, "header of .* cannot be decoded"),
        ({"PixelData": b"\0\0"}, r"pixels of .* cannot be decoded \(ValueError\)"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(changes, told, tmp_path):
    with pytest.raises(UnsuitableImage, match=told):
        read(photograph(**changes), tmp_path)


def test_a_huge_photograph_is_refused_before_it_is_decoded(tmp_path):
    with pytest.raises(ResourceInadequate, match="60000 x 60000 pixels"):
        read(photograph(Rows=60000, Columns=60000), tmp_path)


def test_several_photographs_or_none_are_refused(tmp_path):
    synthetic_photograph.instance(tmp_path / "photograph.dcm")
    with pytest.raises(UnsuitableImage, match="holds 2 instances"):
        visible_light.read([tmp_path / "photograph.dcm"] * 2)
    with pytest.raises(IncompleteInput):
        visible_light.read([tmp_path / "gone.dcm"])


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientAge": "051Y"}, 51.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "051Y", "PatientBirthDate": "20000101", "StudyDate": "20200101"}, 51.0),
        ({"PatientBirthDate": "20000101", "StudyDate": "20200101"}, 20.0),
        ({"PatientBirthDate": "20000101", "AcquisitionDate": "20100101", "StudyDate": "20200101"}, 10.0),
        ({"PatientBirthDate": "20000101", "ContentDate": "20050101", "StudyDate": "20200101"}, 5.0),
        ({"PatientBirthDate": "20000101", "AcquisitionDateTime": "20150101101500.0"}, 15.0),
        ({"PatientBirthDate": "18000101", "StudyDate": "20200101"}, None),
        ({"PatientBirthDate": "20200101", "StudyDate": "20000101"}, None),
        ({"PatientBirthDate": "20200101"}, None),
        ({"StudyDate": "20200101"}, None),
        ({}, None),
    ],
)
def test_the_age_is_the_one_stated_or_the_time_from_birth_to_the_picture(values, years):
    header = Dataset()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    found = visible_light.subject_age_years(header)
    assert found == (years if years is None else pytest.approx(years, abs=0.01))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_an_age_is_found_or_not_whatever_the_header_says(age, born, taken):
    header = Dataset()
    header.PatientAge, header.PatientBirthDate, header.StudyDate = age, born, taken
    years = visible_light.subject_age_years(header)
    assert years is None or 0 <= years <= 999
