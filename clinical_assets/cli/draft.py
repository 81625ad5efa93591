"""``clinical-assets cohorts draft``: a cohort out of a folder of OMOP, MEDS or FHIR records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import out, show_json
from clinical_assets.standard_input.cohort_rules import CohortRules
from clinical_assets.standard_input.draft import CohortDraft, DraftWords, draft_cohort


def draft(
    folder: Annotated[Path, typer.Argument(help="Export: OMOP 5.4 tables, a MEDS dataset, or FHIR R4 resources.")],
    name: Annotated[str, typer.Option("--name", help="Name of the cohort.")],
    index: Annotated[list[str], typer.Option("--index", help="Code of the index event; several may be given.")],
    outcome: Annotated[
        list[str], typer.Option("--outcome", help="Code of the outcome, or death; several may be given.")
    ],
    horizon_days: Annotated[int, typer.Option("--horizon-days", min=1, help="How far the prediction looks.")],
    icd10: Annotated[list[str], typer.Option("--icd10", help="ICD-10 code of the disease; several may be given.")],
    into: Annotated[Path, typer.Option("--into", help="Folder of the catalogue.")] = Path("catalogue"),
    lookback_days: Annotated[int, typer.Option("--lookback-days", min=1, help="Window of the features.")] = 365,
    history_days: Annotated[int, typer.Option("--history-days", min=0, help="Records needed before the index.")] = 0,
    counted: Annotated[int, typer.Option("--counted", min=0, help="At most so many codes that are counted.")] = 40,
    valued: Annotated[int, typer.Option("--valued", min=0, help="At most so many codes whose value is taken.")] = 20,
    least_people: Annotated[int, typer.Option("--least-people", min=1, help="People a code must occur in.")] = 20,
    title: Annotated[str, typer.Option("--title", help="Title; default: outcome, horizon and index.")] = "",
    disease: Annotated[str, typer.Option("--disease", help="The disease in words; default: the outcome's code.")] = "",
    source: Annotated[str, typer.Option("--source", help="Who collected the records.")] = "NOT STATED",
    licence: Annotated[str, typer.Option("--licence", help="Under what they may be used.")] = "NOT STATED",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The records were made by a generator.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a cohort of standard records: description, features counted by code before the index date, tables.

    The folder is read once; its files are not changed. What only people can say stands in the description as words to
    be replaced.
    """
    rules = CohortRules(
        index=tuple(index),
        outcome=tuple(outcome),
        horizon_days=horizon_days,
        lookback_days=lookback_days,
        history_days=history_days,
        counted=counted,
        valued=valued,
        least_people=least_people,
    )
    words = DraftWords(
        title=title,
        disease=disease,
        icd10=tuple(icd10),
        source=source,
        licence=licence,
        synthetic=synthetic,
    )
    made = draft_cohort(folder, name=name, rules=rules, words=words, into=into)
    if as_json:
        show_json({"description": str(made.description), "files": [str(each) for each in made.files], **_numbers(made)})
        return
    for words_of, number in _numbers(made).items():
        out.print(f"{words_of.replace('_', ' ')}: {number}", highlight=False)
    out.print(f"\n{made.description}", highlight=False)
    for path in made.files:
        out.print(f"{path}", highlight=False)
    out.print(
        f"\nRead it, replace the words in capitals, then:\nexport CLINICAL_ASSETS_CATALOGUE={into}\n"
        f"clinical-assets cohorts check {name}\nclinical-assets materialize {name} --job train_cohort",
        highlight=False,
    )


def _numbers(made: CohortDraft) -> dict[str, object]:
    cohort = made.cohort
    return {
        "data_model": made.records.data_model,
        "people": cohort.people,
        "with_the_index_event": cohort.indexed,
        "left_out_for_a_short_history": cohort.short_history,
        "in_the_cohort": cohort.units,
        "outcome_on_or_before_the_index_date": cohort.had_outcome,
        "outcome_within_the_horizon": cohort.events,
        "death_before_it": cohort.deaths,
        "not_followed_to_the_horizon": cohort.censored,
        "codes_counted": len(cohort.counted),
        "codes_with_a_value": len(cohort.valued),
        **{f"left_out:_{what}": count for what, count in made.records.left_out.items()},
    }
