"""The manifest: rows are added, the later counts, and what is no manifest is left alone."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import ConfigurationError
from node.jobs.manifest import Manifest, Outcome, Unwritable, alone


def outcome(number: int, state: str = "done", reason: str = "") -> Outcome:
    return Outcome("2.25.1", f"2.25.{number}", "CT", 9, state, "a", reason=reason)


def test_of_two_rows_of_a_series_the_later_counts_and_only_changes_are_written(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.compact()
    for row in (outcome(1, "failed", 'so,\n "so"'), outcome(2), outcome(1)):
        manifest.keep(row)
    length = (tmp_path / "manifest.csv").stat().st_size
    manifest.keep(outcome(2))
    assert (tmp_path / "manifest.csv").stat().st_size == length
    assert Manifest(tmp_path).rows == (outcome(1), outcome(2))
    manifest.compact()
    assert (tmp_path / "manifest.csv").stat().st_size < length


def test_a_row_is_added_without_writing_the_others_again(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.compact()
    manifest.keep(outcome(1))
    before = (tmp_path / "manifest.csv").stat()
    manifest.keep(outcome(2))
    after = (tmp_path / "manifest.csv").stat()
    assert (after.st_ino, after.st_size > before.st_size) == (before.st_ino, True)


@pytest.mark.parametrize("room", [0, 20])
def test_a_row_for_which_there_is_no_room_is_not_begun(tmp_path: Path, room: int) -> None:
    manifest = Manifest(tmp_path)
    manifest.compact()
    manifest.keep(outcome(1))
    before = (tmp_path / "manifest.csv").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
    try:
        with pytest.raises(Unwritable, match="make room or give another --out"):
            manifest.keep(outcome(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "manifest.csv").read_bytes() == before
    assert manifest.rows == (outcome(1),)


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_row_that_was_cut_off_is_left_out(tmp_path: Path, cut: int) -> None:
    manifest = Manifest(tmp_path)
    manifest.compact()
    manifest.keep(outcome(1))
    manifest.keep(outcome(2, reason='some "quoted",\nlong reason'))
    file = tmp_path / "manifest.csv"
    file.write_bytes(file.read_bytes()[:-cut])
    assert Manifest(tmp_path).rows == (outcome(1),)


@pytest.mark.parametrize("content", ["name,age\n", "name,age\nx,1\n", "notes", "\n\n"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(ConfigurationError, match="is not a manifest of this program"):
        Manifest(tmp_path)
    assert (tmp_path / "manifest.csv").read_text() == content


def test_a_reason_with_any_text_is_kept(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.compact()
    manifest.keep(outcome(1, "failed", "a\udcff.dcm,\x00\r\n漢"))
    assert Manifest(tmp_path).rows[0].reason == "a\\udcff.dcm,\x00 漢"


def test_a_folder_is_worked_on_by_one_process_at_a_time(tmp_path: Path) -> None:
    other = (
        "import pathlib, sys; from node.jobs.manifest import alone\n"
        "with alone(pathlib.Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", other, str(tmp_path)]
    with alone(tmp_path):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another enrichment works on" in refused.stderr
    with alone(tmp_path), pytest.raises(ConfigurationError), alone(tmp_path):
        pass
    subprocess.run(command, check=True)
