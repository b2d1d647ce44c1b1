"""`users` and `tokens`: who may use the web side."""

import sys
from datetime import datetime, timedelta
from getpass import getpass
from typing import Annotated

import typer

from node import bootstrap, config
from node.commands.console import AsJson, Config, say, show
from node.errors import ConfigurationError
from node.jobs.accounts import ROLES, Account, Accounts, Role

users = typer.Typer(help="The users of this node.", no_args_is_help=True)
tokens = typer.Typer(help="Tokens for programs that use the web side.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
RoleOf = Annotated[Role, typer.Option("--role", help=f"One of {', '.join(ROLES)}.")]


def _accounts(file: Config) -> Accounts:
    return bootstrap.build(config.load(file)).accounts


@users.command("add")
def add_user(name: Name, role: RoleOf = "viewer", file: Config = None) -> None:
    """Make a user; the password is asked for, or read as a line from standard input."""
    _accounts(file).add(name, _password(), role)
    say(f"{name} may log in as {role}")


@users.command("change")
def change_user(
    name: Name,
    role: Annotated[Role | None, typer.Option("--role", help="Another role.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Another password, asked for.")] = False,
    file: Config = None,
) -> None:
    """Give a user another role or password; open sessions of that user end."""
    if role is None and not password:
        raise ConfigurationError("say what is to change: --role ROLE, --password, or both")
    _accounts(file).change(name, password=_password() if password else None, role=role)
    say(f"{name} is changed, and must log in again")


@users.command("remove")
def remove_user(name: Name, file: Config = None) -> None:
    """Remove a user, and end that user's sessions."""
    _accounts(file).remove(name)
    say(f"{name} is removed")


@users.command("list")
def list_users(file: Config = None, as_json: AsJson = False) -> None:
    """List the users."""
    show("Users", [_row(account) for account in _accounts(file).users()], as_json)


@tokens.command("add")
def add_token(
    name: Name,
    role: RoleOf = "viewer",
    days: Annotated[float, typer.Option(min=0.001, help="How long it is good for.")] = 365.0,
    file: Config = None,
) -> None:
    """Make a token, and show it this once: programs send it as `Authorization: Bearer TOKEN`."""
    say(_accounts(file).make_token(name, role, timedelta(days=days)))


@tokens.command("revoke")
def revoke_token(name: Name, file: Config = None) -> None:
    """Make a token void."""
    _accounts(file).revoke_token(name)
    say(f"the token {name} is void")


@tokens.command("list")
def list_tokens(file: Config = None, as_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    show("Tokens", [_row(account) for account in _accounts(file).tokens()], as_json)


def _password() -> str:
    """Twice from a terminal, once from a pipe.

    Raises:
        ConfigurationError: the two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise ConfigurationError("the two passwords differ")
    return password


def _row(account: Account) -> dict[str, object]:
    row: dict[str, object] = {"name": account.name, "role": account.role}
    row["created"] = _time(account.created_at)
    if account.expires_at:
        row["expires"] = _time(account.expires_at)
    return row


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
