"""The Hugging Face hub: a file of a repository, whole and as its digest says, or resumed by the next try.

The library finds the file (commit, digest, size, where its bytes are) and gets the bytes by HTTP. Its own
`hf_hub_download` is not used, because it throws away what an interrupted process has got. No token is
sent, and nothing is told of this machine.
"""

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

import httpx2
from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get

from algorithms.protocol import Progress
from node.errors import AINodeError
from node.published.manifest import Repository

_SHA256: Final = re.compile(r"[0-9a-f]{64}")  # the ETag of a large file; a small one has another digest


@dataclass(frozen=True)
class Download:
    """A file of the hub that is here.

    Attributes:
        path: where.
        revision: the commit it is of.
        sha256: its digest.
    """

    path: Path
    revision: str
    sha256: str


def digest(source: Repository, endpoint: str | None) -> str | None:
    """The SHA-256 of a file as the hub says it now; None where it says none, as for a small file.

    Args:
        source: the file.
        endpoint: of the hub, or of a mirror; None for the library's own.

    Raises:
        AINodeError: the hub cannot be reached, or has no such file.
    """
    url = _url(source, endpoint)
    with _told(url):
        _, etag = _found(url, endpoint)
    return etag if _SHA256.fullmatch(etag) else None


def fetch(source: Repository, folder: Path, endpoint: str | None, progress: Progress) -> Download:
    """Download a file into a folder; what an earlier try has left there is gone on with.

    Args:
        source: the file.
        folder: for this file alone; it must be there.
        endpoint: of the hub, or of a mirror; None for the library's own.
        progress: told of the bytes.

    Raises:
        AINodeError: the hub cannot be reached, has no such file, breaks off, or has another one than the
            manifest says.
        OSError: there is no room.
    """
    url = _url(source, endpoint)
    with _told(url):
        found, etag = _found(url, endpoint)
        path = folder / hashlib.sha256(f"{url} {etag}".encode()).hexdigest()[:16]
        for outdated in set(folder.iterdir()) - {path}:
            outdated.unlink()
        _get(found, path, source.file, progress)
    return Download(path, found.commit_hash or "", _proved(path, source, etag))


def _url(source: Repository, endpoint: str | None) -> str:
    return hf_hub_url(source.name, source.file, revision=source.revision, endpoint=endpoint)


def _found(url: str, endpoint: str | None) -> tuple[HfFileMetadata, str]:
    """What the hub says of a file, and its ETag."""
    constants.HF_HUB_DISABLE_TELEMETRY = True
    found = get_hf_file_metadata(url, token=False, endpoint=endpoint)
    if found.etag is None or found.commit_hash is None:
        raise AINodeError(f"{url} is no file of a Hugging Face hub: its ETag or commit is missing")
    return found, found.etag


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What the library raises, as a sentence with the other way."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise AINodeError(
            f"HF_HUB_OFFLINE is set, so nothing is downloaded; get {url} elsewhere and add it"
        ) from None
    except HfHubHTTPError as error:
        raise AINodeError(f"the hub does not give {url}: HTTP {error.response.status_code}") from None
    except httpx2.HTTPError as error:
        raise AINodeError(
            f"{url} cannot be downloaded: {str(error) or type(error).__name__}; the same command goes on "
            "where it stopped, or get the file elsewhere and add it"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise AINodeError(f"{url} has another size than the hub says") from None


def _get(found: HfFileMetadata, path: Path, name: str, progress: Progress) -> None:
    with path.open("ab") as file:
        _lock(file, name)
        if found.size is not None and file.tell() > found.size:
            file.seek(0)
            file.truncate()
        http_get(
            found.location,
            cast(BinaryIO, file),
            resume_size=file.tell(),
            headers={"accept-encoding": "identity"},
            expected_size=found.size,
            displayed_filename=name,
            tqdm_class=cast(Any, partial(_Bar, progress, name)),
        )


def _lock(file: BinaryIO, name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AINodeError(f"{name} is being downloaded by another process") from None


def _proved(path: Path, source: Repository, etag: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for wanted, who in ((source.sha256, "the manifest"), (etag, "the hub")):
        if wanted and _SHA256.fullmatch(wanted) and digest != wanted:
            path.unlink()
            raise AINodeError(
                f"{source.file} of {source.name} was changed or damaged: its SHA-256 is {digest}, "
                f"and {who} says {wanted}"
            )
    return digest


class _Bar:
    """What the library takes for a bar of tqdm."""

    def __init__(
        self, progress: Progress, name: str, *, total: int | None, initial: int, **_looks: object
    ) -> None:
        self._progress, self._name, self._total, self._done = progress, name, total, initial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def update(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        total = self._total or self._done
        self._progress(self._done / total, f"{self._name}, {self._done / 1e6:.0f} of {total / 1e6:.0f} MB")
