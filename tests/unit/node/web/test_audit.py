import base64
import socket
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from pydicom.sr.codedict import codes

from node.config import Audit
from node.web import audit
from node.web.audit import Event, Trail, line_of, message_of

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
SEEN = Event(audit.ACCESSED, "R", "vera <&>", "192.0.2.7", study_instance_uid="1.2.3")


def test_a_message_says_who_saw_which_study_from_where():
    root = ET.fromstring(message_of(SEEN, NOON))  # noqa: S314
    (event,) = root.findall("EventIdentification")
    assert event.attrib == {
        "EventActionCode": "R",
        "EventDateTime": "2026-11-03T12:00:00.000+00:00",
        "EventOutcomeIndicator": "0",
    }
    assert root.find("ActiveParticipant").attrib == {
        "UserID": "vera <&>",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "192.0.2.7",
        "NetworkAccessPointTypeCode": "2",
    }
    study = root.find("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"


def test_a_query_is_kept_as_it_was_asked():
    root = ET.fromstring(message_of(Event(audit.QUERY, "E", "vera", query="/x?PatientName=Ä*"), NOON))  # noqa: S314
    assert base64.b64decode(root.findtext(".//ParticipantObjectQuery")).decode() == "/x?PatientName=Ä*"


def test_a_line_has_the_head_of_rfc_5424():
    assert line_of(SEEN, NOON).startswith("<85>1 2026-11-03T12:00:00.000Z ")
    assert " IHE+RFC-3881 - \ufeff<AuditMessage>" in line_of(SEEN, NOON)


def test_every_code_is_in_the_dictionary_with_its_meaning():
    used = [value for value in vars(audit).values() if isinstance(value, tuple) and value[0].isdigit()]
    known = {entry.value: entry.meaning for entry in (getattr(codes.DCM, name) for name in codes.DCM.dir())}
    assert len(used) == 13
    assert [known[value] for value, _ in used] == [meaning for _, meaning in used]


def test_the_same_again_within_a_minute_is_written_once(tmp_path):
    now = [NOON]
    trail = Trail(tmp_path / "audit.log", Audit(), lambda: now[0])
    for seconds in (0, 30, 59, 61):
        now[0] = NOON + timedelta(seconds=seconds)
        trail.tell(SEEN)
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert len(lines) == 2
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_trail_that_cannot_be_written_keeps_nobody_waiting(tmp_path):
    Trail(tmp_path / "missing" / "audit.log", Audit()).tell(SEEN)


def test_syslog_gets_each_line(tmp_path, listener):
    server, port = listener
    Trail(tmp_path / "audit.log", Audit(syslog_host="127.0.0.1", syslog_port=port)).tell(SEEN)
    assert server.recv(65535).decode() == (tmp_path / "audit.log").read_text().rstrip("\n")


@pytest.fixture
def listener():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server, server.getsockname()[1]


def test_what_people_do_is_in_the_trail(client, rooms, scheduled):
    uid = scheduled().uid
    client.get("/dicom-web/studies?PatientID=7")
    client.get(f"/api/workitems/{uid}")
    client.post(f"/api/workitems/{uid}/cancel")
    client.post(f"/api/workitems/{uid}/cancel", headers={"Origin": "https://evil.example.org"})
    lines = (rooms.settings.state / "audit.log").read_text().splitlines()
    kinds = [ET.fromstring(line.partition("\ufeff")[2]).find(".//EventID").get("csd-code") for line in lines]  # noqa: S314
    assert kinds == ["110112", "110103", "110111", "110113"]
