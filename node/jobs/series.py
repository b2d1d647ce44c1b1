"""What a study holds, as routes see it: its series, and what is known of each.

Facts come from headers alone and are found for every series, whatever its state: a series whose
slices form no regular volume still has facts, so that a route may take it and its workitem may end
with the reason, where a person sees it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from node.config import MANUFACTURER
from node.errors import ConfigurationError, IrregularGeometry, UnsuitableImage
from node.inbound.enhanced import slices_of
from node.inbound.volumes import UNDECODABLE, Orientation, geometry, outline

Value = bool | int | float | str

PROCESSING_EQUIPMENT: Final = ("109102", "DCM")
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"

_DESCRIPTIONS: Final = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")

_YEARS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True)
class Facts:
    """What is known of a series; a condition may name each of these.

    Attributes:
        modality: Modality (0008,0060).
        slices: number of instances, or of frames of Enhanced MR.
        spacing_mm: usual distance between slices; None if the slices have no position.
        coverage_mm: extent along the slice normal; None if the slices have no position.
        orientation: axial, coronal, sagittal or oblique; None if the slices have no orientation.
        regular: the slices form a regular volume.
        localizer: a scout; every Image Type says LOCALIZER.
        derived: computed from other images, captured from a screen, or no image at all.
        own_result: made by this program (Contributing Equipment Sequence).
        described: what header texts say of the part of the body and the examination.
        irregularity: why the slices form no regular volume; None if they do.
    """

    modality: str
    slices: int
    spacing_mm: float | None
    coverage_mm: float | None
    orientation: Orientation | None
    regular: bool
    localizer: bool
    derived: bool
    own_result: bool
    described: tuple[str, ...]
    irregularity: str | None


@dataclass(frozen=True, eq=False)
class Series:
    """A series: its headers without pixel data, and its facts.

    Attributes:
        series_instance_uid: of the series.
        headers: of its instances, sorted by Instance Number, then by UID.
        representative: the header that stands for all where a condition asks for an attribute: of the
            first instance, or of the first frame of Enhanced MR.
        facts: what routes see.
    """

    series_instance_uid: str
    headers: tuple[Dataset, ...]
    representative: Dataset
    facts: Facts

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return self.facts.modality

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """The instances, in the order of the headers."""
        return tuple(_text(header, "SOPInstanceUID") for header in self.headers)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files the headers were read from."""
        return tuple(Path(str(header.filename)) for header in self.headers)


@dataclass(frozen=True, eq=False)
class Study:
    """A study and its series, sorted by Series Number, then by UID."""

    study_instance_uid: str
    series: tuple[Series, ...]


def study_of(headers: Iterable[Dataset]) -> Study:
    """Group the headers of one study by series and find the facts of each.

    Raises:
        ConfigurationError: there is no header, or there are several studies.
    """
    grouped: dict[str, list[Dataset]] = defaultdict(list)
    studies: set[str] = set()
    for header in headers:
        studies.add(_text(header, "StudyInstanceUID"))
        grouped[_text(header, "SeriesInstanceUID")].append(header)
    if len(studies) != 1:
        raise ConfigurationError(f"the input holds {len(studies)} studies; give exactly one")
    series = [_series(uid, members) for uid, members in grouped.items()]
    series.sort(key=lambda s: (_first_number(s.representative, "SeriesNumber"), s.series_instance_uid))
    return Study(studies.pop(), tuple(series))


def attribute(header: Dataset, keyword: str) -> tuple[Value, ...]:
    """The values of an attribute: numbers as numbers, ages in years, all else as text.

    Nothing where the attribute is absent, empty, or of a length that makes no value.
    """
    try:
        element = header[keyword]
    except UNDECODABLE:
        return ()
    value = element.value
    if isinstance(value, DicomSequence):
        return tuple(f"item {number}" for number in range(1, len(value) + 1))
    several = value if isinstance(value, MultiValue | list) else [value]
    plain = (_plain(one, element.VR) for one in several if one is not None)
    return tuple(one for one in plain if one != "")


def _plain(value: object, vr: str) -> Value:
    if isinstance(value, int | float):
        return value
    text = str(value).strip()
    if vr == "AS" and text[:-1].isdigit() and text[-1] in _YEARS:
        return int(text[:-1]) * _YEARS[text[-1]]
    return text


def _first_number(header: Dataset, keyword: str) -> float:
    values = attribute(header, keyword)
    return float(values[0]) if values and not isinstance(values[0], str) else 0.0


def _text(header: Dataset, keyword: str) -> str:
    """The first value as text; empty where there is none."""
    return "".join(str(value) for value in attribute(header, keyword)[:1])


def _series(uid: str, headers: list[Dataset]) -> Series:
    headers.sort(key=lambda h: (_first_number(h, "InstanceNumber"), _text(h, "SOPInstanceUID")))
    slices = slices_of(headers)
    return Series(uid, tuple(headers), slices[0], _facts(slices))


def _facts(headers: Sequence[Dataset]) -> Facts:
    try:
        shape = outline(headers)
    except IrregularGeometry:
        shape = None
    try:
        geometry(headers)
        irregularity = None
    except (IrregularGeometry, UnsuitableImage) as error:
        irregularity = str(error)
    return Facts(
        modality=_text(headers[0], "Modality"),
        slices=len(headers),
        spacing_mm=shape.spacing_mm if shape else None,
        coverage_mm=shape.coverage_mm if shape else None,
        orientation=shape.orientation if shape else None,
        regular=irregularity is None,
        localizer=all("LOCALIZER" in attribute(h, "ImageType") for h in headers),
        derived=all(_is_derived(h) for h in headers),
        own_result=any(_is_own_result(h) for h in headers),
        described=tuple(text for keyword in _DESCRIPTIONS if (text := _text(headers[0], keyword))),
        irregularity=irregularity,
    )


def _is_derived(header: Dataset) -> bool:
    sop_class = _text(header, "SOPClassUID")
    captured = sop_class == SECONDARY_CAPTURE or sop_class.startswith(f"{SECONDARY_CAPTURE}.")
    return captured or "Rows" not in header or attribute(header, "ImageType")[:1] == ("DERIVED",)


def _is_own_result(header: Dataset) -> bool:
    """IHE AIR 6.5.3.1: the processing equipment of a result stands in its Contributing Equipment."""
    return any(
        _text(equipment, "Manufacturer") == MANUFACTURER
        and any(
            (_text(purpose, "CodeValue"), _text(purpose, "CodingSchemeDesignator")) == PROCESSING_EQUIPMENT
            for purpose in _items(equipment, "PurposeOfReferenceCodeSequence")
        )
        for equipment in _items(header, "ContributingEquipmentSequence")
    )


def _items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; none where it is absent or no sequence."""
    try:
        value = header[keyword].value
    except UNDECODABLE:
        return ()
    return value if isinstance(value, DicomSequence) else ()
