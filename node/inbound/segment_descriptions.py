"""How a segmentation of other software describes its segments, as far as results repeat it.

Codes are kept as given, of any scheme. Text is brought into the character set of the image, in which
results are written; labels are made unique.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from highdicom.color import CIELabColor
from pydicom import Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.multival import MultiValue
from pydicom.uid import UID

from algorithms.protocol import Code
from node.errors import UnsuitableImage

_BACKGROUND: Final = ("125040", "DCM")

_LATERALITIES: Final = frozenset(  # CID 244, and the SNOMED codes that it had before
    {("7771000", "SCT"), ("24028007", "SCT"), ("51440002", "SCT"), ("66459002", "SCT")}
    | {("G-A100", "SRT"), ("G-A101", "SRT"), ("G-A102", "SRT"), ("G-A103", "SRT")}
)

_LONGEST_VALUE: Final = 16
_LONGEST_TEXT: Final = 64
_GREY: Final = (128, 128, 128)


class Tracking(NamedTuple):
    """Tracking ID (0062,0020) and Tracking UID (0062,0021)."""

    identifier: str
    uid: str


@dataclass(frozen=True)
class Description:
    """An item of the Segment Sequence (PS3.3 C.8.20.2).

    Attributes:
        label: unique within the segmentation.
        laterality: modifier of the site, else of the type, where it is one of CID 244.
        site: the anatomic region; None where it is missing, or has no usable code.
        rgb: the recommended colour, or grey.
        tracking: None where it is missing, malformed, or that of another segment.
    """

    number: int
    label: str
    category: Code
    type: Code
    laterality: Code | None
    site: Code | None
    rgb: tuple[int, int, int]
    tracking: Tracking | None


def describe(segmentation: Dataset, character_set: str | Sequence[str] | None) -> dict[int, Description]:
    """The segments by number; background is none.

    Args:
        segmentation: BINARY or LABELMAP.
        character_set: Specific Character Set of the image.

    Raises:
        UnsuitableImage: a segment has no usable code.
    """
    words = _Words(character_set)
    items = {int(item.SegmentNumber): item for item in _foreground(segmentation)}
    labels = _unique((number, words.of(item.get("SegmentLabel"))) for number, item in items.items())
    taken: set[str] = set()
    return {
        number: Description(
            number=number,
            label=label,
            category=_coded(item, "SegmentedPropertyCategoryCodeSequence", words),
            type=_coded(item, "SegmentedPropertyTypeCodeSequence", words),
            laterality=_laterality(item, words),
            site=_site(item, words),
            rgb=_rgb(item),
            tracking=_tracking(item, words, taken),
        )
        for (number, item), label in zip(items.items(), labels, strict=True)
    }


class _Words:
    """Text as it can be written in a character set."""

    def __init__(self, character_set: str | Sequence[str] | None) -> None:
        codecs = (
            convert_encodings([character_set] if isinstance(character_set, str) else list(character_set))
            if character_set
            else [default_encoding]
        )
        # The default repertoire is ASCII (PS3.5 6.1.2.1), which pydicom reads as if it were Latin-1.
        self._codecs = ["ascii" if codec == default_encoding else codec for codec in codecs]

    def of(self, value: object) -> str:
        """A value on one line, accents left out where the character set has none."""
        text = "/".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not any(_encodes(text, codec) for codec in self._codecs):
            plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
            text = " ".join(plain.split())
        return text[:_LONGEST_TEXT].strip()


def _encodes(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _foreground(segmentation: Dataset) -> Iterator[Dataset]:
    """Items that describe something: in a label map, 0 and Pixel Padding Value are nothing."""
    labelled = segmentation.SegmentationType == "LABELMAP"
    nothing = {0, segmentation.get("PixelPaddingValue")} if labelled else set()
    for item in segmentation.SegmentSequence:
        kind = (item.get("SegmentedPropertyTypeCodeSequence") or [Dataset()])[0]
        code = (kind.get("CodeValue"), kind.get("CodingSchemeDesignator"))
        if code != _BACKGROUND and int(item.SegmentNumber) not in nothing:
            yield item


def _unique(labels: Iterable[tuple[int, str]]) -> list[str]:
    """A label for each number; what is doubled or empty gets the number."""
    given: dict[str, None] = {}
    for number, label in labels:
        unique = label or f"Segment {number}"
        while unique in given:
            unique = f"{unique[: _LONGEST_TEXT - 8]} ({number})"
        given[unique] = None
    return list(given)


def _coded(item: Dataset, keyword: str, words: _Words) -> Code:
    code = _code((item.get(keyword) or [Dataset()])[0], words)
    if not _usable(code):
        raise UnsuitableImage(
            f"segment {item.SegmentNumber} of the segmentation has no code value, scheme and meaning in "
            f"its {keyword}"
        )
    return code


def _usable(code: Code) -> bool:
    return all(code) and all(
        part.isascii() and part.isprintable() and len(part) <= _LONGEST_VALUE for part in code[:2]
    )


def _code(item: Dataset, words: _Words) -> Code:
    value, scheme = (str(item.get(k) or "") for k in ("CodeValue", "CodingSchemeDesignator"))
    return Code(value, scheme, words.of(item.get("CodeMeaning")))


def _laterality(item: Dataset, words: _Words) -> Code | None:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    region = _region(item) if _site(item, words) else Dataset()
    modifiers = [
        *(region.get("AnatomicRegionModifierSequence") or ()),
        *(kind.get("SegmentedPropertyTypeModifierCodeSequence") or ()),
    ]
    codes = (_code(modifier, words) for modifier in modifiers)
    return next((code for code in codes if code[:2] in _LATERALITIES and code.meaning), None)


def _site(item: Dataset, words: _Words) -> Code | None:
    code = _code(_region(item), words)
    return code if _usable(code) else None


def _region(item: Dataset) -> Dataset:
    """The item of the Anatomic Region Sequence (PS3.3 10.5); empty where there is none."""
    return next(iter(item.get("AnatomicRegionSequence") or ()), Dataset())


def _rgb(item: Dataset) -> tuple[int, int, int]:
    value = item.get("RecommendedDisplayCIELabValue")
    return CIELabColor.from_dicom_value(value).to_rgb(clip=True) if value else _GREY


def _tracking(item: Dataset, words: _Words, taken: set[str]) -> Tracking | None:
    """Segments that share a Tracking UID could not be told apart by it."""
    tracking = Tracking(words.of(item.get("TrackingID")), str(item.get("TrackingUID") or ""))
    if not tracking.identifier or not UID(tracking.uid).is_valid or tracking.uid in taken:
        return None
    taken.add(tracking.uid)
    return tracking
