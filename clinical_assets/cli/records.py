"""``clinical-assets records``: the database of records, its version, and the installation that it belongs to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json
from clinical_assets.records.actors import current_actor
from clinical_assets.records.adoption import adopt as adopt_folder
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade(
    dumped: Annotated[
        bool,
        typer.Option("--dumped", help="Say that a dump of the server's database was made; needed with PostgreSQL."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the tables to the version of this package; a SQLite file is copied first."""
    records = RecordsDatabase(context.settings())
    if records.on_server and not dumped:
        raise RecordsError(
            "The database of records is on a server, of which this command makes no copy.",
            cure="Make one (pg_dump), then run: clinical-assets records upgrade --dumped",
        )
    done = records.upgrade()
    if as_json:
        show_json({**asdict(done), "backup": None if done.backup is None else str(done.backup)})
        return
    if done.before == done.after:
        out.print(f"The database of records has version {done.after} already.", markup=False)
        return
    copy = "" if done.backup is None else f"; the file as it was: {done.backup}"
    out.print(f"The database of records went from version {done.before} to {done.after}{copy}", markup=False)


@app.command()
def adopt(
    reason: Annotated[
        str, typer.Option("--reason", help="Where the folder comes from, and what became of the original.")
    ],
) -> None:
    """Say that this data folder, a copy, goes on as an installation: a backup that was restored, another disk.

    Until then it verifies, scores and trains, but promotes nothing, rolls nothing back and sends no alerts.
    """
    entry = adopt_folder(context.workspace().ledger, actor=current_actor(context.settings()), reason=reason)
    out.print(f"Entry {entry.seq} says that {entry.actor} adopted {context.settings().data}.", markup=False)
