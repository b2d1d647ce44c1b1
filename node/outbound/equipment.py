"""Who made a result: its derived UIDs, the equipment attributes, and what it inherits from the source.

The same input gives the same UIDs: each is a UUIDv5 under 2.25 (PS3.5 B.2) of the input SOP Instance
UIDs, the algorithm, its version, the digest of its weights, the options and the object's role.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from io import BytesIO
from typing import Final, Literal, get_args

from pydicom import Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from algorithms.protocol import Code, Weights
from node.config import MANUFACTURER
from node.outbound.coding import concept

PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")
RESEARCH_USE_ONLY: Final = "Research use only, not for diagnosis"

Role = Literal[
    "seg", "sr", "regions", "landmarks", "rtstruct", "scores", "similar", "saliency", "picture", "keyobjects"
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""What an object is for, in the order of sending: what is referred to comes first."""

SERIES_NUMBERS: Final[Mapping[Role, int]] = {role: 9001 + n for n, role in enumerate(ROLES)}

EDITION: Final = "1"
"""Changes whenever radiomics, encoders or what the node itself decides would give another object for the
same findings, so that it gets another UID. An algorithm has a version of its own."""

INHERITED: Final = (
    "SpecificCharacterSet",
    # Patient (PS3.3 C.7.1.1)
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDs",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    # General Study (C.7.2.1) and Patient Study (C.7.2.2)
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "AdditionalPatientHistory",
    "PatientState",
)
"""Text attributes that a result has byte for byte as its source has them; absent stays absent or empty."""

INHERITED_SEQUENCES: Final = (
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "DeidentificationMethodCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
)

_GEOMETRY = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)

COMPRESSION: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What an image inherits of a lossy compression in its past (PS3.3 C.7.6.1.1.5)."""

_STUDY_TYPE_2: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)

_NAMESPACE = uuid.UUID("5fba35c3-9d0a-4e0c-8b1e-0c8d3d1f6f0a")


@dataclass(frozen=True)
class Provenance:
    """What a result depends on.

    Attributes:
        algorithm: name in the catalogue.
        version: of the algorithm.
        weights: all that it ran with.
        options: text values by name.
        source_sop_instance_uids: the input, in any order.
    """

    algorithm: str
    version: str
    weights: tuple[Weights, ...]
    options: Mapping[str, str]
    source_sop_instance_uids: tuple[str, ...]

    def uid(self, role: str) -> str:
        """The UID of a part of this run, such as "seg/instance"; equal runs have equal UIDs."""
        return _derived_uid(
            EDITION,
            sorted(self.source_sop_instance_uids),
            self.algorithm,
            self.version,
            self._digests,
            sorted(self.options.items()),
            role,
        )

    @property
    def run_uid(self) -> str:
        """The UID of the run as a whole."""
        return self.uid("run")

    @cached_property
    def device_uid(self) -> str:
        """Device UID (0018,1002): another one for each change of the model (IHE AIR 6.5.3.1)."""
        return _derived_uid("device", self.algorithm, self.version, self._digests)

    @property
    def device_serial_number(self) -> str:
        """Device Serial Number (0018,1000), a short form of the Device UID."""
        return f"{int(self.device_uid.removeprefix('2.25.')):032x}"[-16:].upper()

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Algorithm parameters by name: options, weights and intended use."""
        weights = {f"weights {w.name} SHA-256": w.sha256 for w in self.weights}
        return {**dict(sorted(self.options.items())), **weights, "intended use": RESEARCH_USE_ONLY}

    @property
    def _digests(self) -> list[str]:
        return [w.sha256 for w in self.weights]


@dataclass(frozen=True)
class EncodedObject:
    """A result as the Part 10 bytes that are stored and sent."""

    role: Role
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """Name of its file within the folder of the run."""
        return f"{self.role}.dcm"

    @property
    def kind(self) -> str:
        """The kind of object."""
        return kind_of(self.role)


_KINDS: Final[Mapping[Role, str]] = {
    "regions": "sr",
    "landmarks": "sr",
    "scores": "sr",
    "similar": "sr",
    "saliency": "pm",
    "picture": "sc",
    "keyobjects": "ko",
}


def kind_of(role: Role) -> str:
    """The kind of object, as `findings.json` names it; what is not listed has the name of its role."""
    return _KINDS.get(role, role)


def modality_of(role: Role) -> str:
    """Modality (0008,0060); maps and pictures are of no equipment."""
    kind = kind_of(role)
    return "OT" if kind in {"pm", "sc"} else kind.upper()


def started(role: Role, sop_class_uid: str, source: Dataset, provenance: Provenance, what: str) -> Dataset:
    """A result of one's own series, written now, with all that any IOD asks of patient, study and series.

    Args:
        role: what it is for.
        sop_class_uid: of the result.
        source: an image of the study.
        provenance: who found it.
        what: it holds, for its Series Description.
    """
    now = datetime.now()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = provenance.uid(f"{role}/instance")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S.%f}"
    dataset.StudyInstanceUID = source.StudyInstanceUID
    for keyword in _STUDY_TYPE_2:
        setattr(dataset, keyword, "")
    dataset.Modality = modality_of(role)
    dataset.SeriesInstanceUID = provenance.uid(f"{role}/series")
    dataset.SeriesNumber = SERIES_NUMBERS[role]
    dataset.SeriesDescription = f"AI {provenance.algorithm} {what}"
    dataset.InstanceNumber = 1
    return dataset


def encoded(role: Role, dataset: Dataset) -> EncodedObject:
    """A dataset with file meta information as the bytes that are stored and sent."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return EncodedObject(
        role,
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        buffer.getvalue(),
    )


def reference(source: Dataset) -> Dataset:
    """What the encoders see of a source image: geometry and UIDs, with empty patient and study.

    highdicom checks patient and study attributes and encodes them anew, which a damaged or foreign
    value does not survive; so they come from `stamp` alone.
    """
    bare = Dataset()
    for keyword in _GEOMETRY:
        if source.get(keyword) not in (None, ""):
            bare[keyword] = source[keyword]
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(bare, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(bare, keyword, "")
    return bare


def sop_reference(source: Dataset) -> Dataset:
    """An item that refers to an instance by class and UID (SOP Instance Reference Macro, PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item


def image_reference(source: Dataset) -> Dataset:
    """An item that refers to a slice: an instance, or a frame of one (Image SOP Instance Reference Macro)."""
    item = sop_reference(source)
    if hasattr(source, "frame_number"):
        item.ReferencedFrameNumber = source.frame_number
    return item


def instances(sources: Sequence[Dataset]) -> list[Dataset]:
    """One slice of each instance, in their order."""
    return list({str(source.SOPInstanceUID): source for source in sources}.values())


def stamp(dataset: Dataset, provenance: Provenance, source: Dataset) -> None:
    """Complete a result in place: equipment, provenance, and the source's patient and study.

    General Equipment, Content Qualification RESEARCH and a Contributing Equipment item as IHE AIR
    6.5.3.1 asks; patient and study byte for byte as in `source`.
    """
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = provenance.algorithm
    dataset.DeviceSerialNumber = provenance.device_serial_number
    dataset.SoftwareVersions = provenance.version
    dataset.DeviceUID = provenance.device_uid
    dataset.ContentQualification = "RESEARCH"
    dataset.ContributingEquipmentSequence = [_processing_equipment(dataset, provenance)]
    _inherit(dataset, source)


def value_bytes(dataset: Dataset, keyword: str) -> bytes:
    """The encoded value of a text attribute without padding; empty where it is absent.

    These are the bytes of the file as long as nobody has read the value through pydicom, which drops
    closing escape sequences and empty groups of names as it decodes.
    """
    element = dataset.get_item(keyword)
    if element is None:
        return b""
    if isinstance(element, RawDataElement):
        return (element.value or b"").rstrip(b" \0")
    buffer = DicomBytesIO()
    buffer.is_little_endian = buffer.is_implicit_VR = True
    write_data_element(buffer, element, dataset.get("SpecificCharacterSet") or default_encoding)
    tag_and_length = 8
    return buffer.getvalue()[tag_and_length:].rstrip(b" \0")


def without_side(dataset: Dataset) -> None:
    """Say that no side is known, where no part of the body is: Laterality is of type 2C (C.7.3.1)."""
    if not dataset.get("BodyPartExamined"):
        dataset.Laterality = ""


def body_part(dataset: Dataset) -> Sequence[str]:
    """Body Part Examined, in results whose series module has it: C.17.1, C.17.6.1 and C.8.8.1 do not."""
    return () if dataset.Modality in {"SR", "RTSTRUCT", "KO"} else ("BodyPartExamined",)


def _derived_uid(*parts: object) -> str:
    # JSON quotes each part, so no two lists of parts can run together into one text.
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def _processing_equipment(dataset: Dataset, provenance: Provenance) -> Dataset:
    made_with = "".join(f"weights {w.name} SHA-256 {w.sha256}; " for w in provenance.weights)
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [concept(PROCESSING_EQUIPMENT)]
    equipment.Manufacturer = MANUFACTURER
    equipment.ManufacturerModelName = provenance.algorithm
    equipment.DeviceSerialNumber = provenance.device_serial_number
    equipment.SoftwareVersions = provenance.version
    equipment.DeviceUID = provenance.device_uid
    equipment.ContributionDateTime = f"{dataset.InstanceCreationDate}{dataset.InstanceCreationTime}"
    equipment.ContributionDescription = f"{made_with}{RESEARCH_USE_ONLY}"
    return equipment


def _inherit(dataset: Dataset, source: Dataset) -> None:
    correct_ambiguous_vr(dataset, is_little_endian=True)
    for keyword in (*INHERITED, *body_part(dataset)):
        if keyword in source:
            dataset[keyword] = _raw(keyword, value_bytes(source, keyword))
        elif keyword == "SpecificCharacterSet":
            dataset.pop(keyword, None)
    for keyword in INHERITED_SEQUENCES:
        if keyword in source:
            dataset[keyword] = deepcopy(source[keyword])
    # Without this pydicom would decode what is raw and encode it anew.
    declared = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=default_encoding if declared is None else convert_encodings(declared),
    )


def _raw(keyword: str, value: bytes) -> RawDataElement:
    """An element whose value is written as it is, never decoded and encoded anew."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    vr = dictionary_VR(tag)
    padding = b"\0" if vr == "UI" else b" "
    value += padding * (len(value) % 2)
    return RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
