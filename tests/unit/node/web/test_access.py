from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from node.config import Access
from node.jobs.accounts import ROLES, Person
from node.web.access import required
from node.web.app import create_app
from node.web.log_in import Patience

HERE = "http://127.0.0.1:8080"
PASSWORD = "correct horse battery"  # noqa: S105


@pytest.fixture
def guarded(rooms):
    rooms.accounts.add("vera", PASSWORD, "viewer")
    rooms.accounts.add("rita", PASSWORD, "reviewer")
    settings = rooms.settings.model_copy(update={"access": Access(log_in="local")})
    return create_app(replace(rooms, settings=settings))


@pytest.fixture
def stranger(guarded):
    with TestClient(guarded, base_url=HERE, follow_redirects=False) as client:
        yield client


def log_in(client, name, password=PASSWORD, after="/"):
    form = {"name": name, "password": password, "next": after}
    return client.post("/log-in", data=form, headers={"Origin": HERE})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/studies",
        "/api/workitems",
        "/api/docs",
        "/api/openapi.json",
        "/dicom-web/studies",
        "/nowhere",
    ],
)
def test_a_stranger_sees_nothing(stranger, scheduled, path):
    scheduled()
    refused = stranger.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    asked = stranger.get(path, headers={"Accept": "text/html"})
    assert asked.status_code == 303
    assert asked.headers["location"] == f"/log-in?next={path}"


def test_what_says_nothing_of_patients_is_open(stranger):
    for path in ("/healthz", "/log-in", "/static/log_in.css", "/metrics"):
        assert stranger.get(path).status_code == 200


def test_a_viewer_looks_and_changes_nothing(stranger, scheduled):
    uid = scheduled().uid
    entered = log_in(stranger, "vera", after="/api/workitems?limit=1")
    assert (entered.status_code, entered.headers["location"]) == (303, "/api/workitems?limit=1")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert stranger.get("/api/workitems").json()[0]["uid"] == uid
    refused = stranger.post(f"/api/workitems/{uid}/cancel", headers={"Origin": HERE})
    assert refused.status_code == 403
    assert refused.json()["detail"] == "vera is a viewer, and this is for a reviewer"


def test_a_reviewer_acts_and_logs_out(stranger, scheduled):
    uid = scheduled().uid
    log_in(stranger, "rita")
    assert stranger.post(f"/api/workitems/{uid}/cancel", headers={"Origin": HERE}).status_code == 202
    cookie = dict(stranger.cookies)
    assert stranger.post("/log-out", headers={"Origin": HERE}).headers["location"] == "/log-in"
    stranger.cookies.update(cookie)
    assert stranger.get("/api/workitems").status_code == 401


@pytest.mark.parametrize(
    "origin", [{"Origin": "https://evil.example.org"}, {}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_another_site_cannot_act_for_the_person(stranger, scheduled, origin):
    uid = scheduled().uid
    log_in(stranger, "rita")
    assert stranger.post(f"/api/workitems/{uid}/cancel", headers=origin).status_code == 403


def test_another_site_cannot_open_a_socket(guarded):
    with TestClient(guarded, base_url=HERE) as client:
        log_in(client, "rita")
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect(
                "ws://127.0.0.1:8080/any", headers={"Origin": "https://evil.example.org"}
            ),
        ):
            pass
    assert closed.value.code == 1008


def test_wrong_passwords_and_unknown_names_are_told_alike_and_soon_wait(stranger):
    first, unknown = log_in(stranger, "vera", "x"), log_in(stranger, "nobody", "x")
    assert first.status_code == unknown.status_code == 401
    assert first.text == unknown.text
    for _ in range(3):
        log_in(stranger, "nobody", "x")
    waiting = log_in(stranger, "vera")
    assert waiting.status_code == 429
    assert int(waiting.headers["retry-after"]) > 0


def test_nobody_is_sent_to_another_site(stranger):
    for after in ("https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "evil"):
        assert log_in(stranger, "vera", after=after).headers["location"] == "/"


def test_a_token_is_good_for_its_role_until_it_is_void(stranger, rooms, scheduled):
    scheduled()
    headers = {"Authorization": f"Bearer {rooms.accounts.make_token('viewer', 'viewer', timedelta(days=1))}"}
    assert len(stranger.get("/dicom-web/studies", headers=headers).json()) == 1
    assert stranger.post("/api/workitems/1.2/cancel", headers=headers).status_code == 403
    rooms.accounts.revoke_token("viewer")
    assert stranger.get("/dicom-web/studies", headers=headers).status_code == 401
    assert stranger.get("/dicom-web/studies", headers={"Authorization": "Bearer x"}).status_code == 401


def test_every_answer_keeps_browsers_careful(stranger):
    for path in ("/log-in", "/api/studies", "/healthz"):
        headers = stranger.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [("GET", "/", "viewer"), ("POST", "/log-out", "viewer"), ("POST", "/dicom-web/studies", "reviewer")],
)
def test_to_look_asks_for_less_than_to_act(method, path, role):
    assert required(method, path) == role


@given(role=st.sampled_from(ROLES), wanted=st.sampled_from(ROLES))
def test_each_role_may_what_those_before_it_may(role, wanted):
    assert Person("p", role).may(wanted) == (ROLES.index(role) >= ROLES.index(wanted))


@given(failures=st.integers(0, 30))
def test_patience_ends_after_five_and_the_wait_never_passes_an_hour(failures):
    now = [0.0]
    patience = Patience(lambda: now[0])
    for _ in range(failures):
        patience.failed("name a", "address b")
    wait = patience.seconds_left("name a", "address c")
    assert (wait > 0) == (failures >= 5)
    assert wait <= 3600
    now[0] += wait
    assert patience.seconds_left("name a", "address b") == 0
    patience.succeeded("name a", "address b")
    patience.failed("name a")
    assert patience.seconds_left("name a") == 0
