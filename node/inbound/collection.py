"""Whole collections of studies, read where they lie: a folder of files, or an archive by DICOMweb."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset

from node.errors import ConfigurationError, IncompleteInput, Transient
from node.inbound import volumes

_TIMEOUT_SECONDS = (5.0, 300.0)
_PAGE = 100  # studies asked for at a time; an archive may answer fewer


class Collection(Protocol):
    """Studies, their headers, and the files of a series while they are needed."""

    def studies(self) -> Sequence[str]:
        """Study Instance UIDs, in an order that stays."""

    def headers(self, study_instance_uid: str) -> list[Dataset]:
        """All headers of a study, without pixel data."""

    @contextmanager
    def files(self, series: Sequence[Dataset]) -> Iterator[list[Path]]:
        """The files of the series with these headers."""


@dataclass(frozen=True)
class Folder:
    """DICOM files below a folder, in whatever order and with whatever names."""

    paths: tuple[Path, ...]

    @cached_property
    def _by_study(self) -> dict[str, list[Path]]:
        # Only one element of each file is kept: the headers of a collection fit no memory.
        grouped: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
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
    def files(self, series: Sequence[Dataset]) -> Iterator[list[Path]]:
        """The files that the headers were read from."""
        yield [Path(str(header.filename)) for header in series]


@dataclass(frozen=True)
class Archive:
    """What a QIDO-RS query for studies finds; files are fetched for as long as they are needed."""

    client: DICOMwebClient
    filters: dict[str, str]

    @classmethod
    def of(cls, query: str) -> Self:
        """Take a query apart, such as http://pacs:8042/dicom-web/studies?ModalitiesInStudy=CT.

        Raises:
            ConfigurationError: it is no URL of studies.
        """
        parts = urlsplit(query)
        base, slash, resource = parts.path.rstrip("/").rpartition("/")
        if parts.scheme not in {"http", "https"} or not slash or resource != "studies":
            raise ConfigurationError(f"{query} is no QIDO-RS query for studies; it ends in /studies?...")
        session = requests.Session()
        # The archive is in the house; a proxy to the internet has no business with it.
        session.trust_env = False
        client = DICOMwebClient(
            urlunsplit((parts.scheme, parts.netloc, base, "", "")),
            session=session,
            headers={"Accept": "application/dicom+json"},
            permissive_uid=True,
            timeout=_TIMEOUT_SECONDS,
        )
        client.set_http_retry_params(retry=False)
        return cls(client, {name: values[-1] for name, values in parse_qs(parts.query).items()})

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
            Transient: the archive cannot be reached, or refuses.
        """
        with self._trouble():
            return [Dataset.from_json(m) for m in self.client.retrieve_study_metadata(study_instance_uid)]

    @contextmanager
    def files(self, series: Sequence[Dataset]) -> Iterator[list[Path]]:
        """The instances of a series, fetched one by one and deleted afterwards.

        Raises:
            Transient: the archive cannot be reached, or refuses.
            IncompleteInput: it gave fewer instances than it has headers of.
        """
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            with self._trouble():
                uids = (str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID))
                for number, instance in enumerate(self.client.iter_series(*uids)):
                    paths.append(Path(folder, f"{number}.dcm"))
                    instance.save_as(paths[-1], enforce_file_format=True)
            if len(paths) != len(series):
                raise IncompleteInput(f"the archive gave {len(paths)} of {len(series)} instances")
            yield paths

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as error:
            raise Transient(f"{self.client.base_url}: {error}") from None
