"""The audit trail: who saw and did what, as DICOM audit messages (PS3.15 A.5), to a file and to syslog.

Each message is a line of RFC 5424, which frames the XML of PS3.15 A.5.1. The file is the state folder's
`audit.log`; syslog gets the same by UDP, from where a relay of the site may take it on by TLS.
"""

import os
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree as ET

import structlog

from node.config import Audit

log = structlog.get_logger()

Action = Literal["C", "R", "U", "D", "E"]
Code = tuple[str, str]
"""Value and meaning, of scheme DCM."""

APPLICATION: Final[Code] = ("110100", "Application Activity")
ACCESSED: Final[Code] = ("110103", "DICOM Instances Accessed")
PROCEDURE: Final[Code] = ("110111", "Procedure Record")
QUERY: Final[Code] = ("110112", "Query")
SECURITY_ALERT: Final[Code] = ("110113", "Security Alert")
AUTHENTICATION: Final[Code] = ("110114", "User Authentication")
STARTED: Final[Code] = ("110120", "Application Start")
STOPPED: Final[Code] = ("110121", "Application Stop")
LOGIN: Final[Code] = ("110122", "Login")
LOGOUT: Final[Code] = ("110123", "Logout")
RESTRICTED_FUNCTION: Final[Code] = ("110132", "Use of Restricted Function")

_STUDY_INSTANCE_UID: Final[Code] = ("110180", "Study Instance UID")
_SOP_CLASS_UID: Final[Code] = ("110181", "SOP Class UID")
_FACILITY: Final = 10  # security and authorization messages, RFC 5424 Table 1
_SEVERITY: Final = 5  # notice
_IP_ADDRESS: Final = "2"
_WEB_SERVER: Final = "3"
_REPEATED_SECONDS: Final = 60.0
_REMEMBERED: Final = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
        code: its kind.
        action: create, read, update, delete or execute.
        person: who did it.
        address: from where.
        failed: whether it was refused.
        types: more about the kind.
        study_instance_uid: the study that was seen or changed; empty where it was none.
        query: what was searched for; empty where nothing was.
    """

    code: Code
    action: Action
    person: str
    address: str = ""
    failed: bool = False
    types: tuple[Code, ...] = ()
    study_instance_uid: str = ""
    query: str = ""


class Trail:
    """Where events are written; the same event again within a minute is written once.

    A viewer fetches a study image by image, and one message tells that somebody saw it.
    """

    def __init__(
        self, file: Path, audit: Audit, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._file, self._clock = file, clock
        self._latest: dict[Event, datetime] = {}
        self._lock = threading.Lock()
        self._syslog = (audit.syslog_host, audit.syslog_port) if audit.syslog_host else None

    def tell(self, event: Event) -> None:
        """Write an event; a disk or a network that fails is told in the log, and nobody is kept waiting."""
        now = self._clock()
        with self._lock:
            before = self._latest.get(event)
            if before and (now - before).total_seconds() < _REPEATED_SECONDS:
                return
            if len(self._latest) >= _REMEMBERED:
                self._latest.clear()
            self._latest[event] = now
            self._write(line_of(event, now))

    def _write(self, line: str) -> None:
        try:
            with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
                file.write(f"{line}\n")
            if self._syslog:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                    datagrams.sendto(line.encode(), self._syslog)
        except OSError as error:
            log.warning("an audit message was not written", reason=str(error))


def line_of(event: Event, now: datetime) -> str:
    """An event as a line of RFC 5424 with the message identifier of IHE ITI-20."""
    stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = (
        f"<{_FACILITY * 8 + _SEVERITY}>1 {stamp} {socket.gethostname()} ainode {os.getpid()} IHE+RFC-3881 -"
    )
    return f"{head} \ufeff{message_of(event, now)}"


def message_of(event: Event, now: datetime) -> str:
    """An event as the XML of PS3.15 A.5.1."""
    root = ET.Element("AuditMessage")
    told = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=now.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator="4" if event.failed else "0",
    )
    ET.SubElement(told, "EventID", _coded(event.code))
    for kind in event.types:
        ET.SubElement(told, "EventTypeCode", _coded(kind))
    who = {"UserID": event.person, "UserIsRequestor": "true"}
    if event.address:
        who |= {"NetworkAccessPointID": event.address, "NetworkAccessPointTypeCode": _IP_ADDRESS}
    ET.SubElement(root, "ActiveParticipant", who)
    source = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=f"ainode@{socket.gethostname()}")
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": _WEB_SERVER})
    if event.study_instance_uid:
        study = _object(root, event.study_instance_uid, "3", _STUDY_INSTANCE_UID)
        ET.SubElement(study, "ParticipantObjectName").text = event.study_instance_uid
    if event.query:
        query = _object(root, "QIDO-RS", "24", _SOP_CLASS_UID)
        ET.SubElement(query, "ParticipantObjectQuery").text = b64encode(event.query.encode()).decode()
    return ET.tostring(root, encoding="unicode")


def _object(root: ET.Element, identifier: str, role: str, kind: Code) -> ET.Element:
    """A system object that took part."""
    attributes = {
        "ParticipantObjectID": identifier,
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": role,
    }
    element = ET.SubElement(root, "ParticipantObjectIdentification", attributes)
    ET.SubElement(element, "ParticipantObjectIDTypeCode", _coded(kind))
    return element


def _coded(code: Code) -> dict[str, str]:
    value, meaning = code
    return {"csd-code": value, "codeSystemName": "DCM", "originalText": meaning}
