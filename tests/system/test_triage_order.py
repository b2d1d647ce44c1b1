"""A bleeding in the head comes to the top of the worklist while whole bodies wait."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import dcmread

from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.options import WHOLE_BODY
from algorithms.weights import save
from tests.notice_receiver import Receiver, receiver
from tests.synthetic_study import write
from tests.system.nodes import Node, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

WAITING = 10
BLEEDING = 1
"""Seed of a head phantom; those of odd seeds bleed."""

PATIENCE_SECONDS = 300
"""How long to wait on a slow machine; how fast it is, is measured, not tested."""

ROUTES = """
[[routes]]
name = "whole-body"
algorithm = "ct-wholebody"

[[routes.when]]
series = "described"
matches = ".*head.*"
negate = true

[[routes]]
name = "head-ct"
algorithm = "head-ct-triage"
priority = "stat"

[[routes.when]]
series = "described"
matches = ".*head.*"
"""


@pytest.fixture
def told() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def node(make_node: Callable[..., Node], tmp_path: Path, told: Receiver) -> Node:
    """A node whose whole-body network knows nothing, and takes minutes for it."""
    (tmp_path / "routes.toml").write_text(ROUTES)
    node = make_node(
        AINODE__ROUTES__FILE=str(tmp_path / "routes.toml"),
        AINODE__NOTICES__URL=told.url,
        AINODE__JOBS__LEASE_SECONDS="30",
    )
    config = {"init_filters": 8, "blocks_down": [1, 1, 1], "out_channels": 118, "dsdepth": 2}
    torch.manual_seed(1)
    network = Architecture.of(config).segmenter()
    save(node.state / "weights", WHOLE_BODY, network.state_dict(), config, {})
    return node.start()


def whole_body(folder: Path, seed: int) -> None:
    """A study that is a block of noise, small to send and large for the network."""
    hu = np.random.default_rng(seed).normal(40, 20, (16, 64, 64)).astype(np.float32)
    write(folder, hu, (40.0, 7.5, 7.5), seed)


def test_an_urgent_head_passes_ten_whole_bodies_that_wait(node: Node, told: Receiver, tmp_path: Path) -> None:
    node.run("phantom", "head-ct", tmp_path / "head", "--seed", BLEEDING)
    head = tmp_path / "head" / "dicom"
    study = str(dcmread(next(head.iterdir()), stop_before_pixels=True).StudyInstanceUID)
    for seed in range(WAITING):
        whole_body(tmp_path / "waiting" / str(seed), seed)
    node.send(tmp_path / "waiting")
    wait_for("the whole bodies", lambda: len(node.get("/api/workitems")) == WAITING)
    wait_for("the first of them to begin", lambda: node.get("/api/workitems?state=IN PROGRESS"))

    node.send(head)
    sent = time.monotonic()
    first = wait_for("the head on top", lambda: on_top(node, study), PATIENCE_SECONDS)
    print(f"on top {time.monotonic() - sent:.1f} s after its last instance")  # noqa: T201 - shown by -rP
    assert (first["algorithm"], first["urgency"]) == ("head-ct-triage", "HIGH")
    others = [i for i in node.get("/api/workitems") if i["study_instance_uid"] != study]
    assert len(others) == WAITING
    assert {i["state"] for i in others} <= {"SCHEDULED", "IN PROGRESS"}
    listed = json.loads(node.run("workitems", "list", "--sort", "urgency", "--json").stdout)
    assert listed[0]["uid"] == first["uid"]
    (notice,) = wait_for("the notice", lambda: told.seen)
    assert (notice["study"], notice["workitem"], notice["urgency"]) == (study, first["uid"], "HIGH")


def on_top(node: Node, study: str) -> dict[str, str] | None:
    """The first workitem by urgency, if it is of this study and says why."""
    first = node.get("/api/workitems?sort=urgency")[0]
    return first if first["study_instance_uid"] == study and first["urgency"] else None
