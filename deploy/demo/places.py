"""Where the demonstration takes place: the ports on this machine, and the state folder."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket

PORTS = {
    "AINODE_HTTP_PORT": 8080,
    "AINODE_DICOM_PORT": 11112,
    "ORTHANC_HTTP_PORT": 8142,
    "ORTHANC_DICOM_PORT": 4342,
}


class DemonstrationFailed(Exception):
    """The demonstration cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Places:
    """Ports in the order of `PORTS`, and the folder of everything that is written, emptied at each start."""

    node_http: int
    node_dicom: int
    pacs_http: int
    pacs_dicom: int
    state: Path

    @property
    def node(self) -> str:
        """The node's pages."""
        return f"http://127.0.0.1:{self.node_http}"

    @property
    def pacs(self) -> str:
        """The test PACS."""
        return f"http://127.0.0.1:{self.pacs_http}"

    @property
    def settings(self) -> Path:
        """The node's settings file."""
        return self.state / "node.toml"

    def environment(self) -> dict[str, str]:
        """What the node and the test PACS are told."""
        destination = {
            "name": "pacs",
            "dicomweb_url": f"{self.pacs}/dicom-web",
            "ae_title": "ORTHANC",
            "host": "127.0.0.1",
            "port": self.pacs_dicom,
        }
        ports = (self.node_http, self.node_dicom, self.pacs_http, self.pacs_dicom)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AINODE__")},
            **{name: str(port) for name, port in zip(PORTS, ports, strict=True)},
            "AINODE_STATE": str(self.state),
            "AINODE_CONFIG": str(self.settings),
            "AINODE__HTTP__PORT": str(self.node_http),
            "AINODE__DICOM__PORT": str(self.node_dicom),
            "AINODE__DESTINATIONS": json.dumps([destination]),
        }


def places_from_environment() -> Places:
    """Ports and folder as the environment sets them, else the defaults.

    Raises:
        DemonstrationFailed: a port is taken or is no port number.
    """
    ports: dict[int, str] = {}
    for name, default in PORTS.items():
        text = os.environ.get(name) or str(default)
        if not text.isdecimal() or not 1 <= int(text) <= 65535:
            raise DemonstrationFailed(f"{name}={text} is not a port number")
        port = int(text)
        if port in ports:
            raise DemonstrationFailed(f"{ports[port]} and {name} are both {port}")
        _require_free(port, name)
        ports[port] = name
    node_http, node_dicom, pacs_http, pacs_dicom = ports
    state = Path(os.environ.get("AINODE_STATE") or "state").resolve() / "demo"
    return Places(node_http, node_dicom, pacs_http, pacs_dicom, state)


def _require_free(port: int, name: str) -> None:
    with socket() as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        try:
            # Orthanc listens on every address of the machine.
            probe.bind(("", port))
        except OSError as error:
            raise DemonstrationFailed(
                f"port {port} cannot be used ({error.strerror}); choose another with {name}"
            ) from None


def prepare(places: Places) -> None:
    """Make the demonstration's folder anew, with settings of its own: no node.toml of this machine counts.

    Raises:
        DemonstrationFailed: it cannot be made.
    """
    try:
        shutil.rmtree(places.state, ignore_errors=True)
        places.state.mkdir(parents=True, mode=0o700)
        places.settings.write_text("# Made by deploy/demo.sh; what it sets stands in the environment.\n")
    except OSError as error:
        raise DemonstrationFailed(
            f"the folder {places.state} cannot be made: {error.strerror}; give another with AINODE_STATE"
        ) from None
