from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from node.jobs import schema
from node.jobs.accounts import Accounts, BadAccount, NoSuchAccount, Person

PASSWORD = "correct horse battery"  # noqa: S105
OTHER = "another long one"


@pytest.fixture
def accounts(engine):
    return Accounts(engine)


def test_a_user_is_known_by_name_and_password_alone(accounts):
    accounts.add("vera", PASSWORD, "viewer")
    assert accounts.check("vera", PASSWORD) == Person("vera", "viewer")
    assert accounts.check("vera", PASSWORD + " ") is None
    assert accounts.check("Vera", PASSWORD) is None
    assert [(user.name, user.role) for user in accounts.users()] == [("vera", "viewer")]


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("vera", PASSWORD, "already"),
        ("", PASSWORD, "no name"),
        (" x", PASSWORD, "no name"),
        ("x", "short", "12"),
    ],
)
def test_users_that_cannot_be(accounts, name, password, words):
    accounts.add("vera", PASSWORD, "viewer")
    with pytest.raises(BadAccount, match=words):
        accounts.add(name, password, "viewer")


def test_what_changes_a_user_ends_the_sessions(accounts):
    accounts.add("vera", PASSWORD, "viewer")
    for change in (lambda: accounts.change("vera", role="admin"), lambda: accounts.remove("vera")):
        secret = accounts.open_session(Person("vera", "viewer"), timedelta(hours=1))
        assert accounts.in_session(secret) == Person("vera", "viewer")
        change()
        assert accounts.in_session(secret) is None
    for act in (lambda: accounts.remove("vera"), lambda: accounts.change("vera", role="viewer")):
        with pytest.raises(NoSuchAccount, match="vera"):
            act()


def test_a_new_password_replaces_the_old(accounts):
    accounts.add("vera", PASSWORD, "viewer")
    accounts.change("vera", password=OTHER)
    assert accounts.check("vera", PASSWORD) is None
    assert accounts.check("vera", OTHER) == Person("vera", "viewer")


def test_sessions_and_tokens_end_in_time(accounts):
    over = timedelta(seconds=-1)
    assert accounts.in_session(accounts.open_session(Person("a", "viewer"), over)) is None
    assert accounts.of_token(accounts.make_token("old", "viewer", over)) is None
    good = accounts.make_token("good", "reviewer", timedelta(days=1))
    assert accounts.of_token(good) == Person("token good", "reviewer")
    with pytest.raises(BadAccount, match="already"):
        accounts.make_token("good", "viewer", timedelta(days=1))
    assert [token.name for token in accounts.tokens()] == ["good", "old"]
    assert accounts.tokens()[0].expires_at > datetime.now(UTC)
    with pytest.raises(NoSuchAccount):
        accounts.revoke_token("none")


def test_no_secret_is_in_the_ledger(accounts):
    accounts.add("vera", PASSWORD, "viewer")
    secrets = [
        PASSWORD,
        accounts.open_session(Person("vera", "viewer"), timedelta(hours=1)),
        accounts.make_token("t", "viewer", timedelta(hours=1)),
    ]
    with accounts._engine.connect() as connection:
        kept = " ".join(
            str(row)
            for table in (schema.users, schema.sessions, schema.tokens)
            for row in connection.execute(select(table))
        )
    assert not any(secret in kept for secret in secrets)
