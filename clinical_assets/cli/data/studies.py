"""``clinical-assets studies``: the studies of micro-cohorts that former runs left, and how they differ."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import out, show_json, show_rows
from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.foundation.canonical import plain
from clinical_assets.pathways.experiments.kept_studies import (
    KeptStudy,
    differences,
    kept_studies,
    one_study,
    restore_study,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
Which = Annotated[str, typer.Argument(help="Beginning of the MLflow run's id.")]


@app.command("list")
def list_studies(
    cohort: Annotated[str | None, typer.Argument(help="Name of the cohort; all when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Every study of every run, newest first."""
    studies = _studies(cohort)
    if as_json:
        show_json([plain(study) for study in studies])
        return
    rows = [
        {
            "run": study.run_id[:8],
            "cohort": study.cohort + (" (SYNTHETIC)" if study.synthetic else ""),
            "at (UTC)": f"{dt.datetime.fromtimestamp(study.started / 1000, dt.UTC):%Y-%m-%d %H:%M}",
            "subjects": study.parameters.get("subjects", ""),
            "left out: best bal. acc.": _interval(study.metrics, "left_out_balanced_accuracy"),
            "p": _number(study.metrics.get("p_left_out")),
            "optimism": _number(study.metrics.get("mean_optimism")),
            "result": study.digests.get("study", "")[7:15],
        }
        for study in studies
    ]
    show_rows(rows, empty="no study has been run", spare=("optimism", "subjects"))


@app.command()
def show(run: Which, as_json: JsonOption = False) -> None:
    """One study: headline, digests, settings."""
    study = one_study(_studies(None), run)
    if as_json:
        show_json(plain(study))
        return
    out.print(f"[bold]{study.cohort}[/bold], MLflow run {study.run_id}")
    out.print(study.headline, markup=False)
    show_rows([{"of": name, "digest": digest} for name, digest in study.digests.items()], title="\nDigests")
    show_rows([{"setting": name, "value": value} for name, value in study.parameters.items()], title="\nSettings")


@app.command()
def compare(first: Which, second: Which, as_json: JsonOption = False) -> None:
    """Two studies: what they were made from, how they were run, what they found."""
    studies = _studies(None)
    one, other = one_study(studies, first), one_study(studies, second)
    changed = differences(one, other)
    found = {
        name: (one.metrics.get(name), other.metrics.get(name))
        for name in dict.fromkeys([*one.metrics, *other.metrics])
        if not name.startswith("importance/") and not name.endswith(("_ci_low", "_ci_high"))
    }
    if as_json:
        show_json({"runs": [one.run_id, other.run_id], "differ": changed, "metrics": found})
        return
    names = (one.run_id[:8], other.run_id[:8])
    if changed:
        rows = [{"differs": name, names[0]: a or "", names[1]: b or ""} for name, (a, b) in changed.items()]
        show_rows(rows, title="Data and settings")
    else:
        out.print("Same data, same settings, same results: every digest is equal.")
    rows = [
        {
            "measure": name,
            names[0]: _number(a),
            names[1]: _number(b),
            "change": "" if a is None or b is None else f"{b - a:+.3f}",
        }
        for name, (a, b) in found.items()
        if a != b
    ]
    show_rows(rows, title="\nMeasures that differ", empty="no measure differs")


@app.command()
def restore(
    run: Which,
    into: Annotated[Path, typer.Option("--into", help="Folder for description and inputs; new or empty.")],
) -> None:
    """Put the description and the inputs of a study in place, so that it can be run again."""
    study = one_study(_studies(None), run)
    description = restore_study(context.settings(), study, into=into)
    out.print(f"{description}", markup=False, soft_wrap=True)
    out.print(
        f"Run again: CLINICAL_ASSETS_CATALOGUE={into} clinical-assets materialize {study.cohort} "
        "--job study_micro_cohort",
        markup=False,
        soft_wrap=True,
    )


def _studies(cohort: str | None) -> tuple[KeptStudy, ...]:
    paired = paired_catalogue(context.catalogue().folders)
    if cohort is not None:
        paired.path(cohort)
    return kept_studies(context.settings(), [cohort] if cohort is not None else paired.names())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:z.3f}"


def _interval(metrics: Mapping[str, float], name: str) -> str:
    value = metrics.get(name)
    if value is None:
        return ""
    low, high = metrics.get(f"{name}_ci_low"), metrics.get(f"{name}_ci_high")
    return f"{value:.2f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
