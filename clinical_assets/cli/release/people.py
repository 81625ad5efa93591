"""``clinical-assets people``: who may sign, and as what."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows, show_words
from clinical_assets.foundation.errors import SpecError
from clinical_assets.governance.signing import people
from clinical_assets.governance.signing import review as reviews
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.signing.people import (
    Person,
    add_person,
    list_people,
    set_password,
    set_roles,
)
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.roster import ADMINISTRATOR
from clinical_assets.records.actors import current_actor
from clinical_assets.records.database import RecordsDatabase

app = typer.Typer(no_args_is_help=True, add_completion=False)
Login = Annotated[str, typer.Argument(help="Login of the person.")]
AdministratorOption = Annotated[
    str | None,
    typer.Option("--as", help="Login of the administrator who signs it; only the first administrator needs none."),
]
FromStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read passwords from standard input, a line each, in the order in which they would be asked for.",
    ),
]
RolesOption = Annotated[
    list[str] | None, typer.Option("--role", help="Role the person may sign as; give it repeatedly.")
]
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
    role: RolesOption = None,
    account: Accounts = None,
    provider: Annotated[
        str | None, typer.Option("--identity-provider", help="Who vouches for the person instead of a password.")
    ] = None,
    administrator: AdministratorOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Add somebody; the password is asked for. The first is an administrator: --role administrator."""
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
    _tell_unasked(person)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Everybody who may sign, and who left."""
    rows = [_row(person) for person in list_people(_records())]
    show_json(rows) if as_json else show_rows(
        [{**row, "roles": ", ".join(row["roles"]), "accounts": ", ".join(row["accounts"])} for row in rows],
        empty="nobody yet; `clinical-assets people add LOGIN --name NAME --role administrator`",
    )


@app.command()
def password(
    login: Login,
    administrator: AdministratorOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Give somebody a new password and a new key; with --as, their own login and old password do too."""
    records, by = _records(), _administrator(administrator, stdin=password_stdin)
    new = ask_password(f"New password of {login}", stdin=password_stdin, confirm=True)
    _show(set_password(records, login, new, actor=_actor(), by=by), as_json=as_json, done="has a new password")


@app.command()
def roles(
    login: Login,
    role: RolesOption = None,
    account: Accounts = None,
    administrator: AdministratorOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Replace somebody's roles or accounts."""
    by = _administrator(administrator, stdin=password_stdin)
    person = set_roles(_records(), login, roles=role, accounts=account, actor=_actor(), by=by)
    _show(person, as_json=as_json, done="changed")
    _tell_unasked(person)


@app.command()
def deactivate(
    login: Login,
    administrator: AdministratorOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Take away the right to sign; what was signed before stays."""
    by = _administrator(administrator, stdin=password_stdin)
    _show(people.deactivate(_records(), login, actor=_actor(), by=by), as_json=as_json, done="may no longer sign")


@app.command()
def review(
    administrator: AdministratorOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="What the review found; signs it together with --as.")
    ] = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Who may do what, since when, and who should be looked at; with --as and --reason, signed by an administrator."""
    if (administrator is None) != (reason is None):
        raise typer.BadParameter("give --as and --reason together", param_hint="--as")
    found = reviews.people_to_review(_records())
    digest = None
    if reason is not None and (by := _administrator(administrator, stdin=password_stdin)) is not None:
        digest = reviews.confirm(_records(), by=by, reason=reason, actor=_actor())
    if as_json:
        show_json({"people": [asdict(each) for each in found], "signed": digest})
        return
    show_rows(
        [
            {
                "login": each.login,
                "name": each.printed_name,
                "roles": ", ".join(each.roles),
                "active": each.active,
                "key": each.has_key,
                "changed (UTC)": each.changed_at[:10],
                "by": each.changed_by,
                "last proof (UTC)": None if each.last_login is None else each.last_login[:10],
                "look at": each.remark,
            }
            for each in found
        ],
        empty="nobody yet",
        fold=False,
    )
    if digest is not None:
        out.print(f"{administrator} signed the review {digest}", markup=False)


def _administrator(login: str | None, *, stdin: bool) -> PersonKey | None:

    if login is None:
        return None
    secret = ask_password(f"Password of {login}", stdin=stdin)
    return prove(_records(), login, secret, actor=_actor())


def _tell_unasked(person: Person) -> None:
    """Say which of a person's roles no description asks for: a misspelled role signs nothing."""
    catalogue, asked = context.catalogue(), {ADMINISTRATOR}
    for name in catalogue.names():
        try:
            policy = catalogue.spec(name).approval
        except SpecError:
            continue  # `cohorts check` says what is wrong with it
        asked |= {*policy.waivers, *(each.role for each in policy.signatures)}
    unasked = [role for role in person.roles if role not in asked]
    if unasked:
        show_words(
            f"No cohort asks for a signature of {', '.join(unasked)}; their approval policies name "
            f"{', '.join(sorted(asked - {ADMINISTRATOR}))}.",
            on=err,
        )


def _records() -> RecordsDatabase:
    return context.workspace().records


def _actor() -> str:
    return current_actor(context.settings())


def _row(person: Person) -> dict[str, Any]:
    return {
        "login": person.login,
        "name": person.printed_name,
        "roles": list(person.roles),
        "accounts": list(person.accounts),
        "proof": person.identity_provider or "password",
        "active": person.active,
        "key": person.public_key,
    }


def _show(person: Person, *, as_json: bool, done: str) -> None:
    if as_json:
        show_json(_row(person))
        return
    out.print(f"{person.login} ({person.printed_name}) {done}; roles {', '.join(person.roles)}.", markup=False)
