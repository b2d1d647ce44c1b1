from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.config import Settings
from node.errors import Transient
from node.inbound.instances import Spool
from node.inbound.studies import CompleteStudy, Evidence
from node.jobs.reception import Reception


@dataclass
class NoRoutes:
    routes: tuple[()] = field(default=())


@pytest.fixture
def reception(tmp_path: Path, index, worklist) -> Reception:
    return Reception(Settings(state=tmp_path), {}, index, worklist, NoRoutes(), wake=lambda _items: None)


def spooled(folder: Path, sound: bytes, damaged: bytes):
    ct = Dataset()
    ct.SpecificCharacterSet = "ISO_IR 100"
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, "1.2.3"
    ct.StudyInstanceUID, ct.SeriesInstanceUID = "1.2.1", "1.2.2"
    ct.Modality, ct.SliceThickness = "CT", 5
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, ct)
    assert file.getvalue().count(sound) == 1
    return Spool(folder, 1 << 20).store(
        file.getvalue().replace(sound, damaged),
        sop_class_uid=CTImageStorage,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="CT01",
    )


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("sound", "damaged"),
    [
        (b"ISO_IR 100", b"ISO_IR\x00100"),
        (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00UL"),
        (b"\x18\x00\x50\x00DS", b"\x18\x00\x50\x00FD"),
        (b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00FD"),
    ],
    ids=["character set", "modality", "thickness", "study"],
)
def test_a_study_whose_header_cannot_be_decoded_stops_nobody_else(reception, index, tmp_path, sound, damaged):
    stored = spooled(tmp_path / "spool", sound, damaged)
    index.record([stored])
    reception._schedule(CompleteStudy(stored.instance.study_instance_uid, Evidence(5.0, 1, 1, 0.0, False)))
    assert index.study(stored.instance.study_instance_uid).state == "COMPLETE"


def test_a_broker_that_is_away_leaves_the_waking_to_the_sweep(reception, scheduled):
    def away(_items):
        raise Transient("the broker is away")

    item = scheduled()
    reception.wake = away
    reception._sweep()
    woken = []
    reception.wake, reception._next_sweep = woken.extend, 0.0
    reception._sweep()
    assert [i.uid for i in woken] == [item.uid]
