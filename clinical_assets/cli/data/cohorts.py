"""``clinical-assets cohorts``: what is described, what is there, what is wrong with a description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from clinical_assets.cli import context
from clinical_assets.cli.data.paired_cohorts import check_paired, is_paired, paired, paired_row, show_paired
from clinical_assets.cli.data.stored import remove, rename
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import err, out, percent, show_json, show_rows
from clinical_assets.cohorts.decisions import contradictions
from clinical_assets.cohorts.loading import json_schema, load_spec
from clinical_assets.cohorts.registry import CatalogueNote
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError, SpecError
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.modelling.search.kinds import KINDS, refuse_unknown
from clinical_assets.observability.portfolio import PortfolioEntry, portfolio, write_portfolio
from clinical_assets.warehouse.features.features import check_models
from clinical_assets.warehouse.features.invented import try_models
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import empty_database
from clinical_assets.warehouse.sql.tests import run_tests_on
from clinical_assets.warehouse.validation.cross_row import check_references
from clinical_assets.warehouse.validation.schemas import pandera_schema

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("list")
def list_cohorts(
    as_json: JsonOption = False,
    page: Annotated[
        bool, typer.Option("--page", help="Also write the page of all cohorts, and print its address.")
    ] = False,
) -> None:
    """Every cohort: size, events, freshness; newest model, gates, what it waits for, champion, batch and lights."""
    rows = [{"cohort": name, **_description(name), **_overview(name)} for name in context.catalogue().names()]
    rows += [{"cohort": name, **paired_row(name), "paired": True} for name in paired().names()]
    entries = portfolio(context.workspace())
    written = write_portfolio(context.workspace(), entries) if page else None
    if as_json:
        show_json([{**row, **_release(entry)} for row, entry in zip(rows, entries, strict=True)])
        _show_notes()
        return
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
        for row in rows
    ]
    show_rows(shown, empty="no cohort is described", spare=("disease", "ingested", "refused"))
    if any(row["units"] is None for row in rows):
        out.print("[dim]- : not materialised yet; `clinical-assets materialize COHORT` does it.[/dim]")
    _show_models(entries)
    if written is not None:
        out.print(f"\nPage {written.as_uri()}", markup=False)
    for row in rows:
        if row["error"]:
            err.print(f"[red]broken[/red] {row['cohort']}: `clinical-assets cohorts check {row['cohort']}` says why.")
    _show_notes()


def catalogue_notes() -> tuple[CatalogueNote, ...]:
    """What lies among the descriptions and makes no cohort."""
    return (*context.catalogue().notes, *paired().notes)


def _show_notes() -> None:
    for note in catalogue_notes():
        mark = "[red]broken[/red]" if note.broken else "[yellow]note[/yellow]  "
        err.print(f"{mark} {escape(note.text)} {escape(note.cure)}", highlight=False)


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
    if not warehouse.exists() or not any(
        info.schema == "marts" and info.name == "cohort_overview" for info in warehouse.tables()
    ):
        return dict.fromkeys(columns.values())
    row = warehouse.query("SELECT * FROM marts.cohort_overview").row(0, named=True)
    return {shown: row[column] for column, shown in columns.items()}


@app.command()
def show(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """One cohort's description: intended use, tables, columns, outcome, limits."""
    if cohort in paired().names():
        show_paired(cohort, as_json=as_json)
        return
    spec = context.workspace().spec(cohort)
    entry = context.catalogue().entry(cohort)
    if as_json:
        show_json({**spec.canonical(), "described_in": str(entry.path)})
        return
    out.print(f"[bold]{spec.title}[/bold]  ({spec.name}, {entry.path})")
    if spec.synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: invented or made by a generator, not patients.[/bold yellow]")
    for label, text in {
        "Disease": f"{spec.disease.name} ({', '.join(spec.disease.icd10)})",
        "Intended use": spec.intended_use,
        "Not for": spec.not_for,
        "Prediction": spec.prediction.moment,
        "Outcome": f"{spec.target.description} Classes: {', '.join(spec.target.classes)}.",
        "Source": spec.data.source,
        "Licence": spec.data.licence,
        "Owner": spec.owner.team,
        "Models": f"features {spec.features}, outcome {spec.outcome}",
        "Candidates": ", ".join(spec.modelling.candidates),
        "Costs": f"{spec.decisions.costs.false_positive:g} a false alarm, "
        f"{spec.decisions.costs.false_negative:g} a miss: act from {spec.decisions.costs.threshold:.1%}",
    }.items():
        out.print(f"[bold]{label}:[/bold] {text}")
    for limit in spec.data.limits:
        out.print(f"  - {limit}")
    for name, table in spec.tables.items():
        out.print()
        rows = [
            {
                "column": column,
                "type": described.type,
                "unit": described.unit or "",
                "role": ", ".join(described.role),
                "description": described.description,
            }
            for column, described in table.columns.items()
        ]
        show_rows(rows, title=f"{name}: {table.description}")


@app.command()
def check(
    cohorts: Annotated[
        list[str] | None, typer.Argument(help="Names, or paths of YAML files; all when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check descriptions, their rules, SQL models and tests without reading any record."""
    found: list[dict[str, Any]] = []
    for name in cohorts or (*context.catalogue().names(), *paired().names()):
        try:
            notes = _checked(Path(name), name)
        except ClinicalAssetsError as error:
            found.append({"cohort": name, "valid": False, "error": str(error), "notes": []})
        else:
            found.append({"cohort": name, "valid": True, "error": None, "notes": notes})
    wrong = any(not row["valid"] for row in found) or (not cohorts and any(note.broken for note in catalogue_notes()))
    if as_json:
        show_json(found)
    else:
        for row in found:
            if row["valid"]:
                out.print(f"[green]ok[/green]    {row['cohort']}")
                for note in row["notes"]:
                    out.print(f"      note: {note}", markup=False, highlight=False)
            else:
                err.print(f"[red]wrong[/red] {row['cohort']}")
                err.print(row["error"], markup=False)
        if not cohorts:
            _show_notes()
    if wrong:
        raise typer.Exit(1)


def _checked(path: Path, name: str) -> list[str]:
    if is_paired(path):
        check_paired(path)
        return []
    if path.suffix in (".yaml", ".yml"):
        spec, folders = load_spec(path), (path.parent, *context.catalogue().sql_folders)
        refuse_unknown(spec, path)
    else:
        spec, folders = context.workspace().spec(name), context.catalogue().sql_folders
    return _check(spec, SqlProject(folders, spec))


def _check(spec: CohortSpec, project: SqlProject) -> list[str]:
    """Raise whatever a run would stumble over before it looks at a record; return what is allowed but worth a look."""
    check_references(spec)
    for name, table in spec.tables.items():
        try:
            pandera_schema(table)
        except SpecError as error:
            raise SpecError(f"table {name}: {error.message}", cure=error.cure) from error
    check_models(spec, project)
    project.types("marts.cohort_overview")
    with empty_database(spec) as nothing:
        for model in (project.feature_model, project.outcome_model):
            run_tests_on(nothing, project, model)
    return [
        *(f"{text}." for text in contradictions(spec.decisions, action_from=spec.target.action_from)),
        *try_models(spec, project),
    ]


@app.command()
def schema(
    path: Annotated[Path | None, typer.Argument(help="File to write; printed when left out.")] = None,
) -> None:
    """The JSON schema of a cohort description, with which editors complete and check the YAML."""
    import json

    if path is None:
        show_json(json_schema(list(KINDS)))
        return
    if not path.parent.is_dir():
        raise SpecError(f"{path.parent} is not a folder.", cure="Create it first.")
    path.write_text(json.dumps(json_schema(list(KINDS)), indent=2) + "\n", encoding="utf-8")


app.command()(remove)
app.command()(rename)
