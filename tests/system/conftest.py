"""A phantom, a PACS and nodes, all real."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
    """Make nodes that are stopped at the end."""
    made: list[Node] = []

    def make(**environment: str) -> Node:
        state = tmp_path / f"state-{len(made)}"
        state.mkdir()
        made.append(Node(state, environment))
        return made[-1]

    yield make
    for node in made:
        node.stop()
