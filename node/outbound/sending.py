"""What is sent, and to whom: files by their names in DICOM, peers by their address."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ClassVar, Self

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from node.errors import ConfigurationError

_BOUNDARY = "0c6b8f0f5d5e4d3f9a51d0b1ad6c7e92"

_KEYWORDS = ("Modality", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Instance:
    """A Part 10 file to be sent, and the names it has in DICOM; a name that it lacks is empty.

    Attributes:
        fault: why it cannot be sent; empty if it can.
    """

    path: Path
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    fault: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the names of a file.

        Raises:
            InvalidDicomError: it is not DICOM.
            OSError: it cannot be read.
        """
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        modality, study, series, sop_class, sop_instance = (str(header.get(k) or "") for k in _KEYWORDS)
        syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
        announced = (
            header.file_meta.get("MediaStorageSOPClassUID"),
            header.file_meta.get("MediaStorageSOPInstanceUID"),
        )
        fault = ""
        if not (sop_class and sop_instance and syntax):
            fault = "SOPClassUID, SOPInstanceUID or TransferSyntaxUID is empty"
        elif announced != (sop_class, sop_instance):
            fault = "the file meta information names another instance than the dataset"
        return cls(path, modality, study, series, sop_class, sop_instance, syntax, fault)


class Multipart:
    """The body of a STOW-RS request (PS3.18 10.5.1): a file as its only part, read as it is sent.

    It is not held in memory, and the bytes of the file go out unchanged.

    Attributes:
        CONTENT_TYPE: Content-Type of the request.
    """

    CONTENT_TYPE: ClassVar[str] = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'

    def __init__(self, file: BinaryIO, size: int) -> None:
        head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self._size = len(head) + size + len(tail)
        self._rest: list[BinaryIO] = [BytesIO(head), file, BytesIO(tail)]

    @classmethod
    @contextmanager
    def of(cls, path: Path) -> Iterator[Self]:
        """The body that carries a file."""
        with path.open("rb") as file:
            yield cls(file, path.stat().st_size)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, and none at the end."""
        while self._rest:
            if data := self._rest[0].read(size):
                return data
            self._rest.pop(0)
        return b""


@dataclass(frozen=True)
class Peer:
    """A DICOM application entity and where it listens."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class SendReport:
    """What became of the files of a folder.

    Attributes:
        sent: how many instances the peer took.
        failed: file and reason for each that it did not take, or that has no UIDs.
        skipped: files that are not DICOM instances.
    """

    sent: int
    failed: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]


def parse_peer(text: str) -> Peer:
    """Read `AET@HOST:PORT`.

    Raises:
        ConfigurationError: it is written in another way.
    """
    ae_title, _, address = text.partition("@")
    host, _, port = address.rpartition(":")
    if not (0 < len(ae_title.strip()) <= 16 and host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ConfigurationError(f"{text!r} is no DICOM peer; write it as AET@HOST:PORT")
    return Peer(ae_title.strip(), host.strip("[]"), int(port))


def survey(folder: Path) -> tuple[list[Instance], list[tuple[str, str]], list[str]]:
    """Look through a folder and those below it.

    Returns:
        The DICOM instances, the files with a fault and which, and the files that are no instances.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; give one that holds DICOM files")
    instances: list[Instance] = []
    failed: list[tuple[str, str]] = []
    skipped: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            instance = Instance.read(path)
        except (InvalidDicomError, EOFError):
            skipped.append(str(path))
        except OSError as error:
            failed.append((str(path), f"cannot be read: {error.strerror}"))
        else:
            if instance.sop_class_uid == MediaStorageDirectoryStorage:
                skipped.append(str(path))
            elif instance.fault:
                failed.append((str(path), instance.fault))
            else:
                instances.append(instance)
    return instances, failed, skipped


def batches(instances: Sequence[Instance], contexts: int) -> Iterator[list[Instance]]:
    """Split so that each part has no more than so many pairs of SOP class and transfer syntax."""
    by_pair: dict[tuple[str, str], list[Instance]] = {}
    for instance in instances:
        by_pair.setdefault((instance.sop_class_uid, instance.transfer_syntax_uid), []).append(instance)
    pairs = list(by_pair.values())
    for start in range(0, len(pairs), contexts):
        yield [instance for pair in pairs[start : start + contexts] for instance in pair]
