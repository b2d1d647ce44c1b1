import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.errors import BadIdentifier, MismatchedInstance, NoSpace, TooLarge
from node.inbound.instances import Outcome, Spool, Stored


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 1 << 20)


def dataset(**attributes: str) -> bytes:
    ct = Dataset()
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, "1.2.3"
    ct.StudyInstanceUID, ct.SeriesInstanceUID = "1.2.1", "1.2.2"
    ct.Modality, ct.PatientName, ct.SeriesNumber = "CT", "Doe^Jane", "3"
    for keyword, value in attributes.items():
        setattr(ct, keyword, value)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, ct)
    return file.getvalue()


def store(spool: Spool, encoded: bytes, sop_instance_uid: str = "1.2.3") -> Stored:
    return spool.store(
        encoded,
        sop_class_uid=CTImageStorage,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="CT01",
    )


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_new_instance_is_described_and_readable_by_pydicom(spool, tmp_path):
    encoded = dataset()
    stored = store(spool, encoded)
    assert stored.outcome is Outcome.NEW
    instance = stored.instance
    assert instance.path == "1.2.1/1.2.2/1.2.3.dcm"
    assert (instance.size, instance.sha256) == (len(encoded), hashlib.sha256(encoded).hexdigest())
    assert instance.calling_ae_title == "CT01"
    assert datetime.now(UTC) >= instance.received_at
    assert not instance.own_result
    assert instance.attributes == {"Modality": "CT", "PatientName": "Doe^Jane", "SeriesNumber": "3"}
    path = tmp_path / "spool" / instance.path
    assert path.read_bytes().endswith(encoded)
    kept = dcmread(path)
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert kept.file_meta.MediaStorageSOPInstanceUID == kept.SOPInstanceUID == "1.2.3"
    assert files(tmp_path / "spool") == [instance.path]


def test_nobody_else_may_enter_the_spool(spool, tmp_path):
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_the_same_bytes_again_change_nothing(spool, tmp_path):
    first = store(spool, dataset()).instance
    before = (tmp_path / "spool" / first.path).stat()
    again = store(spool, dataset())
    assert again.outcome is Outcome.DUPLICATE
    assert again.instance.path == first.path
    after = (tmp_path / "spool" / first.path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_bytes_are_kept_beside_the_first_once(spool, tmp_path):
    first = store(spool, dataset()).instance
    other = dataset(StudyDescription="changed")
    conflicts = [store(spool, other), store(spool, other)]
    assert [stored.outcome for stored in conflicts] == [Outcome.CONFLICT] * 2
    path = f"conflicts/1.2.3/{hashlib.sha256(other).hexdigest()}.dcm"
    assert [stored.instance.path for stored in conflicts] == [path] * 2
    assert files(tmp_path / "spool") == sorted([first.path, path])
    assert dcmread(tmp_path / "spool" / first.path).get("StudyDescription") is None


def test_of_many_writers_exactly_one_is_first(spool):
    variants = [dataset(StudyDescription=str(number % 4)) for number in range(32)]
    with ThreadPoolExecutor(16) as writers:
        stored = list(writers.map(lambda encoded: store(spool, encoded), variants))
    first = next(s.instance.sha256 for s in stored if s.outcome is Outcome.NEW)
    expected = [
        Outcome.CONFLICT if s.instance.sha256 != first else Outcome.DUPLICATE
        for s in stored
        if s.outcome is not Outcome.NEW
    ]
    assert [s.outcome for s in stored if s.outcome is not Outcome.NEW] == expected
    assert len(expected) == 31


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    "uid", ["", "..", "../../x", "/x", "1..2", ".1", "1.", "1.2\n", "1.\u0662", "1." * 32 + "1"]
)
def test_what_is_no_uid_is_refused(spool, tmp_path, uid):
    with pytest.raises(BadIdentifier):
        store(spool, dataset(), sop_instance_uid=uid)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
def test_a_dataset_without_an_identifier_is_refused_by_name(spool, keyword):
    with pytest.raises(BadIdentifier, match=f"{keyword} is missing"):
        store(spool, dataset(**{keyword: ""}))


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_uid_with_a_leading_zero_is_taken_as_scanners_write_it(spool):
    stored = store(spool, dataset(StudyInstanceUID="1.2.007"))
    assert stored.instance.path.startswith("1.2.007/")


@pytest.mark.parametrize("other", [{"SOPInstanceUID": "1.2.4"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}])
def test_a_dataset_that_is_not_what_the_request_names_is_refused(spool, tmp_path, other):
    with pytest.raises(MismatchedInstance):
        store(spool, dataset(**other))
    assert files(tmp_path) == []


def test_what_is_larger_than_allowed_is_refused(tmp_path):
    encoded = dataset()
    assert store(Spool(tmp_path / "enough", len(encoded)), encoded).outcome is Outcome.NEW
    with pytest.raises(TooLarge):
        store(Spool(tmp_path / "less", len(encoded) - 1), encoded)


@pytest.mark.parametrize("call", ["fsync", "link", "mkdir"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_is_left(spool, tmp_path, monkeypatch, call, code):
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(NoSpace):
        store(spool, dataset())
    assert files(tmp_path) == []


def test_another_failure_of_the_disk_is_passed_on_and_nothing_is_left(spool, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="EIO"):
        store(spool, dataset())
    assert files(tmp_path) == []


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, errno.errorcode[code])

    return fail


def test_file_and_folders_are_flushed_before_the_return(spool, tmp_path, monkeypatch):
    flushed: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    store(spool, dataset())
    assert flushed[1:] == ["1.2.2", "1.2.1", "spool"]
    flushed.clear()
    store(spool, dataset())
    assert flushed == ["1.2.2", "1.2.1", "spool"]


def test_reconcile_finds_exactly_what_the_ledger_does_not_know(spool):
    known = store(spool, dataset()).instance
    unknown = store(spool, dataset(SOPInstanceUID="1.2.4"), "1.2.4").instance
    store(spool, dataset(StudyDescription="a conflict"))
    [found] = spool.reconcile(lambda path: path == known.path)
    assert found.path == unknown.path
    assert abs((found.received_at - unknown.received_at).total_seconds()) < 60
    assert {**vars(found), "received_at": None} == {**vars(unknown), "received_at": None}


def test_reconcile_opens_no_file_that_is_known(spool, tmp_path):
    instance = store(spool, dataset()).instance
    (tmp_path / "spool" / instance.path).write_bytes(b"not even DICOM")
    with structlog.testing.capture_logs() as events:
        assert list(spool.reconcile(lambda _: True)) == []
    assert events == []


def test_reconcile_removes_what_a_dead_writer_left(spool, tmp_path):
    leftover = tmp_path / "spool" / "incoming" / "half"
    leftover.write_bytes(b"half an inst")
    assert list(spool.reconcile(lambda _: False)) == []
    assert not leftover.exists()


def test_reconcile_leaves_a_file_alone_that_is_being_written(spool, tmp_path, monkeypatch):
    link = os.link

    def reconcile_first(source: Path, target: Path) -> None:
        assert list(spool.reconcile(lambda _: False)) == []
        link(source, target)

    monkeypatch.setattr(os, "link", reconcile_first)
    assert store(spool, dataset()).outcome is Outcome.NEW


@pytest.mark.parametrize("content", [b"", b"no DICOM", bytes(128) + b"DICM"])
def test_reconcile_logs_and_passes_over_what_is_no_instance(spool, tmp_path, content):
    stray = tmp_path / "spool" / "1.2.1" / "stray.dcm"
    stray.parent.mkdir()
    stray.write_bytes(content)
    with structlog.testing.capture_logs() as events:
        assert list(spool.reconcile(lambda _: False)) == []
    assert [(event["event"], event["path"]) for event in events] == [("spool.unreadable", "1.2.1/stray.dcm")]
    assert stray.exists()


def test_no_damaged_file_stops_reconcile(spool, tmp_path):
    path = tmp_path / "spool" / store(spool, dataset()).instance.path
    whole = path.read_bytes()
    for at in range(128, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        for found in spool.reconcile(lambda _: False):
            assert found.path == "1.2.1/1.2.2/1.2.3.dcm"
        path.write_bytes(whole[:at])
        list(spool.reconcile(lambda _: False))


def test_reconcile_passes_over_an_instance_in_another_place(spool, tmp_path):
    instance = store(spool, dataset()).instance
    root = tmp_path / "spool"
    (root / instance.path).rename(root / "1.2.1" / "1.2.9.dcm")
    with structlog.testing.capture_logs() as events:
        assert list(spool.reconcile(lambda _: False)) == []
    assert [event["event"] for event in events] == ["spool.misplaced"]
