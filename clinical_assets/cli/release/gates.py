"""``clinical-assets gates``: what the gates say about the newest model of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument
from clinical_assets.cli.output import cell, err, fits, out, show_json, show_rows, show_words
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.verdicts.verdict import GATES, Gate, Verdict, summary
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts

FAILED, INSUFFICIENT = 1, 3


def gates(
    cohort: CohortArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Run the gates now and store what they say.")] = False,
    failing: Annotated[bool, typer.Option("--failing", help="Show only what failed.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every criterion, also those that passed.")] = False,
) -> None:
    """Verdicts on the newest model, as they were stored: first what needs a person; what passed is only counted.

    Exit code 0 when every gate passes, 1 when one fails, 3 when none fails but a question could not be answered, or a
    gate never ran: that needs a signed waiver, or more data.
    """
    candidate = candidate_of(context.cohort(cohort))
    if evaluate:
        # Late: stored verdicts are shown without what makes them.
        from clinical_assets.governance.gates.basis import basis_of
        from clinical_assets.governance.gates.evaluation import evaluate_gates
        from clinical_assets.records.actors import current_actor

        # Held, so that no run changes the tables between two gates.
        with candidate.warehouse.exclusive():
            evaluate_gates(
                candidate,
                actor=current_actor(context.settings()),
                basis=basis_of(candidate),
                progress=lambda words: err.print(words, markup=False),
            )
    stored = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    said: dict[Gate, tuple[Verdict, ...]] = {gate: stored[gate].verdicts if gate in stored else () for gate in GATES}
    if as_json:
        rows = [verdict.row() for verdicts in said.values() for verdict in verdicts]
        show_json([row for row in rows if row["verdict"] == "fail"] if failing else rows)
    elif failing:
        failed = [verdict for verdicts in said.values() for verdict in verdicts if verdict.verdict == "fail"]
        _show_open(failed, candidate.spec)
        if not failed:
            out.print(f"No criterion of {cohort} failed.", markup=False)
    else:
        _show(said, candidate, every=every)
    outcomes = {summary(verdicts) for verdicts in said.values()}
    if "fail" in outcomes:
        raise typer.Exit(FAILED)
    if "insufficient" in outcomes:
        raise typer.Exit(INSUFFICIENT)


def _show(said: Mapping[Gate, tuple[Verdict, ...]], candidate: ReleaseCandidate, *, every: bool) -> None:
    cohort, spec = candidate.cohort, candidate.spec
    out.print(f"[bold]{cohort}[/bold]\nBundle {candidate.digest}")
    if spec.synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    for gate in (gate for gate, verdicts in said.items() if not verdicts):
        out.print(f"\n{gate}: not evaluated yet; clinical-assets gates {cohort} --evaluate", markup=False)
    _show_open([verdict for verdicts in said.values() for verdict in verdicts if verdict.verdict != "pass"], spec)
    if every:
        _show_all(said)
        return
    rows = [
        {"gate": gate, "verdict": summary(verdicts), "passed": sum(each.verdict == "pass" for each in verdicts),
         "of": len(verdicts)}
        for gate, verdicts in said.items()
        if verdicts
    ]  # fmt: skip
    show_rows(rows, title="\nGates", empty="")
    out.print("[dim]Criteria that passed are folded; --all shows them.[/dim]")


def _show_open(verdicts: list[Verdict], spec: CohortSpec) -> None:
    """What needs a person: failures first, each with its numbers and in full why."""
    verdicts = sorted(verdicts, key=lambda each: each.verdict != "fail")
    if not verdicts:
        return
    failed = sum(each.verdict == "fail" for each in verdicts)
    counts = [f"{failed} failed (no waiver helps)"] * bool(failed)
    counts += [f"{len(verdicts) - failed} could not be judged (each needs a waiver, or more data)"] * (
        len(verdicts) > failed
    )
    out.print(f"\nNeeds a person: {', '.join(counts)}", markup=False, style="bold")
    for each in verdicts:
        group = spec.group_of(each.criterion)
        of = "" if group is None else f" {group}"
        show_words(f"- {each.gate}/{each.criterion}{of} ({each.verdict}){_numbers(each)}")
        show_words(spec.labelled(each.reason), indent="  ")


def _numbers(verdict: Verdict) -> str:
    found = []
    if verdict.value is not None:
        low, high = (cell(end) for end in (verdict.ci_low, verdict.ci_high))
        known = verdict.ci_low is not None or verdict.ci_high is not None
        found.append(cell(verdict.value) + (f" ({low} to {high})" if known else ""))
    if verdict.limit is not None:
        found.append(f"limit {verdict.limit}")
    found += [
        f"{name} {number}" for name, number in (("n", verdict.n), ("events", verdict.events)) if number is not None
    ]
    return f": {', '.join(found)}" if found else ""


def _show_all(said: Mapping[Gate, tuple[Verdict, ...]]) -> None:
    for gate, verdicts in said.items():
        if not verdicts:
            continue
        rows = [{name: shown for name, shown in verdict.row().items() if name != "gate"} for verdict in verdicts]
        title = f"\n{gate}: {summary(verdicts)}"
        if fits(rows):
            show_rows(rows, title=title)
            continue
        # A sentence in a column of twenty letters cannot be read; reasons of what did not pass stand above in full.
        numbers = [{name: shown for name, shown in row.items() if name != "reason"} for row in rows]
        show_rows(numbers, title=title, spare=("events", "n", "ci_low", "ci_high"))
