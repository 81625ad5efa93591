"""The severity cohort: what its stand-in promises, what its SQL finds in notes, and phenopackets in its place."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from assets_tests.sources.typed.test_phenopackets import packet, sign
from assets_tests.worlds.tables.shipped import Built, build_cohort, own_settings
from clinical_assets.sources.synthetic.registry import generate
from clinical_assets.sources.synthetic.severity import GRADES, PUBLISHED_COUNTS, SIGNS
from clinical_assets.warehouse.sql.schema import empty_database

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_cohort("disease_severity", own_settings(tmp_path_factory.mktemp("severity")))


@pytest.fixture(scope="module")
def tables(built: Built) -> dict[str, pl.DataFrame]:
    return generate("disease_severity", seed=built.spec.subjects.source.seed)  # type: ignore[union-attr]


def test_grades_have_their_published_shares_and_noise_moves_them_to_neighbours_alone() -> None:
    quiet, noisy = (
        generate("disease_severity", seed=3, parameters={"rows": 4000, "label_noise": share}) for share in (0.0, 0.2)
    )
    assert quiet["truth"].equals(noisy["truth"])
    assert quiet["cases"]["severity"].equals(quiet["truth"]["severity"])
    counts = dict(quiet["cases"]["severity"].value_counts().iter_rows())
    for name, count in zip(GRADES, PUBLISHED_COUNTS, strict=True):
        assert counts[name] / 4000 == pytest.approx(count / sum(PUBLISHED_COUNTS), abs=0.001)
    told, true = (noisy[table]["severity"].replace_strict(GRADES, range(5)) for table in ("cases", "truth"))
    assert set((told - true).abs()) == {0, 1}
    assert (told != true).mean() == pytest.approx(0.2, abs=0.02)


def test_every_person_is_used_with_a_level_and_a_feature_for_every_sign(built: Built) -> None:
    outcomes = built.query("SELECT outcome, count(*) AS n FROM model.outcomes GROUP BY outcome ORDER BY outcome")
    assert outcomes["outcome"].to_list() == [0, 1, 2, 3]
    assert built.query("SELECT count(*) AS n FROM model.outcomes WHERE exclusion IS NOT NULL")["n"].item() == 0
    features = built.query("SELECT * FROM model.features")
    assert sum(name.startswith(("has_", "is_speech")) for name in features.columns) == len(SIGNS)


def found_in_notes(built: Built, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Every mention in a note of a sign that was not coded, with what the SQL made of it."""
    names = {
        "HP:0001250": "has_seizure", "HP:0001252": "has_hypotonia", "HP:0000252": "has_microcephaly",
        "HP:0001257": "has_spasticity", "HP:0001344": "is_speech_absent", "HP:0002376": "has_regression",
        "HP:0011968": "has_feeding_difficulty", "HP:0000733": "has_stereotypies",
    }  # fmt: skip
    features = built.query("SELECT * FROM model.features").unpivot(list(names.values()), index="case_id")
    coded = tables["signs"].filter("is_observed").select("case_id", "sign")
    return (
        tables["mentions"]
        .join(coded, on=["case_id", "sign"], how="anti")
        .filter(pl.col("sign").is_in(list(names)))
        .with_columns(variable=pl.col("sign").replace_strict(names))
        .join(features, on=["case_id", "variable"])
    )


def test_most_signs_that_only_a_note_names_are_found_and_none_that_it_denies(
    built: Built, tables: dict[str, pl.DataFrame]
) -> None:
    mentions = found_in_notes(built, tables)
    recall = mentions.filter(~pl.col("is_denied"))["value"].mean()
    # An eighth of the mentions uses words that no list of synonyms has.
    assert 0.8 < recall < 0.95  # type: ignore[operator]
    assert mentions.filter("is_denied").height > 20
    assert mentions.filter("is_denied")["value"].sum() == 0


@pytest.mark.parametrize(
    ("note", "seen"),
    [
        ("Seizures and low muscle tone.", {"has_seizure", "has_hypotonia"}),
        ("Seizures were not seen; hypotonia.", {"has_hypotonia"}),
        ("Nystagmus absent. Absent speech.", {"is_speech_absent"}),
        ("Ataxia: negative, scoliosis.", {"has_scoliosis"}),
        ("No fever but seizures.", {"has_seizure"}),
        ("Without ataxia or nystagmus; microcephaly.", {"has_microcephaly"}),
        ("The brother has epilepsy. Family history of autism. FTT.", {"has_failure_to_thrive"}),
        ("Mother denies seizures; she brought a small head to the clinic.", {"has_microcephaly"}),
    ],
)
def test_what_is_denied_or_said_of_relatives_is_not_seen(built: Built, note: str, seen: set[str]) -> None:
    with empty_database(built.spec) as connection:
        connection.execute(
            "INSERT INTO validated.subjects BY NAME SELECT 'c' AS case_id, 'p' AS paper, ? AS note", [note]
        )
        found = connection.execute(built.project.compile("features.disease_severity").sql).pl().row(0, named=True)
    assert {name for name, value in found.items() if name.startswith(("has_", "is_speech")) and value == 1} == seen


def test_with_the_release_file_the_same_description_reads_phenopackets(tmp_path: Path) -> None:
    settings = own_settings(tmp_path)
    target = settings.data / "phenopackets" / "all_phenopackets.zip"
    target.parent.mkdir(parents=True)
    grades = ("HP:0001256", "HP:0002342", "HP:0010864", "HP:0002187")
    with zipfile.ZipFile(target, "w") as file:
        for number in range(12):
            seizure = sign("HP:0001250", "Seizure", excluded=number % 2 == 0)
            signs = [seizure, sign(grades[number % 4])] if number < 8 else [seizure]
            file.writestr(f"x/PMID_{number // 3}_{number}.json", json.dumps(packet(*signs)))
    cohort = build_cohort("disease_severity", settings)
    assert not cohort.spec.synthetic
    outcomes = cohort.query("SELECT outcome, exclusion FROM model.outcomes")
    assert outcomes["outcome"].drop_nulls().value_counts()["count"].to_list() == [2, 2, 2, 2]
    assert outcomes["exclusion"].drop_nulls().to_list() == ["no grade given"] * 4
    features = cohort.query("SELECT * FROM model.features")
    assert features["has_seizure"].sum() == 6
    assert set(features["disease_number"]) == {184900}
