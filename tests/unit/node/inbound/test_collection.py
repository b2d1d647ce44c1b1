"""Collections read where they lie; the archive here is an HTTP server that answers as it is told."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydicom import Dataset

from node.errors import ConfigurationError, IncompleteInput, Transient
from node.inbound.collection import Archive, Folder
from tests import synthetic_series
from tests.synthetic_series import SERIES, STUDY

Answer = tuple[int, str, bytes]

_, SOURCES = synthetic_series.series((3, 4, 5))


def as_json(answer: object) -> Answer:
    return 200, "application/dicom+json", json.dumps(answer).encode()


def as_parts(*contents: bytes) -> Answer:
    parts = b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n" + c + b"\r\n" for c in contents)
    return 200, 'multipart/related; type="application/dicom"; boundary=B', parts + b"--B--\r\n"


METADATA = as_json([json.loads(header.to_json()) for header in SOURCES])


class Server(ThreadingHTTPServer):
    """Answers by the last word of the path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, kind, content = self.server.answers[self.path.partition("?")[0].rpartition("/")[2]]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(server: Server) -> Archive:
    return Archive.of(f"http://doctor:s%40cret@127.0.0.1:{server.server_port}/web/studies?Modality=CT")


@pytest.fixture
def contents(tmp_path: Path) -> list[bytes]:
    for number, header in enumerate(SOURCES):
        header.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    return [(tmp_path / f"{number}.dcm").read_bytes() for number in range(len(SOURCES))]


def fetched(archive: Archive) -> dict[str, str]:
    """The instances in the files, by what their headers say."""
    headers = archive.headers(STUDY)
    with archive.files(headers) as folder:
        (read,) = Folder(tuple(sorted(folder.iterdir()))).studies()
        assert read == STUDY
        found = Folder(tuple(folder / h.filename for h in headers)).headers(STUDY)
        return {h.SOPInstanceUID: f.SOPInstanceUID for h, f in zip(headers, found, strict=True)}


def test_credentials_of_the_url_are_sent_and_stand_in_no_sentence(server: Server, archive: Archive) -> None:
    server.answers["studies"] = (403, "text/plain", b"")
    with pytest.raises(Transient) as caught:
        archive.studies()
    assert str(caught.value) == f"127.0.0.1:{server.server_port}: 403 Forbidden"
    assert server.asked[0][1] == "Basic " + base64.b64encode(b"doctor:s@cret").decode()
    assert "s%40cret" not in archive.client.base_url


def test_an_archive_that_is_not_there_is_named_with_the_innermost_cause() -> None:
    with pytest.raises(Transient, match=r"^127\.0\.0\.1:9: \[Errno 111\] Connection refused$"):
        Archive.of("http://doctor:secret@127.0.0.1:9/studies").studies()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=2", "limit"),
        ("offset=2", "offset"),
        ("Modality=CT&Modality=MR", "Modality"),
    ],
)
def test_what_a_query_may_not_ask_is_named(query: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Archive.of(f"http://archive/studies?{query}")


@pytest.mark.parametrize(
    "url", ["http://doctor:secret@archive/series", "http://doctor:secret@archive:x/studies"]
)
def test_a_wrong_url_is_told_without_its_credentials(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no QIDO-RS query for studies") as caught:
        Archive.of(url)
    assert "secret" not in str(caught.value)


def test_instances_are_found_where_their_headers_say_in_whatever_order_they_come(
    server: Server, archive: Archive, contents: list[bytes]
) -> None:
    server.answers |= {"metadata": METADATA, SERIES: as_parts(*contents[::-1])}
    same = fetched(archive)
    assert len(same) == 3
    assert all(asked == given for asked, given in same.items())


def test_an_instance_that_comes_twice_does_not_stand_for_another(
    server: Server, archive: Archive, contents: list[bytes]
) -> None:
    server.answers |= {"metadata": METADATA, SERIES: as_parts(contents[0], contents[0], contents[1])}
    with pytest.raises(IncompleteInput, match="2 of 3 instances"):
        fetched(archive)


@pytest.mark.parametrize(
    "metadata",
    [
        (200, "application/dicom+json", b"<html>log in</html>"),
        as_json([{"00080060": {"vr": "CS", "Value": "CT"}}]),
        as_json({"error": "none"}),
    ],
)
def test_metadata_that_are_none_are_told_in_a_sentence(
    server: Server, archive: Archive, metadata: Answer
) -> None:
    server.answers["metadata"] = metadata
    with pytest.raises(Transient, match=r"^127\.0\.0\.1:\d+: the answer cannot be understood \("):
        archive.headers(STUDY)


@pytest.mark.parametrize("damage", [lambda content: b"garbage", lambda content: content[:200]])
def test_an_instance_that_is_none_is_told_in_a_sentence(
    server: Server, archive: Archive, contents: list[bytes], damage: Callable[[bytes], bytes]
) -> None:
    server.answers |= {"metadata": METADATA, SERIES: as_parts(*contents[:2], damage(contents[2]))}
    with pytest.raises((Transient, IncompleteInput)):
        fetched(archive)


def test_a_file_that_vanished_is_of_no_study(tmp_path: Path, contents: list[bytes]) -> None:
    paths = tuple(tmp_path / name for name in ("0.dcm", "gone.dcm"))
    assert len(contents) == 3
    assert Folder(paths).studies() == [STUDY]
    header: Dataset
    (header,) = Folder(paths).headers(STUDY)
    with Folder(paths).files([header]) as folder:
        assert folder / header.filename == paths[0]
