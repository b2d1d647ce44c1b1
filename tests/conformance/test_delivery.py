"""Delivery against a real Orthanc and, for what Orthanc does not do, against small peers of the tests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AE, StoragePresentationContexts, evt

from node.config import Destination
from node.errors import ConfigurationError, DestinationRefused, Transient
from node.outbound import delivery
from tests.orthanc_server import Orthanc, free_ports, orthanc
from tests.synthetic_series import findings, objects, provenance, series

SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"

# pynetdicom leaves the socket of a connection that failed to the garbage collector.
unreachable = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(autouse=True)
def emptied(pacs: Orthanc) -> None:
    for patient in httpx2.get(f"{pacs.http_url}/patients").json():
        httpx2.delete(f"{pacs.http_url}/patients/{patient}")


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """The report before what it refers to, as a careless caller gives them."""
    volume, sources = series()
    encoded = objects(findings(volume), volume, sources, provenance(volume))
    files = [tmp_path / item.file for item in encoded]
    for file, item in zip(files, encoded, strict=True):
        file.write_bytes(item.content)
    return files[::-1]


def by_dicomweb(server: Orthanc) -> Destination:
    return Destination(name="pacs", dicomweb_url=server.dicomweb_url)


def by_dicom(server: Orthanc) -> Destination:
    return Destination(name="pacs", ae_title=server.ae_title, host="127.0.0.1", port=server.dicom_port)


def uid_of(file: Path) -> str:
    return str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)


def dataset_bytes(content: bytes) -> bytes:
    """What follows the file meta information."""
    meta_length = dcmread(BytesIO(content)).file_meta.FileMetaInformationGroupLength
    return content[128 + 4 + 12 + meta_length :]


def test_a_run_without_objects_is_delivered_without_asking_anybody() -> None:
    nobody = Destination(name="pacs", ae_title="NOBODY", host="127.0.0.1", port=free_ports(1)[0])
    delivery.deliver([], nobody, "AINODE")


def test_dicomweb_stores_the_very_file(pacs: Orthanc, results: list[Path]) -> None:
    delivery.deliver(results, by_dicomweb(pacs), "AINODE")
    assert pacs.sop_instance_uids() == sorted(map(uid_of, results))
    for file in results:
        assert pacs.file(uid_of(file)) == file.read_bytes()


def test_c_store_brings_the_very_dataset(pacs: Orthanc, results: list[Path]) -> None:
    delivery.deliver(results, by_dicom(pacs), "AINODE")
    assert pacs.sop_instance_uids() == sorted(map(uid_of, results))
    for file in results:
        assert dataset_bytes(pacs.file(uid_of(file))) == dataset_bytes(file.read_bytes())


def test_a_large_object_is_sent_in_pieces_and_with_its_length(tmp_path: Path) -> None:
    file = tmp_path / "large.dcm"
    write(file, "2.25.5", ExplicitVRLittleEndian)
    instance = dcmread(file)
    instance.add_new(0x7FE00010, "OB", bytes(range(256)) * (1 << 16))
    instance.save_as(file)
    with web_archive() as archive:
        delivery.deliver([file], archive.destination, "AINODE")
    assert archive.received == [file.read_bytes()]


@pytest.mark.parametrize("way", [by_dicomweb, by_dicom])
def test_delivering_again_changes_nothing(
    way: Callable[[Orthanc], Destination], pacs: Orthanc, results: list[Path]
) -> None:
    for _ in range(2):
        delivery.deliver(results, way(pacs), "AINODE")
    assert pacs.sop_instance_uids() == sorted(map(uid_of, results))


def test_what_is_there_already_is_not_sent_again(results: list[Path]) -> None:
    with web_archive(shown=set(map(uid_of, results))) as archive:
        delivery.deliver(results, archive.destination, "AINODE")
    assert archive.posted == []


def test_a_report_goes_after_the_segmentation_it_refers_to(results: list[Path]) -> None:
    with web_archive() as archive:
        delivery.deliver(results, archive.destination, "AINODE")
    assert archive.posted == [SEG, SR]


@unreachable
def test_c_store_takes_over_where_dicomweb_is_dead(pacs: Orthanc, results: list[Path]) -> None:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}/dicom-web"
    delivery.deliver(results, by_dicom(pacs).model_copy(update={"dicomweb_url": dead}), "AINODE")
    assert pacs.sop_instance_uids() == sorted(map(uid_of, results))


def test_c_store_takes_over_where_dicomweb_refuses(pacs: Orthanc, results: list[Path]) -> None:
    with web_archive(status=409, failure=0x0122) as archive:
        both = by_dicom(pacs).model_copy(update={"dicomweb_url": archive.destination.dicomweb_url})
        delivery.deliver(results, both, "AINODE")
    assert pacs.sop_instance_uids() == sorted(map(uid_of, results))


@unreachable
def test_a_dead_destination_is_transient_and_named(results: list[Path]) -> None:
    web, dicom = free_ports(2)
    dead = Destination(
        name="dead",
        dicomweb_url=f"http://127.0.0.1:{web}/dicom-web",
        ae_title="DEAD",
        host="127.0.0.1",
        port=dicom,
    )
    reason = rf"127.0.0.1:{web}/dicom-web .*refused.*; DEAD@127.0.0.1:{dicom} .*Connection refused"
    with pytest.raises(Transient, match=reason):
        delivery.deliver(results, dead, "AINODE")


@pytest.mark.parametrize(
    ("http_status", "failure", "verdict"),
    [
        (409, 0x0122, DestinationRefused),
        (409, 0xA900, DestinationRefused),
        (200, 0xC000, DestinationRefused),
        (202, 0xA700, Transient),
        (415, None, DestinationRefused),
        (400, None, DestinationRefused),
        (503, None, Transient),
        (500, None, Transient),
        (404, None, Transient),
        (401, None, Transient),
    ],
)
def test_a_stow_answer_is_judged_by_its_body_first(
    http_status: int, failure: int | None, verdict: type[Exception], results: list[Path]
) -> None:
    with web_archive(status=http_status, failure=failure) as archive, pytest.raises(verdict):
        delivery.deliver(results, archive.destination, "AINODE")


def test_an_instance_that_is_listed_as_stored_counts_in_spite_of_http_400(results: list[Path]) -> None:
    with web_archive(status=400, lists=True) as archive:
        delivery.deliver(results, archive.destination, "AINODE")
    assert archive.posted == [SEG, SR]


def test_an_archive_that_says_200_and_stores_nothing_is_found_out(
    results: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CONFIRM_AFTER_SECONDS", (0.0, 0.01))
    with (
        web_archive(forgets=True) as archive,
        pytest.raises(Transient, match=r"took .* but does not show it"),
    ):
        delivery.deliver(results, archive.destination, "AINODE")


def test_something_that_is_not_dicomweb_is_transient(results: list[Path]) -> None:
    with (
        web_archive(page=b"<html>Welcome</html>") as archive,
        pytest.raises(Transient, match="not DICOMweb"),
    ):
        delivery.deliver(results, archive.destination, "AINODE")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0122, DestinationRefused),
        (0xA900, DestinationRefused),
        (0xC123, DestinationRefused),
        (0xA700, Transient),
    ],
)
def test_a_c_store_status_is_told_apart(status: int, verdict: type[Exception], results: list[Path]) -> None:
    with dicom_archive(status) as destination, pytest.raises(verdict, match=f"0x{status:04X}"):
        delivery.deliver(results, destination, "AINODE")


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000])
def test_an_archive_without_queries_is_believed(status: int, results: list[Path]) -> None:
    with dicom_archive(status) as destination:
        delivery.deliver(results, destination, "AINODE")


def test_a_peer_that_accepts_no_context_has_refused(results: list[Path]) -> None:
    with (
        dicom_archive(0, sop_classes=(MRImageStorage,)) as destination,
        pytest.raises(DestinationRefused, match="accepts none of the SOP classes"),
    ):
        delivery.deliver(results, destination, "AINODE")


def test_a_peer_that_takes_only_reports_has_refused_the_segmentation(results: list[Path]) -> None:
    with (
        dicom_archive(0, sop_classes=(SR,)) as destination,
        pytest.raises(DestinationRefused, match="does not accept Segmentation Storage"),
    ):
        delivery.deliver(results, destination, "AINODE")


def test_a_rejected_calling_ae_title_is_said(results: list[Path]) -> None:
    with (
        dicom_archive(0, callers=["SOMEBODY"]) as destination,
        pytest.raises(Transient, match="rejects the association: is AINODE known to it"),
    ):
        delivery.deliver(results, destination, "AINODE")


def test_a_folder_is_sent_in_the_syntaxes_that_its_files_have(pacs: Orthanc, tmp_path: Path) -> None:
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless)
    for number, syntax in enumerate(syntaxes):
        write(tmp_path / "deep" / f"{number}.dcm", f"2.25.{number + 1}", syntax)
    report = delivery.send_folder(tmp_path, peer(pacs), "AINODE")
    assert (report.sent, report.failed, report.skipped) == (3, (), ())
    for number, syntax in enumerate(syntaxes):
        assert dcmread(BytesIO(pacs.file(f"2.25.{number + 1}"))).file_meta.TransferSyntaxUID == syntax


def test_more_than_128_pairs_of_class_and_syntax_take_several_associations(
    pacs: Orthanc, tmp_path: Path
) -> None:
    classes = [context.abstract_syntax for context in StoragePresentationContexts[:66]]
    for number, sop_class in enumerate(classes):
        write(tmp_path / f"{number}e.dcm", f"2.25.1{number}", ExplicitVRLittleEndian, sop_class)
        write(tmp_path / f"{number}i.dcm", f"2.25.2{number}", ImplicitVRLittleEndian, sop_class)
    report = delivery.send_folder(tmp_path, peer(pacs), "AINODE")
    assert (report.sent, report.failed) == (132, ())


def test_files_that_cannot_be_sent_are_named(pacs: Orthanc, tmp_path: Path) -> None:
    write(tmp_path / "good.dcm", "2.25.1", ExplicitVRLittleEndian)
    write(tmp_path / "nameless.dcm", "", ExplicitVRLittleEndian)
    (tmp_path / "notes.txt").write_text("not DICOM")
    report = delivery.send_folder(tmp_path, peer(pacs), "AINODE")
    assert report.sent == 1
    assert [Path(name).name for name, _ in report.failed] == ["nameless.dcm"]
    assert [Path(name).name for name in report.skipped] == ["notes.txt"]


def test_what_the_peer_refuses_is_reported_and_the_rest_is_sent(tmp_path: Path) -> None:
    write(tmp_path / "1.dcm", "2.25.1", ExplicitVRLittleEndian, MRImageStorage)
    write(tmp_path / "2.dcm", "2.25.2", ExplicitVRLittleEndian, CTImageStorage)
    with dicom_archive(0, sop_classes=(CTImageStorage,)) as destination:
        report = delivery.send_folder(
            tmp_path, delivery.Peer("ARCHIVE", "127.0.0.1", destination.port or 0), "AINODE"
        )
    assert report.sent == 1
    assert "does not accept MR Image Storage" in report.failed[0][1]


@unreachable
def test_sending_a_folder_says_what_is_missing(pacs: Orthanc, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        delivery.send_folder(tmp_path / "nowhere", peer(pacs), "AINODE")
    with pytest.raises(ConfigurationError, match="holds no DICOM file"):
        delivery.send_folder(tmp_path, peer(pacs), "AINODE")
    write(tmp_path / "1.dcm", "2.25.1", ExplicitVRLittleEndian)
    with pytest.raises(Transient, match="cannot be reached: Connection refused"):
        delivery.send_folder(tmp_path, delivery.Peer("PACS", "127.0.0.1", free_ports(1)[0]), "AINODE")
    with pytest.raises(Transient, match=r"cannot be reached: .*not known"):
        delivery.send_folder(tmp_path, delivery.Peer("PACS", "no-such-host.invalid", 104), "AINODE")


@unreachable
def test_reaching_a_destination_names_the_ways_that_answer(pacs: Orthanc) -> None:
    both = by_dicom(pacs).model_copy(update={"dicomweb_url": pacs.dicomweb_url})
    said = delivery.reach(both, "AINODE")
    assert said == f"QIDO-RS at {pacs.dicomweb_url} and C-ECHO at {peer(pacs)} answered"
    with pytest.raises(Transient, match="cannot be reached"):
        delivery.echo("127.0.0.1", free_ports(1)[0], "PACS", "AINODE")
    with pytest.raises(Transient, match="HTTP 404"):
        delivery.query_dicomweb(f"{pacs.http_url}/nowhere")
    with pytest.raises(ConfigurationError, match="is no DICOMweb URL"):
        delivery.query_dicomweb("ftp:pacs")


def peer(server: Orthanc) -> delivery.Peer:
    return delivery.parse_peer(f"{server.ae_title}@127.0.0.1:{server.dicom_port}")


def write(path: Path, uid: str, syntax: str, sop_class: str = CTImageStorage) -> None:
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = syntax
    instance.file_meta.MediaStorageSOPClassUID = sop_class
    instance.file_meta.MediaStorageSOPInstanceUID = uid or "2.25.8"
    instance.SOPClassUID, instance.SOPInstanceUID = sop_class, uid
    instance.StudyInstanceUID, instance.SeriesInstanceUID = "2.25.7001", "2.25.7002"
    instance.PatientID, instance.PatientName, instance.Modality = "P 1", "Doe^Jane", "CT"
    path.parent.mkdir(exist_ok=True)
    instance.save_as(
        path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True, enforce_file_format=True
    )


@contextmanager
def dicom_archive(
    status: int,
    sop_classes: tuple[str, ...] = (SEG, SR, CTImageStorage),
    callers: list[str] | None = None,
) -> Iterator[Destination]:
    """A storage SCP that answers with a status and knows no queries."""
    entity = AE(ae_title="ARCHIVE")
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class)
    if callers:
        entity.require_calling_aet = callers
    handlers = [(evt.EVT_C_STORE, lambda _event: status)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        port = server.socket.getsockname()[1]
        yield Destination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    finally:
        server.shutdown()


class WebArchive(ThreadingHTTPServer):
    """A DICOMweb archive that answers as it is told.

    Attributes:
        shown: SOP Instance UIDs that a query finds.
        posted: SOP Class UIDs in the order of arrival.
        received: the parts of the bodies in the order of arrival.
    """

    daemon_threads = True

    def __init__(
        self,
        shown: set[str] | None = None,
        status: int = 200,
        failure: int | None = None,
        lists: bool = False,
        forgets: bool = False,
        page: bytes = b"",
    ) -> None:
        super().__init__(("127.0.0.1", 0), WebAnswers)
        self.shown = shown or set()
        self.posted: list[str] = []
        self.received: list[bytes] = []
        self.status, self.failure, self.page = status, failure, page
        self.takes = not forgets and failure is None and (status < 300 or lists)

    @property
    def destination(self) -> Destination:
        url = f"http://127.0.0.1:{self.server_port}/dicom-web/"
        return Destination(name="archive", dicomweb_url=url, timeout_seconds=5)


class WebAnswers(BaseHTTPRequestHandler):
    server: WebArchive

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)["SOPInstanceUID"][0]
        found = [{"00080018": {"vr": "UI", "Value": [asked]}}] if asked in self.server.shown else []
        self.answer(200, self.server.page or json.dumps(found).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
        part = body.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--" + boundary + b"--\r\n")
        self.server.received.append(part)
        instance = dcmread(BytesIO(part), stop_before_pixels=True)
        self.server.posted.append(instance.SOPClassUID)
        if self.server.takes:
            self.server.shown.add(instance.SOPInstanceUID)
        item = Dataset()
        item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        said = Dataset()
        if self.server.failure is not None:
            item.FailureReason = self.server.failure
            said.FailedSOPSequence = [item]
        elif self.server.takes:
            said.ReferencedSOPSequence = [item]
        self.answer(self.server.status, said.to_json().encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Keep quiet."""


@contextmanager
def web_archive(**answers: Any) -> Iterator[WebArchive]:
    with WebArchive(**answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
