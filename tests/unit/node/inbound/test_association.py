import gc
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, _config
from pynetdicom.association import Association

from node.config import Dicom
from node.errors import ConfigurationError
from node.inbound.association import Listener
from node.inbound.instances import IMPLEMENTATION_CLASS_UID, Spool, Stored

# pynetdicom's requestor leaves sockets to the garbage collector; let that be seen here, not in another test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _sockets_collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 1 << 20)


class Account:
    """What a listener reported, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def stored(self, stored: Stored, key: str) -> None:
        self.told.append(("stored", key))

    def ended(self, key: str, _whole: bool) -> None:
        self.told.append(("ended", key))


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def listener(port: int, spool: Spool, account: Account) -> Iterator[Listener]:
    listener = Listener(Dicom(port=port), spool, account.stored, account.ended)
    listener.start()
    yield listener
    listener.stop()


def associate(port: int) -> Association:
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="AINODE")
    assert association.is_established
    return association


def ct() -> Dataset:
    dataset = Dataset()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.1", "1.2.2"
    return dataset


def eventually(fact: Callable[[], bool]) -> None:
    for _ in range(500):
        if fact():
            return
        time.sleep(0.02)
    pytest.fail("did not become true in 10 s")


def test_a_port_that_is_taken_is_named_with_the_setting_that_changes_it(listener, port, spool, account):
    second = Listener(Dicom(port=port), spool, account.stored, account.ended)
    with pytest.raises(ConfigurationError, match=rf"{port}.*dicom\.port.*AINODE__DICOM__PORT"):
        second.start()
    second.stop()


def test_an_address_that_is_not_ours_is_a_configuration_error(port, spool, account):
    settings = Dicom(host="192.0.2.1", port=port, calling_ae_titles=("CT01",))
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"):
        Listener(settings, spool, account.stored, account.ended).start()


def test_stop_ends_open_associations_and_frees_the_port(port, spool, account):
    listener = Listener(Dicom(port=port), spool, account.stored, account.ended)
    listener.start()
    open_one = associate(port)
    assert open_one.send_c_store(ct()).Status == 0x0000
    listener.stop()
    assert [what for what, _ in account.told] == ["stored", "ended"]
    eventually(lambda: open_one.is_aborted)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_stop_does_not_wait_for_a_sender_that_fell_silent_within_a_message(port, spool, account):
    listener = Listener(Dicom(port=port), spool, account.stored, account.ended)
    listener.start()
    silent = associate(port)
    silent.dul.socket.socket.sendall(b"\x04\x00\x00\x00\x10\x00" + bytes(100))
    listener.stop()
    assert [what for what, _ in account.told] == ["ended"]
    silent.abort()


def test_a_listener_can_be_started_again(port, spool, account):
    listener = Listener(Dicom(port=port), spool, account.stored, account.ended)
    for _ in range(2):
        listener.start()
        associate(port).release()
        listener.stop()
    assert [what for what, _ in account.told] == ["ended", "ended"]


def test_connections_that_close_without_a_request_take_no_place(port, spool, account):
    listener = Listener(Dicom(port=port, max_associations=2), spool, account.stored, account.ended)
    listener.start()
    for _ in range(6):
        socket.create_connection(("127.0.0.1", port)).close()
    deadline = time.monotonic() + 10
    accepted = False
    while not accepted and time.monotonic() < deadline:
        entity = AE()
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", port, ae_title="AINODE")
        accepted = association.is_established
        association.release() if accepted else time.sleep(0.05)
    listener.stop()
    assert accepted


def test_the_end_is_told_after_the_last_instance(listener, port, account):
    for _ in range(3):
        association = associate(port)
        for _ in range(2):
            assert association.send_c_store(ct()).Status == 0x0000
        association.release()
    eventually(lambda: len(account.told) == 9)
    by_association: dict[str, list[str]] = {}
    for what, key in account.told:
        by_association.setdefault(key, []).append(what)
    assert list(by_association.values()) == [["stored", "stored", "ended"]] * 3


def test_a_failing_disk_is_answered_and_the_association_goes_on(listener, port, tmp_path):
    association = associate(port)
    (tmp_path / "spool" / "1.2.1").write_bytes(b"a file where a folder should be")
    response = association.send_c_store(ct())
    assert response.Status == 0xA701
    assert response.ErrorComment == "the disk of the spool fails"
    (tmp_path / "spool" / "1.2.1").unlink()
    assert association.send_c_store(ct()).Status == 0x0000
    association.release()


def test_the_listener_names_itself_and_its_pdu_size(listener, port):
    association = associate(port)
    assert association.acceptor.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert association.acceptor.maximum_length == Dicom().max_pdu_bytes
    association.release()


def test_a_stopped_listener_leaves_pynetdicom_as_strict_as_it_was(port, spool, account):
    listener = Listener(Dicom(port=port), spool, account.stored, account.ended)
    listener.start()
    listener.stop()
    assert not _config.UNRESTRICTED_STORAGE_SERVICE
