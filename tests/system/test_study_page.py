"""The page of a study in a real browser: what was found lies where it was found."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import highdicom
import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from pydicom import dcmread
from scipy import ndimage

from tests.system.nodes import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

LUNG = "Left lung"
OFF = 12
"""How far a colour of the screen may be from that of the file."""


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    return make_node(AINODE__JOBS__LEASE_SECONDS="30").start()


def lung(node: Node, study: str, item: dict, slices: list, number: int) -> tuple[np.ndarray, int]:
    """The mask of the lung on a slice, as highdicom reads the object, and its segment number."""
    (uid,) = [each["sop_instance_uid"] for each in item["results"] if each["role"] == "seg"]
    content = httpx2.get(f"{node.url}/studies/{study}/results/{uid}", timeout=60).raise_for_status().content
    seg = highdicom.seg.segread(BytesIO(content))
    segment = seg.get_segment_numbers(segment_label=LUNG)[0]
    planes = seg.get_pixels_by_source_instance(
        [slices[number].SOPInstanceUID], segment_numbers=[segment], ignore_spatial_locations=True
    )
    return planes[0, ..., 0].astype(bool), segment


def test_what_was_found_lies_where_it_was_found(node: Node, phantom: Path) -> None:
    headers = [dcmread(file, stop_before_pixels=True) for file in (phantom / "dicom").iterdir()]
    slices = sorted(headers, key=lambda header: float(header.ImagePositionPatient[2]))
    study = str(slices[0].StudyInstanceUID)
    node.send(phantom / "dicom")
    item = node.workitem(study, "COMPLETED")
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.goto(f"{node.url}/studies/{study}")
        viewer = page.locator("#viewer")
        page.get_by_role("button", name=LUNG, exact=True).click()
        page.locator("#opacity").fill("100")
        number = int(page.locator("#slice").input_value())
        expect(viewer).to_have_attribute("data-shown", str(number))
        mask, segment = lung(node, study, item, slices, number)
        colour = page.locator(f"label:has([data-segment='{segment}']) i").evaluate(
            "each => getComputedStyle(each).backgroundColor"
        )
        wanted = [int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
        inside = ndimage.binary_erosion(mask, iterations=3)
        outside = ~ndimage.binary_dilation(mask, iterations=3)
        seen = painted(viewer.screenshot(), mask.shape, wanted)
        assert inside.sum() > 500
        assert seen[inside].mean() > 0.98
        assert seen[outside].mean() < 0.02

        page.locator(f"[data-segment='{segment}']").uncheck()
        without = f"{there(study, item)}/slices/{number}/segments.png?hidden={segment}"
        expect(viewer.locator("[data-kind=segments]")).to_have_attribute("src", without)
        assert painted(viewer.screenshot(), mask.shape, wanted)[inside].mean() < 0.02

        page.locator("#slice").press("ArrowRight")
        expect(viewer).to_have_attribute("data-shown", str(number + 1))
        expect(page.get_by_role("link", name="features as CSV")).to_be_visible()
        page.get_by_label("comment").fill("lung <good>")
        page.get_by_role("button", name="Accept").click()
        expect(page.get_by_text("accepted by local")).to_contain_text("lung <good>")
        browser.close()
    assert faults == []
    thumbnail = httpx2.get(f"{node.url}{there(study, item)}/thumbnail.png", timeout=30).raise_for_status()
    assert Image.open(BytesIO(thumbnail.content)).size[0] == 160
    for wrong in ("/slices/9999.png", "/slices/0/saliency.png"):
        assert httpx2.get(f"{node.url}{there(study, item)}{wrong}").status_code == 404
    assert httpx2.get(f"{node.url}/studies/1.2.3").status_code == 404


def there(study: str, item: dict) -> str:
    return f"/studies/{study}/workitems/{item['uid']}"


def painted(screenshot: bytes, size: tuple[int, int], colour: list[int]) -> np.ndarray:
    """Which pixels of the slice have a colour on the screen."""
    picture = Image.open(BytesIO(screenshot)).convert("RGB").resize(size[::-1], Image.Resampling.NEAREST)
    return (np.abs(np.asarray(picture).astype(int) - colour) <= OFF).all(axis=-1)
