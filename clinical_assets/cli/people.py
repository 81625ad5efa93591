"""``clinical-assets people``: who may sign, and as what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json, show_rows

if TYPE_CHECKING:
    from clinical_assets.governance.people import Person
    from clinical_assets.records.database import RecordsDatabase

app = typer.Typer(no_args_is_help=True)
Login = Annotated[str, typer.Argument(help="Login of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
As = Annotated[
    str | None, typer.Option("--as", help="Login of the administrator who does it; needed once there is one.")
]
FromStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read passwords from standard input, a line each, in the order in which they would be asked for.",
    ),
]
Roles = Annotated[list[str] | None, typer.Option("--role", help="Role the person may sign as; give it repeatedly.")]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", help="Account under which the person starts runs; repeatable.")
]


def ask_password(question: str, *, stdin: bool, confirm: bool = False) -> str:
    """A password from the terminal, unseen, or from the next line of standard input; never from anywhere else."""
    if stdin:
        line = sys.stdin.readline()
        if not line:
            raise typer.BadParameter(f"standard input ended before: {question}")
        return line.rstrip("\r\n")
    answer: str = typer.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


@app.command()
def add(
    login: Login,
    name: Annotated[str, typer.Option("--name", help="Printed name, as it stands under a signature.")],
    role: Roles = None,
    account: Accounts = None,
    provider: Annotated[
        str | None, typer.Option("--identity-provider", help="Who vouches for the person instead of a password.")
    ] = None,
    administrator: As = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Add somebody who may sign; the password is asked for."""
    from clinical_assets.governance.people import add_person

    records, by = _records(), _administrator(administrator, stdin=password_stdin)
    password = None
    if provider is None:
        password = ask_password(f"New password of {login}", stdin=password_stdin, confirm=True)
    person = add_person(
        records,
        login=login,
        printed_name=name,
        roles=role or [],
        accounts=account or [],
        password=password,
        identity_provider=provider,
        actor=_actor(),
        by=by,
    )
    _show(person, as_json=as_json, done="added")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Everybody who may sign, and who left."""
    from clinical_assets.governance.people import list_people

    rows = [_row(person) for person in list_people(_records())]
    show_json(rows) if as_json else show_rows(
        [{**row, "roles": ", ".join(row["roles"]), "accounts": ", ".join(row["accounts"])} for row in rows],
        empty="nobody yet; `clinical-assets people add LOGIN --name NAME --role ROLE`",
    )


@app.command()
def password(login: Login, administrator: As = None, password_stdin: FromStdin = False, as_json: Json = False) -> None:
    """Give somebody a new password; with --as, their own login and old password do too."""
    from clinical_assets.governance.people import set_password

    records, by = _records(), _administrator(administrator, stdin=password_stdin)
    new = ask_password(f"New password of {login}", stdin=password_stdin, confirm=True)
    _show(set_password(records, login, new, actor=_actor(), by=by), as_json=as_json, done="has a new password")


@app.command()
def roles(
    login: Login,
    role: Roles = None,
    account: Accounts = None,
    administrator: As = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Replace somebody's roles or accounts."""
    from clinical_assets.governance.people import set_roles

    by = _administrator(administrator, stdin=password_stdin)
    person = set_roles(_records(), login, roles=role, accounts=account, actor=_actor(), by=by)
    _show(person, as_json=as_json, done="changed")


@app.command()
def deactivate(
    login: Login, administrator: As = None, password_stdin: FromStdin = False, as_json: Json = False
) -> None:
    """Take away the right to sign; what was signed before stays."""
    from clinical_assets.governance import people

    by = _administrator(administrator, stdin=password_stdin)
    _show(people.deactivate(_records(), login, actor=_actor(), by=by), as_json=as_json, done="may no longer sign")


def _administrator(login: str | None, *, stdin: bool) -> Person | None:
    from clinical_assets.governance.passwords import PasswordAuthenticator

    if login is None:
        return None
    secret = ask_password(f"Password of {login}", stdin=stdin)
    return PasswordAuthenticator(_records(), actor=_actor()).authenticate(login, secret)


def _records() -> RecordsDatabase:
    from clinical_assets.records.database import RecordsDatabase

    return RecordsDatabase(context.settings())


def _actor() -> str:
    from clinical_assets.records.actors import current_actor

    return current_actor(context.settings())


def _row(person: Person) -> dict[str, Any]:
    return {
        "login": person.login,
        "name": person.printed_name,
        "roles": list(person.roles),
        "accounts": list(person.accounts),
        "proof": person.identity_provider or "password",
        "active": person.active,
    }


def _show(person: Person, *, as_json: bool, done: str) -> None:
    if as_json:
        show_json(_row(person))
        return
    out.print(f"{person.login} ({person.printed_name}) {done}; roles {', '.join(person.roles)}.", markup=False)
