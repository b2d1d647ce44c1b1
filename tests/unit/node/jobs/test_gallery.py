import threading

import numpy as np
import pytest
from sqlalchemy import delete

from algorithms.protocol import Embedding
from node.jobs import schema
from node.jobs.gallery import Gallery, NoEmbedding
from tests.unit.node.jobs.arrivals import arrival, wanted

SPACE = "ct-fm-encoder 0123 mean"


def unit(rng: np.random.Generator, count: int = 1, size: int = 64) -> np.ndarray:
    vectors = rng.normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def gallery(engine, tmp_path) -> Gallery:
    return Gallery(engine, tmp_path / "gallery")


@pytest.fixture
def embed(index, worklist, gallery):
    """Embed the series of a study."""

    def add(number: int, vector, *, run: str | None = None, series: int = 3, space: str = SPACE) -> None:
        uid = f"1.{number}.{series}"
        index.record([arrival(1, study=f"1.{number}", series=uid)])
        (item,) = worklist.schedule(
            f"1.{number}", [wanted(f"{uid}.1", series=uid)], evidence={}, explanation=[]
        )
        gallery.add(item, run or f"2.25.{number}.{series}", f"{uid}.1", Embedding(vector, space))

    return add


def test_the_nearest_studies_come_first_and_the_own_one_never(embed, gallery):
    vectors = unit(np.random.default_rng(1), 20)
    for number, vector in enumerate(vectors, start=1):
        embed(number, vector)
    found = gallery.nearest(Embedding(vectors[4], SPACE), "1.5", k=6)
    similarity = vectors @ vectors[4]
    expected = [n for n in np.argsort(-similarity) if n != 4][:6]
    assert [s.study_instance_uid for s in found] == [f"1.{n + 1}" for n in expected]
    assert [s.similarity for s in found] == pytest.approx(similarity[expected], abs=1e-5)
    assert found[0].sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert found[0].sop_instance_uid == f"1.{expected[0] + 1}.3.1"


def test_a_gallery_of_nothing_finds_nothing(gallery):
    assert gallery.nearest(Embedding(unit(np.random.default_rng(1))[0], SPACE), "1.1") == ()


def test_spaces_are_never_compared(embed, gallery):
    vector = unit(np.random.default_rng(2))[0]
    embed(1, vector, space="another space")
    assert gallery.nearest(Embedding(vector, SPACE), "1.9") == ()


def test_only_the_newest_embedding_of_a_series_counts(embed, gallery):
    old, new = unit(np.random.default_rng(3), 2)
    embed(1, old, run="2.25.1")
    assert gallery.nearest(Embedding(old, SPACE), "1.9")[0].similarity == pytest.approx(1)
    embed(1, new, run="2.25.2")
    (found,) = gallery.nearest(Embedding(old, SPACE), "1.9")
    assert found.similarity == pytest.approx(float(old @ new), abs=1e-5)
    assert np.array_equal(gallery.embedding("1.1").vector, new)


def test_a_run_is_kept_once(embed, gallery):
    first, other = unit(np.random.default_rng(4), 2)
    embed(1, first, run="2.25.1")
    embed(1, other, run="2.25.1")
    assert np.array_equal(gallery.embedding("1.1").vector, first)


def test_another_process_sees_what_was_added(embed, gallery, engine, tmp_path):
    other = Gallery(engine, tmp_path / "gallery")
    vector = unit(np.random.default_rng(5))[0]
    assert other.nearest(Embedding(vector, SPACE), "1.9") == ()
    embed(1, vector)
    assert len(other.nearest(Embedding(vector, SPACE), "1.9")) == 1


def test_many_series_of_the_own_study_hide_no_other(embed, gallery):
    rng = np.random.default_rng(6)
    base = unit(rng)[0]
    for series in range(10, 50):
        embed(1, base, series=series)
    away = unit(rng, 3)
    for number, vector in enumerate(away, start=2):
        embed(number, vector)
    found = gallery.nearest(Embedding(base, SPACE), "1.1", k=3)
    assert {s.study_instance_uid for s in found} == {"1.2", "1.3", "1.4"}


def test_a_study_without_an_embedding_is_named_with_the_mend(gallery):
    with pytest.raises(NoEmbedding, match=r"1\.2\.3.*ct-retrieval"):
        gallery.embedding("1.2.3")


def fill(engine, count: int, seed: int = 7, start: int = 1) -> np.ndarray:
    """Rows of the ledger, without the studies they would belong to."""
    vectors = unit(np.random.default_rng(seed), count)
    now = arrival(1).instance.received_at
    rows = [
        {
            "number": start + n,
            "run_uid": f"2.25.{start + n}",
            "study_instance_uid": f"1.{start + n}",
            "series_instance_uid": f"1.{start + n}.3",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "sop_instance_uid": f"1.{start + n}.3.1",
            "space": SPACE,
            "vector": vector,
            "superseded": False,
            "created_at": now,
        }
        for n, vector in enumerate(vectors)
    ]
    with engine.begin() as connection:
        connection.execute(schema.embeddings.insert(), rows)
    return vectors


def nearest_numbers(gallery: Gallery, vector) -> list[int]:
    return [int(s.study_instance_uid[2:]) for s in gallery.nearest(Embedding(vector, SPACE), "1.0")]


def expected_numbers(vectors, vector) -> list[int]:
    return [int(n) + 1 for n in np.argsort(-(vectors @ vector))[:10]]


def test_a_copy_on_disk_is_begun_with_and_follows_the_ledger(engine, tmp_path):
    vectors = fill(engine, 1200)
    assert nearest_numbers(Gallery(engine, tmp_path), vectors[3]) == expected_numbers(vectors, vectors[3])
    (copy,) = tmp_path.glob("*.usearch")
    written = copy.read_bytes()
    more = np.concatenate([vectors, fill(engine, 50, seed=8, start=1201)])
    query = more[1220]
    assert nearest_numbers(Gallery(engine, tmp_path), query) == expected_numbers(more, query)
    assert copy.read_bytes() == written


@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_damaged_copy_is_made_again(engine, tmp_path, damage):
    vectors = fill(engine, 1200)
    nearest_numbers(Gallery(engine, tmp_path), vectors[0])
    (copy,) = tmp_path.glob("*.usearch")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1000] if damage is None else damage)
    assert nearest_numbers(Gallery(engine, tmp_path), vectors[0]) == expected_numbers(vectors, vectors[0])
    assert len(copy.read_bytes()) == len(whole)


def test_a_copy_of_another_ledger_is_not_believed(engine, tmp_path):
    nearest_numbers(Gallery(engine, tmp_path), fill(engine, 1200)[0])
    with engine.begin() as connection:
        connection.execute(delete(schema.embeddings))
    other = fill(engine, 1200, seed=9)
    assert nearest_numbers(Gallery(engine, tmp_path), other[5]) == expected_numbers(other, other[5])


def test_several_threads_may_ask_and_add_at_once(embed, gallery):
    vectors = unit(np.random.default_rng(10), 12)
    embed(1, vectors[0])
    failures = []

    def ask(vector) -> None:
        for _ in range(20):
            found = gallery.nearest(Embedding(vector, SPACE), "1.99", k=3)
            if not found or found[0].similarity > 1.001:
                failures.append(found)

    threads = [threading.Thread(target=ask, args=(vector,)) for vector in vectors[:4]]
    for thread in threads:
        thread.start()
    for number, vector in enumerate(vectors[1:], start=2):
        embed(number, vector)
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(gallery.nearest(Embedding(vectors[0], SPACE), "1.99", k=50)) == 12
