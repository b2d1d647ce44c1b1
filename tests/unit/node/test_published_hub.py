"""A file of the hub is downloaded whole, goes on where it stopped, and is what its digest says."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from signal import SIG_IGN, SIGXFSZ, signal

import pytest
from huggingface_hub import constants

from algorithms.protocol import silent
from node.errors import AINodeError
from node.published.hub import Download, fetch
from node.published.manifest import Repository
from tests.hub_server import COMMIT, Hub, serving

SIZE = 45_000_000  # the library hands over 10 MB at a time
NAME = "owner/weights"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "model.safetensors"
    path.write_bytes(os.urandom(1 << 20) * (SIZE >> 20) + os.urandom(SIZE % (1 << 20)))
    return path


@pytest.fixture
def hub(file: Path) -> Iterator[Hub]:
    with serving() as server:
        server.files[f"{NAME}/model.safetensors"] = file
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "beside").mkdir()
    return tmp_path / "beside"


def got(hub: Hub, folder: Path, digest: str | None = None) -> Download:
    return fetch(Repository(NAME, sha256=digest), folder, hub.url, silent)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_file_comes_whole_with_its_commit_and_digest(
    hub: Hub, folder: Path, file: Path, elsewhere: bool
) -> None:
    hub.elsewhere = elsewhere
    told: list[tuple[float, str]] = []
    digest = sha256(file.read_bytes()).hexdigest()
    source = Repository(NAME, sha256=digest)
    download = fetch(source, folder, hub.url, lambda fraction, stage: told.append((fraction, stage)))
    assert download.revision == COMMIT
    assert download.sha256 == digest
    assert download.path.read_bytes() == file.read_bytes()
    assert hub.ranges == [None]
    assert told[-1] == (1.0, "model.safetensors, 45 of 45 MB")
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)


def test_the_hub_is_told_nothing_of_who_asks(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    got(hub, folder)
    assert {path.split("/")[1] for _, path, _ in hub.requests} == {"owner", "bytes"}
    for _, _, headers in hub.requests:
        assert "authorization" not in headers
        assert "torch" not in headers.get("user-agent", "")


def test_a_connection_that_is_closed_early_goes_on_in_the_same_call(
    hub: Hub, folder: Path, file: Path
) -> None:
    hub.breaks, hub.breaks_after = "closed", 25_000_000
    assert got(hub, folder).path.read_bytes() == file.read_bytes()
    assert hub.ranges == [None, "bytes=20971520-"]


def test_a_download_that_broke_off_goes_on_in_the_next_call(hub: Hub, folder: Path, file: Path) -> None:
    hub.breaks, hub.breaks_after = "reset", 35_000_000
    with pytest.raises(AINodeError, match="the same command goes on where it stopped"):
        got(hub, folder)
    (partial,) = folder.iterdir()
    held = partial.stat().st_size
    assert 0 < held < SIZE
    assert got(hub, folder).path.read_bytes() == file.read_bytes()
    assert hub.ranges == [None, f"bytes={held}-"]


def test_the_part_of_a_file_that_was_replaced_since_is_thrown_away(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    hub.breaks, hub.breaks_after = "reset", 35_000_000
    with pytest.raises(AINodeError):
        got(hub, folder)
    newer = tmp_path / "newer"
    newer.write_bytes(b"newer")
    hub.files[f"{NAME}/model.safetensors"] = newer
    assert got(hub, folder).path.read_bytes() == b"newer"
    assert hub.ranges == [None, None]
    assert len(list(folder.iterdir())) == 1


def test_a_whole_file_is_not_downloaded_again(hub: Hub, folder: Path) -> None:
    first = got(hub, folder)
    assert got(hub, folder) == first
    assert hub.ranges == [None]


def test_a_part_that_is_too_long_is_thrown_away(hub: Hub, folder: Path, file: Path) -> None:
    path = got(hub, folder).path
    path.write_bytes(bytes(SIZE + 1))
    assert got(hub, folder).path.read_bytes() == file.read_bytes()


def test_a_file_of_another_digest_than_the_manifest_says_is_refused_and_not_kept(
    hub: Hub, folder: Path, file: Path
) -> None:
    found = sha256(file.read_bytes()).hexdigest()
    with pytest.raises(AINodeError, match=f"its SHA-256 is {found}, and the manifest says {'a' * 64}"):
        got(hub, folder, "a" * 64)
    assert list(folder.iterdir()) == []


def test_a_file_that_was_damaged_on_the_way_is_refused_and_not_kept(hub: Hub, folder: Path) -> None:
    hub.etag = "b" * 64
    with pytest.raises(AINodeError, match=f"and the hub says {'b' * 64}"):
        got(hub, folder)
    assert list(folder.iterdir()) == []


def test_a_file_of_another_size_than_the_hub_says_is_refused(hub: Hub, folder: Path) -> None:
    hub.size = SIZE - 1
    with pytest.raises(AINodeError, match="has another size than the hub says"):
        got(hub, folder)


def test_an_etag_that_is_no_sha_256_proves_nothing_and_refuses_nothing(hub: Hub, folder: Path) -> None:
    hub.etag = "c" * 40
    assert len(got(hub, folder).sha256) == 64


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (Repository("owner/other"), 401),
        (Repository(NAME, revision="v9"), 404),
        (Repository(NAME, file="other.bin"), 404),
    ],
)
def test_what_the_hub_does_not_have_is_named_with_its_answer(
    hub: Hub, folder: Path, source: Repository, status: int
) -> None:
    where = f"{hub.url}/{source.name}/resolve/{source.revision}/{source.file}"
    with pytest.raises(AINodeError, match=f"the hub does not give {where}: HTTP {status}"):
        fetch(source, folder, hub.url, silent)


def test_a_hub_that_is_not_there_is_named_with_the_other_way(folder: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(
        AINodeError,
        match=f"{gone.url}/owner/weights/.* cannot be downloaded: .*refused.* get the file elsewhere",
    ):
        got(gone, folder)


def test_a_server_that_is_no_hub_is_named(hub: Hub, folder: Path) -> None:
    hub.commit, hub.elsewhere = None, False
    with pytest.raises(AINodeError, match="is no file of a Hugging Face hub: its ETag or commit is missing"):
        got(hub, folder)


def test_offline_mode_of_the_library_is_respected(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AINodeError, match="HF_HUB_OFFLINE is set"):
        got(hub, folder)
    assert hub.requests == []


def test_a_second_download_of_the_same_file_is_refused_while_the_first_runs(hub: Hub, folder: Path) -> None:
    refused: list[str] = []

    def meanwhile(_fraction: float, _stage: str) -> None:
        try:
            got(hub, folder)
        except AINodeError as error:
            refused.append(str(error))

    download = fetch(Repository(NAME), folder, hub.url, meanwhile)
    assert set(refused) == {"model.safetensors is being downloaded by another process"}
    assert download.path.stat().st_size == SIZE


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What a full disk does to whoever writes: no file can be larger."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal(SIGXFSZ, SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal(SIGXFSZ, handler)


def test_without_room_the_part_stays_and_the_next_call_goes_on(hub: Hub, folder: Path, file: Path) -> None:
    with largest_file(25_000_000), pytest.raises(OSError, match="File too large"):
        got(hub, folder)
    (partial,) = folder.iterdir()
    assert partial.stat().st_size == 25_000_000
    assert got(hub, folder).path.read_bytes() == file.read_bytes()
    assert hub.ranges == [None, "bytes=25000000-"]
