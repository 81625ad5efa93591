"""``clinical-assets results``: what the newest training of a cohort found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, show_json, show_rows


def results(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Candidates, performance with intervals, threshold, costs, findings of the newest training.

    A training that was refused because a feature knows the outcome says so, and ends with exit code 1.
    """
    from clinical_assets.modelling import trainings

    context.catalogue().entry(cohort)
    told = trainings.latest_pointer(context.settings(), cohort)
    if told is not None and "refused" in told:
        if as_json:
            show_json({"cohort": cohort, "refused": told["refused"], "leakage": told["leakage"]})
        else:
            err.print(told["refused"], markup=False)
        raise typer.Exit(1)
    found = trainings.latest(context.settings(), cohort)
    if as_json:
        show_json(found.results)
        return
    _show(found.results)
    out.print(f"\nBundle {found.results['bundle_digest']}\nCard   {found.report / 'model_card.md'}")


def _show(found: Mapping[str, Any]) -> None:
    out.print(f"[bold]{found['cohort']}[/bold]: {found['n']} units, {found['events']} events")
    if found["synthetic"]:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    shown = ("auroc", "brier", "calibration_slope", "expected_cost")
    show_rows(
        [
            {
                "candidate": ("* " if row["name"] == found["selected"] else "  ") + row["name"],
                **{name: _interval(row["metrics"].get(name)) for name in shown},
            }
            for row in found["candidates"]
        ],
        title="\nCandidates, nested cross-validation (* selected)",
        spare=("brier", "expected_cost"),
    )
    show_rows(
        [{"measure": name, "value (95 % interval)": _interval(row)} for name, row in found["metrics"].items()],
        title=f"\nHoldout: n = {found['holdout']['n']}, events = {found['holdout']['events']}",
    )
    for name, why in found["insufficient"].items():
        out.print(f"{name}: insufficient. {why}", markup=False)
    parts = ("alerts", "caught", "missed", "false_alarms", "cost")
    show_rows(
        [
            {"policy": row["policy"], **{part.replace("_", " "): round(row[part]["value"], 1) for part in parts}}
            for row in found["business_table"]
        ],
        title=f"\nPer 1,000 patients; act from {found['threshold']['value']:.1%}",
    )
    out.print(f"\n{found['sample_size']['statement']}", markup=False)
    for row in found["warnings"]:
        out.print(f"- {row['message']} {row['cure']}", markup=False)
    for row in found["leakage"]:
        out.print(f"- possible leak, {row['column']}: {row['evidence']}", markup=False)


def _interval(estimate: Mapping[str, Any] | None) -> str | None:
    if estimate is None or estimate["value"] is None:
        return None
    low, high = ("unbounded" if end is None else f"{end:z.3f}" for end in (estimate["ci_low"], estimate["ci_high"]))
    return f"{estimate['value']:z.3f} ({low} to {high})"
