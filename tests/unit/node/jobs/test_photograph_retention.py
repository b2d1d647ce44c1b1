from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from node.config import Photographs, Settings
from node.errors import UnsuitableImage
from node.inbound.instances import Outcome
from node.jobs.figures import figures
from node.jobs.outbox import Result
from node.jobs.retention import Retention
from tests import synthetic_photograph
from tests.unit.node.jobs.arrivals import arrival, wanted

PHOTOGRAPH, SCAN = "1.2.3", "1.2.4"
CATALOGUE = {"face-age": synthetic_photograph.ENTRY}


def of_photograph(route="face", algorithm="face-age", series=PHOTOGRAPH):
    match, version = wanted(f"{series}.1", route=route, series=series)
    return replace(match, algorithm=algorithm), version


@pytest.fixture
def spool(tmp_path, index):
    """A study of a photograph and a scan, both in the spool."""
    arrived = [arrival(1, series=PHOTOGRAPH), arrival(1, series=SCAN)]
    index.record(arrived)
    files = [tmp_path / "spool" / stored.instance.path for stored in arrived]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"pixels")
    return files


@pytest.fixture
def retention(engine, tmp_path):
    settings = Settings(state=tmp_path, photographs=Photographs(keep_hours=2))
    return Retention(engine, settings, CATALOGUE)


@pytest.fixture
def items(spool, worklist):
    routed = [of_photograph(), of_photograph("other", "chest-ct-annotation", SCAN)]
    return worklist.schedule("1.2", routed, evidence={}, explanation=[])


def after(hours):
    return datetime.now(UTC) + timedelta(hours=hours)


def of_face(items):
    return next(item.uid for item in items if item.algorithm == "face-age")


def end(worklist, items):
    for item in items:
        worklist.complete(worklist.claim(item.uid, "worker"), {})


def test_a_photograph_is_erased_when_its_time_is_over_and_a_scan_is_not(
    spool, items, worklist, retention, index
):
    end(worklist, items)
    assert retention.erase_due(after(hours=3)) == 1
    assert [file.exists() for file in spool] == [False, True]
    assert index.paths("1.2") == [f"1.2/{SCAN}/{SCAN}.1.dcm"]


def test_until_then_it_stays(spool, items, worklist, retention):
    end(worklist, items)
    assert retention.erase_due(after(hours=1)) == 0
    assert spool[0].exists()


def test_while_a_workitem_needs_it_it_stays(spool, worklist, retention):
    routed = [of_photograph(), of_photograph("another")]
    first, second = worklist.schedule("1.2", routed, evidence={}, explanation=[])
    end(worklist, [first])
    assert retention.erase_due(after(hours=3)) == 0
    worklist.claim(second.uid, "worker")
    assert retention.erase_due(after(hours=3)) == 0


def test_one_that_was_refused_is_erased_too(spool, items, worklist, retention):
    claimed = worklist.claim(of_face(items), "worker")
    worklist.cancel(claimed, "there is no face", UnsuitableImage("").reason)
    assert retention.erase_due(after(hours=3)) == 1


def test_the_picture_that_the_gate_stopped_is_erased(spool, items, worklist, retention, tmp_path):
    claimed = worklist.claim(of_face(items), "worker")
    worklist.cancel(claimed, "no", UnsuitableImage("").reason)
    stopped = tmp_path / "quarantine" / claimed.uid / "picture.dcm"
    stopped.parent.mkdir(parents=True)
    stopped.write_bytes(b"pixels")
    retention.erase_due(after(hours=3))
    assert not stopped.exists()


def test_without_the_setting_nothing_is_erased(spool, items, worklist, engine, tmp_path):
    end(worklist, items)
    assert Retention(engine, Settings(state=tmp_path), CATALOGUE).erase_due(after(hours=9999)) == 0
    assert spool[0].exists()


def test_with_it_go_its_conflicts_and_the_pictures_of_its_results_wherever_they_are(
    spool, items, worklist, retention, index, outbox, tmp_path
):
    claimed = worklist.claim(of_face(items), "worker")
    shown = Result(
        "2.25.9", "2.25.8", "1.2", "2.25.7", "1.2.3", "picture", "2.25.8/picture.dcm", "", after(0)
    )
    report = replace(shown, sop_instance_uid="2.25.10", role="scores", path="2.25.8/scores.dcm")
    outbox.keep(claimed, "2.25.8", [shown, report], {})
    worklist.complete(claimed, {})
    came_back = arrival(1, series="2.25.7", own=True)
    came_back = replace(came_back, instance=replace(came_back.instance, sop_instance_uid="2.25.9"))
    newcomer = arrival(1, series=PHOTOGRAPH, outcome=Outcome.CONFLICT)
    newcomer = replace(newcomer, instance=replace(newcomer.instance, path="conflicts/1.2.3.1/ab.dcm"))
    index.record([came_back, newcomer])
    pictures = [
        tmp_path / "results" / shown.path,
        tmp_path / "spool" / came_back.instance.path,
        tmp_path / "spool" / newcomer.instance.path,
    ]
    kept = tmp_path / "results" / report.path
    for file in (*pictures, kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"pixels")
    retention.erase_due(after(hours=3))
    assert [file.exists() for file in pictures] == [False, False, False]
    assert kept.exists()
    assert [result.role for result in outbox.results("2.25.8")] == ["scores"]
    assert figures(index._engine).conflicts == 0


def test_after_a_crash_between_file_and_ledger_it_is_erased_again(spool, items, worklist, retention, index):
    end(worklist, items)
    spool[0].unlink()
    assert retention.erase_due(after(hours=3)) == 1
    assert retention.erase_due(after(hours=3)) == 0
