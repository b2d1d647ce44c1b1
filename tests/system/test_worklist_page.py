"""The worklist in a real browser: it lives, it is searched, and it obeys."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.synthetic_study import write
from tests.system.nodes import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PATIENCE_MS = 200_000
BLEEDING, PLAIN = 1, 2
"""Seeds of head phantoms; those of odd seeds bleed."""

ROUTES = """
[[routes]]
name = "head-ct"
algorithm = "head-ct-triage"
priority = "stat"

[[routes.when]]
series = "described"
matches = ".*head.*"

[[routes]]
name = "at-night"
algorithm = "ct-retrieval"
off_peak = "{start:%H:%M}-{end:%H:%M}"
when = [{{ keyword = "PatientID", equals = "BLOCK-8" }}]
"""


@pytest.fixture
def node(make_node: Callable[..., Node], tmp_path: Path) -> Node:
    now = datetime.now().astimezone()
    hours = {"start": now + timedelta(hours=6), "end": now + timedelta(hours=7)}
    (tmp_path / "routes.toml").write_text(ROUTES.format(**hours))
    return make_node(
        AINODE__ROUTES__FILE=str(tmp_path / "routes.toml"), AINODE__JOBS__LEASE_SECONDS="30"
    ).start()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def head(node: Node, folder: Path, seed: int) -> None:
    node.run("phantom", "head-ct", folder, "--seed", seed)
    node.send(folder / "dicom")


def test_the_worklist_lives_and_obeys(node: Node, page: Page, tmp_path: Path) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(node.url)
    expect(page.get_by_text("No study has arrived yet.")).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    rows = page.locator("#board tr[data-study]")

    write(tmp_path / "block", np.zeros((16, 64, 64), np.float32), (40.0, 7.5, 7.5), 7)
    node.send(tmp_path / "block")
    expect(rows).to_have_count(1)
    page.get_by_text("nothing was done: why?").click()
    expect(page.locator(".why")).to_contain_text("head-ct")

    head(node, tmp_path / "plain", PLAIN)
    expect(rows).to_have_count(2)
    expect(page.locator("progress")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".state.completed")).to_have_count(1, timeout=PATIENCE_MS)
    head(node, tmp_path / "bleeding", BLEEDING)
    expect(rows.first.locator(".urgency.high")).to_be_visible(timeout=PATIENCE_MS)
    expect(rows.first.locator(".found")).not_to_be_empty(timeout=PATIENCE_MS)
    assert page.evaluate("window.neverReloaded")

    page.keyboard.press("j")
    expect(rows.first).to_have_class("chosen")
    page.keyboard.press("w")
    expect(rows.first.locator("details")).to_have_attribute("open", "")
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_class("chosen")

    page.locator("select[name=urgency]").select_option("HIGH")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    assert "urgency=HIGH" in page.url
    rows.first.get_by_role("button", name="run again").click()
    expect(rows.first.locator(".item")).to_have_count(2)
    expect(rows.first.locator(".superseded")).to_have_count(1)

    write(tmp_path / "other", np.zeros((16, 64, 64), np.float32), (40.0, 7.5, 7.5), 8)
    node.send(tmp_path / "other")
    page.get_by_role("link", name="all", exact=True).click()
    later = rows.filter(has_text="BLOCK-8")
    expect(later.get_by_text("waits until")).to_be_visible()
    expect(later.get_by_role("button", name="at once")).to_be_visible()
    later.get_by_role("button", name="cancel").click()
    expect(later.locator(".state.canceled")).to_be_visible()

    page.keyboard.press("/")
    page.keyboard.type("nobody of this name")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No study is like that.")).to_be_visible()
    assert faults == []
