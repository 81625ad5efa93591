"""``clinical-assets batches``: what came through a cohort's inbox, and taking a wrong delivery back."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json, show_rows


def batches(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    withdraw: Annotated[str | None, typer.Option(help="Digest of a batch to take back, or its beginning.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is taken back.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the batches of a cohort, or take one back: its records and scores go, no report or refit sees them again."""
    from clinical_assets.warehouse.withdrawal import list_batches
    from clinical_assets.warehouse.withdrawal import withdraw as take_back

    warehouse = context.warehouse(cohort)
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
    from clinical_assets.records.actors import current_actor
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    done = take_back(warehouse, withdraw)
    actor = current_actor(context.settings())
    Ledger(RecordsDatabase(context.settings())).append(
        "withdrawal", actor=actor, cohort=cohort, digest=done.batch, reason=reason, facts={"rows": dict(done.rows)}
    )
    if as_json:
        show_json({"batch": done.batch, "rows": done.rows})
    else:
        out.print(f"{cohort}: batch {done.batch} was taken back.")
        show_rows([{"table": table, "rows removed": rows} for table, rows in done.rows.items()])
        out.print("Reports follow with the next monitoring run.")
