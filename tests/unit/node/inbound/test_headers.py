import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from node.errors import TooLarge, Undecodable
from node.inbound.headers import ATTRIBUTES, IDENTIFIERS, read_header

LIMIT = 1 << 20


def ct() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.1", "1.2.2"
    dataset.Modality, dataset.PatientName = "CT", "Müller^Zoë"
    dataset.ProcedureCodeSequence = Sequence([code("1", "99X"), code("2", "99X")])
    dataset.PixelData = bytes(64)
    dataset["PixelData"].VR = "OB"
    return dataset


def code(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "meaning"
    return item


def encode(dataset: Dataset, *, little: bool = True, implicit: bool = False) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = little, implicit
    write_dataset(file, dataset)
    return file.getvalue()


def with_undefined_lengths(dataset: Dataset) -> Dataset:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                with_undefined_lengths(item)
    return dataset


def deflate(encoded: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(encoded) + stream.flush()


@pytest.mark.parametrize(
    ("transfer_syntax", "encoded"),
    [
        (ExplicitVRLittleEndian, encode(ct())),
        (ImplicitVRLittleEndian, encode(ct(), implicit=True)),
        (ExplicitVRBigEndian, encode(ct(), little=False)),
        (DeflatedExplicitVRLittleEndian, deflate(encode(ct()))),
        (DeflatedExplicitVRLittleEndian, deflate(encode(ct())) + b"\0"),
        ("1.3.12.2.1107.5.9.9", encode(ct())),
        ("1.2.840.113619.5.2", encode(ct(), implicit=True)),
        (ExplicitVRLittleEndian, encode(with_undefined_lengths(ct()))),
        (ExplicitVRLittleEndian, encode(ct()) + bytes(7)),
    ],
    ids=[
        "explicit",
        "implicit",
        "big endian",
        "deflated",
        "deflated and padded",
        "private",
        "private and implicit",
        "undefined lengths",
        "padded",
    ],
)
def test_the_same_values_are_read_from_every_encoding(transfer_syntax, encoded):
    header = read_header(encoded, transfer_syntax, LIMIT)
    assert header.values == {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "Modality": "CT",
        "PatientName": "Müller^Zoë",
    }


def test_values_within_sequences_are_not_taken_for_those_of_the_dataset():
    dataset = ct()
    item = Dataset()
    item.Modality = "PT"
    dataset.ReferencedSeriesSequence = Sequence([item])
    for lengths in (lambda it: it, with_undefined_lengths):
        assert read_header(encode(lengths(dataset)), ExplicitVRLittleEndian, LIMIT).values["Modality"] == "CT"


def test_every_cut_of_a_dataset_with_its_pixels_is_noticed():
    fragments = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" + b"\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xd9"
    encapsulated = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0"
    dataset = ct()
    del dataset.PixelData
    head = encode(dataset)
    read_header(head + encapsulated, JPEGLosslessSV1, LIMIT)
    for length in range(1, len(encapsulated)):
        with pytest.raises(Undecodable):
            read_header(head + encapsulated[:length], JPEGLosslessSV1, LIMIT)
    native = encode(ct())
    for length in range(len(head) + 1, len(native)):
        with pytest.raises(Undecodable):
            read_header(native[:length], ExplicitVRLittleEndian, LIMIT)


@given(
    st.binary(max_size=400),
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]),
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_no_bytes_break_the_walk(garbage, transfer_syntax):
    for encoded in (garbage, encode(ct())[:40] + garbage):
        try:
            read_header(encoded, transfer_syntax, LIMIT)
        except Undecodable:
            continue


def test_zeros_before_more_bytes_are_no_padding_and_are_looked_at_once():
    zeros = bytes(8 << 20)
    with pytest.raises(Undecodable, match="0000,0000"):
        read_header(encode(ct()) + zeros + b"\1", ExplicitVRLittleEndian, 1 << 30)
    assert read_header(encode(ct()) + zeros, ExplicitVRLittleEndian, 1 << 30).values["Modality"] == "CT"


def test_deep_nesting_is_walked_without_recursion():
    opening = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    encoded = opening * 20000 + closing * 20000
    assert read_header(encoded, ExplicitVRLittleEndian, LIMIT).values == {}
    with pytest.raises(Undecodable):
        read_header(encoded[:-8], ExplicitVRLittleEndian, LIMIT)


def test_a_deflated_dataset_that_grows_too_large_is_refused():
    bomb = deflate(bytes(8 << 20))
    with pytest.raises(TooLarge):
        read_header(bomb, DeflatedExplicitVRLittleEndian, LIMIT)


@pytest.mark.parametrize("spoil", [lambda it: it[:-1], lambda it: b"\xff" + it], ids=["cut", "not deflated"])
def test_a_deflated_dataset_that_cannot_be_inflated_is_refused(spoil: Callable[[bytes], bytes]):
    with pytest.raises(Undecodable):
        read_header(spoil(deflate(encode(ct()))), DeflatedExplicitVRLittleEndian, LIMIT)


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        ("ISO_IR 192", "山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "王^小东"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_are_read_in_their_character_set(terms, name):
    dataset = ct()
    dataset.SpecificCharacterSet = terms.split("\\")
    dataset.PatientName = name
    assert read_header(encode(dataset), ExplicitVRLittleEndian, LIMIT).values["PatientName"] == name


def test_an_unknown_character_set_costs_no_instance():
    encoded = encode(ct()).replace(b"ISO_IR 100", b"ISO_IR 999")
    assert read_header(encoded, ExplicitVRLittleEndian, LIMIT).values["PatientName"] == "Müller^Zoë"


def test_text_holds_no_nul():
    encoded = encode(ct()).replace("Müller".encode("latin-1"), b"M\0ller")
    assert read_header(encoded, ExplicitVRLittleEndian, LIMIT).values["PatientName"] == "Mller^Zoë"


def contributing_equipment(manufacturer: str, purpose: str) -> Dataset:
    item = Dataset()
    item.Manufacturer = manufacturer
    item.PurposeOfReferenceCodeSequence = Sequence([code(purpose, "DCM")])
    return item


@pytest.mark.parametrize("lengths", [lambda it: it, with_undefined_lengths], ids=["defined", "undefined"])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("items", "own"),
    [
        ([("AI Node", "109102")], True),
        ([("Scanner Ltd", "109101"), ("AI Node", "109102")], True),
        ([("AI Node", "109101")], False),
        ([("Other Node", "109102")], False),
        ([], False),
    ],
)
def test_an_object_that_this_node_made_is_known_by_its_contributing_equipment(items, own, implicit, lengths):
    dataset = ct()
    dataset.ContributingEquipmentSequence = Sequence([contributing_equipment(*item) for item in items])
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    header = read_header(encode(lengths(dataset), implicit=implicit), syntax, LIMIT)
    assert header.own_result is own


def test_an_own_object_is_known_after_a_peer_has_made_its_sequence_unknown():
    item = encode(contributing_equipment("AI Node", "109102"), implicit=True)
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(item)) + item
    delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0"
    for length, end in ((len(item), b""), (0xFFFFFFFF, delimiter)):
        element = b"\x18\x00\x01\xa0UN\0\0" + struct.pack("<L", length) + item + end
        assert read_header(element, ExplicitVRLittleEndian, LIMIT).own_result


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_headers_are_read_as_pydicom_reads_them(shared_data):
    paths = sorted((shared_data / "dicom-oddities").rglob("*.dcm"))
    compared = 0
    for path in paths:
        expected = dcmread(path, stop_before_pixels=True)
        with path.open("rb") as file:
            file.seek(144 + int.from_bytes(file.read(144)[140:], "little"))
            encoded = file.read()
        try:
            header = read_header(encoded, read_file_meta_info(path).TransferSyntaxUID, LIMIT << 4)
        except Undecodable:
            assert path.name == "emri_small_jpeg_2k_lossless_too_short.dcm"
            continue
        for keyword in (*IDENTIFIERS, *ATTRIBUTES):
            value = expected.get(keyword)
            assert header.values.get(keyword, "") == ("" if value is None else str(value).strip()), path.name
        compared += 1
    assert compared == len(paths) - 1
