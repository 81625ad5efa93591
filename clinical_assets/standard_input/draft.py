"""The files of a cohort made of standard records: description, feature model with its words, and two Parquet tables.

What belongs here: choosing the reader and writing the files. A draft is complete enough to train; what only people can
say (use, costs, who answers) stands in it as words to be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.atomic_files import new_file, write_whole
from clinical_assets.standard_input.cohort_rules import (
    DEATH,
    DIED,
    ENDED,
    EVENT,
    CohortRules,
    DerivedCohort,
    derive_cohort,
)
from clinical_assets.standard_input.fhir import is_fhir, read_fhir
from clinical_assets.standard_input.meds import is_meds, read_meds
from clinical_assets.standard_input.omop import is_omop, read_omop, with_descendants
from clinical_assets.standard_input.record_set import RecordSet, StandardInputError
from clinical_assets.warehouse.store.sql_text import literal, slug

_MODEL = """\
-- What the description names under `vars`: counts of codes and newest values before the index date.
SELECT * FROM {{ ref('features.coded_events') }}
"""


@dataclass(frozen=True)
class DraftWords:
    """What no record says.

    Attributes
    ----------
    title, disease : str
        Title of the cohort, and the disease in words; empty for the words of the codes.
    icd10 : tuple of str
        Its codes.
    source, licence : str
        Who collected the records, and under what they may be used.
    synthetic : bool
        Whether they were made by a generator.
    """

    title: str
    disease: str
    icd10: tuple[str, ...]
    source: str
    licence: str
    synthetic: bool


@dataclass(frozen=True)
class CohortDraft:
    """What was written, and from what.

    Attributes
    ----------
    description : Path
        The YAML file.
    files : tuple of Path
        The others.
    records : RecordSet
        What was read.
    cohort : DerivedCohort
        What the rules made of it.
    """

    description: Path
    files: tuple[Path, ...]
    records: RecordSet
    cohort: DerivedCohort


def draft_cohort(folder: Path, *, name: str, rules: CohortRules, words: DraftWords, into: Path) -> CohortDraft:
    """Make a cohort of a folder of OMOP 5.4, MEDS or FHIR R4 records.

    Parameters
    ----------
    folder : Path
        The export; which data model it is, is told by its files.
    name : str
        Name of the cohort.
    rules : CohortRules
        Who is in it and what is predicted.
    words : DraftWords
        What no record says.
    into : Path
        A catalogue's folder.

    Raises
    ------
    StandardInputError
        The folder is of none of the data models, or no cohort can be made of it.
    """
    import duckdb

    description = into / f"{name}.yaml"
    if description.exists():
        raise StandardInputError(
            f"{description} is there already.", cure="Choose another name, or remove the description and its folder."
        )
    if not folder.is_dir():
        raise StandardInputError(f"{folder} is no folder.", cure="Name the folder that holds the export's files.")
    connection = duckdb.connect()
    # A bar that DuckDB draws would stand among the numbers.
    connection.execute("SET enable_progress_bar = false")
    records = _read(folder, connection)
    if is_omop(folder):
        index, outcome = (with_descendants(folder, connection, codes) for codes in (rules.index, rules.outcome))
        rules = replace(rules, index=index, outcome=outcome)
    made = derive_cohort(records, rules)
    value = _description(name, rules, words, records, made)
    CohortSpec.model_validate(value)
    files = []
    for table in ("subjects", "events"):
        path = into / name / f"{table}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as new:
            connection.execute(f"COPY cohort_{table} TO {literal(str(new))} (FORMAT parquet, COMPRESSION zstd)")
        files.append(path)
    (into / "features").mkdir(parents=True, exist_ok=True)
    files.append(write_whole(into / "features" / f"{name}.sql", _MODEL))
    files.append(write_whole(into / "features" / f"{name}.yml", _yaml(_docs(name, rules, made))))
    # Last, because a description is what makes a cohort: a draft that was killed before leaves none.
    write_whole(description, _yaml(value))
    return CohortDraft(description, tuple(files), records, made)


def _read(folder: Path, connection: Any) -> RecordSet:
    import duckdb

    for is_model, read in ((is_omop, read_omop), (is_meds, read_meds), (is_fhir, read_fhir)):
        if not is_model(folder):
            continue
        try:
            return read(folder, connection)
        except duckdb.Error as error:
            # DuckDB's own words would repeat what stands in the file.
            raise StandardInputError(
                f"{_damaged(folder, connection)} cannot be read ({type(error).__name__}).",
                cure="Export it again; a line that was cut off, or a value of another type, is enough.",
            ) from None
    raise StandardInputError(
        f"{folder} holds neither OMOP tables (person and condition_occurrence, as CSV or Parquet), nor MEDS "
        "(data/*.parquet), nor FHIR (NDJSON, or Bundles as JSON).",
        cure="Name the folder that holds the export's files.",
    )


def _damaged(folder: Path, connection: Any) -> str:
    """The first file that DuckDB cannot read by itself, else the folder."""
    import duckdb

    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        reader = {".parquet": "read_parquet", ".ndjson": "read_ndjson_objects", ".json": "read_json_objects"}
        call = reader.get(path.suffix, "read_csv")
        try:
            connection.execute(f"SELECT count(*) FROM (SELECT * FROM {call}({literal(str(path))}))")
        except duckdb.Error:
            return path.name
    return f"The export in {folder.name}"


def _yaml(value: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=110)


def _docs(name: str, rules: CohortRules, made: DerivedCohort) -> dict[str, Any]:
    window = f"in the {rules.lookback_days} days up to the index date"
    columns: list[dict[str, Any]] = [
        {"name": f"n_{slug(each.code)}", "description": f"{each.name}: how often {window}.", "unit": "1"}
        for each in made.counted
    ]
    for each in made.valued:
        unit = {} if each.unit is None else {"unit": each.unit}
        columns.append(
            {"name": f"last_{slug(each.code)}", "description": f"{each.name}: newest value {window}.", **unit}
        )
    return {"models": [{"name": name, "description": "One person as known on the index date.", "columns": columns}]}


def _description(
    name: str, rules: CohortRules, words: DraftWords, records: RecordSet, made: DerivedCohort
) -> dict[str, Any]:
    share = made.events / max(made.units - made.had_outcome, 1)
    miss = max(round((1 - share) / share), 1)
    index = _said(records, rules.index)
    outcome = "Death" if rules.outcome == (DEATH,) else _said(records, rules.outcome)
    title = words.title or f"{outcome} within {rules.horizon_days} days of {index}"
    limits = [
        f"{made.indexed} of {made.people} people of the export have the index event; {made.short_history} of them "
        f"were left out because less than {rules.history_days} days of records come before it.",
        "Who has no record of a code is taken not to have had it: an export says what was recorded, not what was.",
    ]
    if records.data_model != "OMOP 5.4":
        limits.append(
            f"{records.data_model} says nothing about the end of follow-up. It is taken to end with the last event: "
            "who is not seen again counts as censored on that day."
        )
    limits += [f"{count} {what} were left out." for what, count in records.left_out.items()]
    if made.other_units:
        limits.append(f"{made.other_units} values in another unit than their code's most frequent one were left out.")
    return {
        "name": name,
        "title": ("SYNTHETIC. " if words.synthetic else "") + title,
        "disease": {"name": words.disease or outcome, "icd10": list(words.icd10)},
        "intended_use": "TO BE WRITTEN: who may use the risk, for which decision.",
        "not_for": "TO BE WRITTEN. Until then for nobody.",
        "owner": {"team": "TO BE NAMED"},
        "data": {
            "kind": "synthetic" if words.synthetic else "real",
            "source": f"{words.source} ({records.data_model})",
            "licence": words.licence,
            "limits": limits,
        },
        "prediction": {
            "moment": f"On the day of the first {index}, with everything recorded by then.",
            "index_date": "subjects.index_date",
            "landmark_days": 0,
            "censoring": "Who is not followed to the horizon stands in the weights of the others.",
        },
        "subject": "subject_id",
        "tables": {"subjects": _subjects(name), "events": _events(name)},
        "features": name,
        "outcome": {
            "time": "followed_days",
            "event": "ended_by",
            "event_values": [EVENT],
            **({} if rules.outcome == (DEATH,) else {"competing": [DIED]}),
            "horizon_days": rules.horizon_days,
        },
        "vars": {
            "lookback_days": rules.lookback_days,
            "counted_codes": [each.code for each in made.counted],
            "valued_codes": [each.code for each in made.valued],
        },
        "target": {
            "name": "event",
            "description": f"{outcome} within {rules.horizon_days} days after the index date.",
            "classes": ["no event", "event"],
        },
        "modelling": {"candidates": ["logistic_ridge", "lightgbm"]},
        "decisions": {
            "costs": {
                "false_positive": 1,
                "false_negative": miss,
                "rationale": f"PLACEHOLDER: acting pays from a risk of 1/{miss + 1}, about the share of the outcome.",
            },
            "tiers": [
                {"name": "Low", "lower": 0, "action": "TO BE WRITTEN"},
                {"name": "High", "lower": round(1 / (miss + 1), 4), "action": "TO BE WRITTEN"},
            ],
        },
    }


def _said(records: RecordSet, codes: tuple[str, ...]) -> str:
    """Codes in words, as far as the data model holds them."""
    rows = records.connection.execute(f"SELECT code, name FROM code_names WHERE code IN {literal(codes)}").fetchall()
    names = {str(code): f"{name} ({code})" for code, name in rows}
    shown = ", ".join(names.get(code, code) for code in codes[:3])
    return shown + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")


def _subjects(name: str) -> dict[str, Any]:
    return {
        "description": "One row per person with the index event.",
        "source": {"kind": "file", "path": f"{name}/subjects.parquet"},
        "key": ["subject_id"],
        "columns": {
            "subject_id": _column("string", "Person.", role="identifier", nullable=False),
            "index_date": _column("date", "Day of the index event.", role="date", nullable=False),
            "age_years": _column("integer", "Age on the index date.", unit="a", range=[0, 120]),
            "sex": _column("string", "Sex.", role=["feature", "protected"], categories=["female", "male"]),
            "followed_days": _column(
                "integer",
                "Days from the index date to the outcome, death, or the end of records.",
                role="outcome",
                unit="d",
            ),
            "ended_by": _column(
                "string", "What ended the follow-up.", role="target", categories=[EVENT, DIED, ENDED], nullable=False
            ),
        },
    }


def _events(name: str) -> dict[str, Any]:
    return {
        "description": "One row per event with a code that is a feature, whenever it happened.",
        "source": {"kind": "file", "path": f"{name}/events.parquet"},
        "key": ["subject_id", "event_number"],
        "recorded": "event_date",
        "columns": {
            "subject_id": _column("string", "Person.", role="identifier", nullable=False),
            "event_number": _column("integer", "Number of the event.", role="ignored", nullable=False),
            "event_date": _column("date", "Day of the event.", role="date", nullable=False),
            "code": _column("string", "Code of the event.", nullable=False),
            "value": _column("number", "Its value, in the unit that is most frequent for the code."),
        },
        "references": [{"columns": ["subject_id"], "table": "subjects"}],
    }


def _column(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more, "description": description}
