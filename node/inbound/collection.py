"""Whole collections of studies, read where they lie: a folder of files, or an archive by DICOMweb."""

import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from requests.auth import HTTPBasicAuth

from node.errors import ConfigurationError, IncompleteInput, Transient
from node.inbound import volumes

_TIMEOUT_SECONDS = (5.0, 300.0)
_PAGE = 100  # studies asked for at a time; an archive may answer fewer

_MALFORMED: Final = (*volumes.UNDECODABLE, EOFError, InvalidDicomError, LookupError, OSError, struct.error)


class Collection(Protocol):
    """Studies, their headers, and the files of a series while they are needed."""

    def studies(self) -> Sequence[str]:
        """Study Instance UIDs, in an order that stays."""

    def headers(self, study_instance_uid: str) -> list[Dataset]:
        """All headers of a study, without pixel data; `filename` is for `files` to make a path of."""

    @contextmanager
    def files(self, headers: Sequence[Dataset]) -> Iterator[Path]:
        """The folder below which the `filename` of each of these headers is a file."""


@dataclass(frozen=True)
class Folder:
    """DICOM files below a folder, in whatever order and with whatever names."""

    paths: tuple[Path, ...]

    @cached_property
    def _by_study(self) -> dict[str, list[Path]]:
        # Only one element of each file is kept: the headers of a collection fit no memory.
        grouped: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            with suppress(IncompleteInput):  # gone since the folder was listed
                grouped[volumes.study_instance_uid(path)].append(path)
        return dict(sorted(grouped.items()))

    def studies(self) -> Sequence[str]:
        """Study Instance UIDs in their order as text; files that cannot be read are of the study ""."""
        return list(self._by_study)

    def headers(self, study_instance_uid: str) -> list[Dataset]:
        """All headers of a study.

        Raises:
            IncompleteInput: a file has gone.
            UnsuitableImage: a file cannot be parsed.
        """
        return volumes.headers(self._by_study[study_instance_uid])

    @contextmanager
    def files(self, headers: Sequence[Dataset]) -> Iterator[Path]:
        """The files that the headers were read from lie where they are."""
        yield Path()


@dataclass(frozen=True)
class Archive:
    """What a QIDO-RS query for studies finds; files are fetched for as long as they are needed."""

    client: DICOMwebClient
    filters: dict[str, str]

    @classmethod
    def of(cls, query: str) -> Self:
        """Take a query apart, such as http://pacs:8042/dicom-web/studies?ModalitiesInStudy=CT.

        A name and a password in it are sent to the archive (HTTP Basic), and told to nobody else.

        Raises:
            ConfigurationError: it is no URL of studies, or asks what cannot be asked.
        """
        parts, base = _taken_apart(query)
        host = parts.netloc.rpartition("@")[2]
        session = requests.Session()
        # The archive is in the house; a proxy to the internet has no business with it.
        session.trust_env = False
        if parts.username is not None:
            name, password = (unquote(text).encode() for text in (parts.username, parts.password or ""))
            session.auth = HTTPBasicAuth(name, password)
        client = DICOMwebClient(
            urlunsplit((parts.scheme, host, base, "", "")),
            session=session,
            headers={"Accept": "application/dicom+json"},
            permissive_uid=True,
            timeout=_TIMEOUT_SECONDS,
        )
        client.set_http_retry_params(retry=False)
        return cls(client, _filters(parts.query))

    def studies(self) -> Sequence[str]:
        """Study Instance UIDs in their order as text.

        Raises:
            Transient: the archive cannot be reached, or refuses the query.
        """
        found: dict[str, None] = {}
        with self._trouble():
            while True:
                page = self.client.search_for_studies(
                    search_filters=dict(self.filters), limit=_PAGE, offset=len(found)
                )
                fresh = {str(Dataset.from_json(answer).StudyInstanceUID) for answer in page} - found.keys()
                if not fresh:
                    return sorted(found)
                found |= dict.fromkeys(fresh)

    def headers(self, study_instance_uid: str) -> list[Dataset]:
        """All headers of a study, by WADO-RS metadata.

        Raises:
            Transient: the archive cannot be reached, refuses, or answers what cannot be understood.
        """
        with self._trouble():
            answers = self.client.retrieve_study_metadata(study_instance_uid)
            headers = [Dataset.from_json(answer) for answer in answers]
        for number, header in enumerate(headers):
            header.filename = f"{number}.dcm"
        return headers

    @contextmanager
    def files(self, headers: Sequence[Dataset]) -> Iterator[Path]:
        """The instances with these headers, fetched one by one and deleted afterwards.

        Raises:
            Transient: the archive cannot be reached, refuses, or answers what cannot be understood.
            IncompleteInput: it did not give all.
        """
        missing = {str(header.SOPInstanceUID): str(header.filename) for header in headers}
        series = {(str(header.StudyInstanceUID), str(header.SeriesInstanceUID)) for header in headers}
        with tempfile.TemporaryDirectory() as folder:
            with self._trouble():
                for uids in series:
                    for instance in self.client.iter_series(*uids):
                        if name := missing.pop(str(instance.SOPInstanceUID), None):
                            instance.save_as(Path(folder, name), enforce_file_format=True)
            if missing:
                raise IncompleteInput(
                    f"the archive gave {len(headers) - len(missing)} of {len(headers)} instances"
                )
            yield Path(folder)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        host = urlsplit(self.client.base_url).netloc
        try:
            yield
        except requests.RequestException as error:
            raise Transient(f"{host}: {_cause(error)}") from None
        except _MALFORMED as error:
            raise Transient(f"{host}: the answer cannot be understood ({type(error).__name__})") from None


def _taken_apart(query: str) -> tuple[SplitResult, str]:
    """A URL of studies, and the path before /studies."""
    try:
        parts = urlsplit(query)
        base, slash, resource = parts.path.rstrip("/").rpartition("/")
        right = parts.scheme in {"http", "https"} and bool(slash) and resource == "studies"
        if right and parts.hostname and parts.port != 0:
            return parts, base
    except ValueError:
        pass
    raise ConfigurationError(
        f"{query.rpartition('@')[2]} is no QIDO-RS query for studies; it is http://HOST:PORT/.../studies?..."
    )


def _filters(query: str) -> dict[str, str]:
    asked = parse_qs(query)
    for name, values in asked.items():
        if name in {"limit", "offset"}:
            raise ConfigurationError(f"a query for studies has no {name} here: all that it finds are taken")
        if len(values) > 1:
            raise ConfigurationError(f"{name} stands {len(values)} times in the query; give it once")
    return {name: value for name, (value,) in asked.items()}


def _cause(error: requests.RequestException) -> str:
    """What was at the bottom of it, without the URL."""
    if error.response is not None and not error.response.ok:
        return f"{error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.JSONDecodeError):
        return "the answer cannot be understood (no JSON)"
    cause: BaseException = error
    while below := cause.__cause__ or cause.__context__:
        cause = below
    return str(cause) or type(cause).__name__
