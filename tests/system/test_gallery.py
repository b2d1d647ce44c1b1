"""Embeddings and urgency in a real PostgreSQL, with pgvector where the server has it, and without."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from algorithms.protocol import Embedding
from node.config import Jobs
from node.jobs import schema
from node.jobs.gallery import Gallery
from node.jobs.index import Index
from node.jobs.matching import Matching
from node.jobs.outbox import Outbox
from node.jobs.worklist import Worklist
from tests.system.services import postgresql
from tests.unit.node.jobs.arrivals import arrival, wanted

pytestmark = pytest.mark.system

SPACE = 'it\'s 0123 "minimum"'
"""Names of spaces stand in the definition of an index."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Engine]:
    with postgresql(tmp_path) as url:
        engine = schema.connect(url)
        schema.migrate(engine)
        yield engine
        engine.dispose()


def embed(ledger: Engine, gallery: Gallery, number: int, vector: np.ndarray, run: str = "1") -> None:
    series = f"1.{number}.3"
    Index(ledger).record([arrival(1, study=f"1.{number}", series=series)])
    (item,) = Worklist(ledger, Jobs()).schedule(
        f"1.{number}", [wanted(f"{series}.1", series=series)], evidence={}, explanation=[]
    )
    gallery.add(item, f"2.25.{number}.{run}", f"{series}.1", Embedding(vector, SPACE))


def has_pgvector(ledger: Engine) -> bool:
    with ledger.connect() as connection:
        asked = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
        return connection.scalar(text(asked)) is not None


def test_the_migrations_make_the_tables_of_the_schema_there_too(ledger: Engine) -> None:
    with ledger.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_the_nearest_are_found_by_whatever_the_server_has(ledger: Engine, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery = Gallery(ledger, tmp_path / "gallery")
    embed(ledger, gallery, 8, vectors[0], run="old")
    for number, vector in enumerate(vectors):
        embed(ledger, gallery, number, vector)
    found = gallery.nearest(Embedding(vectors[7], SPACE), "1.7", k=5)
    similarity = vectors @ vectors[7]
    expected = [n for n in np.argsort(-similarity) if n != 7][:5]
    assert [s.study_instance_uid for s in found] == [f"1.{n}" for n in expected]
    assert [s.similarity for s in found] == pytest.approx(similarity[expected], abs=1e-5)
    assert np.array_equal(gallery.embedding("1.8").vector, vectors[8])
    with ledger.connect() as connection:
        made = "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%'"
        assert connection.scalar(text(made)) == has_pgvector(ledger)


def test_urgency_and_queries_are_the_same_there(ledger: Engine) -> None:
    worklist = Worklist(ledger, Jobs())
    items = []
    for number in (1, 2, 3):
        series = f"1.{number}.3"
        Index(ledger).record([arrival(1, study=f"1.{number}", series=series)])
        matches = [wanted(f"{series}.1", series=series, route=route) for route in ("triage", "organs")]
        items += worklist.schedule(f"1.{number}", matches, evidence={}, explanation=[])
    urgent = worklist.claim(next(i.uid for i in items if i.route == "triage"), "worker")
    lifted = Outbox(ledger, Jobs()).keep(urgent, "2.25.1", [], {}, urgency="HIGH", notice=None)
    assert [i.route for i in lifted] == ["organs"]
    first = worklist.query(sort="urgency")[:2]
    assert [(i.uid, i.urgency) for i in first] == [(urgent.uid, "HIGH"), (lifted[0].uid, None)]
    matching = Matching(ledger)
    assert matching.studies({"PatientID": "P*", "ModalitiesInStudy": "CT"}, 10) == ["1.3", "1.2", "1.1"]
    assert matching.studies({"PatientName": "doe"}, 10) == []
