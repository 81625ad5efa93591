"""``clinical-assets warehouse``: look into a cohort's DuckDB file, bring a snapshot back, encrypt what was plain."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.stored import stored_cohort
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import out, show_json, show_rows
from clinical_assets.warehouse.snapshots.migration import encrypt_cohort
from clinical_assets.warehouse.snapshots.snapshot_files import list_snapshots
from clinical_assets.warehouse.snapshots.snapshots import restore_snapshot

app = typer.Typer(no_args_is_help=True, add_completion=False)

# Enough to name one snapshot; --json prints the whole digest.
_DIGEST_SHOWN = len("sha256:") + 12


@app.command()
def tables(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """Tables of the cohort with their size."""
    rows = [
        {"table": f"{info.schema}.{info.name}", "rows": info.rows, "columns": info.columns}
        for info in stored_cohort(cohort).warehouse.tables()
    ]
    show_json(rows) if as_json else show_rows(rows, empty=f"nothing yet; `clinical-assets materialize {cohort}`")


@app.command()
def query(
    cohort: CohortArgument,
    sql: Annotated[str, typer.Argument(help="A SELECT; the file is opened read-only.")],
    limit: Annotated[int, typer.Option(min=1, help="Rows shown at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Ask the cohort's tables a question; nothing can be changed."""
    frame = stored_cohort(cohort).warehouse.query(sql)
    rows = frame.head(limit).to_dicts()
    show_json(rows) if as_json else show_rows(rows, empty="no row", fold=False)
    if frame.height > limit and not as_json:
        out.print(f"[dim]{frame.height - limit} more rows; --limit {frame.height} shows them all.[/dim]")


@app.command()
def snapshots(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """Raw inputs that can be had again, newest first."""
    stored_cohort(cohort)
    found = list_snapshots(cohort, settings=context.settings())
    rows = [{"table": s.table, "rows": s.rows, "written (UTC)": str(s.written_at), "digest": s.digest} for s in found]
    if as_json:
        show_json(rows)
        return
    short = [
        {**row, "written (UTC)": s.written_at, "digest": s.digest[:_DIGEST_SHOWN]}
        for row, s in zip(rows, found, strict=True)
    ]
    show_rows(short, empty=f"nothing yet; `clinical-assets materialize {cohort}`")


@app.command()
def restore(
    cohort: CohortArgument,
    table: Annotated[str, typer.Argument(help="Table of the cohort.")],
    digest: Annotated[str, typer.Argument(help="Digest as `snapshots` prints it; a unique beginning is enough.")],
    as_json: JsonOption = False,
) -> None:
    """Bring a raw table back to a snapshot, after checking its bytes and its content."""
    warehouse = stored_cohort(cohort).warehouse
    with warehouse.exclusive():
        rows = restore_snapshot(warehouse, table, digest)
    answer = {"table": f"raw.{table}", "rows": rows, "digest": digest}
    show_json(answer) if as_json else out.print(
        f"raw.{table} holds {rows} rows again. What follows from them: clinical-assets materialize {cohort} "
        "--select validated_records --select features --select cohort_overview"
    )


@app.command()
def encrypt(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """Encrypt the file and its snapshots once, after a key was configured; new ones are encrypted anyway."""
    stored_cohort(cohort)
    done = encrypt_cohort(cohort, context.settings())
    show_json({"warehouse": done.warehouse, "snapshots": done.snapshots}) if as_json else out.print(
        f"{cohort}: warehouse {'encrypted' if done.warehouse else 'as it was'}, {done.snapshots} snapshots encrypted"
    )
