"""``clinical-assets cohorts``: what is described, what is there, what is wrong with a description."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, percent, show_json, show_rows
from clinical_assets.errors import SpecError

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.warehouse.sql_project import SqlProject

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_cohorts(as_json: Json = False) -> None:
    """Every cohort with its size, events and freshness, as far as it has been materialised."""
    rows = [{"cohort": name, **_description(name), **_overview(name)} for name in context.catalogue().names()]
    if as_json:
        show_json(rows)
        return
    shown = [
        {
            "cohort": row["cohort"],
            "disease": row["disease"],
            "records": row["records"],
            **{name: row[name] for name in ("units", "used", "events")},
            "share": percent(row["event share"]),
            "missing": percent(row["missing"]),
            "refused": row["refused"],
            "ingested": row["ingested (UTC)"] and f"{row['ingested (UTC)']:%Y-%m-%d}",
        }
        for row in rows
    ]
    show_rows(shown, empty="no cohort is described", spare=("disease", "ingested", "refused"))
    if any(row["units"] is None for row in rows):
        out.print("[dim]- : not materialised yet; `clinical-assets materialize COHORT` does it.[/dim]")
    for row in rows:
        if row["error"]:
            err.print(f"[red]wrong[/red] {row['cohort']}: `clinical-assets cohorts check {row['cohort']}` says why.")


def _description(name: str) -> dict[str, Any]:
    """What the description says in short; one that is wrong must not hide the others."""
    try:
        spec = context.catalogue().spec(name)
    except SpecError as error:
        return {"disease": None, "records": None, "error": str(error)}
    return {"disease": spec.disease.name, "records": "synthetic" if spec.synthetic else "real", "error": None}


def _overview(name: str) -> dict[str, Any]:
    warehouse = context.warehouse(name)
    columns = {"units": "units", "units_used": "used", "events": "events", "event_share": "event share"}
    columns |= {"missing_share_mean": "missing", "records_refused": "refused", "ingested_at": "ingested (UTC)"}
    if not warehouse.exists() or not any(
        info.schema == "marts" and info.name == "cohort_overview" for info in warehouse.tables()
    ):
        return dict.fromkeys(columns.values())
    row = warehouse.query("SELECT * FROM marts.cohort_overview").row(0, named=True)
    return {shown: row[column] for column, shown in columns.items()}


@app.command()
def show(cohort: Annotated[str, typer.Argument(help="Name of the cohort.")], as_json: Json = False) -> None:
    """One cohort's description: intended use, tables, columns, outcome, limits."""
    spec = context.catalogue().spec(cohort)
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
    as_json: Json = False,
) -> None:
    """Check descriptions, their rules, SQL models and tests without reading any record."""
    from clinical_assets.cohorts.loading import load_spec
    from clinical_assets.errors import ClinicalAssetsError
    from clinical_assets.warehouse.sql_project import SqlProject

    found = []
    for name in cohorts or context.catalogue().names():
        try:
            path = Path(name)
            if path.suffix in (".yaml", ".yml"):
                spec, folders = load_spec(path), (path.parent, *context.catalogue().sql_folders)
            else:
                spec, folders = context.catalogue().spec(name), context.catalogue().sql_folders
            _check(spec, SqlProject(folders, spec))
        except ClinicalAssetsError as error:
            found.append({"cohort": name, "valid": False, "error": str(error)})
        else:
            found.append({"cohort": name, "valid": True, "error": None})
    wrong = [row for row in found if not row["valid"]]
    if as_json:
        show_json(found)
    else:
        for row in found:
            if row["valid"]:
                out.print(f"[green]ok[/green]    {row['cohort']}")
            else:
                err.print(f"[red]wrong[/red] {row['cohort']}")
                err.print(row["error"], markup=False)
    if wrong:
        raise typer.Exit(1)


def _check(spec: CohortSpec, project: SqlProject) -> None:
    """Raise whatever a run would stumble over before it looks at a record."""
    from clinical_assets.warehouse.cross_row import check_references
    from clinical_assets.warehouse.features import check_models
    from clinical_assets.warehouse.schemas import pandera_schema
    from clinical_assets.warehouse.sql_schema import empty_database
    from clinical_assets.warehouse.sql_tests import run_tests_on

    check_references(spec)
    for name, table in spec.tables.items():
        try:
            pandera_schema(table)
        except SpecError as error:
            raise SpecError(f"table {name}: {error.message}", cure=error.cure) from error
    check_models(spec, project)
    with empty_database(spec) as nothing:
        for model in (project.feature_model, project.outcome_model):
            run_tests_on(nothing, project, model)


@app.command()
def schema(
    path: Annotated[Path | None, typer.Argument(help="File to write; printed when left out.")] = None,
) -> None:
    """The JSON schema of a cohort description, with which editors complete and check the YAML."""
    import json

    from clinical_assets.cohorts.loading import json_schema

    if path is None:
        show_json(json_schema())
        return
    if not path.parent.is_dir():
        raise SpecError(f"{path.parent} is not a folder.", cure="Create it first.")
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
