"""The gallery: the embeddings of all series, and which of them are nearest.

Embeddings are rows of the ledger. Where it is PostgreSQL with pgvector, the database searches them; else each
process has an index in memory that follows the ledger, with a copy in the state folder to begin with.
"""

import hashlib
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    Cast,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    cast,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import ProgrammingError

from algorithms.protocol import Embedding, Similar
from node.errors import Rejected
from node.jobs.neighbours import Neighbours
from node.jobs.schema import embeddings, instances, reading
from node.jobs.workitem import Workitem

log = structlog.get_logger()

_BATCH: Final = 2000
_WORTH_SAVING: Final = 1000
"""New embeddings; fewer are added to the last copy within a second."""


class NoEmbedding(Rejected):
    """The study has not been embedded."""

    http_status = 404


class Gallery:
    """Embeddings in the ledger; safe to use from several threads and processes."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._queries = reading(engine)
        self._folder = folder
        self._lock = threading.Lock()
        self._spaces: dict[str, Neighbours] = {}
        self._saved: dict[str, int] = {}

    def add(self, item: Workitem, run_uid: str, sop_instance_uid: str, embedding: Embedding) -> None:
        """Keep an embedding; it takes the place of an older one of the same series in the same space.

        Args:
            item: the workitem whose series was embedded.
            run_uid: of the results; an embedding that is known already stays as it is.
            sop_instance_uid: the instance in the middle of the series.
            embedding: of the series.
        """
        indexed_there = self._has_pgvector
        with self._engine.begin() as connection:
            _in_turn(connection)
            if connection.scalar(select(embeddings.c.number).where(embeddings.c.run_uid == run_uid)):
                return
            older = and_(
                embeddings.c.series_instance_uid == item.series_instance_uid,
                embeddings.c.space == embedding.space,
            )
            connection.execute(update(embeddings).where(older).values(superseded=True))
            sop_class = select(instances.c.sop_class_uid).where(
                instances.c.sop_instance_uid == sop_instance_uid
            )
            row = {
                "run_uid": run_uid,
                "study_instance_uid": item.study_instance_uid,
                "series_instance_uid": item.series_instance_uid,
                "sop_class_uid": connection.scalar(sop_class),
                "sop_instance_uid": sop_instance_uid,
                "space": embedding.space,
                "vector": embedding.vector,
                "superseded": False,
                "created_at": datetime.now(UTC),
            }
            connection.execute(insert(embeddings).values(**row))
            if indexed_there:
                _index_space(connection, embedding)

    def nearest(self, embedding: Embedding, study_instance_uid: str, k: int = 10) -> tuple[Similar, ...]:
        """The k series of other studies that are nearest to an embedding, the nearest first."""
        if self._has_pgvector:
            return self._nearest_in_database(embedding, study_instance_uid, k)
        with self._lock, self._queries.connect() as connection:
            neighbours = self._following(connection, embedding.space)
            count = 2 * k + 8
            while True:
                found = neighbours.search(embedding.vector, count)
                similar = _of_other_studies(connection, found, study_instance_uid)
                if len(similar) >= k or count >= len(neighbours):
                    return tuple(similar[:k])
                count *= 4

    def embedding(self, study_instance_uid: str) -> Embedding:
        """The latest embedding of a study.

        Raises:
            NoEmbedding: there is none.
        """
        query = (
            select(embeddings.c.vector, embeddings.c.space)
            .where(embeddings.c.study_instance_uid == study_instance_uid, embeddings.c.superseded.is_(False))
            .order_by(embeddings.c.number.desc())
        )
        with self._queries.connect() as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None:
            raise NoEmbedding(
                f"study {study_instance_uid} has no embedding; have a route that runs ct-retrieval on it, "
                "then send it again or rerun its workitem"
            )
        return Embedding(row.vector, row.space)

    def _following(self, connection: Connection, space: str) -> Neighbours:
        """The index in memory, brought to what the ledger holds now."""
        file = self._folder / f"{_digest(space)}.usearch"
        if space not in self._spaces:
            self._spaces[space] = _copy_of(connection, space, file)
            self._saved[space] = len(self._spaces[space])
        neighbours = self._spaces[space]
        newer = (
            select(embeddings.c.number, embeddings.c.vector)
            .where(embeddings.c.space == space, embeddings.c.number > neighbours.last)
            .order_by(embeddings.c.number)
        )
        for rows in connection.execute(newer, execution_options={"yield_per": _BATCH}).partitions():
            neighbours.extend([row.number for row in rows], [row.vector for row in rows])
        if len(neighbours) - self._saved[space] >= max(_WORTH_SAVING, len(neighbours) // 20):
            neighbours.save(file)
            self._saved[space] = len(neighbours)
        return neighbours

    @cached_property
    def _has_pgvector(self) -> bool:
        """Whether the database can search; PostgreSQL is asked for its extension once."""
        if self._engine.dialect.name != "postgresql":
            return False
        try:
            with self._engine.begin() as connection:
                _in_turn(connection)
                there = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
                if connection.scalar(text(there)):
                    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                usable = connection.scalar(text("SELECT 1 FROM pg_am WHERE amname = 'hnsw'")) is not None
        except ProgrammingError as error:
            log.warning("pgvector is there and may not be used", why=str(error.orig).strip())
            return False
        log.info(
            f"embeddings are searched by {'pgvector' if usable else 'usearch: PostgreSQL has no pgvector'}"
        )
        return usable

    def _nearest_in_database(
        self, embedding: Embedding, study_instance_uid: str, k: int
    ) -> tuple[Similar, ...]:
        """As the index of this space has it: its expression and its condition are repeated word for word."""
        distance = _place(embedding).max_inner_product(embedding.vector)
        query = (
            _living()
            .add_columns((-distance).label("similarity"))
            .where(
                embeddings.c.space == literal(embedding.space, literal_execute=True),
                embeddings.c.study_instance_uid != study_instance_uid,
            )
            .order_by(distance)
            .limit(k)
        )
        with self._queries.connect() as connection:
            connection.execute(text(f"SET LOCAL hnsw.ef_search = {min(1000, 2 * k + 100)}"))
            return tuple(_similar(row, row.similarity) for row in connection.execute(query))


def _in_turn(connection: Connection) -> None:
    """Writers one after the other, so that whoever has seen a number has seen all that are lower."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE embeddings IN EXCLUSIVE MODE"))


def _copy_of(connection: Connection, space: str, file: Path) -> Neighbours:
    """The copy on disk, if it holds what the ledger held; else an empty index."""
    copy = Neighbours.restore(file)
    known = and_(embeddings.c.space == space, embeddings.c.number <= copy.last)
    number = connection.scalar(select(func.count()).select_from(embeddings).where(known))
    last = connection.scalar(select(embeddings.c.vector).where(known).order_by(embeddings.c.number.desc()))
    if len(copy) == number and (last is None or copy.holds(copy.last, last)):
        return copy
    log.warning("the index of embeddings is not of this ledger, it is made again", file=file.name)
    return Neighbours()


def _of_other_studies(
    connection: Connection, found: Sequence[tuple[int, float]], study_instance_uid: str
) -> list[Similar]:
    """What was found, without the own study and without embeddings that were superseded."""
    query = _living().where(
        embeddings.c.number.in_([number for number, _ in found]),
        embeddings.c.study_instance_uid != study_instance_uid,
    )
    rows = {row.number: row for row in connection.execute(query)}
    return [_similar(rows[number], similarity) for number, similarity in found if number in rows]


def _living() -> Select[Any]:
    columns = ("number", "study_instance_uid", "series_instance_uid", "sop_class_uid", "sop_instance_uid")
    return select(*(embeddings.c[name] for name in columns)).where(embeddings.c.superseded.is_(False))


def _similar(row: Row[Any], similarity: float) -> Similar:
    return Similar(
        row.study_instance_uid,
        row.series_instance_uid,
        row.sop_class_uid,
        row.sop_instance_uid,
        similarity,
    )


def _place(embedding: Embedding) -> Cast[Any]:
    """The vector as pgvector's type of this size, which is what is indexed."""
    return cast(embeddings.c.vector, VECTOR(len(embedding.vector)))


def _index_space(connection: Connection, embedding: Embedding) -> None:
    """Have an HNSW index of the embeddings of this space that were not superseded."""
    written = select(
        func.format(
            "CREATE INDEX IF NOT EXISTS %I ON embeddings USING hnsw ((vector::vector(%s)) vector_ip_ops) "
            "WHERE superseded IS false AND space = %L",
            f"ix_embeddings_{_digest(embedding.space)}",
            str(len(embedding.vector)),
            embedding.space,
        )
    )
    connection.exec_driver_sql(connection.scalar(written) or "")


def _digest(space: str) -> str:
    return hashlib.sha256(space.encode()).hexdigest()[:16]
