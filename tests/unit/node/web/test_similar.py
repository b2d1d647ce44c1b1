import io
import json
import stat
import sys
import threading

import numpy as np
import pydicom
import pytest

from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label
from algorithms.protocol import Embedding
from node.inbound.instances import Spool
from node.jobs.reception import study_in_spool
from node.web import similar
from tests.synthetic_study import store, write
from tests.unit.node.jobs.arrivals import arrival, wanted

SPACE = "ct-fm-encoder 0123 mean"


@pytest.fixture
def embed(rooms):
    def add(number: int, *vector: float) -> None:
        uid = f"1.{number}.3"
        rooms.index.record([arrival(1, study=f"1.{number}", series=uid)])
        (item,) = rooms.worklist.schedule(
            f"1.{number}", [wanted(f"{uid}.1", series=uid)], evidence={}, explanation=[]
        )
        place = np.asarray(vector, dtype=np.float32)
        place /= np.linalg.norm(place)
        rooms.gallery.add(item, f"2.25.{number}", f"{uid}.1", Embedding(place, SPACE))

    return add


@pytest.fixture
def three(embed):
    """Three embedded studies: the second is nearer to the first than the third is."""
    embed(1, 1, 0, 0, 0)
    embed(2, 1, 0.1, 0, 0)
    embed(3, 1, 1, 0, 0)


def test_similar_studies_come_with_what_is_known_of_them_but_not_of_the_patient(client, three):
    found = client.get("/api/studies/1.1/similar").json()
    assert [f["study_instance_uid"] for f in found] == ["1.2", "1.3"]
    assert found[0]["similarity"] == pytest.approx(1 / np.hypot(1, 0.1), abs=1e-4)
    assert (found[0]["sop_instance_uid"], found[0]["modalities"]) == ("1.2.3.1", ["CT"])
    assert found[0]["attributes"] == {}
    assert [f["study_instance_uid"] for f in client.get("/api/studies/1.1/similar?k=1").json()] == ["1.2"]


def test_a_study_that_was_not_embedded_is_answered_with_the_mend(client, three):
    answer = client.get("/api/studies/9.9/similar")
    assert answer.status_code == 404
    assert "ct-retrieval" in answer.json()["detail"]


def test_qido_gives_studies_in_the_order_of_their_similarity(client, three):
    answer = client.get("/dicom-web/studies?similar-to=1.1")
    assert answer.headers["content-type"] == "application/dicom+json"
    found = answer.json()
    assert [study["0020000D"] for study in found] == [
        {"vr": "UI", "Value": ["1.2"]},
        {"vr": "UI", "Value": ["1.3"]},
    ]
    assert found[0]["00090010"] == {"vr": "LO", "Value": ["AI Node"]}
    assert found[0]["00091001"]["vr"] == "FD"
    assert found[1]["00091001"]["Value"] == [pytest.approx(2**-0.5, abs=1e-4)]


def test_similarity_can_be_asked_for_among_the_studies_that_match(client, three):
    narrowed = client.get("/dicom-web/studies?similar-to=1.1&StudyInstanceUID=1.3")
    assert [study["0020000D"]["Value"] for study in narrowed.json()] == [["1.3"]]
    paged = client.get("/dicom-web/studies?similar-to=1.1&limit=1&offset=1")
    assert [study["0020000D"]["Value"] for study in paged.json()] == [["1.3"]]
    assert client.get("/dicom-web/studies?similar-to=9.9").status_code == 404


@pytest.fixture
def held(rooms, tmp_path) -> tuple[str, str]:
    """Two CTs in the spool; their studies."""
    spool = Spool(rooms.settings.spool, 1 << 20)
    studies = []
    for seed in (1, 2):
        files = write(tmp_path / str(seed), np.zeros((3, 8, 8), np.float32), (5.0, 1.0, 1.0), seed)
        stored = store(spool, files)
        rooms.index.record(stored)
        studies.append(stored[0].instance.study_instance_uid)
    return studies[0], studies[1]


@pytest.fixture
def answering(monkeypatch, tmp_path):
    """Have a program of this text answer in place of `ainode locate`; torch takes long to load."""

    def answer(text: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(similar.sys, "executable", str(program))

    return answer


FOUND = {
    "position_mm": [1.0, 2.0, 3.0],
    "SOPInstanceUID": "1.2",
    "row": 4,
    "column": 5.5,
    "similarity": 0.9,
    "outside_mm": 0.0,
}


def test_a_point_is_looked_for_in_the_series_of_the_spool(client, rooms, held, answering):
    answering(
        "source, target, point = sys.argv[5:]\n"
        "assert sys.argv[1:5] == ['-m', 'node', 'locate', '--json'], sys.argv\n"
        "assert point == '--point=-1.5,2,30.25', point\n"
        "assert len(os.listdir(source)) == len(os.listdir(target)) == 3 and source != target\n"
        f"assert os.environ['AINODE_STATE'] == {str(rooms.settings.state.absolute())!r}\n"
        f"print({json.dumps(FOUND)!r})"
    )
    answer = client.get(f"/api/studies/{held[0]}/locate?in={held[1]}&point=-1.5,2,30.25")
    assert (answer.status_code, answer.json()) == (200, FOUND)


def test_what_the_search_says_is_said_on(client, held, answering):
    answering("print('ainode: the point is outside the image', file=sys.stderr)\nsys.exit(1)")
    answer = client.get(f"/api/studies/{held[0]}/locate?in={held[1]}&point=1,2,3")
    assert (answer.status_code, answer.json()["detail"]) == (422, "the point is outside the image")


def test_a_search_that_takes_too_long_is_stopped(client, held, answering, monkeypatch):
    monkeypatch.setattr(similar, "_SECONDS", 0.2)
    answering("time.sleep(30)")
    answer = client.get(f"/api/studies/{held[0]}/locate?in={held[1]}&point=1,2,3")
    assert answer.status_code == 504


def test_one_point_is_looked_for_at_a_time(client, held, answering, tmp_path):
    begun = tmp_path / "begun"
    ended = tmp_path / "ended"
    answering(
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(ended)!r}): time.sleep(0.01)\n"
        f"print({json.dumps(FOUND)!r})"
    )
    url = f"/api/studies/{held[0]}/locate?in={held[1]}&point=1,2,3"
    answers = []
    first = threading.Thread(target=lambda: answers.append(client.get(url).status_code))
    first.start()
    while not begun.exists():
        first.join(0.01)
    assert client.get(url).status_code == 503
    ended.touch()
    first.join()
    assert answers == [200]


@pytest.mark.parametrize("point", ["1,2", "1,2,x", "1,2,3;rm", "nan,1,2", ""])
def test_a_point_that_is_none_is_refused(client, held, point):
    assert client.get(f"/api/studies/{held[0]}/locate?in={held[1]}&point={point}").status_code == 422


def test_a_series_that_is_not_there_is_named(client, held):
    answer = client.get(f"/api/studies/{held[0]}/locate?in={held[1]}&point=1,2,3&series=9.9")
    assert (answer.status_code, "9.9" in answer.json()["detail"]) == (422, True)
    assert client.get(f"/api/studies/{held[0]}/locate?in=9.9&point=1,2,3").status_code == 422


MM = 6.0


@pytest.fixture
def bodies(rooms, tmp_path) -> list[tuple[str, np.ndarray]]:
    """Two synthetic chests in the spool: study, and the middle of the airways in patient LPS millimetres."""
    spool = Spool(rooms.settings.spool, 1 << 20)
    made = []
    for seed in (4000, 4001):
        body = torso(seed, spacing_mm=MM, bottom_mm=-60.0, top_mm=280.0)
        stored = store(spool, write(tmp_path / f"body{seed}", body.hu, (MM, MM, MM), seed))
        rooms.index.record(stored)
        slice_, row, column = np.argwhere(body.labels == Label.AIRWAY).mean(axis=0) * MM
        made.append((stored[0].instance.study_instance_uid, np.array([column, row, slice_])))
    return made


def test_the_airways_of_one_chest_are_found_in_another(client, rooms, bodies):
    (here, point), (there, wanted_mm) = bodies
    text = ",".join(f"{mm:.1f}" for mm in point)
    answer = client.get(f"/api/studies/{here}/locate?in={there}&point={text}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert np.linalg.norm(np.array(found["position_mm"]) - wanted_mm) < 40
    (series,) = study_in_spool(rooms.settings.spool, rooms.index, there).series
    slice_ = series.sop_instance_uids.index(found["SOPInstanceUID"])
    assert [found["column"], found["row"], slice_] == pytest.approx(
        np.array(found["position_mm"]) / MM, abs=0.51
    )
    outside = client.get(f"/api/studies/{here}/locate?in={there}&point=0,0,9000")
    assert (outside.status_code, outside.json()["detail"]) == (
        422,
        "the point 0, 0, 9000 mm lies outside the image",
    )


def test_the_heat_map_is_given_as_a_parametric_map_of_the_other_study(client, bodies):
    (here, point), (there, _) = bodies
    text = ",".join(f"{mm:.1f}" for mm in point)
    answer = client.get(f"/api/studies/{here}/locate/heat-map?in={there}&point={text}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom"), answer.text
    heat = pydicom.dcmread(io.BytesIO(answer.content))
    assert heat.SOPClassUID.name == "Parametric Map Storage"
    assert heat.StudyInstanceUID == there
