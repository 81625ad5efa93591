"""``clinical-assets cohorts list``: every cohort in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.notes import show_notes
from clinical_assets.cli.data.paired_cohorts import paired, paired_row
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import err, out, percent, show_json, show_rows
from clinical_assets.foundation.errors import SpecError
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.observability.portfolio import PortfolioEntry, portfolio, write_portfolio
from clinical_assets.warehouse.outcomes.received_tables import has_table


def list_cohorts(
    as_json: JsonOption = False,
    page: Annotated[
        bool, typer.Option("--page", help="Also write the page of all cohorts, and print its address.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also a line for each member of a family that is not materialised yet.")
    ] = False,
) -> None:
    """Every cohort: size, events, freshness; newest model, gates, what it waits for, champion, batch and lights."""
    rows = [{"cohort": name, **_description(name), **_overview(name)} for name in context.catalogue().names()]
    rows += [{"cohort": name, **paired_row(name), "paired": True} for name in paired().names()]
    entries = portfolio(context.workspace())
    written = write_portfolio(context.workspace(), entries) if page else None
    if as_json:
        show_json([{**row, **_release(entry)} for row, entry in zip(rows, entries, strict=True)])
        show_notes()
        return
    listed, folded = (rows, {}) if every else _folded(rows)
    shown = [
        {
            "cohort": row["cohort"],
            "disease": row["disease"],
            "records": "broken" if row["error"] else row["records"],
            **{name: row[name] for name in ("units", "used", "events")},
            "share": percent(row["event_share"]),
            "missing": percent(row["missing"]),
            "refused": row["refused"],
            "ingested": row["ingested_at"] and f"{row['ingested_at']:%Y-%m-%d}",
        }
        for row in listed
    ]
    show_rows(shown, empty="no cohort is described", spare=("disease", "ingested", "refused"))
    for family, count in folded.items():
        out.print(f"[dim]{count} of family {family} are not materialised yet; --all lists them.[/dim]")
    if any(row["units"] is None for row in listed):
        out.print("[dim]- : not materialised yet; `clinical-assets materialize COHORT` does it.[/dim]")
    _show_models(entries)
    if written is not None:
        out.print(f"\nPage {written.as_uri()}", markup=False)
    for row in rows:
        if row["error"]:
            err.print(f"[red]broken[/red] {row['cohort']}: `clinical-assets cohorts check {row['cohort']}` says why.")
    show_notes()


def _folded(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows without members of families of which nothing is there yet, and how many these are by family."""
    entries = context.catalogue().entries
    kept, folded = [], dict[str, int]()
    for row in rows:
        entry = entries.get(row["cohort"])
        family = None if entry is None else entry.family
        if family is None or row["units"] is not None or row["error"]:
            kept.append(row)
        else:
            folded[family] = folded.get(family, 0) + 1
    return kept, folded


def _release(entry: PortfolioEntry) -> dict[str, Any]:
    """What a program reads of the newest model and of what serves."""
    told = asdict(entry)
    told["links"] = {label: path.as_uri() for label, path in entry.links.items()}
    told["is_trained"] = entry.model is not None
    told |= {"holdout_n": entry.n, "holdout_events": entry.events}
    # The row of the tables says these already, of the records and not of the holdout.
    return {name: value for name, value in told.items() if name not in _OF_THE_ROW}


_OF_THE_ROW = frozenset({"cohort", "records", "is_micro_cohort", "n", "events"})
_LIT = ("amber", "red")


def _show_models(entries: Sequence[PortfolioEntry]) -> None:
    models = [each for each in entries if each.model or each.finding or each.champion or each.retired_at]
    if not models:
        return
    show_rows(
        [
            {
                "cohort": each.cohort,
                "model": _model(each),
                "AUROC (95 %)": each.performance,
                "gates": f"{[*each.gates.values()].count('pass')}/{len(GATES)}" if each.gates else "-",
                "champion": each.champion_words if not each.is_micro_cohort else "-",
                "batch": each.last_batch and each.last_batch[:10],
                "lights": ", ".join(light.word for light in each.lights.values() if light.colour in _LIT) or "-",
                "release": each.finding if each.is_micro_cohort else each.release,
            }
            for each in models
        ],
        title="\nModels",
        spare=("batch", "lights", "model", "champion"),
    )


def _model(entry: PortfolioEntry) -> str | None:
    if entry.model is None:
        return "study" if entry.is_micro_cohort else entry.finding
    return f"{entry.model} (synthetic)" if entry.records == "synthetic" else entry.model


def _description(name: str) -> dict[str, Any]:
    """What the description says in short; one that is wrong must not hide the others."""
    try:
        spec = context.workspace().spec(name)
    except SpecError as error:
        return {"disease": None, "records": None, "error": str(error)}
    return {"disease": spec.disease.name, "records": "synthetic" if spec.synthetic else "real", "error": None}


def _overview(name: str) -> dict[str, Any]:
    warehouse = context.cohort(name).warehouse
    columns = {"units": "units", "units_used": "used", "events": "events", "event_share": "event_share"}
    columns |= {"missing_share_mean": "missing", "records_refused": "refused", "ingested_at": "ingested_at"}
    nothing: dict[str, Any] = dict.fromkeys(columns.values())
    if not warehouse.exists():
        return nothing
    with warehouse.reader() as connection:
        if not has_table(connection, "marts", "cohort_overview"):
            return nothing
        # As plain values: a data frame would load polars for one row.
        row = connection.execute(f"SELECT {', '.join(columns)} FROM marts.cohort_overview").fetchone()
    return dict(zip(columns.values(), row or (), strict=True))
