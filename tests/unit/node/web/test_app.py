import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from algorithms import CATALOGUE
from node.config import Dicom, Jobs, Settings
from node.jobs import schema
from node.jobs.index import Index
from node.jobs.outbox import Outbox
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist
from node.web.app import create_app
from node.web.rooms import Rooms
from tests.unit.node.jobs.arrivals import arrival, wanted


@pytest.fixture
def listening() -> int:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def rooms(tmp_path: Path, listening: int) -> Rooms:
    engine = schema.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    schema.migrate(engine)
    woken: list[Workitem] = []
    jobs = Jobs()
    yield Rooms(
        Settings(state=tmp_path, dicom=Dicom(port=listening)),
        CATALOGUE,
        Index(engine),
        Worklist(engine, jobs),
        Outbox(engine, jobs),
        wake=woken.extend,
    )
    engine.dispose()


@pytest.fixture
def client(rooms: Rooms) -> TestClient:
    with TestClient(create_app(rooms), base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.fixture
def scheduled(rooms: Rooms) -> Callable[[], Workitem]:
    def schedule() -> Workitem:
        rooms.index.record([arrival(1), arrival(2)])
        (item,) = rooms.worklist.schedule(
            "1.2", [wanted("1.2.3.1", "1.2.3.2")], evidence={"quiet_seconds": 5.0}, explanation=["it matched"]
        )
        return item

    return schedule


def test_an_empty_node_is_alive_and_ready(client):
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").status_code == 200
    assert client.get("/api/workitems").json() == []
    assert "No study has arrived yet" in client.get("/").text


def test_a_workitem_is_shown_with_what_made_it(client, scheduled):
    item = scheduled()
    (shown,) = client.get("/api/workitems").json()
    assert (shown["uid"], shown["state"], shown["why"]) == (item.uid, "SCHEDULED", "it is a chest CT")
    assert client.get(f"/api/workitems/{item.uid}").json() == shown
    assert client.get("/api/workitems?state=COMPLETED").json() == []
    (study,) = client.get("/api/studies").json()
    assert (study["state"], study["instances"], study["explanation"]) == ("COMPLETE", 2, ["it matched"])


def test_the_page_lists_studies_and_workitems_and_escapes_names(client, rooms, scheduled):
    scheduled()
    with rooms.index._engine.begin() as connection:
        connection.execute(
            schema.studies.update().values(attributes={"PatientName": "<script>alert(1)</script>"})
        )
    page = client.get("/").text
    assert "chest-ct-annotation" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_what_is_not_there_is_named(client, scheduled):
    assert client.get("/api/workitems/9.9").status_code == 404
    assert "9.9" in client.get("/api/workitems/9.9").json()["detail"]
    item = scheduled()
    assert "no findings yet" in client.get(f"/api/workitems/{item.uid}/findings").json()["detail"]


def test_cancel_and_rerun_by_http(client, scheduled):
    uid = scheduled().uid
    assert client.post(f"/api/workitems/{uid}/rerun").status_code == 409
    assert client.post(f"/api/workitems/{uid}/cancel").json()["state"] == "CANCELED"
    assert client.post(f"/api/workitems/{uid}/cancel").status_code == 409
    fresh = client.post(f"/api/workitems/{uid}/rerun")
    assert fresh.status_code == 201
    assert fresh.json()["state"] == "SCHEDULED"
    assert fresh.json()["uid"] != uid


def test_wrong_limits_are_refused(client):
    assert client.get("/api/workitems?limit=0").status_code == 422
    assert client.get("/api/studies?offset=-1").status_code == 422


def test_the_metrics_count_the_ledger_and_name_nobody(client, scheduled):
    scheduled()
    metrics = client.get("/metrics").text
    assert 'ainode_workitems{state="SCHEDULED"} 1.0' in metrics
    assert "ainode_instances 2.0" in metrics
    assert "ainode_studies_complete 1.0" in metrics


def test_a_ledger_that_is_away_is_answered_with_503(client, rooms, tmp_path):
    with rooms.index._engine.begin() as connection:
        schema.workitems.drop(connection)
    assert client.get("/readyz").status_code == 503


def test_a_node_without_its_listener_is_not_ready(rooms):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    without = replace(rooms, settings=rooms.settings.model_copy(update={"dicom": Dicom(port=closed)}))
    with TestClient(create_app(without), base_url="http://127.0.0.1:8080") as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert str(closed) in answer.text


def test_other_names_of_this_machine_are_not_answered(client):
    assert client.get("/api/studies", headers={"Host": "evil.example"}).status_code == 400


def test_pages_of_other_sites_cannot_make_a_browser_act(client, scheduled):
    uid = scheduled().uid
    refused = client.post(f"/api/workitems/{uid}/cancel", headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403
    own = client.post(f"/api/workitems/{uid}/cancel", headers={"Origin": "http://127.0.0.1:8080"})
    assert own.status_code == 202


def test_the_api_page_needs_no_other_host(client):
    page = client.get("/api/docs").text
    assert "https://" not in page
    assert client.get("/api/static/swagger-ui-bundle.js").status_code == 200
