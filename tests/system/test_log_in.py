"""People log in with a real browser, on a real node."""

from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from tests.system.nodes import Node

PASSWORD = "correct horse battery"  # noqa: S105


@pytest.fixture
def guarded(tmp_path: Path):
    node = Node(tmp_path, {"AINODE__ACCESS__LOG_IN": "local"})
    node.run("users", "add", "rita", "--role", "reviewer", given=f"{PASSWORD}\n")
    node.start()
    yield node
    node.stop()


def test_a_stranger_logs_in_looks_and_logs_out(guarded: Node) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{guarded.url}/?modality=CT")
        assert page.url == f"{guarded.url}/log-in?next=/%3Fmodality%3DCT"
        assert "Worklist" not in page.content()
        page.get_by_label("Name").fill("rita")
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Log in").click()
        assert page.get_by_role("alert").inner_text() == "The name or the password is wrong."
        page.get_by_label("Name").fill("rita")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{guarded.url}/?modality=CT")
        assert "Worklist" in page.content()
        page.evaluate("fetch('/log-out', {method: 'POST'})")
        page.goto(guarded.url)
        assert "/log-in" in page.url
        browser.close()
    trail = (guarded.state / "audit.log").read_text()
    assert [trail.count(kind) for kind in ("110122", "110123", "110112")] == [2, 1, 1]
    assert PASSWORD not in trail


def test_a_token_opens_the_node_to_a_program(guarded: Node) -> None:
    token = guarded.run("tokens", "add", "dashboard").stdout.strip()
    studies, bearer = f"{guarded.url}/api/studies", {"Authorization": f"Bearer {token}"}
    assert httpx2.get(studies).status_code == 401
    answer = httpx2.get(studies, headers=bearer)
    assert (answer.status_code, answer.json()) == (200, [])
    guarded.run("tokens", "revoke", "dashboard")
    assert httpx2.get(studies, headers=bearer).status_code == 401
