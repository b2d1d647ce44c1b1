import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import RE_VALID_UID

from algorithms.protocol import Weights
from node.outbound import equipment
from node.outbound.equipment import Provenance, reference, sop_reference, stamp, value_bytes
from tests.synthetic_series import as_read, series

BASE = Provenance("lungs", "1.0", (Weights("w", "ab" * 32),), {"a": "1", "b": "2"}, ("1.2.3", "1.2.4"))

CHARSET_FILES = [file for file in get_charset_files("chr*.dcm") if "SQ" not in file]

text = st.text(max_size=20)


def result(modality: str = "SEG") -> Dataset:
    dataset = Dataset()
    dataset.Modality = modality
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = "20260102", "030405.5"
    return dataset


def stamped_and_read(source: Dataset) -> Dataset:
    dataset = result()
    stamp(dataset, BASE, source)
    buffer = BytesIO()
    dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return dcmread(buffer, force=True)


def test_the_order_of_input_and_options_does_not_matter() -> None:
    shuffled = replace(BASE, source_sop_instance_uids=("1.2.4", "1.2.3"), options={"b": "2", "a": "1"})
    assert shuffled.uid("seg") == BASE.uid("seg")


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "lung"},
        {"version": "1.1"},
        {"weights": (Weights("w", "cd" * 32),)},
        {"weights": ()},
        {"options": {"a": "1", "b": "3"}},
        {"options": {"a": "1"}},
        {"source_sop_instance_uids": ("1.2.3",)},
        {"source_sop_instance_uids": ("1.2.31", ".2.4")},
        {"algorithm": "lungs1", "version": ".0"},
    ],
)
def test_every_change_of_what_a_result_depends_on_gives_other_uids(change: dict[str, object]) -> None:
    assert replace(BASE, **change).uid("seg") != BASE.uid("seg")


def test_roles_and_the_device_have_uids_of_their_own() -> None:
    uids = {BASE.run_uid, BASE.device_uid, BASE.uid("seg/series"), BASE.uid("seg/instance")}
    assert len(uids) == 4


@given(first=st.tuples(text, text, text), second=st.tuples(text, text, text))
def test_texts_never_run_together(first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    uids = [
        replace(BASE, algorithm=algorithm, version=version).uid(role)
        for algorithm, version, role in (first, second)
    ]
    assert (uids[0] == uids[1]) == (first == second)


def test_uids_are_legal() -> None:
    for uid in (BASE.run_uid, BASE.device_uid):
        assert len(uid) <= 64
        assert re.fullmatch(RE_VALID_UID, uid)


def test_the_device_changes_with_the_model_and_not_with_the_input() -> None:
    assert replace(BASE, source_sop_instance_uids=("9",), options={}).device_uid == BASE.device_uid
    assert replace(BASE, weights=(Weights("w", "cd" * 32),)).device_uid != BASE.device_uid
    assert replace(BASE, version="2").device_serial_number != BASE.device_serial_number


def test_contributing_equipment_names_the_algorithm_and_its_weights() -> None:
    dataset = result()
    stamp(dataset, BASE, Dataset())
    (item,) = dataset.ContributingEquipmentSequence
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert (item.Manufacturer, item.ManufacturerModelName, item.SoftwareVersions) == (
        "AI Node",
        "lungs",
        "1.0",
    )
    assert item.DeviceUID == BASE.device_uid
    assert item.ContributionDateTime == "20260102030405.5"
    assert "ab" * 32 in item.ContributionDescription
    assert "not for diagnosis" in item.ContributionDescription


@pytest.mark.parametrize("file", CHARSET_FILES, ids=lambda f: Path(f).stem)
@pytest.mark.filterwarnings("ignore")
def test_names_keep_their_bytes_in_every_character_set(file: str) -> None:
    written = stamped_and_read(dcmread(file))
    assert written.get_item("PatientName").value == dcmread(file).get_item("PatientName").value
    assert written.get("SpecificCharacterSet") == dcmread(file).get("SpecificCharacterSet")


@pytest.mark.parametrize("file", CHARSET_FILES, ids=lambda f: Path(f).stem)
@pytest.mark.filterwarnings("ignore")
def test_names_that_somebody_has_read_before_stay_the_same_names(file: str) -> None:
    source = dcmread(file)
    name = source.PatientName
    assert stamped_and_read(source).PatientName == name


@pytest.mark.parametrize("implicit_vr", [False, True])
@pytest.mark.parametrize("little_endian", [False, True])
def test_text_is_copied_from_any_encoding(implicit_vr: bool, little_endian: bool) -> None:
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    source.PatientName, source.StudyInstanceUID = "Müller^Jürgen=山田^太郎", "2.25.1001"
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = implicit_vr, little_endian
    write_dataset(file, source)
    buffer = BytesIO(file.getvalue())
    dataset = result()
    stamp(dataset, BASE, read_dataset(buffer, implicit_vr, little_endian))
    assert str(dataset.PatientName) == "Müller^Jürgen=山田^太郎"
    assert dataset.StudyInstanceUID == "2.25.1001"


def test_empty_stays_empty_and_absent_stays_absent() -> None:
    _, sources = series()
    dataset = result()
    stamp(dataset, BASE, sources[0])
    assert dataset.StudyID == ""
    assert dataset.ReferringPhysicianName == ""
    assert "PatientAge" not in dataset


def test_a_source_without_a_character_set_takes_that_of_the_result_away() -> None:
    dataset = result()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    stamp(dataset, BASE, Dataset())
    assert "SpecificCharacterSet" not in dataset


def test_structured_reports_have_no_body_part() -> None:
    _, sources = series()
    for modality, expected in (("SEG", "CHEST"), ("SR", None)):
        dataset = result(modality)
        stamp(dataset, BASE, sources[0])
        assert dataset.get("BodyPartExamined") == expected


def test_sequences_of_identifiers_are_copied() -> None:
    _, sources = series()
    qualifier = Dataset()
    qualifier.UniversalEntityID = "1.2.3"
    sources[0].IssuerOfPatientIDQualifiersSequence = [qualifier]
    dataset = result()
    stamp(dataset, BASE, sources[0])
    assert dataset.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.3"


def test_value_bytes_of_absent_and_padded_values() -> None:
    dataset = Dataset()
    dataset.PatientID = "odd"
    assert value_bytes(dataset, "PatientID") == b"odd"
    assert value_bytes(dataset, "StudyID") == b""


def test_a_reference_has_geometry_and_nothing_of_the_patient() -> None:
    _, sources = series()
    bare = reference(sources[0])
    assert bare.ImagePositionPatient == sources[0].ImagePositionPatient
    assert bare.PatientName == ""
    assert "StudyDescription" not in bare


def test_a_reference_to_an_instance_is_its_class_and_its_uid() -> None:
    _, (source, *_) = series()
    item = sop_reference(source)
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (
        source.SOPClassUID,
        source.SOPInstanceUID,
    )
    assert len(item) == 2


def test_an_encoded_object_announces_what_its_bytes_say() -> None:
    _, sources = series()
    item = equipment.encoded("seg", sources[0])
    assert item.file == "seg.dcm"
    read = as_read(sources[0])
    assert (item.sop_instance_uid, item.sop_class_uid) == (read.SOPInstanceUID, read.SOPClassUID)
    assert dcmread(BytesIO(item.content)).PatientID == "P 1"
    assert "DICM" not in repr(item)
