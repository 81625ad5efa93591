"""``clinical-assets materialize``: one Dagster run per cohort, side by side, watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from clinical_assets.cli import context
from clinical_assets.cli.options import cohort_names
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.foundation.errors import SpecError
from clinical_assets.sources.r_packages.r_source import absent_packages

if TYPE_CHECKING:
    from clinical_assets.launch.cohort_run import CohortRun, StepState

#: The job of micro-cohorts, which have a catalogue of their own.
PAIRED_JOB = "study_micro_cohort"
#: As `defs.automation.jobs` has them; written here too, so that --help imports no Dagster.
JOB_NAMES = (
    "ingest_cohort",
    "train_cohort",
    "develop_cohort",
    "prepare_release",
    "promote_champion",
    "monitor_cohort",
    "recalibrate_model",
    PAIRED_JOB,
    "report_experiment",
)
#: Exit code after Ctrl-C or SIGTERM, as shells have it.
STOPPED = 130
_NEVER_MADE = ": not made yet"


def _jobs(incomplete: str) -> list[str]:
    return [name for name in JOB_NAMES if name.startswith(incomplete)]


def materialize(
    cohorts: Annotated[list[str] | None, typer.Argument(help="Names of cohorts.", autocompletion=cohort_names)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every cohort of the catalogue that the job is for.")] = False,
    families: Annotated[
        list[str] | None, typer.Option("--family", help="Every cohort of this family; may be given several times.")
    ] = None,
    job: Annotated[
        str,
        typer.Option(help=f"Job to run for each cohort: {', '.join(JOB_NAMES)}.", autocompletion=_jobs),
    ] = "ingest_cohort",
    select: Annotated[
        list[str] | None,
        typer.Option(help="Only this asset of the job, changed or not; may be given several times."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make everything, whether or not something changed.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Cohorts side by side.")] = min(2, os.cpu_count() or 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Materialise cohorts: each is an ordinary Dagster run, seen in the UI.

    Made is what would not come out as it is: its code, its part of the description, its SQL, its files or what it is
    made from changed, or a check of it failed. Unchanged cohorts get no run.

    One cohort's failure leaves the others alone; the exit code is 1 when any failed. Ctrl-C cancels the runs that go
    on, begins no other, and says which were done; the exit code is 130 then.
    """
    if every == bool(cohorts or families):
        raise typer.BadParameter("name cohorts, or give --all or --family")
    if job == PAIRED_JOB and families:
        raise typer.BadParameter("micro-cohorts have no families", param_hint="--family")
    if job == PAIRED_JOB:
        paired = paired_catalogue(context.catalogue().folders)
        names = list(dict.fromkeys(cohorts or paired.names()))
        for name in names:
            paired.path(name)
    else:
        known = context.catalogue()
        members = [name for family in families or () for name in known.members(family)]
        names = list(dict.fromkeys([*(cohorts or ()), *members] or known.names()))
        for name in names:
            known.entry(name)
    assets = _known(job, select or [])
    spec = paired_catalogue(context.catalogue().folders).spec if job == PAIRED_JOB else context.workspace().spec
    broken = _broken(names, spec)
    absent = _absent(names, named=cohorts or ()) if job != PAIRED_JOB else set()
    names = [name for name in names if name not in broken | absent]
    if not names:
        raise typer.Exit(1)
    from clinical_assets.launch.side_by_side import materialize as launch

    view = _Live(names, workers=workers, quiet=as_json)
    with view:
        runs = launch(
            names, job=job, workers=workers, progress=view.update, ended=view.ended, assets=assets, stale_only=not force
        )
    if as_json:
        show_json([asdict(run) for run in runs])
    else:
        _summary(runs)
        left = [run.cohort for run in runs if run.canceled]
        if left:
            chosen = "".join(f" --select {name}" for name in select or [])
            err.print(f"\nLeft: clinical-assets materialize {' '.join(left)} --job {job}{chosen}", markup=False)
    if any(run.canceled for run in runs):
        raise typer.Exit(STOPPED)
    if broken or not all(run.success for run in runs):
        raise typer.Exit(1)


def _broken(names: Iterable[str], spec: Callable[[str], object]) -> set[str]:
    """Cohorts whose description cannot be used, each told; they get no run."""
    found = set()
    for name in names:
        try:
            spec(name)
        except SpecError as error:
            found.add(name)
            err.print(f"[bold red]{name}[/bold red] is not run: its description is broken.")
            err.print(str(error), markup=False)
    return found


def _absent(names: Iterable[str], *, named: Collection[str]) -> set[str]:
    """Cohorts that nobody named one by one and whose files nobody has fetched: told once, and left out."""
    found = dict[str, tuple[str, ...]]()
    for name in names:
        if name in named:
            continue
        with suppress(SpecError):  # told by `_broken`
            entry, spec = context.catalogue().entry(name), context.workspace().spec(name)
            if lacking := absent_packages(spec.tables, settings=context.settings(), folder=entry.folder):
                found[name] = lacking
    if found:
        packages = sorted({package for lacking in found.values() for package in lacking})
        err.print(f"Skipped, because their files are not here: {', '.join(found)}.", markup=False)
        err.print(f"  Cure: clinical-assets fetch {' '.join(packages)}", markup=False)
    return set(found)


def _known(job: str, assets: list[str]) -> list[str]:
    """The chosen assets, with those that are made in one step with them; refuses names that nobody knows."""
    if job not in JOB_NAMES:
        raise typer.BadParameter(f"no job is called {job!r}; there are {', '.join(JOB_NAMES)}", param_hint="--job")
    if not assets:
        return []
    from clinical_assets.definitions import load

    graph = load().resolve_asset_graph()
    keys = {key.to_user_string(): key for key in load().resolve_job_def(job).asset_layer.selected_asset_keys}
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
                "state": _state(run),
                "seconds": f"{run.seconds:.1f}",
                "run": run.run_id,
            }
            for run in runs
        ]
    )
    for run in runs:
        # A cohort that was made as a whole needs no reasons.
        if run.reasons and not all(reason.endswith(_NEVER_MADE) for reason in run.reasons):
            out.print(f"{run.cohort} made anew: {_grouped(run.reasons)}", markup=False)
    if runs and all(run.unchanged for run in runs):
        out.print("[dim]Nothing has changed; --force makes everything all the same.[/dim]")
    for run in runs:
        for check in run.checks:
            mark = "[yellow]warns[/yellow]" if check.severity == "WARN" else "[red]FAILS[/red]"
            said = f": {escape(check.description)}" if check.description else ""
            out.print(f"{mark} {run.cohort} {check.asset}.{check.check}{said}")
    for run in runs:
        if run.error and not run.canceled:
            err.print(f"\n[bold red]{run.cohort}[/bold red]")
            err.print(run.error, markup=False)


def _grouped(reasons: Iterable[str]) -> str:
    """``files: raw_records; sql: features, cohort_overview``: each reason once, with the assets that it is of."""
    found: dict[str, list[str]] = {}
    for reason in reasons:
        asset, _, why = reason.partition(": ")
        found.setdefault(why, []).append(asset)
    return "; ".join(f"{why}: {', '.join(assets)}" for why, assets in found.items())


def _state(run: CohortRun) -> str:
    if run.unchanged:
        return "unchanged" if run.success else "unchanged, FAILED"
    if run.success:
        return "done"
    if run.canceled:
        return "canceled" if run.begun else "not begun"
    return f"FAILED at {run.failed_step or 'start'}"


def time_left(took: Sequence[float], left: int, workers: int) -> str:
    """About how long the cohorts that are left will take, from the seconds that others took; empty without any.

    Examples
    --------
    >>> time_left([30, 50], left=5, workers=2)
    '5 left, about 2 min'
    >>> time_left([30, 50], left=1, workers=2)
    '1 left, about 40 s'
    """
    if not left or not took:
        return f"{left} left" if left else ""
    rounds = -(-left // workers)
    seconds = rounds * sum(took) / len(took)
    return f"{left} left, about {f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'}"


class _Live:
    """One line a cohort that follows its steps, and one for all with the time left; plain lines without a terminal."""

    def __init__(self, cohorts: list[str], *, workers: int, quiet: bool) -> None:
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
        self._workers, self._took, self._left = workers, list[float](), len(cohorts)
        self._all = self._progress.add_task("", cohort="all".ljust(width), step="", total=len(cohorts))
        self._tasks = {
            cohort: self._progress.add_task("", cohort=cohort.ljust(width), step="waiting", start=False, total=None)
            for cohort in cohorts
        }

    def __enter__(self) -> _Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def ended(self, run: CohortRun) -> None:
        """Stop the line of a cohort whose run is over, and say how it ended."""
        # A finished task neither turns nor counts seconds; the total makes it one.
        self._progress.update(self._tasks[run.cohort], step=_state(run), total=1, completed=1)
        self._left -= 1
        if run.begun:
            self._took.append(run.seconds)
        self._progress.update(self._all, advance=1, step=time_left(self._took, self._left, self._workers))

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
