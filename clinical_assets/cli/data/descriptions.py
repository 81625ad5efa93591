"""``clinical-assets cohorts show, check, schema``: what a description says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.notes import catalogue_notes, show_notes
from clinical_assets.cli.data.paired_cohorts import check_paired, is_paired, paired, show_paired
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.cohorts.decisions import contradictions
from clinical_assets.cohorts.loading import json_schema, load_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData, SpecError
from clinical_assets.modelling.search.kinds import KINDS, refuse_unknown
from clinical_assets.warehouse.features.features import check_models
from clinical_assets.warehouse.features.invented import try_models
from clinical_assets.warehouse.sql.note_words import common_words
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import empty_database
from clinical_assets.warehouse.sql.tests import run_tests_on
from clinical_assets.warehouse.validation.cross_row import check_references
from clinical_assets.warehouse.validation.schemas import pandera_schema


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
            show_notes()
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


def words(
    cohort: CohortArgument,
    column: Annotated[str | None, typer.Option(help="Text of role note; the only one when left out.")] = None,
    persons: Annotated[int, typer.Option(min=5, help="Least number of people whose notes say a word.")] = 5,
    most: Annotated[int, typer.Option(min=1, max=1000, help="No more words than these.")] = 300,
) -> None:
    """Words that the notes of enough people say, as lines for modelling.notes. Read them: no word may tell a name."""
    handle = context.workspace().cohort(cohort)
    notes = handle.spec.subjects.with_role("note")
    if column is None and len(notes) != 1:
        raise SpecError(
            f"{cohort}: the subject table has {len(notes)} columns of role note.",
            cure=f"Name one with --column: {', '.join(notes)}." if notes else "Give a text column the role note.",
        )
    if column is not None and column not in notes:
        raise SpecError(f"{cohort}: {column!r} is no column of role note.", cure=f"There is: {', '.join(notes)}.")
    name = column or notes[0]
    found = common_words(handle.warehouse, handle.spec, name, persons=persons, most=most)
    if not found:
        raise InsufficientData(
            f"{cohort}: no word stands in the notes of {persons} people.", cure="There is nothing to learn from them."
        )
    out.print(f"modelling:\n  notes:\n    {name}:\n      minimum_persons: {persons}\n      words:", highlight=False)
    for word in found:
        out.print(f"        - {word!r}", markup=False, highlight=False)


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
