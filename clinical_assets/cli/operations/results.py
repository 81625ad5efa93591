"""``clinical-assets results``: what the newest training of a cohort found."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.paired_cohorts import paired, paired_results
from clinical_assets.cli.options import CohortArgument
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.modelling.description.training_results import StoredEstimate, TrainingResults
from clinical_assets.modelling.trainings import trainings


def results(
    cohort: CohortArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Candidates, performance with intervals, threshold, costs, findings of the newest training.

    For a paired cohort: headline, designs and models with intervals, ablation of the newest study.

    A training that was refused, because a feature knows the outcome or records do not suffice, says so, and ends
    with exit code 1.
    """
    if cohort in paired().names():
        paired_results(cohort, as_json=as_json)
        return
    context.catalogue().entry(cohort)
    newest = trainings.latest_pointer(context.settings(), cohort)
    if newest is not None and newest.refused is not None:
        if as_json:
            leakage = [leak.to_json() for leak in newest.leakage]
            show_json({"cohort": cohort, "refused": newest.refused, "leakage": leakage})
        else:
            err.print(f"The newest training of {cohort} was refused.\n{newest.refused}", markup=False)
        raise typer.Exit(1)
    found = trainings.latest(context.settings(), cohort)
    if as_json:
        show_json(found.results.plain())
        return
    _show(found.results)
    out.print(f"\nBundle {found.results.bundle_digest}\nCard   {(found.report / 'model_card.md').as_uri()}")


def _show(found: TrainingResults) -> None:
    out.print(f"[bold]{found.cohort}[/bold]: {found.n} units, {found.events} events")
    if found.synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    shown = ("auroc", "brier", "calibration_slope", "expected_cost")
    show_rows(
        [
            {
                "candidate": ("* " if row.name == found.selected else "  ") + row.name,
                **{name: _interval(row.metrics.get(name)) for name in shown},
            }
            for row in found.candidates
        ],
        title="\nCandidates, nested cross-validation (* selected)",
        spare=("brier", "expected_cost"),
    )
    show_rows(
        [{"measure": name, "value (95 % interval)": _interval(row)} for name, row in found.metrics.items()],
        title=f"\nHoldout: n = {found.holdout.n}, events = {found.holdout.events}",
    )
    for name, why in found.insufficient.items():
        out.print(f"{name}: insufficient. {why}", markup=False)
    parts = ("alerts", "caught", "missed", "false_alarms", "cost")
    show_rows(
        [
            {"policy": row.policy, **{part.replace("_", " "): round(getattr(row, part).value, 1) for part in parts}}
            for row in found.business_table
        ],
        title=f"\nPer 1,000 patients; act from {found.threshold.value:.1%}",
    )
    out.print(f"\n{found.sample_size.statement}", markup=False)
    for row in found.warnings:
        out.print(f"- {row.message} {row.cure}", markup=False)
    for leak in found.leakage:
        word = "to be answered before a release" if leak.action == "ask" else "possible leak"
        out.print(f"- {word}, {leak.column}: {leak.evidence}", markup=False)


def _interval(estimate: StoredEstimate | None) -> str | None:
    if estimate is None or estimate.value is None:
        return None
    low, high = ("unbounded" if end is None else f"{end:z.3f}" for end in (estimate.ci_low, estimate.ci_high))
    return f"{estimate.value:z.3f} ({low} to {high})"
