"""A Hugging Face hub on loopback: the part of its layout by which a file is found and downloaded."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 1 << 20


@dataclass
class Hub:
    """What is on the hub, and how it behaves.

    Attributes:
        url: the endpoint.
        files: by `owner/repository/file`.
        elsewhere: whether bytes are on another host, as on the public hub, or in place, as on mirrors.
        commit: of every repository; None to say nothing of it, as a server does that is no hub.
        etag: of every file in place of its SHA-256.
        size: of every file in place of its own.
        breaks: how the next download of bytes ends early: "closed" (the rest is missing) or "reset".
        breaks_after: bytes.
        requests: method, path, and headers by lower case name, in order.
    """

    url: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    elsewhere: bool = True
    commit: str | None = COMMIT
    etag: str | None = None
    size: int | None = None
    breaks: str | None = None
    breaks_after: int = 0
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def digest(self, file: Path) -> str:
        """The ETag of a file, without its quotes."""
        if self.etag:
            return self.etag
        with file.open("rb") as content:
            return sha256(content.read()).hexdigest()

    @property
    def ranges(self) -> list[str | None]:
        """The byte ranges asked for, None for a whole file."""
        return [headers.get("range") for method, _, headers in self.requests if method == "GET"]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that is up for as long as the context."""
    hub = Hub()

    class Handler(_Handler):
        content = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        pass

    def _answer(self, *, with_body: bool) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.content.requests.append((self.command, self.path, headers))
        resolved = re.fullmatch(r"/(\w[\w.-]*/\w[\w.-]*)/resolve/(\w+)/(.+)", self.path)
        if self.path.startswith("/bytes/"):
            self._send(self.content.files[self.path.removeprefix("/bytes/")], {}, with_body)
        elif resolved is None or not any(name.startswith(f"{resolved[1]}/") for name in self.content.files):
            self._refuse(401, "RepoNotFound")
        elif resolved[2] not in {"main", COMMIT}:
            self._refuse(404, "RevisionNotFound")
        elif (name := f"{resolved[1]}/{resolved[3]}") not in self.content.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._resolve(name, with_body)

    def _resolve(self, name: str, with_body: bool) -> None:
        file = self.content.files[name]
        digest = self.content.digest(file)
        facts = {"X-Linked-Etag": f'"{digest}"', "ETag": f'"{digest}"'}
        if self.content.commit:
            facts["X-Repo-Commit"] = self.content.commit
        if not self.content.elsewhere:
            self._send(file, facts, with_body)
            return
        port = self.server.server_address[1]
        size = self.content.size or file.stat().st_size
        facts |= {"X-Linked-Size": str(size), "ETag": '"of the redirection"'}
        self._head(302, facts | {"Location": f"http://localhost:{port}/bytes/{name}", "Content-Length": "0"})

    def _send(self, file: Path, facts: dict[str, str], with_body: bool) -> None:
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        facts = facts | {"Accept-Ranges": "bytes", "Content-Length": str(size - start)}
        if asked:
            facts["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self._head(206 if asked else 200, facts)
        if with_body:
            self._write(file, start)

    def _write(self, file: Path, start: int) -> None:
        how, self.content.breaks = self.content.breaks, None
        left = self.content.breaks_after if how else file.stat().st_size - start
        with file.open("rb") as content:
            content.seek(start)
            while left > 0:
                left -= self.wfile.write(content.read(min(CHUNK, left)))
        if how:
            if how == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        self._head(status, {"X-Error-Code": code, "Content-Length": "0"})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
