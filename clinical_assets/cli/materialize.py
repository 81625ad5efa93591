"""``clinical-assets materialize``: one Dagster run per cohort, side by side, watched."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.cohorts.paired import paired_catalogue

if TYPE_CHECKING:
    from clinical_assets.launch import CohortRun, StepState

#: The job of micro-cohorts, which have a catalogue of their own.
PAIRED_JOB = "study_micro_cohort"


def materialize(
    cohorts: Annotated[list[str] | None, typer.Argument(help="Names of cohorts.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every cohort of the catalogue that the job is for.")] = False,
    job: Annotated[str, typer.Option(help="Job to run for each cohort.")] = "ingest_cohort",
    select: Annotated[
        list[str] | None, typer.Option(help="Only this asset of the job; may be given several times.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Cohorts side by side.")] = min(2, os.cpu_count() or 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Materialise cohorts: each is an ordinary Dagster run, seen in the UI.

    One cohort's failure leaves the others alone; the exit code is 1 when any failed.
    """
    if every == bool(cohorts):
        raise typer.BadParameter("name cohorts, or give --all")
    if job == PAIRED_JOB:
        paired = paired_catalogue(context.catalogue().folders)
        names = list(dict.fromkeys(cohorts or paired.names()))
        for name in names:
            paired.path(name)
    else:
        names = list(dict.fromkeys(cohorts or context.catalogue().names()))
        for name in names:
            context.catalogue().entry(name)
    assets = _known(job, select or [])
    from clinical_assets.launch import materialize as launch

    view = _Live(names, quiet=as_json)
    with view:
        runs = launch(names, job=job, workers=workers, progress=view.update, assets=assets)
    if as_json:
        show_json([asdict(run) for run in runs])
    else:
        _summary(runs)
    if not all(run.success for run in runs):
        raise typer.Exit(1)


def _known(job: str, assets: list[str]) -> list[str]:
    """The chosen assets, with those that are made in one step with them; refuses names that nobody knows."""
    from clinical_assets.automation.jobs import JOBS

    jobs = [known.name for known in JOBS]
    if job not in jobs:
        raise typer.BadParameter(f"no job is called {job!r}; there are {', '.join(jobs)}", param_hint="--job")
    if not assets:
        return []
    from clinical_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    keys = {key.to_user_string(): key for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys}
    unknown = [name for name in assets if name not in keys]
    if unknown:
        raise typer.BadParameter(
            f"job {job} has no asset {unknown[0]!r}; it has {', '.join(sorted(keys))}", param_hint="--select"
        )
    together = {key.to_user_string() for name in assets for key in graph.get(keys[name]).execution_set_asset_keys}
    return sorted(together)


def _summary(runs: list[CohortRun]) -> None:
    show_rows(
        [
            {
                "cohort": run.cohort,
                "state": "done" if run.success else f"FAILED at {run.failed_step or 'start'}",
                "seconds": f"{run.seconds:.1f}",
                "run": run.run_id,
            }
            for run in runs
        ]
    )
    for run in runs:
        for check in run.checks:
            mark = "[yellow]warns[/yellow]" if check.severity == "WARN" else "[red]FAILS[/red]"
            said = f": {escape(check.description)}" if check.description else ""
            out.print(f"{mark} {run.cohort} {check.asset}.{check.check}{said}")
    for run in runs:
        if run.error:
            err.print(f"\n[bold red]{run.cohort}[/bold red]")
            err.print(run.error, markup=False)


class _Live:
    """One line a cohort that follows its steps; plain lines when nobody watches a terminal."""

    def __init__(self, cohorts: list[str], *, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._quiet = quiet
        self._seen: dict[str, set[str]] = {cohort: set() for cohort in cohorts}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[cohort]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[step]}"),
            TimeElapsedColumn(),
            console=err,
            disable=quiet or not err.is_terminal,
        )
        width = max(map(len, cohorts))
        self._tasks = {
            cohort: self._progress.add_task("", cohort=cohort.ljust(width), step="waiting", start=False, total=None)
            for cohort in cohorts
        }

    def __enter__(self) -> _Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, cohort: str, steps: tuple[StepState, ...]) -> None:
        """Take in the states of a cohort's steps."""
        done = [step for step in steps if step.state != "in_progress"]
        now = next((step.step for step in steps if step.state == "in_progress"), None)
        task = self._tasks[cohort]
        if not self._progress.tasks[task].started:
            self._progress.start_task(task)
        self._progress.update(task, step=now or (done[-1].step if done else "starting"), completed=len(done))
        if not err.is_terminal and not self._quiet:
            for step in done:
                if step.step not in self._seen[cohort]:
                    err.print(f"{cohort}: {step.step} {step.state}")
        self._seen[cohort] |= {step.step for step in done}
