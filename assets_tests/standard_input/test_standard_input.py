"""The same people make the same cohort, in whichever data model they come, and its features are what was known."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from assets_tests.standard_input.exports import (
    DRUG,
    INDEX,
    OUTCOME,
    PRESSURE,
    RARE,
    UNMAPPED,
    Person,
    as_bundles,
    as_meds,
    as_ndjson,
    as_omop,
    fhir_resources,
    population,
)
from assets_tests.worlds.tables.shipped import build_cohort, own_settings
from clinical_assets.cli.data.cohorts import app
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.standard_input.cohort_rules import CohortRules
from clinical_assets.standard_input.draft import CohortDraft, DraftWords, draft_cohort
from clinical_assets.standard_input.fhir import read_fhir
from clinical_assets.standard_input.record_set import StandardInputError
from clinical_assets.warehouse.features.truncation import truncation_invariance

RULES = CohortRules((f"OMOP/{INDEX}",), (f"OMOP/{OUTCOME}",), horizon_days=365, least_people=5)
WORDS = DraftWords("", "", ("I10",), "a generator", "CC0", synthetic=True)
WRITERS = {"OMOP 5.4": as_omop, "MEDS": as_meds, "FHIR R4": as_ndjson, "Bundles": as_bundles}


def drafted(tmp_path: Path, data_model: str, people: list[Person], rules: CohortRules = RULES) -> CohortDraft:
    folder = WRITERS[data_model](tmp_path / data_model, people)
    return draft_cohort(folder, name="a_ward", rules=rules, words=WORDS, into=tmp_path / f"into {data_model}")


def tables(draft: CohortDraft) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in draft.files if path.suffix == ".parquet"]


def test_the_same_people_make_the_same_cohort_in_every_data_model(tmp_path: Path) -> None:
    people = population()
    made = {name: drafted(tmp_path, name, people) for name in WRITERS}
    first = made["OMOP 5.4"]
    assert first.cohort.units == first.cohort.people == len(people)
    assert first.cohort.events + first.cohort.deaths + first.cohort.censored > 20
    assert [each.code for each in first.cohort.counted] == [f"OMOP/{DRUG}"]
    assert [each.code for each in first.cohort.valued] == [f"OMOP/{PRESSURE}"]
    for other in made.values():
        assert other.cohort.events == first.cohort.events
        for mine, theirs in zip(tables(first), tables(other), strict=True):
            assert mine.equals(theirs)


def expected(person: Person) -> dict[str, Any]:
    """What the description promises, counted by hand."""
    start = next(at for code, at, _, _ in person.events if code == INDEX)
    known = [each for each in person.events if start - dt.timedelta(days=365) <= each[1] <= start]
    values = [(at, value) for code, at, value, _ in known if code == PRESSURE]
    outcome = next((at for code, at, _, _ in person.events if code == OUTCOME), None)
    end = min(day for day in (outcome, person.died, max(at for _, at, _, _ in person.events)) if day is not None)
    days = (end - start).days
    birthday = (start.month, start.day) >= (person.born.month, person.born.day)
    event = outcome == end
    return {
        "subject_id": str(person.number),
        "age_years": float(start.year - person.born.year - (not birthday)),
        f"n_omop_{DRUG}": float(sum(code == DRUG for code, *_ in known)),
        f"last_omop_{PRESSURE}": max(values)[1],
        "outcome": None
        if days <= 0
        else 1
        if event and days <= 365
        else 0
        if days >= 365 or person.died == end
        else None,
    }


def test_features_and_outcome_are_what_was_known_and_what_came(tmp_path: Path) -> None:
    people = population()
    draft = drafted(tmp_path, "MEDS", people)
    catalogue = Catalogue([draft.description.parent, SHIPPED])
    made = build_cohort("a_ward", own_settings(tmp_path / "data"), catalogue)
    assert made.query("SELECT count(*) FROM quarantine.records").item() == 0
    want = {each["subject_id"]: each for each in map(expected, people)}
    rows = made.query("SELECT f.*, o.outcome FROM model.features AS f JOIN model.outcomes AS o USING (subject_id)")
    assert rows.height == len(people)
    for row in rows.iter_rows(named=True):
        assert {name: row[name] for name in want[row["subject_id"]]} == want[row["subject_id"]]
    with made.warehouse.reader() as connection:
        compiled = made.project.compile(made.project.feature_model)
        found = truncation_invariance(connection, made.spec, compiled)
    assert (found.units, found.changed, found.lost) == (len(people), {}, 0)
    assert found.removed["events"] > 100


def test_the_draft_says_what_it_knows_and_leaves_to_people_what_it_does_not(tmp_path: Path) -> None:
    draft = drafted(tmp_path, "FHIR R4", population())
    value = yaml.safe_load(draft.description.read_text())
    assert value["title"].startswith("SYNTHETIC. OMOP/200 within 365 days of OMOP/100")
    assert value["data"]["kind"] == "synthetic"
    assert any("end with the last event" in limit for limit in value["data"]["limits"])
    assert value["intended_use"].startswith("TO BE WRITTEN")
    with pytest.raises(StandardInputError, match="is there already"):
        drafted(tmp_path / "again", "FHIR R4", population()) and draft_cohort(
            tmp_path / "FHIR R4", name="a_ward", rules=RULES, words=WORDS, into=draft.description.parent
        )


def test_a_death_may_be_the_outcome_and_else_competes_with_it(tmp_path: Path) -> None:
    people = population()
    dying = CohortRules(RULES.index, ("death",), horizon_days=2000, least_people=5)
    draft = drafted(tmp_path, "OMOP 5.4", people, dying)
    assert draft.cohort.events == sum(each.died is not None for each in people)
    assert "competing_values" not in yaml.safe_load(draft.description.read_text())["vars"]
    assert drafted(tmp_path / "other", "OMOP 5.4", people).cohort.deaths > 0


def test_concepts_without_a_meaning_are_counted_and_those_below_a_concept_belong_to_it(tmp_path: Path) -> None:
    people = population()
    unmapped = [
        Person(each.number, each.born, each.sex, each.died, (*each.events, (UNMAPPED, each.events[0][1], None, None)))
        for each in people
    ]
    folder = as_omop(tmp_path / "omop", unmapped)
    pl.DataFrame({"ancestor_concept_id": [9, 9], "descendant_concept_id": [INDEX, 9]}).write_csv(
        folder / "concept_ancestor.csv"
    )
    pl.DataFrame({"concept_id": [DRUG], "concept_name": ["Aspirin"]}).write_csv(folder / "concept.csv")
    rules = CohortRules(("OMOP/9",), RULES.outcome, horizon_days=365, least_people=5)
    draft = draft_cohort(folder, name="a_ward", rules=rules, words=WORDS, into=tmp_path / "into")
    assert draft.records.left_out == {"events of concept 0": len(people)}
    assert draft.cohort.indexed == len(people)
    docs = yaml.safe_load((tmp_path / "into" / "features" / "a_ward.yml").read_text())["models"][0]["columns"]
    assert [each["description"] for each in docs if each["name"] == f"n_omop_{DRUG}"] == [
        "Aspirin: how often in the 365 days up to the index date."
    ]


def test_a_resource_that_is_void_or_has_no_day_or_code_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = as_ndjson(tmp_path / "fhir", population(10))
    whole = read_fhir(folder, duckdb.connect()).number("SELECT count(*) FROM events")
    (condition, *_) = (each for each in fhir_resources(population(10)) if each["resourceType"] == "Condition")
    refuted = {**condition, "verificationStatus": {"coding": [{"code": "refuted"}]}}
    undated = {key: value for key, value in condition.items() if key != "recordedDate"}
    uncoded = {**condition, "code": {"text": "a cough"}}
    with (folder / "Condition.ndjson").open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in (refuted, undated, uncoded))
    with (folder / "Patient.ndjson").open("a") as file:
        file.write(json.dumps({"resourceType": "Patient", "id": "x", "deceasedBoolean": True}) + "\n")
    records = read_fhir(folder, duckdb.connect())
    assert records.number("SELECT count(*) FROM events") == whole
    assert records.left_out == {
        "events that are void (cancelled, refuted, entered in error)": 1,
        "events without a day": 1,
        "events without a code": 1,
        "deaths without a day": 1,
    }


def test_what_cannot_be_made_a_cohort_says_why_and_what_to_do(tmp_path: Path) -> None:
    people = population()
    folder = as_ndjson(tmp_path / "fhir", people)
    line = {
        "resourceType": "Procedure", "subject": {"reference": "Patient/1"}, "performedDateTime": "2020-01-01",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1", "display": "Removal of a wart"}]},
    }  # fmt: skip
    (folder / "Procedure.ndjson").write_text(json.dumps(line))

    def refused(where: Path = folder, **changes: Any) -> str:
        rules = CohortRules(**{**vars(RULES), **changes})
        with pytest.raises(StandardInputError) as caught:
            draft_cohort(where, name="a_ward", rules=rules, words=WORDS, into=tmp_path / "into")
        assert caught.value.cure
        assert not (tmp_path / "into").exists()
        return caught.value.message

    assert "Do you mean SNOMED/1 (Removal of a wart)?" in refused(index=("wart",))
    assert "Nobody is left" in refused(history_days=20_000)
    assert "Nobody of 60 has the outcome within 365 days" in refused(outcome=(f"OMOP/{RARE}",))
    assert "No code occurs in 61 people" in refused(least_people=61)
    assert "is no folder" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds neither OMOP tables" in refused(tmp_path / "empty")
    omop = as_omop(tmp_path / "omop", people)
    pl.read_csv(omop / "person.csv").drop("year_of_birth").write_csv(omop / "person.csv")
    assert "person.csv has no column year_of_birth" in refused(omop)


def test_a_code_of_few_people_is_no_feature_and_a_value_in_another_unit_is_not_taken(tmp_path: Path) -> None:
    people = population()
    start = {each.number: next(at for code, at, _, _ in each.events if code == INDEX) for each in people}
    other = [
        Person(each.number, each.born, each.sex, each.died, (*each.events, (PRESSURE, start[each.number], 18.0, "kPa")))
        for each in people
    ]
    draft = drafted(tmp_path, "OMOP 5.4", other)
    assert RARE not in [each.code for each in draft.cohort.counted]
    assert draft.cohort.other_units == len(people)
    events = tables(draft)[1]
    assert events.filter(pl.col("value") == 18.0).height == 0


def test_the_command_drafts_and_the_draft_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_meds(tmp_path / "meds", population())
    monkeypatch.setenv("CLINICAL_ASSETS_CATALOGUE", str(tmp_path / "into"))
    (tmp_path / "into").mkdir()
    codes = ["--index", f"OMOP/{INDEX}", "--outcome", f"OMOP/{OUTCOME}", "--horizon-days", "365", "--icd10", "I10"]
    arguments = ["draft", str(folder), "--name", "a_ward", *codes, "--into", str(tmp_path / "into"), "--json"]
    said = CliRunner().invoke(app, [*arguments, "--least-people", "5"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["in_the_cohort"] == 60
    checked = CliRunner().invoke(app, ["check", "a_ward"])
    assert checked.exit_code == 0, checked.output


def test_a_damaged_file_is_named_and_nothing_of_it_is_repeated(tmp_path: Path) -> None:
    people = population()
    folder = as_ndjson(tmp_path / "fhir", people)
    with (folder / "Condition.ndjson").open("a") as file:
        file.write('{"resourceType": "Condition", "secret": "Ann Other')
    with pytest.raises(StandardInputError, match=r"Condition.ndjson cannot be read") as caught:
        draft_cohort(folder, name="a_ward", rules=RULES, words=WORDS, into=tmp_path / "into")
    assert "Ann Other" not in str(caught.value)


def test_values_of_another_type_are_missing_and_stop_nothing(tmp_path: Path) -> None:
    people = population()
    folder = as_omop(tmp_path / "omop", people)
    whole = draft_cohort(folder, name="whole", rules=RULES, words=WORDS, into=tmp_path / "into").cohort
    rows = pl.read_csv(folder / "person.csv", infer_schema=False)
    first = pl.int_range(pl.len()) == 0
    wrong = {"year_of_birth": "unknown", "gender_concept_id": "?", "month_of_birth": "13"}
    rows.with_columns(
        *(pl.when(first).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in wrong.items())
    ).write_csv(folder / "person.csv")
    draft = draft_cohort(folder, name="a_ward", rules=RULES, words=WORDS, into=tmp_path / "into")
    assert draft.cohort.units == whole.units
    subjects = tables(draft)[0]
    assert subjects["age_years"].null_count() == subjects["sex"].null_count() == 1
