"""``clinical-assets batches``: what came through a cohort's inbox, and taking a wrong delivery back."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument
from clinical_assets.cli.output import out, show_json, show_rows
from clinical_assets.records.actors import current_actor
from clinical_assets.warehouse.intake.withdrawal import list_batches
from clinical_assets.warehouse.intake.withdrawal import withdraw as take_back
from clinical_assets.warehouse.store.unentered import enter


def batches(
    cohort: CohortArgument,
    withdraw: Annotated[str | None, typer.Option(help="Digest of a batch to take back, or its beginning.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is taken back.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the batches of a cohort, or take one back: its records and scores go, no report or refit sees them again."""
    warehouse = context.cohort(cohort).warehouse
    if withdraw is None:
        rows = list_batches(warehouse)
        if as_json:
            show_json(rows)
        elif rows:
            show_rows(rows)
        else:
            out.print(f"{cohort}: nothing was received yet. Put files into {context.settings().inbox / cohort}/.")
        return
    if not reason:
        raise typer.BadParameter("say why: --reason", param_hint="--reason")

    actor = current_actor(context.settings())
    done = take_back(warehouse, withdraw, actor=actor, reason=reason)
    enter(warehouse, context.workspace().ledger, actor=actor)
    if as_json:
        show_json({"batch": done.batch, "rows": done.rows})
    else:
        out.print(f"{cohort}: batch {done.batch} was taken back.")
        show_rows([{"table": table, "rows removed": rows} for table, rows in done.rows.items()])
        out.print("Reports follow with the next monitoring run.")
