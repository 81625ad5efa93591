"""``clinical-assets keys``: keys of callers of the prediction API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.records.actors import current_actor
from clinical_assets.records.clock import utc_now
from clinical_assets.serving.access import key_store
from clinical_assets.serving.access.callers import RIGHTS
from clinical_assets.serving.access.key_store import ApiKey

app = typer.Typer(no_args_is_help=True, add_completion=False)
KeyId = Annotated[str, typer.Argument(help="Id of the key, as `keys list` shows it.")]
Days = Annotated[int, typer.Option(help="Days for which it holds.", min=1)]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is: an application, a ward.")],
    right: Annotated[list[str], typer.Option("--right", help=f"Repeatable: {', '.join(RIGHTS)}.")],
    cohort: Annotated[
        list[str] | None, typer.Option("--cohort", help="Cohort that it is for; repeatable. Without: --all-cohorts.")
    ] = None,
    all_cohorts: Annotated[bool, typer.Option("--all-cohorts", help="For every cohort, also those to come.")] = False,
    days: Days = 365,
) -> None:
    """Make a key; its text goes to standard output, once."""
    if bool(cohort) == all_cohorts:
        raise typer.BadParameter("give --cohort, or --all-cohorts, and not both")
    for each in cohort or ():
        context.cohort(each)
    records = context.workspace().records
    actor = current_actor(context.settings())
    cohorts = None if all_cohorts else cohort
    key, text = key_store.make_key(records, name=name, rights=right, cohorts=cohorts, days=days, actor=actor)
    _hand_over(key, text)


@app.command("list")
def show(as_json: JsonOption = False) -> None:
    """Keys, whose they are, what they may, and until when."""
    rows = [_row(key) for key in key_store.list_keys(context.workspace().records)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, empty="no keys", spare=("created_at",))


@app.command()
def rotate(
    key_id: KeyId,
    days: Days = 365,
    grace_hours: Annotated[float, typer.Option(help="Hours for which the old key still holds.", min=0)] = 0.0,
) -> None:
    """Make a key with the same rights, and revoke the old one, at once or after some hours."""
    records, actor = context.workspace().records, current_actor(context.settings())
    key, text = key_store.rotate_key(records, key_id, actor=actor, days=days, grace_hours=grace_hours)
    _hand_over(key, text)


@app.command()
def revoke(key_id: KeyId, reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger.")]) -> None:
    """Revoke a key; a server refuses it within seconds."""
    key_store.revoke_key(context.workspace().records, key_id, actor=current_actor(context.settings()), reason=reason)
    out.print(f"The key {key_id} is revoked.")


def _hand_over(key: ApiKey, text: str) -> None:
    err.print(f"Key {key.id} of {key.name}, until {key.expires_at[:10]}. It is shown this once:", markup=False)
    print(text)  # noqa: T201


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(utc_now()),
        "rights": ", ".join(key.rights),
        "cohorts": "all" if key.cohorts is None else ", ".join(key.cohorts),
        "created_at": key.created_at[:19],
        "expires_at": key.expires_at[:19],
        "revoked_from": key.revoked_from and key.revoked_from[:19],
    }
