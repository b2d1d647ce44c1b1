"""A real Orthanc for tests: Debian's program with the DICOMweb plugin, on free loopback ports."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS = 30


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes:
        http_url: its own REST interface.
        dicom_port: on 127.0.0.1.
        ae_title: what it is called.
    """

    http_url: str
    dicom_port: int
    ae_title: str

    @property
    def dicomweb_url(self) -> str:
        return f"{self.http_url}/dicom-web"

    def sop_instance_uids(self) -> list[str]:
        """What it holds, sorted."""
        instances = httpx2.get(f"{self.http_url}/instances?expand", timeout=30).json()
        return sorted(i["MainDicomTags"]["SOPInstanceUID"] for i in instances)

    def file(self, sop_instance_uid: str) -> bytes:
        """A stored instance as Part 10 bytes."""
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        found = httpx2.post(f"{self.http_url}/tools/find", json=query, timeout=30).json()
        return httpx2.get(f"{self.http_url}/instances/{found[0]}/file", timeout=30).content


@contextmanager
def orthanc(
    folder: Path, modalities: Mapping[str, tuple[str, str, int]] | None = None, **settings: Any
) -> Iterator[Orthanc]:
    """Start an Orthanc, wait until it answers, and stop it at the end.

    Args:
        folder: takes its configuration, its log and what it stores.
        modalities: name to (AE title, host, port) of those it knows; AINODE is always among them.
        settings: anything else of Orthanc's configuration.
    """
    http_port, dicom_port = free_ports(2)
    server = Orthanc(f"http://127.0.0.1:{http_port}", dicom_port, "ORTHANC")
    configuration = {
        "Name": "Orthanc of a test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": server.ae_title,
        "DicomPort": dicom_port,
        "DicomCheckModalityHost": False,
        "DicomModalities": {"ainode": ["AINODE", "127.0.0.1", 11112], **(modalities or {})},
        "UnknownSopClassAccepted": True,
        "DefaultEncoding": "Utf8",
        "OverwriteInstances": False,
        "TcpNoDelay": True,
        "MaximumPduLength": 131072,
        "StableAge": 1,
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
        **settings,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise FileNotFoundError("Orthanc is not installed; deploy/setup.sh installs it")
    with (folder / "orthanc.log").open("wb") as log:
        # Orthanc's own setting leaves Nagle's algorithm on for the answers to C-STORE.
        process = subprocess.Popen(
            [program, str(file)], stdout=log, stderr=log, env={**os.environ, "TCP_NODELAY": "1"}
        )
    try:
        _wait(server, process, folder / "orthanc.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{server.http_url}/system", timeout=2).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"Orthanc does not answer: {log.read_text()[-2000:]}")
