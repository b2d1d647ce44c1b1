from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread

from node.errors import UnsuitableImage
from node.inbound import pictures
from tests import synthetic_photograph
from tests.synthetic_photograph import SAID

ORIENTATION, MAKE, GPS, LATITUDE = 0x0112, 0x010F, 0x8825, 2


def exif(orientation=1):
    told = Image.Exif()
    told[ORIENTATION], told[MAKE] = orientation, "Camera of Ada"
    told.get_ifd(GPS)[LATITUDE] = (52.0, 31.0, 12.0)
    return told


def shown(instance):
    return np.frombuffer(instance.PixelData, np.uint8)[: instance.Rows * instance.Columns * 3].reshape(
        instance.Rows, instance.Columns, 3
    )


def test_a_png_comes_as_the_pixels_it_holds():
    instance = pictures.wrap(synthetic_photograph.file("PNG"), SAID)
    assert np.array_equal(shown(instance), synthetic_photograph.pixels())
    assert (instance.LossyImageCompression, instance.Modality) == ("00", "XC")


@pytest.mark.parametrize(("orientation", "turned"), [(3, 2), (6, 3), (8, 1)])
def test_a_picture_is_turned_as_its_camera_says(orientation, turned):
    array = synthetic_photograph.pixels()
    content = synthetic_photograph.file("PNG", array, exif=exif(orientation))
    assert np.array_equal(shown(pictures.wrap(content, SAID)), np.rot90(array, turned))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_nothing_the_camera_tells_is_copied(kind):
    content = synthetic_photograph.file(kind, exif=exif())
    assert b"Camera of Ada" in content
    written = pictures.written(pictures.wrap(content, SAID))
    assert b"Camera" not in written
    assert not any("GPS" in element.keyword for element in dcmread(BytesIO(written)))


def test_a_jpeg_says_that_it_was_compressed_with_loss():
    instance = pictures.wrap(synthetic_photograph.file("JPEG"), {})
    assert (instance.LossyImageCompression, instance.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert instance.LossyImageCompressionRatio > 1


def test_the_patient_is_whom_the_request_names():
    instance = dcmread(BytesIO(pictures.written(pictures.wrap(synthetic_photograph.file(), SAID))))
    assert {keyword: str(instance[keyword].value) for keyword in SAID} == SAID


def test_the_same_request_makes_the_same_instance_and_another_another():
    first, again, other = (
        pictures.wrap(synthetic_photograph.file(), said)
        for said in (SAID, SAID, {**SAID, "PatientID": "P-8"})
    )
    assert pictures.written(first) == pictures.written(again)
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.StudyInstanceUID != first.SeriesInstanceUID != first.SOPInstanceUID


def test_uids_of_the_request_are_taken():
    instance = pictures.wrap(synthetic_photograph.file(), {"StudyInstanceUID": "2.25.12"})
    assert instance.StudyInstanceUID == "2.25.12"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_every_mode_of_eight_bits_becomes_rgb(mode):
    buffer = BytesIO()
    Image.fromarray(synthetic_photograph.pixels()).convert(mode).save(buffer, "PNG")
    assert shown(pictures.wrap(buffer.getvalue(), {})).shape == (90, 70, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GIF89a", "neither JPEG nor PNG"),
        (b"", "neither JPEG nor PNG"),
        (b"\xff\xd8\xff", "the JPEG cannot be decoded"),
        (synthetic_photograph.file("PNG")[:100], "the PNG cannot be decoded"),
        (synthetic_photograph.file("JPEG")[:400], "the JPEG cannot be decoded"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(content, told):
    with pytest.raises(UnsuitableImage, match=told):
        pictures.wrap(content, {})


def test_a_request_says_nothing_of_the_pixels():
    with pytest.raises(UnsuitableImage, match="nothing of BitsAllocated"):
        pictures.wrap(synthetic_photograph.file(), {"BitsAllocated": "16"})


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientAge", "old Ada"),
        ("PatientBirthDate", "yesterday"),
        ("SOPInstanceUID", "../../x"),
        ("SeriesNumber", "x"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_not_repeated(keyword, value):
    with pytest.raises(UnsuitableImage, match=f"the {keyword} of the request") as refused:
        pictures.wrap(synthetic_photograph.file(), {keyword: value})
    assert value not in str(refused.value)


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=200))
def test_any_bytes_are_wrapped_or_refused(beginning, rest):
    with pytest.raises(UnsuitableImage):
        pictures.wrap(beginning + rest, {})
