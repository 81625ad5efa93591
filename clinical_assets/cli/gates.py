"""``clinical-assets gates``: what the gates say about the newest model of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, fits, out, show_json, show_rows

if TYPE_CHECKING:
    from clinical_assets.governance.verdicts import Gate, Verdict

FAILED, INSUFFICIENT = 1, 3


def gates(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Run the gates now and store what they say.")] = False,
) -> None:
    """Verdicts on the newest model, one row per criterion, as they were stored.

    Exit code 0 when every gate passes, 1 when one fails, 3 when none fails but a question could not be answered, or a
    gate never ran: that needs a signed waiver, or more data.
    """
    from clinical_assets.governance.candidate import candidate_of
    from clinical_assets.governance.evaluation import evaluate_gates
    from clinical_assets.governance.verdict_store import latest_verdicts
    from clinical_assets.governance.verdicts import GATES, summary
    from clinical_assets.records.actors import current_actor

    candidate = candidate_of(cohort, settings=context.settings(), catalogue=context.catalogue())
    if evaluate:
        # Held, so that no run changes the tables between two gates.
        with candidate.warehouse.exclusive():
            evaluate_gates(
                candidate,
                actor=current_actor(context.settings()),
                progress=lambda words: err.print(words, markup=False),
            )
    stored = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    said: dict[Gate, tuple[Verdict, ...]] = {gate: stored[gate].verdicts if gate in stored else () for gate in GATES}
    if as_json:
        show_json([verdict.row() for verdicts in said.values() for verdict in verdicts])
    else:
        _show(said, cohort=cohort, digest=candidate.digest, synthetic=candidate.spec.synthetic)
    outcomes = {summary(verdicts) for verdicts in said.values()}
    if "fail" in outcomes:
        raise typer.Exit(FAILED)
    if "insufficient" in outcomes:
        raise typer.Exit(INSUFFICIENT)


def _show(said: Mapping[Gate, tuple[Verdict, ...]], *, cohort: str, digest: str, synthetic: bool) -> None:
    from clinical_assets.governance.verdicts import summary

    out.print(f"[bold]{cohort}[/bold]: bundle {digest}")
    if synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    for gate, verdicts in said.items():
        if not verdicts:
            out.print(f"\n{gate}: not evaluated yet; clinical-assets gates {cohort} --evaluate", markup=False)
            continue
        rows = [{name: cell for name, cell in verdict.row().items() if name != "gate"} for verdict in verdicts]
        title = f"\n{gate}: {summary(verdicts)}"
        if fits(rows):
            show_rows(rows, title=title)
            continue
        # A sentence in a column of twenty letters cannot be read: numbers first, then what did not pass in full lines.
        numbers = [{name: cell for name, cell in row.items() if name != "reason"} for row in rows]
        show_rows(numbers, title=title, spare=("events", "n", "ci_low", "ci_high"))
        for verdict in verdicts:
            if verdict.verdict != "pass":
                out.print(f"- {verdict.criterion} ({verdict.verdict}): {verdict.reason}", markup=False)
