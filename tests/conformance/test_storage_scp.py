"""The listener against real peers: dcmtk's programs and pynetdicom as SCU (PS3.4 annexes A and B)."""

import gc
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
import structlog
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from node.config import Dicom
from node.inbound.association import Listener
from node.inbound.instances import Outcome, Spool, Stored

VERIFICATION = "1.2.840.10008.1.1"

# pynetdicom's requestor leaves sockets to the garbage collector; let that be seen here, not in another test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _sockets_collected() -> Iterator[None]:
    yield
    gc.collect()


@dataclass
class Receiver:
    """A running listener and what it reported."""

    port: int
    root: Path
    stored: list[tuple[Stored, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def dataset(self, stored: Stored) -> bytes:
        return dataset_bytes(self.root / stored.instance.path)


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    listeners: list[Listener] = []

    def start(root: Path = tmp_path / "state" / "spool", **settings: object) -> Receiver:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        receiver = Receiver(port, root)
        dicom = Dicom.model_validate({"port": port, **settings})
        listener = Listener(
            dicom,
            Spool(root, dicom.max_instance_bytes),
            lambda stored, key: receiver.stored.append((stored, key)),
            lambda key, _whole: receiver.ended.append(key),
        )
        listener.start()
        listeners.append(listener)
        return receiver

    yield start
    for listener in listeners:
        listener.stop()


@contextmanager
def associated(
    receiver: Receiver, *contexts: tuple[str, list[str]], calling: str = "SCANNER", called: str = "AINODE"
) -> Iterator[Association]:
    entity = AE(calling)
    entity.maximum_pdu_size = 1 << 20
    for abstract_syntax, transfer_syntaxes in contexts or ((VERIFICATION, ["1.2.840.10008.1.2"]),):
        entity.requested_contexts = [
            *entity.requested_contexts,
            build_context(abstract_syntax, list(transfer_syntaxes)),
        ]
    association = entity.associate("127.0.0.1", receiver.port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def store_request(dataset: bytes, sop_class: str, sop_instance: str) -> C_STORE:
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = sop_instance
    request.Priority = 2
    request.DataSet = BytesIO(dataset)
    return request


def c_store(association: Association, dataset: bytes, sop_class: str, sop_instance: str) -> C_STORE:
    """Send bytes as they are, which pynetdicom's own send_c_store would check and encode."""
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.001)
    [context] = [c for c in association.accepted_contexts if c.abstract_syntax == sop_class]
    association.dimse.send_msg(store_request(dataset, sop_class, sop_instance), context.context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None, "no answer"
    return response


def ct(pixels: bytes = bytes(512), **attributes: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.PatientName = "Sentinel^Patient"
    dataset.PatientID = "4711"
    dataset.Modality = "CT"
    dataset.BitsAllocated = 8
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB"
    return dataset


def encoded(dataset: Dataset) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, dataset)
    return file.getvalue()


def send_ct(receiver: Receiver, dataset: Dataset) -> int:
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        return c_store(association, encoded(dataset), CTImageStorage, dataset.SOPInstanceUID).Status


def dataset_bytes(path: Path) -> bytes:
    """What follows the file meta, found by a reader that is not the node's."""
    raw = path.read_bytes()
    if raw[128:132] != b"DICM":
        return raw
    at = 132
    while raw[at : at + 2] == b"\x02\x00":
        long = raw[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"SQ", b"UT")
        size = int.from_bytes(raw[at + 8 : at + 12] if long else raw[at + 6 : at + 8], "little")
        at += (12 if long else 8) + size
    return raw[at:]


def eventually(fact: Callable[[], bool]) -> None:
    for _ in range(500):
        if fact():
            return
        time.sleep(0.02)
    pytest.fail("did not become true in 10 s")


def dcmtk(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    # pynetdicom brings programs of the same names into the virtual environment.
    found = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.fail(f"{program} is missing; install the Debian package dcmtk")
    return subprocess.run(
        [found, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TCP_NODELAY": "1"},
    )


def test_echoscu_is_answered(receive):
    receiver = receive()
    echo = dcmtk("echoscu", "-v", "-aec", "AINODE", "127.0.0.1", receiver.port)
    assert echo.returncode == 0, echo.stderr
    assert "Success" in echo.stdout + echo.stderr


def test_a_wrong_called_ae_title_is_refused(receive):
    receiver = receive()
    echo = dcmtk("echoscu", "-aec", "SOMEONE", "127.0.0.1", receiver.port)
    assert echo.returncode != 0
    assert "Called AE Title Not Recognized" in echo.stdout + echo.stderr


def test_a_stranger_is_refused_and_a_listed_sender_is_not(receive):
    receiver = receive(calling_ae_titles=["CT01", "PACS"])
    stranger = dcmtk("echoscu", "-aet", "STRANGER", "-aec", "AINODE", "127.0.0.1", receiver.port)
    assert stranger.returncode != 0
    assert "Calling AE Title Not Recognized" in stranger.stdout + stranger.stderr
    listed = dcmtk("echoscu", "-aet", "CT01", "-aec", "AINODE", "127.0.0.1", receiver.port)
    assert listed.returncode == 0, listed.stderr


def test_dcmsend_delivers_a_whole_chest_ct(receive, shared_data):
    receiver = receive()
    paths = sorted((shared_data / "ct-thorax-lungdx").rglob("*.dcm"))
    sources = {source.SOPInstanceUID: source for source in map(dcmread, paths)}
    sent = dcmtk("dcmsend", "-aec", "AINODE", "127.0.0.1", receiver.port, *paths)
    assert sent.returncode == 0, sent.stderr
    assert {stored.instance.sop_instance_uid for stored, _ in receiver.stored} == set(sources)
    for stored, _ in receiver.stored:
        kept = dcmread(receiver.root / stored.instance.path)
        assert kept.PixelData == sources[kept.SOPInstanceUID].PixelData
    eventually(lambda: len(receiver.ended) == 1)


def test_storescu_delivers_every_transfer_syntax_it_can_propose(receive, shared_data):
    receiver = receive()
    folder = shared_data / "dicom-oddities" / "one-ct-many-transfer-syntaxes"
    options = {
        "1.2.840.10008.1.2": "-xi", "1.2.840.10008.1.2.2": "-xb", "1.2.840.10008.1.2.4.50": "-xy",
        "1.2.840.10008.1.2.4.51": "-xx", "1.2.840.10008.1.2.4.70": "-xs", "1.2.840.10008.1.2.4.80": "-xt",
        "1.2.840.10008.1.2.4.81": "-xu", "1.2.840.10008.1.2.4.90": "-xv", "1.2.840.10008.1.2.4.91": "-xw",
        "1.2.840.10008.1.2.5": "-xr",
    }  # fmt: skip
    for path in sorted(folder.iterdir()):
        transfer_syntax = read_file_meta_info(path).TransferSyntaxUID
        if transfer_syntax in options:
            option = options.pop(transfer_syntax)
            sent = dcmtk("storescu", option, "-aec", "AINODE", "127.0.0.1", receiver.port, path)
            assert sent.returncode == 0, f"{path.name}: {sent.stderr}"
            assert receiver.stored[-1][0].instance.transfer_syntax_uid == transfer_syntax
    assert options == {}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_every_odd_file_is_stored_byte_for_byte_or_refused_with_a_reason(receive, shared_data):
    receiver = receive()
    refused = {}
    paths = sorted((shared_data / "dicom-oddities").rglob("*.dcm"))
    for path in paths:
        meta = read_file_meta_info(path)
        source = dcmread(path, stop_before_pixels=True)
        sop_class = str(source.get("SOPClassUID", CTImageStorage))
        sop_instance = str(source.get("SOPInstanceUID", "1.2.3"))
        sent = dataset_bytes(path)
        with associated(receiver, (sop_class, [meta.TransferSyntaxUID])) as association:
            response = c_store(association, sent, sop_class, sop_instance)
        if response.Status == 0x0000:
            assert receiver.dataset(receiver.stored.pop()[0]) == sent, path.name
        else:
            refused[path.name] = (response.Status, response.ErrorComment)
    assert refused == {
        "JLSL_16_15_1_1F.dcm": (0xC001, "StudyInstanceUID is missing"),
        "bad_sequence.dcm": (0xC001, "Affected SOP Instance UID is no UID: 'dccc9599087131742838cc1162"),
        "emri_small_jpeg_2k_lossless_too_short.dcm": (
            0xC210,
            "the dataset ends within the header of an element",
        ),
    }
    assert receiver.stored == []


@pytest.mark.parametrize(
    ("sop_class", "transfer_syntax"),
    [
        ("1.3.12.2.1107.5.9.1", ExplicitVRLittleEndian),
        (CTImageStorage, "1.2.840.113619.5.2"),
        ("1.2.840.10008.5.1.4.1.1.66.7", ExplicitVRLittleEndian),
        ("1.2.840.10008.5.1.4.1.1.66.8", ExplicitVRLittleEndian),
        ("1.2.840.10008.5.1.4.1.1.999.1", "1.2.840.10008.1.2.4.999"),
    ],
    ids=["private class", "private syntax", "Label Map SEG", "Height Map SEG", "not yet standard"],
)
def test_what_nobody_knows_is_stored(receive, sop_class, transfer_syntax):
    receiver = receive()
    dataset = ct(SOPClassUID=sop_class)
    with associated(receiver, (sop_class, [transfer_syntax])) as association:
        response = c_store(association, encoded(dataset), sop_class, dataset.SOPInstanceUID)
    assert response.Status == 0x0000
    [(stored, _)] = receiver.stored
    assert stored.instance.sop_class_uid == sop_class
    meta = read_file_meta_info(receiver.root / stored.instance.path)
    assert meta.TransferSyntaxUID == transfer_syntax
    assert receiver.dataset(stored) == encoded(dataset)


def test_a_private_transfer_syntax_gives_way_to_a_public_one(receive):
    receiver = receive()
    proposed = ["1.2.840.113619.5.2", "1.2.840.10008.1.2.4.70", ExplicitVRLittleEndian]
    with associated(receiver, (CTImageStorage, proposed)) as association:
        assert association.accepted_contexts[0].transfer_syntax == ["1.2.840.10008.1.2.4.70"]


def test_other_services_are_not_offered(receive):
    receiver = receive()
    find, commitment = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.20.1"
    syntaxes = [ExplicitVRLittleEndian]
    with associated(receiver, (find, syntaxes), (commitment, syntaxes), (CTImageStorage, syntaxes)) as it:
        assert [context.abstract_syntax for context in it.accepted_contexts] == [CTImageStorage]


@pytest.mark.parametrize("lost", [1, 100, 520, 600])
def test_truncated_data_is_refused_and_leaves_nothing(receive, lost):
    receiver = receive()
    dataset = ct()
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        response = c_store(association, encoded(dataset)[:-lost], CTImageStorage, dataset.SOPInstanceUID)
    assert response.Status == 0xC210
    assert receiver.files() == []


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["../../../escaped", "/etc/escaped", "1.2..3", "1.2.3/4", "..", "1.2.x"])
def test_a_uid_that_is_a_path_is_refused_wherever_it_stands(receive, tmp_path, keyword, uid):
    receiver = receive()
    dataset = ct(**{keyword: uid})
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        response = c_store(association, encoded(dataset), CTImageStorage, dataset.SOPInstanceUID)
    assert response.Status == 0xC001
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_dataset_of_another_instance_than_requested_is_refused(receive):
    receiver = receive()
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        response = c_store(association, encoded(ct()), CTImageStorage, generate_uid())
    assert response.Status == 0xA900
    assert receiver.files() == []


def test_what_is_too_large_is_refused_and_the_association_goes_on(receive):
    receiver = receive(max_instance_bytes=1 << 20, max_pdu_bytes=1 << 16)
    large, small = ct(bytes(4 << 20)), ct()
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        assert c_store(association, encoded(large), CTImageStorage, large.SOPInstanceUID).Status == 0xA702
        assert c_store(association, encoded(small), CTImageStorage, small.SOPInstanceUID).Status == 0x0000


def test_the_same_bytes_again_change_nothing_and_other_bytes_do_not_replace_the_first(receive):
    receiver = receive()
    first = ct()
    other = ct(
        bytes(510) + b"\x01\x02", **{k: first[k].value for k in ("SOPInstanceUID", "StudyInstanceUID")}
    )
    other.SeriesInstanceUID = first.SeriesInstanceUID
    assert [send_ct(receiver, dataset) for dataset in (first, first, other, other)] == [0x0000] * 4
    new, duplicate, conflict, same_conflict = (stored for stored, _ in receiver.stored)
    assert [new.outcome, duplicate.outcome, conflict.outcome, same_conflict.outcome] == [
        Outcome.NEW,
        Outcome.DUPLICATE,
        Outcome.CONFLICT,
        Outcome.CONFLICT,
    ]
    assert receiver.dataset(new) == encoded(first)
    assert receiver.dataset(conflict) == encoded(other)
    assert len(receiver.files()) == 2


def test_of_several_associations_with_one_instance_exactly_one_is_first(receive):
    receiver = receive()
    dataset = ct(bytes(1 << 20))
    with ThreadPoolExecutor(6) as senders:
        statuses = list(senders.map(lambda _: send_ct(receiver, dataset), range(6)))
    assert statuses == [0x0000] * 6
    outcomes = [stored.outcome for stored, _ in receiver.stored]
    assert outcomes.count(Outcome.NEW) == 1
    assert outcomes.count(Outcome.DUPLICATE) == 5
    assert len(receiver.files()) == 1


@pytest.mark.parametrize("how", ["aborted", "cut off"])
def test_an_association_that_breaks_within_an_instance_ends_once_and_leaves_nothing(receive, how):
    receiver = receive()
    whole, broken = ct(), ct(bytes(1 << 20))
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        c_store(association, encoded(whole), CTImageStorage, whole.SOPInstanceUID)
        message = C_STORE_RQ()
        message.primitive_to_message(store_request(encoded(broken), CTImageStorage, broken.SOPInstanceUID))
        message.context_id = association.accepted_contexts[0].context_id
        fragments = message.encode_msg(message.context_id, 1 << 16)
        for _ in range(4):
            association.dul.send_pdu(next(fragments))
        eventually(association.dul.to_provider_queue.empty)
        if how == "cut off":
            association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        association.abort()
    eventually(lambda: len(receiver.ended) == 1)
    [(stored, key)] = receiver.stored
    assert receiver.ended == [key]
    assert receiver.files() == [receiver.root / stored.instance.path]


def test_each_association_ends_once_under_a_key_of_its_own(receive):
    receiver = receive()
    for _ in range(3):
        send_ct(receiver, ct())
    eventually(lambda: len(receiver.ended) == 3)
    keys = [key for _, key in receiver.stored]
    assert len(set(keys)) == 3
    assert sorted(receiver.ended) == sorted(keys)


def test_one_association_too_many_is_refused_until_another_ends(receive):
    receiver = receive(max_associations=2)
    with associated(receiver) as first, associated(receiver) as second:
        assert first.is_established
        assert second.is_established
        with associated(receiver) as third:
            assert third.is_rejected
            assert third.acceptor.primitive.result_str == "Rejected Transient"
    eventually(lambda: len(receiver.ended) == 2)
    with associated(receiver) as fourth:
        assert fourth.is_established


def test_a_full_disk_is_answered_as_such_and_the_next_instance_fits_after_room_is_made(receive, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here: needs root")
    try:
        receiver = receive(root=disk / "spool")
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(3 << 19))
        dataset = ct(bytes(1 << 20))
        assert send_ct(receiver, dataset) == 0xA700
        assert receiver.files() == []
        ballast.unlink()
        assert send_ct(receiver, dataset) == 0x0000
        assert receiver.dataset(receiver.stored[-1][0]) == encoded(dataset)
    finally:
        eventually(
            lambda: subprocess.run(["umount", str(disk)], capture_output=True, check=False).returncode == 0
        )


def test_no_log_line_holds_a_patient_name(receive, caplog):
    with structlog.testing.capture_logs() as events, caplog.at_level("DEBUG"):
        receiver = receive()
        dataset = ct()
        send_ct(receiver, dataset)
        with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
            c_store(association, encoded(dataset)[:-1], CTImageStorage, dataset.SOPInstanceUID)
        eventually(lambda: len(receiver.ended) == 2)
    assert {event["event"] for event in events} >= {
        "association.accepted",
        "instance.refused",
        "association.ended",
    }
    assert "Sentinel" not in repr(events) + caplog.text
    assert "4711" not in repr(events)
    [refused] = [event for event in events if event["event"] == "instance.refused"]
    assert refused["calling_ae_title"] == "SCANNER"
    assert refused["association"] in receiver.ended
    assert refused["status"] == "0xc210"


def test_the_file_is_there_before_the_sender_is_answered(receive):
    receiver = receive()
    answered = threading.Event()
    dataset = ct()
    with associated(receiver, (CTImageStorage, [ExplicitVRLittleEndian])) as association:
        c_store(association, encoded(dataset), CTImageStorage, dataset.SOPInstanceUID)
        answered.set()
        assert receiver.dataset(receiver.stored[0][0]) == encoded(dataset)
        assert receiver.ended == []
