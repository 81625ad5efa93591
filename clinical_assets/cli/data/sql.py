"""``clinical-assets sql``: render, run, test SQL models and trace their columns."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import cell, out, show_json, show_rows
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.sql.tests import SqlTestResult, run_tests

app = typer.Typer(no_args_is_help=True, add_completion=False)
ModelArgument = Annotated[str | None, typer.Argument(help="Name of the model; the cohort's features when left out.")]


@app.command("list")
def list_models(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """Every SQL model that the cohort can use."""
    rows = [
        {"model": model.name, "layer": model.layer, "file": str(model.path)}
        for model in context.cohort(cohort).sql.models()
    ]
    show_json(rows) if as_json else show_rows(rows)


@app.command()
def render(cohort: CohortArgument, model: ModelArgument = None) -> None:
    """The one self-contained statement that training and scoring run."""
    project = context.cohort(cohort).sql
    out.print(project.compile(model or project.feature_model).sql, markup=False)


@app.command()
def run(cohort: CohortArgument, model: ModelArgument = None, as_json: JsonOption = False) -> None:
    """Materialise one model as a table in the schema of its layer."""
    project = context.cohort(cohort).sql
    warehouse = context.cohort(cohort).warehouse
    if not any(info.schema == "validated" for info in warehouse.tables()):
        raise WarehouseError(
            f"Cohort {cohort!r} has no validated records yet.", cure=f"Make them: clinical-assets materialize {cohort}"
        )
    with warehouse.exclusive():
        built = project.run(warehouse, model or project.feature_model)
    row = {"table": built.name, "rows": built.rows, "seconds": round(built.seconds, 3)}
    show_json(row) if as_json else out.print(f"{built.name}: {built.rows} rows")


@app.command("test")
def check(
    cohort: CohortArgument,
    models: Annotated[list[str] | None, typer.Argument(help="Models; features and outcome when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the tests that stand beside the models."""
    project = context.cohort(cohort).sql
    warehouse = context.cohort(cohort).warehouse
    results = [
        result
        for model in models or (project.feature_model, project.outcome_model)
        for result in run_tests(project, warehouse, model)
    ]
    rows = [
        {
            "model": result.model,
            "column": result.column or "-",
            "test": result.test,
            "severity": result.severity,
            "failures": result.failures,
            "examples": "; ".join(map(str, result.examples)),
        }
        for result in results
    ]
    show_json(rows) if as_json else _show_results(results)
    if any(result.failures and result.severity == "error" for result in results):
        raise typer.Exit(1)


def _show_results(results: list[SqlTestResult]) -> None:
    if not results:
        out.print("[dim]no test is declared beside these models[/dim]")
    for model in dict.fromkeys(result.model for result in results):
        rows = [
            {
                "verdict": "ok" if result.passed else "FAILS" if result.severity == "error" else "warns",
                "column": result.column or "(row)",
                "test": result.test,
                "failures": result.failures,
                "promise": result.detail,
            }
            for result in results
            if result.model == model
        ]
        show_rows(rows, title=model)
        out.print()
    failing = [result for result in results if result.examples]
    if failing:
        out.print("[bold]Values that break a promise[/bold] (at most five each; identifiers are never shown)")
        for result in failing:
            shown = "; ".join(", ".join(f"{k}={cell(v)}" for k, v in example.items()) for example in result.examples)
            out.print(f"  {result.column or result.model}: {shown}", markup=False)


@app.command()
def lineage(cohort: CohortArgument, model: ModelArgument = None, as_json: JsonOption = False) -> None:
    """For every column of a model, the validated columns that it is made from."""
    project = context.cohort(cohort).sql
    found = project.lineage(model or project.feature_model)
    rows = [
        {"column": column, "made from": ", ".join(f"{table}.{name}" for table, name in sources) or "(constant)"}
        for column, sources in found.items()
    ]
    show_json({c: [f"{t}.{n}" for t, n in s] for c, s in found.items()}) if as_json else show_rows(rows)
