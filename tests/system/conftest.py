"""A phantom, a PACS and nodes, all real."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.jobs.routebook import DEFAULT_ROUTES
from tests.orthanc_server import Orthanc, orthanc
from tests.system.nodes import Node


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic chest CT with its truth."""
    folder = tmp_path_factory.mktemp("phantom")
    subprocess.run([sys.executable, "-m", "node", "phantom", "chest-ct", str(folder)], check=True)
    return folder


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    """A real Orthanc with DICOMweb, empty."""
    (tmp_path / "orthanc").mkdir()
    with orthanc(tmp_path / "orthanc") as server:
        yield server


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Make nodes that have the first of the built-in routes, chest CT, and are stopped at the end."""
    made: list[Node] = []
    routes = tmp_path / "chest-ct-only.toml"
    routes.write_text("[[routes]]".join(DEFAULT_ROUTES.read_text().split("[[routes]]")[:2]))

    def make(**environment: str) -> Node:
        state = tmp_path / f"state-{len(made)}"
        state.mkdir()
        made.append(Node(state, {"AINODE__ROUTES__FILE": str(routes), **environment}))
        return made[-1]

    yield make
    for node in made:
        node.stop()
