"""What the node reads of a dataset: a few attributes, and that nothing is cut off.

Only element headers are walked (PS3.5 section 7.1, undefined lengths 7.5); values that nobody asked for,
pixel data first, are skipped by their length. pydicom's reader does not do here: it passes over values
that end early, and its warnings quote them.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from node.config import MANUFACTURER
from node.errors import TooLarge, Undecodable

FILE_META = ("TransferSyntaxUID", "SendingApplicationEntityTitle")
IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
ATTRIBUTES = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyDescription",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "InstanceNumber",
)

_WANTED = {tag_for_keyword(keyword): keyword for keyword in (*FILE_META, *IDENTIFIERS, *ATTRIBUTES)}

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARACTER_SET, _CONTRIBUTING_EQUIPMENT = 0x00080005, 0x0018A001
_MANUFACTURER, _PURPOSE, _CODE_VALUE, _CODE_SCHEME = 0x00080070, 0x0040A170, 0x00080100, 0x00080102
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})


class _Encoding(NamedTuple):
    explicit: bool
    order: str


_EXPLICIT = _Encoding(explicit=True, order="<")
_IMPLICIT = _Encoding(explicit=False, order="<")
_BIG_ENDIAN = _Encoding(explicit=True, order=">")
_ENCODINGS = {"1.2.840.10008.1.2": _IMPLICIT, "1.2.840.10008.1.2.2": _BIG_ENDIAN}


class _Element(NamedTuple):
    """Where a value is; of an undefined length, its delimiter included."""

    tag: int
    start: int
    stop: int
    encoding: _Encoding


@dataclass(frozen=True)
class Header:
    """What was read.

    Attributes:
        values: keyword to text, for those of `IDENTIFIERS` and `ATTRIBUTES` (`FILE_META`, when that is
            read) that have a value; several values are joined by a backslash as in the dataset.
        own_result: whether Contributing Equipment Sequence (0018,A001) names this product, "AI Node", as
            processing equipment (109102, DCM).
    """

    values: Mapping[str, str]
    own_result: bool


def read_header(dataset: bytes, transfer_syntax_uid: str, max_bytes: int) -> Header:
    """Walk a dataset from its first to its last element.

    Args:
        dataset: the encoded dataset without file meta, or file meta alone.
        transfer_syntax_uid: one that is private or unknown is read as Explicit VR Little Endian.
        max_bytes: of a deflated dataset when inflated.

    Raises:
        TooLarge: the inflated dataset is larger than that.
        Undecodable: the dataset ends too early, or is none.
    """
    data = _inflate(dataset, max_bytes) if transfer_syntax_uid in _DEFLATED else dataset
    encoding = _ENCODINGS.get(transfer_syntax_uid, _EXPLICIT)
    values: dict[str, str] = {}
    own_result = False
    codecs = ["iso8859"]
    try:
        for element in _elements(data, 0, len(data), encoding):
            if element.tag == _CHARACTER_SET:
                codecs = _codecs(data[element.start : element.stop])
            elif element.tag == _CONTRIBUTING_EQUIPMENT:
                own_result = _names_this_node(data, element)
            elif keyword := _WANTED.get(element.tag):
                delimiters = PN_DELIMS if keyword == "PatientName" else TEXT_VR_DELIMS
                text = decode_bytes(data[element.start : element.stop], codecs, delimiters)
                values[keyword] = text.replace("\0", "").strip()
    except struct.error:
        raise Undecodable("the dataset ends within the header of an element") from None
    return Header({keyword: text for keyword, text in values.items() if text}, own_result)


def _inflate(dataset: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = stream.decompress(dataset, max_bytes)
    except zlib.error as error:
        raise Undecodable(f"the dataset is not deflated: {error}") from None
    if stream.unconsumed_tail:
        raise TooLarge(f"inflated, the dataset is more than the {max_bytes} bytes taken")
    if not stream.eof:
        raise Undecodable("the deflated dataset ends too early")
    return data


def _elements(data: bytes, at: int, end: int, encoding: _Encoding) -> Iterator[_Element]:
    while at < end:
        if not any(data[at : at + 4]):
            # Group 0000 is for commands, so this is padding; to look at all of it once keeps the walk linear.
            if data.count(0, at, end) < end - at:
                raise Undecodable("a tag is (0000,0000)")
            return
        tag, vr, length, start = _element_header(data, at, encoding)
        inner = encoding
        if length == _UNDEFINED:
            # An unknown VR of undefined length holds implicit VR, little endian (PS3.5 section 6.2.2).
            inner = _IMPLICIT if vr == b"UN" else encoding
            at = _end_of_items(data, start, inner)
        else:
            at = start + length
        if at > end:
            raise Undecodable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) ends {at - end} bytes past its end")
        yield _Element(tag, start, at, inner)


def _element_header(data: bytes, at: int, encoding: _Encoding) -> tuple[int, bytes, int, int]:
    """Tag, VR (empty where there is none), length, and where the value starts."""
    explicit, order = encoding
    group, number = struct.unpack_from(order + "HH", data, at)
    vr = data[at + 4 : at + 6] if explicit and group != 0xFFFE else b""
    if vr in _SHORT_VRS:
        return group << 16 | number, vr, struct.unpack_from(order + "H", data, at + 6)[0], at + 8
    # Some writers mix elements without a VR into explicit datasets.
    wide = 8 if vr.isalpha() and vr.isupper() else 4
    return group << 16 | number, vr, struct.unpack_from(order + "L", data, at + wide)[0], at + wide + 4


def _end_of_items(data: bytes, at: int, encoding: _Encoding) -> int:
    """Where a value of undefined length ends, its delimiter included; nested ones are walked, not entered."""
    open_encodings = [encoding]
    while open_encodings:
        tag, vr, length, at = _element_header(data, at, open_encodings[-1])
        if tag in (_ITEM_END, _SEQUENCE_END):
            open_encodings.pop()
        elif length == _UNDEFINED:
            open_encodings.append(_IMPLICIT if vr == b"UN" else open_encodings[-1])
        else:
            at += length
    return at


def _items(data: bytes, sequence: _Element) -> Iterator[Mapping[int, _Element]]:
    at = sequence.start
    while at < sequence.stop:
        tag, _, length, start = _element_header(data, at, sequence.encoding)
        if tag != _ITEM:
            return
        at = _end_of_items(data, start, sequence.encoding) if length == _UNDEFINED else start + length
        stop = at - 8 if length == _UNDEFINED else at
        yield {element.tag: element for element in _elements(data, start, stop, sequence.encoding)}


def _names_this_node(data: bytes, contributing_equipment: _Element) -> bool:
    """Whether an item is processing equipment (109102, DCM) made by "AI Node"."""

    def value(item: Mapping[int, _Element], tag: int) -> bytes:
        return data[item[tag].start : item[tag].stop].strip(b" \0") if tag in item else b""

    return any(
        value(item, _MANUFACTURER) == MANUFACTURER.encode()
        and any(
            (value(code, _CODE_VALUE), value(code, _CODE_SCHEME)) == (b"109102", b"DCM")
            for code in _items(data, item[_PURPOSE])
        )
        for item in _items(data, contributing_equipment)
        if _PURPOSE in item
    )


def _codecs(specific_character_set: bytes) -> list[str]:
    """Python codecs for Specific Character Set (PS3.3 C.12.1.1.2); terms nobody knows are left out."""
    terms = specific_character_set.decode("ascii", "replace").replace("\0", "").split("\\")
    return convert_encodings([term.strip() for term in terms if term.strip() in python_encoding])
