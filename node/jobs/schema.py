"""The ledger: one database that holds what arrived, what is to be done, and what became of it.

SQLite in WAL mode by default, PostgreSQL by URL. Tables here, their history in `migrations/`.
"""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from node.errors import ConfigurationError

UID = String(64)

_MIGRATION_LOCK = 1_635_348_079  # any number that nothing else in the database uses

DatabaseUnavailable = OperationalError
"""The ledger is away or locked for now."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite keeps no time zone of its own."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC without its zone."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give UTC back with its zone."""
        return value.replace(tzinfo=UTC) if value else None


class Vector(TypeDecorator[npt.NDArray[np.float32]]):
    """A float32 vector: little-endian bytes in SQLite, real[] in PostgreSQL, which pgvector can cast."""

    impl = LargeBinary().with_variant(ARRAY(REAL), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: npt.NDArray[np.float32] | None, dialect: Dialect) -> object:
        """Store the numbers."""
        if value is None:
            return None
        return value.tolist() if dialect.name == "postgresql" else value.astype("<f4").tobytes()

    def process_result_value(
        self, value: bytes | list[float] | None, dialect: Dialect
    ) -> npt.NDArray[np.float32] | None:
        """Give the vector back, with one axis."""
        if isinstance(value, bytes):
            return np.frombuffer(value, dtype="<f4").astype(np.float32, copy=False)
        return None if value is None else np.asarray(value, dtype=np.float32)


studies = Table(
    "studies",
    metadata,
    Column("study_instance_uid", UID, primary_key=True),
    Column("attributes", JSON, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("first_arrival_at", UtcDateTime, nullable=False),
    Column("last_arrival_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("evidence", JSON),
    Column("explanation", JSON),
)

instances = Table(
    "instances",
    metadata,
    Column("path", String(255), primary_key=True),
    Column("study_instance_uid", UID, ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", UID, nullable=False),
    Column("sop_instance_uid", UID, nullable=False, index=True),
    Column("sop_class_uid", UID, nullable=False),
    Column("transfer_syntax_uid", UID, nullable=False),
    Column("modality", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("own_result", Boolean, nullable=False),
    Index(None, "study_instance_uid", "series_instance_uid"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("path", String(255), primary_key=True),
    Column("sop_instance_uid", UID, nullable=False),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
)

workitems = Table(
    "workitems",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("study_instance_uid", UID, ForeignKey("studies.study_instance_uid"), nullable=False, index=True),
    Column("series_instance_uid", UID, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("sop_instance_uids", JSON, nullable=False),
    Column("route", String(64), nullable=False),
    Column("why", Text, nullable=False),
    Column("algorithm", String(255), nullable=False),
    Column("version", String(64), nullable=False),
    Column("options", JSON, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("urgency", String(8), index=True),
    Column("destinations", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(128)),
    Column("not_before", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("progress", Float, nullable=False),
    Column("stage", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("reason", JSON),
    Column("run_uid", UID),
    Column("seconds", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index(None, "state", "not_before"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("workitem_uid", UID, ForeignKey("workitems.uid"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("worker", String(128), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", Text),
)

results = Table(
    "results",
    metadata,
    Column("sop_instance_uid", UID, primary_key=True),
    Column("run_uid", UID, nullable=False, index=True),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("series_instance_uid", UID, nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("role", String(16), nullable=False),
    Column("path", String(255), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("workitem_uid", UID, ForeignKey("workitems.uid"), primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("error", Text, nullable=False),
    Column("confirmed_at", UtcDateTime),
)

notices = Table(
    "notices",
    metadata,
    Column("run_uid", UID, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Index(None, "state", "not_before"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("run_uid", UID, nullable=False, unique=True),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("series_instance_uid", UID, nullable=False, index=True),
    Column("sop_class_uid", UID, nullable=False),
    Column("sop_instance_uid", UID, nullable=False),
    Column("space", String(255), nullable=False),
    Column("vector", Vector, nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "space", "number"),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(255), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("workitem_uid", UID, ForeignKey("workitems.uid"), nullable=False, index=True),
    Column("judgement", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("person", String(255), nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
)


def connect(url: str) -> Engine:
    """Open the ledger; nothing is created yet.

    Raises:
        ConfigurationError: the URL names no database that SQLAlchemy knows.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise ConfigurationError(f"ledger.url is not a database URL: {error}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading(engine: Engine) -> Engine:
    """The same ledger for queries only, which never wait for a writer."""
    return engine.execution_options(queries_only=True)


def insert_once(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Insert a row unless its primary key is there already; whether it was written."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """WAL lets readers and one writer work at once; a busy database is waited for."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: a reader that turns writer half-way is refused, not made to wait."""
    queries_only = connection.get_execution_options().get("queries_only")
    connection.exec_driver_sql("BEGIN" if queries_only else "BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Bring the ledger to the newest schema.

    Raises:
        ConfigurationError: the database cannot be reached or changed; the message says why.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Roles that start together migrate one after the other, as SQLite's write lock makes them.
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ConfigurationError(
            f"the ledger {engine.url.render_as_string(hide_password=True)} cannot be opened: {cause}; "
            "see ledger.url and the state folder"
        ) from None
