"""Words of notes as features: one count in training, in batches and alone, and no word that few people say."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer
from typer.testing import CliRunner

from assets_tests.worlds.descriptions import minimal, small_search
from assets_tests.worlds.tables.shipped import own_settings
from assets_tests.worlds.tables.sql_cohorts import one_table
from clinical_assets.cli.main import app
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.bundle.batch_scoring import with_scores
from clinical_assets.modelling.bundle.record_scoring import RecordScorer, TableRows
from clinical_assets.modelling.trainings.make_bundle import make_bundle
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.sql.note_words import common_words
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort

WORDS = ["seizures", "hypotonia", "muscle tone", "low muscle", "krampfe", "tone"]
PHRASES = ["Seizures,", "HYPOTONIA;", "low muscle-tone", "Krämpfe.", "tone", "well", "a", "x2y"]
NAME = "zachariasz"


def description(words: list[str], **more: Any) -> dict[str, Any]:
    made = minimal(modelling={**small_search(), "notes": {"note": {"words": words, **more}}})
    columns = made["tables"]["subjects"]["columns"]
    columns["note"] = {"type": "string", "role": "note", "description": "What was written down."}
    return made


def patients(n: int = 260) -> list[dict[str, Any]]:
    """Notes of words with seizures more often among those who die; a name stands in four."""
    random = np.random.default_rng(8)
    rows = []
    for number in range(n):
        died = bool(random.random() < 0.4)
        words = [phrase for phrase in PHRASES for _ in range(random.binomial(2, 0.4 if died else 0.2))]
        random.shuffle(words)
        note = " ".join([*words, *([NAME.title()] if number < 4 else [])])
        age, sex = int(random.integers(20, 90)), str(random.choice(["f", "m"]))
        written = "" if number == 9 else note
        rows.append({"patient_id": f"P{number:03d}", "age_years": age, "sex": sex, "died": died, "note": written})
    return rows


class World:
    """The cohort in a team's folder, its records validated."""

    def __init__(self, folder: Path, words: list[str], **more: Any) -> None:
        (folder / "data").mkdir(parents=True)
        (folder / "small_cohort.yaml").write_text(yaml.safe_dump(description(words, **more)))
        rows = patients()
        with (folder / "small_cohort.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        self.folder = folder
        settings = own_settings(folder / "data")
        catalogue = Catalogue(folders=(folder,))
        self.spec = catalogue.spec("small_cohort")
        self.warehouse = Warehouse("small_cohort", settings)
        self.project = SqlProject(catalogue.sql_folders, self.spec)
        ingest(self.spec, settings=settings, folder=folder)
        validate_cohort(self.spec, self.warehouse)

    def notes(self) -> pl.DataFrame:
        return self.warehouse.query("SELECT * EXCLUDE _row FROM validated.subjects ORDER BY patient_id")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("notes"), WORDS)
    build_features(made.spec, made.project, made.warehouse)
    return made


def counts(frame: pl.DataFrame) -> np.ndarray:
    return frame.select(f"note_word_{word.replace(' ', '_')}" for word in WORDS).to_numpy()


def test_counts_are_those_of_scikit_learn_on_letters_alone(world: World) -> None:
    found = world.warehouse.query("SELECT * FROM model.features ORDER BY patient_id")
    theirs = CountVectorizer(
        strip_accents="unicode", token_pattern="[a-z]{2,}", ngram_range=(1, 2), vocabulary=WORDS
    ).transform([note or "" for note in world.notes()["note"]])
    np.testing.assert_array_equal(counts(found), theirs.toarray())
    assert counts(found).any(axis=0).all()
    assert not counts(found)[9].any()


def test_training_batch_and_one_record_alone_have_equal_counts_and_risks(world: World) -> None:
    bundle = make_bundle(
        world.spec, warehouse=world.warehouse, sql=world.project, folder=world.folder / "models"
    ).bundle
    trained = world.warehouse.query("SELECT * FROM model.features ORDER BY patient_id")
    records = world.notes()
    with RecordScorer(world.spec, bundle) as scorer:
        together = scorer.score({"subjects": records}).frame.sort("patient_id")
        np.testing.assert_array_equal(bundle.matrix(together), bundle.matrix(trained))
        np.testing.assert_array_equal(together["risk"], with_scores(bundle, trained)["risk"])
        for row in records.head(12).iter_rows():
            alone = scorer.score_rows({"subjects": TableRows(tuple(records.columns), [row])})
            place = records["patient_id"].to_list().index(alone.keys[0][0])
            np.testing.assert_array_equal(alone.X[0], bundle.matrix(trained)[place])
            np.testing.assert_array_equal(alone.decisions.risk[0], together["risk"][place])
    (block,) = bundle.description.preparation.words
    assert len(block.weights) == len(WORDS)
    assert all(weight > 1 for weight in block.weights)


def test_no_word_that_few_people_say_gets_into_features_or_a_draft(world: World, tmp_path: Path) -> None:
    few = World(tmp_path / "few", [*WORDS, NAME])
    with pytest.raises(InsufficientData, match=f"fewer than 5 people say '{NAME}'"):
        build_features(few.spec, few.project, few.warehouse)
    drafted = common_words(world.warehouse, world.spec, "note", persons=5, most=300)
    assert {"seizures", "low muscle", "muscle tone"} <= set(drafted)
    assert not [word for word in drafted if NAME in word]
    assert not any(character.isdigit() for word in drafted for character in word)
    assert NAME in common_words(world.warehouse, world.spec, "note", persons=4, most=300)


def test_the_drafted_lines_are_a_right_part_of_a_description(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINICAL_ASSETS_CATALOGUE", str(world.folder))
    monkeypatch.setenv("CLINICAL_ASSETS_DATA", str(world.folder / "data"))
    shown = CliRunner().invoke(app, ["cohorts", "words", "small_cohort", "--most", "7"])
    assert shown.exit_code == 0, shown.output
    drafted = yaml.safe_load(shown.output)["modelling"]["notes"]["note"]
    assert len(drafted["words"]) == 7
    assert one_table(modelling={"notes": {"remark": drafted}}).modelling.notes["remark"].minimum_persons == 5


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({"sex": {"words": ["low"]}}, "no text of role note"),
        ({"remark": {"words": ["Low"]}}, "no word of a normalised note"),
        ({"remark": {"words": ["low muscle tone"]}}, "no word of a normalised note"),
        ({"remark": {"words": ["low", "low"]}}, "listed twice"),
        ({"remark": {"words": ["low"], "minimum_persons": 2}}, "greater than or equal to 5"),
    ],
)
def test_a_description_of_words_that_cannot_be_is_refused(notes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        one_table(modelling={"notes": notes})
