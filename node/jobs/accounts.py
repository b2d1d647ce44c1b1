"""Who may enter: a table of users of this node, their open sessions, and tokens for programs.

Secrets are never kept: a password as its argon2id hash (RFC 9106), a session and a token as their SHA-256.
"""

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Engine, delete, insert, select, update

from node.errors import Rejected
from node.jobs.schema import insert_once, reading, sessions, tokens, users

Role = Literal["viewer", "reviewer", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""What a person may do, each with all that stands before it: look; act on workitems and results; govern."""

SHORTEST_PASSWORD: Final = 12
"""Letters; length counts for more than mixture (NIST SP 800-63B)."""


@dataclass(frozen=True)
class Person:
    """Who asks.

    Attributes:
        name: of the account, or the subject that an OpenID provider gives.
        role: what that one may do.
    """

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this person's role has another within it."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL: Final = Person("local", "admin")
"""Whoever sits at this machine, where the node asks for no log-in."""


class NoSuchAccount(Rejected):
    """No user or token has this name."""

    http_status = 404


class BadAccount(Rejected):
    """A user or token that cannot be made so."""


@dataclass(frozen=True)
class Account:
    """A user or a token, without its secret."""

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None


class Accounts:
    """Users, sessions and tokens in the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queries = reading(engine)
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex())

    def add(self, name: str, password: str, role: Role) -> None:
        """Make a user.

        Raises:
            BadAccount: the name is taken or empty, or the password is too short.
        """
        row = {"password": self._hashed(password), "role": role, "created_at": datetime.now(UTC)}
        if not name.strip() or name != name.strip():
            raise BadAccount(f"{name!r} is no name of a user; it has letters, and none but these at its ends")
        with self._engine.begin() as connection:
            if not insert_once(connection, users, {"name": name, **row}):
                raise BadAccount(f"there is a user {name!r} already")

    def change(self, name: str, *, password: str | None = None, role: Role | None = None) -> None:
        """Give a user another password or role; every session of that user ends.

        Raises:
            NoSuchAccount: there is no such user.
            BadAccount: the password is too short.
        """
        values = {"password": self._hashed(password)} if password is not None else {}
        values |= {"role": role} if role else {}
        with self._engine.begin() as connection:
            changed = connection.execute(update(users).where(users.c.name == name).values(**values))
            if changed.rowcount != 1:
                raise NoSuchAccount(f"there is no user {name!r}; see `ainode users list`")
            connection.execute(delete(sessions).where(sessions.c.name == name))

    def remove(self, name: str) -> None:
        """Remove a user, whose sessions end.

        Raises:
            NoSuchAccount: there is no such user.
        """
        with self._engine.begin() as connection:
            if connection.execute(delete(users).where(users.c.name == name)).rowcount != 1:
                raise NoSuchAccount(f"there is no user {name!r}; see `ainode users list`")
            connection.execute(delete(sessions).where(sessions.c.name == name))

    def users(self) -> list[Account]:
        """Every user, by name."""
        query = select(users.c.name, users.c.role, users.c.created_at).order_by(users.c.name)
        with self._queries.connect() as connection:
            return [Account(**row._asdict()) for row in connection.execute(query)]

    def check(self, name: str, password: str) -> Person | None:
        """The user of this name and password; as slow for a name that nobody has."""
        with self._queries.connect() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).first()
        try:
            self._hasher.verify(row.password if row else self._nobody, password)
        except (Argon2Error, InvalidHashError):
            return None
        return Person(row.name, row.role) if row else None

    def open_session(self, person: Person, lasting: timedelta) -> str:
        """Begin a session; the secret that the browser is to show. Sessions that have ended are forgotten."""
        secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            row = {"digest": _digest(secret), **asdict(person), "expires_at": now + lasting}
            connection.execute(insert(sessions).values(**row))
        return secret

    def close_session(self, secret: str) -> None:
        """End a session."""
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == _digest(secret)))

    def in_session(self, secret: str) -> Person | None:
        """Who has the session of this secret, while it lasts."""
        query = select(sessions.c.name, sessions.c.role).where(
            sessions.c.digest == _digest(secret), sessions.c.expires_at > datetime.now(UTC)
        )
        with self._queries.connect() as connection:
            row = connection.execute(query).first()
        return Person(row.name, row.role) if row else None

    def make_token(self, name: str, role: Role, lasting: timedelta) -> str:
        """Make a token for a program; its secret, which is told only now.

        Raises:
            BadAccount: the name is taken.
        """
        secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
        row: dict[str, object] = {"name": name, "digest": _digest(secret), "role": role}
        row |= {"created_at": now, "expires_at": now + lasting}
        with self._engine.begin() as connection:
            if not insert_once(connection, tokens, row):
                raise BadAccount(f"there is a token {name!r} already")
        return secret

    def revoke_token(self, name: str) -> None:
        """Remove a token.

        Raises:
            NoSuchAccount: there is none of that name.
        """
        with self._engine.begin() as connection:
            if connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount != 1:
                raise NoSuchAccount(f"there is no token {name!r}; see `ainode tokens list`")

    def tokens(self) -> list[Account]:
        """Every token, by name."""
        columns = (tokens.c.name, tokens.c.role, tokens.c.created_at, tokens.c.expires_at)
        with self._queries.connect() as connection:
            return [Account(**row._asdict()) for row in connection.execute(select(*columns).order_by("name"))]

    def of_token(self, secret: str) -> Person | None:
        """The program that has this token, while it lasts."""
        query = select(tokens.c.name, tokens.c.role).where(
            tokens.c.digest == _digest(secret), tokens.c.expires_at > datetime.now(UTC)
        )
        with self._queries.connect() as connection:
            row = connection.execute(query).first()
        return Person(f"token {row.name}", row.role) if row else None

    def _hashed(self, password: str) -> str:
        if len(password) < SHORTEST_PASSWORD:
            raise BadAccount(f"a password has {SHORTEST_PASSWORD} letters or more")
        return self._hasher.hash(password)


def _digest(secret: str) -> str:
    """Secrets are random and long, so a plain digest cannot be turned back."""
    return hashlib.sha256(secret.encode()).hexdigest()
