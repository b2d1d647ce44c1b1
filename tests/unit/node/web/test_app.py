import socket
from dataclasses import replace

from starlette.testclient import TestClient

from node.config import Dicom
from node.jobs import schema
from node.web.app import create_app
from tests.unit.node.jobs.arrivals import arrival, wanted


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
    assert 'ainode_workitems{algorithm="chest-ct-annotation",state="SCHEDULED"} 1.0' in metrics
    assert "ainode_instances_total 2.0" in metrics
    assert 'ainode_studies{state="COMPLETE"} 1.0' in metrics
    assert "ainode_disk_free_bytes" in metrics


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


def test_the_most_urgent_study_is_on_top_of_the_worklist(client, rooms, scheduled):
    urgent = rooms.worklist.claim(scheduled().uid, "worker")
    rooms.outbox.keep(urgent, "2.25.1", [], {}, urgency="HIGH")
    rooms.index.record([arrival(1, study="1.9", series="1.9.3")])
    rooms.worklist.schedule("1.9", [wanted("1.9.3.1", series="1.9.3")], evidence={}, explanation=[])
    newest = client.get("/api/workitems").json()
    assert [item["study_instance_uid"] for item in newest] == ["1.9", "1.2"]
    most_urgent = client.get("/api/workitems?sort=urgency").json()
    assert [(i["study_instance_uid"], i["urgency"]) for i in most_urgent] == [("1.2", "HIGH"), ("1.9", None)]
    assert client.get("/api/workitems?sort=size").status_code == 422
    page = client.get("/").text
    assert '<strong class="urgency high">high</strong>' in page
