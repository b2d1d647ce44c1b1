"""The spool: from received dataset bytes to a durable Part 10 file, never decoded and encoded again.

A file is `<study uid>/<series uid>/<sop uid>.dcm`: preamble, "DICM", file meta (PS3.10 section 7.1), and
the dataset as it came.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import structlog
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

from node.errors import BadIdentifier, MismatchedInstance, NoSpace, Rejected, TooLarge, Undecodable
from node.inbound.headers import ATTRIBUTES, FILE_META, IDENTIFIERS, read_header

IMPLEMENTATION_CLASS_UID = "2.25.212305802829184755140407019606477464068"
IMPLEMENTATION_VERSION_NAME = "AINODE"

_PREFIX = bytes(128) + b"DICM"
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Instance:
    """A received SOP instance and where its file is.

    Attributes:
        path: the file, relative to the spool's root, in POSIX form.
        size: bytes of the dataset, without preamble and file meta.
        sha256: of the dataset's bytes, in hexadecimal.
        received_at: aware, in UTC.
        own_result: whether this node made it, see `Header`.
        attributes: keyword to text, for those of `headers.ATTRIBUTES` that have a value.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    calling_ae_title: str
    received_at: datetime
    own_result: bool
    attributes: Mapping[str, str] = field(hash=False)


class Outcome(Enum):
    """What storing came to."""

    NEW = auto()
    """The first of its SOP Instance UID."""
    DUPLICATE = auto()
    """The same bytes are there already; nothing changed."""
    CONFLICT = auto()
    """Other bytes are there already; these are kept beside them for a person."""


@dataclass(frozen=True)
class Stored:
    """A durable instance; of a conflict, the `path` is where the newcomer is kept."""

    instance: Instance
    outcome: Outcome


class Spool:
    """The folder of received instances; safe to use from several threads and processes.

    Args:
        root: the folder, on a file system with hard links; made when missing.
        max_instance_bytes: the largest dataset that is kept, deflated or not.
    """

    def __init__(self, root: Path, max_instance_bytes: int) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._max_instance_bytes = max_instance_bytes
        # Every file below has patient data, so that only the node's own user may enter.
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def store(
        self,
        dataset: bytes,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
    ) -> Stored:
        """Keep a dataset as it came; it is durable when this returns.

        Args:
            dataset: encoded in the transfer syntax; one that is private or unknown is read as Explicit VR
                Little Endian.
            sop_class_uid: Affected SOP Class UID (0000,0002) of the request.
            sop_instance_uid: Affected SOP Instance UID (0000,1000) of the request.
            transfer_syntax_uid: of the accepted presentation context.
            calling_ae_title: who sends.

        Raises:
            BadIdentifier: a UID is missing or is no UID.
            MismatchedInstance: dataset and request name different classes or instances.
            NoSpace: the disk or the quota is used up.
            TooLarge: the dataset is larger than this spool takes.
            Undecodable: the dataset ends too early or is no dataset.
            OSError: the disk fails in another way.
        """
        if len(dataset) > self._max_instance_bytes:
            raise TooLarge(f"{len(dataset)} bytes are more than the {self._max_instance_bytes} taken")
        check_uid("Affected SOP Class UID", sop_class_uid)
        check_uid("Affected SOP Instance UID", sop_instance_uid)
        check_uid("Transfer Syntax UID", transfer_syntax_uid)
        instance = self._describe(dataset, transfer_syntax_uid, calling_ae_title, datetime.now(UTC))
        named = (instance.sop_class_uid, instance.sop_instance_uid)
        if named != (sop_class_uid, sop_instance_uid):
            raise MismatchedInstance(
                f"the dataset is {' '.join(named)}, the request names {sop_class_uid} {sop_instance_uid}"
            )
        with _no_space():
            if self._keep(instance, dataset):
                return Stored(instance, Outcome.NEW)
            if self._holds(instance):
                return Stored(instance, Outcome.DUPLICATE)
            newcomer = replace(instance, path=f"conflicts/{sop_instance_uid}/{instance.sha256}.dcm")
            self._keep(newcomer, dataset)
            return Stored(newcomer, Outcome.CONFLICT)

    def reconcile(self, known: Callable[[str], bool]) -> Iterator[Instance]:
        """Read again what is in the spool but not in the ledger, and remove files left half-written.

        Conflicts are not read again. A file that is no spooled instance is logged and left alone.

        Args:
            known: whether the ledger has the file of this `Instance.path`.
        """
        self._remove_leftovers()
        for folder, folders, files in os.walk(self._root):
            folders[:] = [name for name in folders if _UID.fullmatch(name)]
            for name in files:
                path = Path(folder, name)
                relative = path.relative_to(self._root).as_posix()
                if known(relative):
                    continue
                try:
                    instance = self._read(path)
                except (Rejected, OSError) as error:
                    _log.warning("spool.unreadable", path=relative, reason=str(error))
                    continue
                if instance.path == relative:
                    yield instance
                else:
                    _log.warning("spool.misplaced", path=relative, belongs=instance.path)

    def _describe(
        self, dataset: bytes, transfer_syntax_uid: str, calling_ae_title: str, received_at: datetime
    ) -> Instance:
        header = read_header(dataset, transfer_syntax_uid, self._max_instance_bytes)
        for keyword in IDENTIFIERS:
            check_uid(keyword, header.values.get(keyword, ""))
        study, series, sop, sop_class = (header.values[keyword] for keyword in IDENTIFIERS)
        return Instance(
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=sop,
            sop_class_uid=sop_class,
            transfer_syntax_uid=transfer_syntax_uid,
            path=f"{study}/{series}/{sop}.dcm",
            size=len(dataset),
            sha256=hashlib.sha256(dataset).hexdigest(),
            calling_ae_title=calling_ae_title,
            received_at=received_at,
            own_result=header.own_result,
            attributes={
                keyword: header.values[keyword] for keyword in ATTRIBUTES if keyword in header.values
            },
        )

    def _keep(self, instance: Instance, dataset: bytes) -> bool:
        """Write the file unless there is one; whoever links it first wins."""
        final = self._root / instance.path
        if final.exists():
            return False
        temporary = self._incoming / uuid4().hex
        try:
            with temporary.open("xb") as file:
                # A lock tells a file in the making from one that a dead process left.
                fcntl.flock(file, fcntl.LOCK_SH)
                file.write(_file_meta(instance))
                file.write(dataset)
                file.flush()
                os.fsync(file.fileno())
                final.parent.mkdir(parents=True, exist_ok=True)
                os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        self._sync_folders(final)
        return True

    def _holds(self, instance: Instance) -> bool:
        """Whether the file at the instance's path has the same dataset, durably."""
        final = self._root / instance.path
        with final.open("rb") as file:
            _read_file_meta(file)
            same = hashlib.file_digest(file, "sha256").hexdigest() == instance.sha256
        self._sync_folders(final)
        return same

    def _sync_folders(self, final: Path) -> None:
        """Make the entries from the file up to the root durable."""
        for folder in final.relative_to(self._root).parents:
            descriptor = os.open(self._root / folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _read(self, path: Path) -> Instance:
        with path.open("rb") as file:
            received_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
            encoded = _read_file_meta(file)
            dataset = file.read()
        meta = read_header(encoded, ExplicitVRLittleEndian, len(encoded)).values
        transfer_syntax, sender = (meta.get(keyword, "") for keyword in FILE_META)
        return self._describe(dataset, transfer_syntax, sender, received_at)

    def _remove_leftovers(self) -> None:
        for leftover in self._incoming.iterdir():
            try:
                with leftover.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink()
            except (BlockingIOError, FileNotFoundError):
                continue
            _log.info("spool.leftover_removed", file=leftover.name)


def check_uid(name: str, uid: str) -> None:
    """Refuse what is no UID (PS3.5 section 9.1); a leading zero is let pass, as scanners write it.

    Raises:
        BadIdentifier: it is missing, or is none.
    """
    if not uid:
        raise BadIdentifier(f"{name} is missing")
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise BadIdentifier(f"{name} is no UID: {uid[:80]!r}")


@contextmanager
def _no_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("the disk of the spool is full") from error
        raise


def _file_meta(instance: Instance) -> bytes:
    """Preamble, prefix and file meta (PS3.10 Table 7.1-1)."""
    meta = FileMetaDataset()
    for keyword, vr, value in (
        ("MediaStorageSOPClassUID", "UI", instance.sop_class_uid),
        ("MediaStorageSOPInstanceUID", "UI", instance.sop_instance_uid),
        ("TransferSyntaxUID", "UI", instance.transfer_syntax_uid),
        ("ImplementationClassUID", "UI", IMPLEMENTATION_CLASS_UID),
        ("ImplementationVersionName", "SH", IMPLEMENTATION_VERSION_NAME),
        ("SendingApplicationEntityTitle", "AE", instance.calling_ae_title),
    ):
        meta.add(DataElement(keyword, vr, value, validation_mode=IGNORE))
    encoded = DicomBytesIO()
    encoded.write(_PREFIX)
    write_file_meta_info(encoded, meta)
    return encoded.getvalue()


def _read_file_meta(file: BinaryIO) -> bytes:
    """File meta as `_file_meta` wrote it, after its group length; the file is then at its dataset."""
    start = file.read(144)
    if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        raise Undecodable("no file meta")
    return file.read(int.from_bytes(start[140:], "little"))
