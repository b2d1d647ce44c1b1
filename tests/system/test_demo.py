"""`deploy/demo.sh` as a person runs it: the PACS, its routing rule, and the node, on free ports."""

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.nodes import free_port
from tests.system.test_line import LEAST_DICE

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("AINODE_HTTP_PORT", "AINODE_DICOM_PORT", "ORTHANC_HTTP_PORT", "ORTHANC_DICOM_PORT")

Demo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """Run the demonstration with a state folder and ports of its own."""

    def run(*arguments: object, **changes: str) -> "subprocess.CompletedProcess[str]":
        ports = {name: str(free_port()) for name in PORTS}
        return subprocess.run(
            [ROOT / "deploy" / "demo.sh", *map(str, arguments)],
            env={**os.environ, **ports, "AINODE_STATE": str(tmp_path / "state"), **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )

    return run


def test_the_demonstration_ends_with_results_that_agree_with_the_truth_and_the_bleeding_head_on_top(
    demo: Demo,
) -> None:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"SEG.*AI chest-ct-annotation segmentation", done.stdout)
    for role in ("measurements", "regions", "landmarks"):
        assert re.search(rf"SR.*AI chest-ct-annotation {role}", done.stdout)
    for algorithm in ("head-ct-triage", "ct-retrieval"):
        assert re.search(rf"{algorithm} completed", done.stdout)
    worklist = done.stdout[done.stdout.index("Worklist by urgency") :].splitlines()
    first = next(line for line in worklist if "COMPLETED" in line)
    assert "HIGH" in first
    assert "head-ct-triage" in first
    agreement = done.stdout[done.stdout.index("against the truth") :]
    for label, least in LEAST_DICE.items():
        dice = re.search(rf"{label}\D*(\d\.\d+)", agreement)
        assert dice, done.stdout
        assert float(dice[1]) >= least


def test_a_real_chest_ct_goes_the_same_way_twice(demo: Demo, shared_data: Path) -> None:
    series = shared_data / "ct-thorax-lungdx" / "Lung_Dx-A0001" / "series3"
    for _ in range(2):
        done = demo(series)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "AI chest-ct-annotation segmentation" in done.stdout
        for found in ("Esophagus", "Spinal cord", "chest", "lung_end", "Th5"):
            assert re.search(rf"│ {found} +│ +-?\d", done.stdout), found


def test_a_study_that_nothing_can_be_done_with_ends_as_a_sentence(demo: Demo, shared_data: Path) -> None:
    done = demo(shared_data / "ct-pet-mr-rtstruct-sts" / "STS_002" / "dicom" / "CT" / "image")
    assert done.returncode == 1
    assert "does not cover chest" in done.stderr


@pytest.mark.parametrize("port", PORTS)
def test_a_taken_port_is_named_with_its_setting(demo: Demo, port: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = demo(**{port: str(taken.getsockname()[1])})
    assert done.returncode == 1
    assert port in done.stderr


def test_wrong_use_is_said_with_the_usage(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no option --nonsense" in demo("--nonsense").stderr
    assert demo("--nonsense").returncode == 2
    assert demo(tmp_path / "nowhere").returncode == 2
    empty = demo(tmp_path / "empty")
    assert (empty.returncode, "holds no DICOM file" in empty.stderr) == (1, True)
