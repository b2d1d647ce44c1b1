"""What a person meets who gets something wrong: a sentence, and the right exit status."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from algorithms import CATALOGUE
from tests.system.nodes import Node, wait_for

pytestmark = pytest.mark.system


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    return make_node()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["frobnicate"], 2, "No such command"),
        (["run"], 2, "see `"),
        (["run", "no-such-algorithm", ".", "--out", "{tmp}"], 2, "there is no algorithm 'no-such-algorithm'"),
        (["run", "chest-ct-annotation", "{tmp}/nowhere", "--out", "{tmp}"], 2, "there is no file or folder"),
        (["run", "chest-ct-annotation", "{tmp}", "--out", "{tmp}"], 2, "holds no DICOM file"),
        (["run", "chest-ct-annotation", "{tmp}", "--out", "{tmp}", "--option", "x"], 2, "key=value"),
        (["run", "chest-ct-annotation", "{ct}", "--out", "{tmp}", "--option", "x=1"], 2, "no option 'x'"),
        (["run", "chest-ct-annotation", "{ct}", "--out", "{tmp}", "--option", "radiomics=x"], 2, "no 'x'"),
        (["phantom", "unicorn", "{tmp}"], 2, "there is no phantom 'unicorn'"),
        (["send", "{tmp}/nowhere", "A@127.0.0.1:1"], 2, "nowhere"),
        (["send", "{tmp}", "nonsense"], 2, "AET@HOST:PORT"),
        (["workitems", "show", "1.2.3"], 1, "no workitem 1.2.3"),
        (["workitems", "list", "--state", "DONE"], 2, "there is no state 'DONE'"),
        (["routes", "explain", "1.2.3"], 1, "the spool holds no study 1.2.3"),
        (["algorithms", "show", "nothing"], 2, "there is no algorithm 'nothing'"),
        (["work", "--queue", "urgent"], 2, "unknown queue urgent"),
        (["up", "--config", "{tmp}/absent.toml"], 2, "cannot read"),
    ],
)
def test_wrong_use_ends_with_a_sentence(
    node: Node, tmp_path: Path, phantom: Path, arguments: list[str], status: int, said: str
) -> None:
    done = node.run(*(a.format(tmp=tmp_path, ct=phantom) for a in arguments), status=status)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("this is not TOML", "not valid TOML"),
        ('[dicom]\nmax_associations = "many"', "dicom.max_associations"),
        ("[dicom]\nprot = 104", "dicom.prot"),
        ('[dicom]\nhost = "0.0.0.0"', "calling_ae_titles"),
        ('[http]\nhost = "0.0.0.0"', "access.log_in"),
        ('[ledger]\nurl = "nonsense"', "ledger.url"),
        ('[[destinations]]\nname = "pacs"', "dicomweb_url"),
    ],
)
def test_a_wrong_configuration_is_named(node: Node, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    done = node.run("up", "--config", file, status=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_a_state_folder_that_cannot_be_made_is_named(make_node: Callable[..., Node], command: str) -> None:
    done = make_node(AINODE_STATE="/proc/nowhere").run(command, status=2 if command == "up" else 1)
    assert "/proc/nowhere" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_second_listener_on_the_same_folder_is_refused(node: Node) -> None:
    node.start()
    other = Node(node.state)
    assert "another listener works on" in other.run("listen", status=2).stderr


def test_a_wrong_routes_file_is_named_with_its_line(node: Node, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[routes]]\nname = "r"\nalgorithm = "no-such"\n\n[[routes.when]]\n'
        'keyword = "Modality"\nequals = "CT"\n'
    )
    node.environment["AINODE__ROUTES__FILE"] = str(routes)
    done = node.run("routes", "check", status=2)
    assert "routes.toml" in done.stderr
    assert "line 3" in done.stderr


@pytest.mark.parametrize(("port", "setting"), [("http_port", "http.port"), ("dicom_port", "dicom.port")])
def test_a_taken_port_is_named_with_its_setting(node: Node, port: str, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", getattr(node, port)))
        taken.listen()
        done = node.run("up", status=2)
    assert str(getattr(node, port)) in done.stderr
    assert setting in done.stderr


def test_no_pacs_is_seen_by_the_doctor_with_its_mend(make_node: Callable[..., Node]) -> None:
    away = json.dumps([{"name": "pacs", "dicomweb_url": "http://127.0.0.1:9/dicom-web"}])
    done = make_node(AINODE__DESTINATIONS=away).run("doctor", status=1)
    assert "destination pacs" in done.stderr


def test_a_full_disk_refuses_the_sender_and_keeps_nothing_half(
    make_node: Callable[..., Node], small_disk: Path, phantom: Path
) -> None:
    node = make_node()
    (node.state / "spool").symlink_to(small_disk)
    node.start()
    done = node.run("send", phantom / "dicom", f"AINODE@127.0.0.1:{node.dicom_port}", status=1)
    assert "0xA700" in done.stdout
    held = node.get("/api/studies")
    stored = [p for p in small_disk.rglob("*.dcm") if p.is_file()]
    assert sum(study["instances"] for study in held) == len(stored)
    node.stop()


def test_a_full_disk_ends_a_run_with_a_sentence(node: Node, small_disk: Path, phantom: Path) -> None:
    done = node.run("run", "chest-ct-annotation", phantom / "dicom", "--out", small_disk / "out", status=1)
    assert "space" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_node_stops_on_one_signal_and_leaves_nothing_running(node: Node) -> None:
    node.start()
    assert node.process
    group = node.process.pid
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def test_a_killed_node_leaves_no_role_behind(node: Node) -> None:
    node.start()
    assert node.process
    group = node.process.pid
    node.process.kill()
    node.process.wait(10)

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for("the roles to end", gone, 30)


def test_tables_are_json_for_machines(node: Node) -> None:
    listed = json.loads(node.run("algorithms", "--json").stdout)
    assert [row["name"] for row in listed] == list(CATALOGUE)
    assert json.loads(node.run("workitems", "list", "--json").stdout) == []
