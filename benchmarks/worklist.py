"""How long the worklist page takes with many workitems in the ledger.

python -m benchmarks.worklist [WORKITEMS]
"""

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from node import bootstrap
from node.config import Settings
from node.jobs.schema import instances, studies, workitems
from node.jobs.workitem import STATES, dicom_uid, untouched

_PER_STUDY = 2
_TIMES = 9
_VIEWS = ("/", "/?order=newest", "/?page=400", "/?state=CANCELED", "/?modality=MR", "/?text=patient+77")


def fill(house: bootstrap.House, count: int) -> None:
    """A ledger of studies of 300 images with two workitems each; one in two hundred is urgent."""
    rng, now = np.random.default_rng(0), datetime.now(UTC)
    with house.engine.begin() as connection:
        for number in range(count // _PER_STUDY):
            study, at = f"1.2.{number}", now - timedelta(minutes=number)
            row = {
                "study_instance_uid": study,
                "attributes": {
                    "PatientName": f"Patient {number}^Of the benchmark",
                    "PatientID": f"{number:08}",
                    "StudyDescription": "CT THORAX",
                    "StudyDate": "20261103",
                    "AccessionNumber": f"A{number}",
                },
                "state": "COMPLETE",
                "revision": 1,
                "first_arrival_at": at,
                "last_arrival_at": at,
                "completed_at": at,
                "evidence": {"quiet_seconds": 5.0},
                "explanation": ["chest-ct: it is a chest CT"],
            }
            connection.execute(studies.insert().values(**row))
            connection.execute(
                instances.insert().values(**_instance(study, at, "MR" if number % 9 == 0 else "CT"))
            )
            for algorithm in ("chest-ct-annotation", "ct-retrieval"):
                urgency = "HIGH" if rng.random() < 0.0025 else None
                connection.execute(workitems.insert().values(**_workitem(study, algorithm, at, rng, urgency)))


def _instance(study: str, at: datetime, modality: str) -> dict[str, object]:
    return {
        "path": f"{study}/1.dcm",
        "study_instance_uid": study,
        "series_instance_uid": f"{study}.1",
        "sop_instance_uid": f"{study}.1.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "modality": modality,
        "size": 500_000,
        "sha256": "0" * 64,
        "calling_ae_title": "SCANNER",
        "received_at": at,
        "own_result": False,
    }


def _workitem(
    study: str, algorithm: str, at: datetime, rng: np.random.Generator, urgency: str | None
) -> dict[str, object]:
    row = {
        "study_instance_uid": study,
        "series_instance_uid": f"{study}.1",
        "sop_instance_uids": [f"{study}.1.{image}" for image in range(300)],
        "revision": 1,
        "route": algorithm,
        "why": "it is a chest CT",
        "algorithm": algorithm,
        "version": "0.1.0",
        "options": {},
        "priority": "routine",
        "urgency": urgency,
        "destinations": ["pacs"],
    }
    state = {"state": STATES[int(rng.choice(4, p=(0.02, 0.001, 0.95, 0.029)))], "created_at": at}
    return row | untouched(dicom_uid(f"{study} {algorithm}"), at) | state


def main() -> None:
    """Fill, ask, print medians."""
    from node.web.app import create_app

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        house = bootstrap.build(Settings(state=Path(folder)))
        fill(house, count)
        with TestClient(create_app(bootstrap.rooms(house)), base_url="http://127.0.0.1") as client:
            for view in _VIEWS:
                times = []
                for _ in range(_TIMES):
                    begun = time.perf_counter()
                    client.get(view).raise_for_status()
                    times.append(time.perf_counter() - begun)
                print(f"{view:24s} median {1000 * statistics.median(times):6.0f} ms")
        begun = time.perf_counter()
        bootstrap.rooms(house).board.pulse()
        print(f"pulse                    {1000 * (time.perf_counter() - begun):13.0f} ms")


if __name__ == "__main__":
    main()
