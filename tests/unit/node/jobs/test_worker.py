import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import (
    Code,
    Embedding,
    Findings,
    Measurement,
    Progress,
    SaliencyMap,
    Score,
    Segment,
    Unsuitable,
    Volume,
)
from algorithms.weights import Store
from node.config import Destination, Settings
from node.config import Notices as Told
from node.inbound.instances import Spool
from node.jobs import schema
from node.jobs.gallery import Gallery
from node.jobs.notices import Notices
from node.jobs.outbox import PENDING, Outbox
from node.jobs.routing import Match
from node.jobs.worker import Worker
from node.jobs.workitem import CANCELED, COMPLETED, IN_PROGRESS, Workitem
from tests.synthetic_study import store, write
from tests.unit.node.jobs.arrivals import wanted

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
LUNG = Code("39607008", "SCT", "Lung")
VOXEL_VOLUME = Code("YEKZ", "IBSI", "Volume from Voxel Summation")
MM3 = Code("mm3", "UCUM", "cubic millimeter")


@dataclass
class Threshold:
    """An algorithm for tests: everything below a value is one segment."""

    name: str = "threshold"
    version: str = "1"
    category: Code = ANATOMY
    before: Callable[[], None] = lambda: None
    scores: tuple[Score, ...] = ()
    embedding: Embedding | None = None
    afterwards: Callable[[], None] = lambda: None
    runs: list[Progress] = field(default_factory=list)

    def run(self, image: Volume, progress: Progress) -> Findings:
        self.runs.append(progress)
        self.before()
        progress(0.5, "thresholding")
        mask = image.voxels < -500
        segment = Segment.from_mask(mask, label="Dark", category=self.category, type=LUNG, rgb=(9, 9, 9))
        volume = segment.voxel_count * image.voxel_volume_ml * 1000
        measured = Measurement("Dark", "VoxelVolume", VOXEL_VOLUME, volume, MM3)
        return Findings((segment,), (measured,), scores=self.scores, embedding=self.embedding)

    def explain(self, _image: Volume, _findings: Findings, _progress: Progress) -> SaliencyMap | None:
        self.afterwards()
        return None


@pytest.fixture
def algorithm() -> Threshold:
    return Threshold()


@pytest.fixture
def catalogue(algorithm: Threshold) -> dict[str, CatalogueEntry]:
    entry = CatalogueEntry(
        name="threshold",
        version="1",
        summary="",
        modalities=frozenset({"CT"}),
        input="",
        outputs=(),
        load=lambda _options, _device, _store: algorithm,
        needs=lambda _options: (),
    )
    return {"threshold": entry}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


@pytest.fixture
def gallery(engine, tmp_path) -> Gallery:
    return Gallery(engine, tmp_path / "gallery")


@pytest.fixture
def woken() -> list[Workitem]:
    return []


@pytest.fixture
def worker(settings, catalogue, index, worklist, outbox, gallery, woken) -> Worker:
    return Worker(
        settings, catalogue, Store(()), index, worklist, outbox, gallery, "worker", "cpu", woken.extend
    )


@pytest.fixture
def schedule(settings, index, worklist, tmp_path: Path) -> Callable[..., Workitem]:
    """Put a small CT into the spool and schedule a workitem on it."""

    def make(*, left_out: tuple[int, ...] = (), destinations: tuple[str, ...] = ()) -> Workitem:
        voxels = np.full((6, 16, 16), 40, dtype=np.float32)
        voxels[1:5, 4:12, 4:12] = -900
        files = write(tmp_path / "ct", voxels, (5.0, 1.0, 1.0), 1)
        kept = [file for number, file in enumerate(files) if number not in left_out]
        stored = store(Spool(settings.spool, 1 << 20), kept)
        index.record(stored)
        instances = [s.instance for s in stored]
        match = Match(
            route="test",
            series_instance_uid=instances[0].series_instance_uid,
            sop_instance_uids=tuple(i.sop_instance_uid for i in instances),
            algorithm="threshold",
            options={},
            priority="routine",
            destinations=destinations,
            reason="",
            not_before=None,
        )
        study = instances[0].study_instance_uid
        (item,) = worklist.schedule(study, [(match, "1")], evidence={}, explanation=[])
        return item

    return make


def score(urgency: str | None) -> Score:
    return Score(
        name="Abnormality",
        code=Code("122157", "DCM", "Probability"),
        value=0.9,
        unit=Code("1", "UCUM", "no units"),
        calibrated=True,
        urgency=urgency,
        finding=Code("121402", "DCM", "Normality"),
        verdict=Code("263654008", "SCT", "Abnormal"),
    )


def match_of(item: Workitem) -> Match:
    return Match(
        route=item.route,
        series_instance_uid=item.series_instance_uid,
        sop_instance_uids=tuple(item.sop_instance_uids),
        algorithm=item.algorithm,
        options={},
        priority=item.priority,
        destinations=(),
        reason="",
        not_before=None,
    )


def ended(worker: Worker, item: Workitem) -> Workitem:
    worker.perform(item.uid)
    return worker.worklist.get(item.uid)


def test_a_workitem_is_performed_from_claim_to_completed(worker, schedule, settings):
    item = ended(worker, schedule())
    assert item.state == COMPLETED, item.message
    stages = {"wait", "read", "load", "run", "explain", "radiomics", "encode", "gate", "store", "deliver"}
    assert set(item.seconds) == stages
    results = worker.outbox.results(item.run_uid)
    assert [r.role for r in results] == ["seg", "sr"]
    assert all((settings.results / r.path).exists() for r in results)
    document = json.loads((settings.results / item.run_uid / "findings.json").read_text())
    assert document["segments"][0]["voxels"] == 4 * 8 * 8
    assert document["source"]["instances"] == 6


def test_the_same_input_is_not_computed_again(worker, schedule, algorithm):
    item = ended(worker, schedule())
    again = worker.worklist.rerun(item.uid)
    done = ended(worker, again)
    assert (done.state, done.run_uid) == (COMPLETED, item.run_uid)
    assert len(algorithm.runs) == 1


def test_the_urgency_of_the_findings_is_the_workitems(worker, schedule, algorithm):
    algorithm.scores = (score("LOW"), score("HIGH"), score(None))
    item = ended(worker, schedule())
    assert (item.state, item.urgency) == (COMPLETED, "HIGH"), item.message


def test_results_that_were_stored_before_are_as_urgent_as_they_were(worker, schedule, algorithm, engine):
    algorithm.scores = (score("HIGH"),)
    item = ended(worker, schedule())
    again = worker.worklist.rerun(item.uid)
    with engine.begin() as connection:
        connection.execute(schema.workitems.update().values(urgency=None))
    done = ended(worker, again)
    assert (done.run_uid, done.urgency) == (item.run_uid, "HIGH")
    assert len(algorithm.runs) == 1


def test_an_urgent_study_waits_for_nothing_else(worker, schedule, algorithm, worklist, woken):
    algorithm.scores = (score("HIGH"),)
    item = schedule()
    other = wanted("1.2.9.9", route="whole body", series="1.2.9")
    both = [(match_of(item), "1"), other]
    _, waiting = worklist.schedule(item.study_instance_uid, both, evidence={}, explanation=[])
    assert waiting.priority == "routine"
    worker.perform(item.uid)
    assert [w.uid for w in woken] == [waiting.uid]
    assert worklist.get(waiting.uid).priority == "stat"


def test_an_urgent_study_is_on_top_before_its_findings_are_explained(worker, schedule, algorithm, worklist):
    item = schedule()
    seen = []
    algorithm.scores = (score("HIGH"),)
    algorithm.afterwards = lambda: seen.append(worklist.get(item.uid))
    worker.perform(item.uid)
    assert [(s.state, s.urgency) for s in seen] == [(IN_PROGRESS, "HIGH")]


def test_an_urgent_finding_is_told_before_it_is_explained(worker, schedule, algorithm, settings, engine):
    told = settings.model_copy(update={"notices": Told(url="http://127.0.0.1:9/")})
    worker = replace(worker, settings=told)
    seen = []
    algorithm.scores = (score("HIGH"),)

    def look() -> None:
        with engine.connect() as connection:
            seen.extend(connection.execute(select(schema.notices.c.body)).scalars())

    algorithm.afterwards = look
    worker.perform(schedule().uid)
    assert [body["urgency"] for body in seen] == ["HIGH"]


def test_findings_that_are_not_urgent_wait_for_their_results(worker, schedule, algorithm, worklist):
    item = schedule()
    seen = []
    algorithm.scores = (score("MEDIUM"),)
    algorithm.afterwards = lambda: seen.append(worklist.get(item.uid).urgency)
    assert ended(worker, item).urgency == "MEDIUM"
    assert seen == [None]


def test_a_study_whose_urgent_results_fail_stays_on_top(worker, schedule, algorithm):
    algorithm.scores = (score("HIGH"),)

    def fail() -> None:
        raise ValueError("nothing to show")

    algorithm.afterwards = fail
    item = schedule()
    worker.perform(item.uid)
    assert worker.worklist.get(item.uid).urgency == "HIGH"


def test_an_urgent_finding_is_told_once_for_each_run(worker, schedule, algorithm, settings, engine):
    algorithm.scores = (score("HIGH"),)
    told = settings.model_copy(update={"notices": Told(url="http://127.0.0.1:9/")})
    worker = replace(worker, settings=told)
    item = ended(worker, schedule())
    ended(worker, worker.worklist.rerun(item.uid))
    notice = Notices(engine, told).of_run(item.run_uid)
    assert notice.body == {
        "study": item.study_instance_uid,
        "series": item.series_instance_uid,
        "workitem": item.uid,
        "algorithm": "threshold",
        "finding": "Normality",
        "verdict": "Abnormal",
        "urgency": "HIGH",
    }


def test_an_embedded_series_is_found_again_by_the_middle_of_its_slices(worker, schedule, algorithm, gallery):
    vector = np.eye(8, dtype=np.float32)[0]
    algorithm.embedding = Embedding(vector, "a space")
    item = ended(worker, schedule())
    assert item.state == COMPLETED, item.message
    (found,) = gallery.nearest(algorithm.embedding, "another study")
    assert found.series_instance_uid == item.series_instance_uid
    assert found.sop_instance_uid in item.sop_instance_uids
    assert found.similarity == pytest.approx(1)
    assert gallery.nearest(algorithm.embedding, item.study_instance_uid) == ()


def test_findings_that_are_gone_are_not_taken_for_harmless(worker, schedule, settings):
    item = ended(worker, schedule())
    (settings.results / item.run_uid / "findings.json").unlink()
    again = ended(worker, worker.worklist.rerun(item.uid))
    assert (again.state, again.reason["value"]) == (CANCELED, "110523")


def test_an_unsuitable_image_is_canceled_with_its_reason(worker, schedule, algorithm):
    def refuse() -> None:
        raise Unsuitable("no chest in view")

    algorithm.before = refuse
    item = ended(worker, schedule())
    assert (item.state, item.message, item.reason["value"]) == (CANCELED, "no chest in view", "110522")


def test_a_missing_slice_is_canceled_with_the_positions(worker, schedule):
    item = ended(worker, schedule(left_out=(3,)))
    assert (item.state, item.reason["value"]) == (CANCELED, "110521")
    assert "10.00, 20.00" in item.message


def test_instances_that_are_gone_are_counted(worker, schedule, engine):
    item = schedule()
    with engine.begin() as connection:
        connection.execute(
            schema.instances.delete().where(schema.instances.c.sop_instance_uid == item.sop_instance_uids[0])
        )
    item = ended(worker, item)
    assert (item.state, item.reason["value"]) == (CANCELED, "110523")
    assert "1 of 6" in item.message


def test_a_fault_of_the_algorithm_ends_the_attempt_and_not_the_worker(worker, schedule, algorithm):
    algorithm.before = lambda: 1 // 0
    item = ended(worker, schedule())
    assert item.state == IN_PROGRESS
    assert item.lease_until is None
    assert "ZeroDivisionError" in item.message


def test_a_request_to_cancel_stops_it_at_the_next_step(worker, schedule, algorithm):
    item = schedule()
    algorithm.before = lambda: worker.worklist.request_cancel(item.uid)
    item = ended(worker, item)
    assert (item.state, item.reason["value"]) == (CANCELED, "110500")


def test_a_stopping_worker_hands_its_workitem_back(worker, schedule, algorithm):
    def stop() -> None:
        raise SystemExit

    algorithm.before = stop
    item = schedule()
    with pytest.raises(SystemExit):
        worker.perform(item.uid)
    assert [i.uid for i in worker.worklist.due()] == [item.uid]


def test_an_object_with_a_fault_waits_in_quarantine_with_the_reason(worker, schedule, algorithm, settings):
    algorithm.category = Code("91772007", "SCT", "Organ")
    item = ended(worker, schedule())
    assert item.state == CANCELED
    kept = settings.quarantine / item.uid
    assert sorted(p.name for p in kept.iterdir()) == ["reason.txt", "seg.dcm", "sr.dcm"]
    assert "91772007" in (kept / "reason.txt").read_text()
    assert "91772007" in item.message
    assert worker.outbox.results(item.run_uid) == []


def test_another_version_than_the_one_asked_for_is_not_run(worker, schedule, algorithm, catalogue):
    catalogue["threshold"] = replace(catalogue["threshold"], version="2")
    item = ended(worker, schedule())
    assert (item.state, item.reason["value"]) == (CANCELED, "110527")
    assert algorithm.runs == []


def test_a_destination_that_is_down_keeps_the_results_waiting(worker, schedule, outbox: Outbox, settings):
    dead = Destination(name="dead", dicomweb_url="http://127.0.0.1:9/dicom-web")
    worker = replace(worker, settings=settings.model_copy(update={"destinations": (dead,)}))
    item = ended(worker, schedule(destinations=("dead", "forgotten")))
    assert item.state == IN_PROGRESS
    assert item.run_uid
    told = {d.destination: (d.state, d.error) for d in outbox.deliveries(item.uid)}
    assert {state for state, _ in told.values()} == {PENDING}
    assert "not among the configured destinations" in told["forgotten"][1]


def test_stored_results_that_are_gone_are_counted(worker, schedule, settings, engine):
    dead = Destination(name="dead", dicomweb_url="http://127.0.0.1:9/dicom-web")
    worker = replace(worker, settings=settings.model_copy(update={"destinations": (dead,)}))
    item = ended(worker, schedule(destinations=("dead",)))
    (settings.results / item.run_uid / "sr.dcm").unlink()
    with engine.begin() as connection:
        connection.execute(schema.workitems.update().values(not_before=item.created_at))
    again = ended(worker, item)
    assert (again.state, again.reason["value"]) == (CANCELED, "110523")
    assert "1 of 2 stored results are gone" in again.message
