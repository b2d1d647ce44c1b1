from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import ConfigurationError
from node.outbound.sending import Instance, Peer, batches, parse_peer, survey
from tests.synthetic_series import series


def test_a_peer_is_read() -> None:
    assert parse_peer("PACS@archive.hospital:104") == Peer("PACS", "archive.hospital", 104)
    assert parse_peer("MY PACS@[::1]:11112") == Peer("MY PACS", "::1", 11112)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PACS",
        "PACS@host",
        "@host:104",
        "PACS@:104",
        "PACS@host:0",
        "PACS@host:99999",
        "PACS@host:x",
        f"{'A' * 17}@h:1",
    ],
)
def test_what_is_no_peer_is_refused_with_the_mend(text: str) -> None:
    with pytest.raises(ConfigurationError, match="AET@HOST:PORT"):
        parse_peer(text)


def test_a_survey_goes_below_and_tells_files_apart(tmp_path: Path) -> None:
    _, sources = series()
    (tmp_path / "deep").mkdir()
    sources[0].save_as(tmp_path / "deep" / "good.dcm", enforce_file_format=True)
    sources[1].file_meta.MediaStorageSOPInstanceUID = "2.25.9"
    sources[1].save_as(tmp_path / "mixed.dcm")
    (tmp_path / "notes.txt").write_text("no DICOM")
    instances, failed, skipped = survey(tmp_path)
    assert [instance.path.name for instance in instances] == ["good.dcm"]
    assert [(Path(name).name, reason) for name, reason in failed] == [
        ("mixed.dcm", "the file meta information names another instance than the dataset")
    ]
    assert [Path(name).name for name in skipped] == ["notes.txt"]


def test_batches_hold_so_many_pairs_and_lose_nothing(tmp_path: Path) -> None:
    _, sources = series()
    sources[0].save_as(tmp_path / "1.dcm", enforce_file_format=True)
    one = Instance.read(tmp_path / "1.dcm")
    many = [replace(one, sop_class_uid=f"1.{n % 5}", sop_instance_uid=f"2.{n}") for n in range(12)]
    parts = list(batches(many, contexts=2))
    assert [len({i.sop_class_uid for i in part}) for part in parts] == [2, 2, 1]
    assert sorted(i.sop_instance_uid for part in parts for i in part) == sorted(
        i.sop_instance_uid for i in many
    )
