"""A batch is scored once, by the bundle's own statement, as one record at a time would be."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pytest

from assets_tests.modelling.served import Served, new_patients
from clinical_assets.modelling import scored
from clinical_assets.warehouse.sql_schema import create_validated_tables

ROWS = 120


@pytest.fixture
def batch(served: Served) -> str:
    """A received batch."""
    return served.receive(*new_patients(ROWS, seed=3))


def scores(served: Served) -> pl.DataFrame:
    return served.warehouse.query("SELECT * FROM monitoring.scored_records ORDER BY patient_id")


def test_scores_are_those_of_the_bundle_on_the_kept_features(served: Served, batch: str) -> None:
    done = served.score(batch)
    found = scores(served)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features ORDER BY patient_id")
    assert done.rows == ROWS == found.height
    assert found["risk"].to_numpy() == pytest.approx(served.bundle.score(features), abs=1e-12)
    assert found["is_alert"].to_list() == (found["risk"] >= served.bundle.description["threshold"]).to_list()
    assert done.alerts == found["is_alert"].sum()
    assert done.tiers == {"Low": (found["risk"] < 0.5).sum(), "High": (found["risk"] >= 0.5).sum()}


def test_a_record_alone_gets_the_score_that_it_gets_in_a_batch(served: Served, batch: str) -> None:
    served.score(batch)
    found = scores(served)
    for patient in found["patient_id"].to_list()[:5]:
        with duckdb.connect() as alone:
            create_validated_tables(alone, served.spec)
            for table in served.spec.tables:
                rows = served.warehouse.query(f"SELECT * FROM received_valid.{table} WHERE patient_id = '{patient}'")
                alone.register("one", rows.drop("batch"))
                alone.execute(f"INSERT INTO validated.{table} BY NAME SELECT * FROM one")
            features = alone.execute(served.bundle.statement).pl()
        (told,) = found.filter(pl.col("patient_id") == patient)["risk"]
        assert served.bundle.score(features)[0] == pytest.approx(told, abs=1e-12)


def test_scoring_again_changes_nothing(served: Served, batch: str) -> None:
    first = served.score(batch)
    before = scores(served)
    again = served.score(batch)
    assert (first.new, again.new) == (True, False)
    assert (again.rows, again.alerts, again.tiers) == (first.rows, first.alerts, first.tiers)
    assert scores(served).equals(before)


def test_a_process_that_scored_meanwhile_is_noticed(
    served: Served, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = iter([False])
    is_scored = scored._is_scored
    served.score(batch)
    monkeypatch.setattr(scored, "_is_scored", lambda *given: next(looked, None) is not False and is_scored(*given))
    assert not served.score(batch).new
    assert scores(served).height == ROWS


def test_chunks_give_what_one_piece_gives(served: Served, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored, "_CHUNK_ROWS", 7)
    served.score(batch)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features ORDER BY patient_id")
    assert scores(served)["risk"].to_numpy() == pytest.approx(served.bundle.score(features), abs=1e-12)


def test_each_batch_is_scored_by_its_own_records_alone(served: Served, batch: str) -> None:
    other = served.receive(*new_patients(50, seed=4), name="other")
    served.score(batch)
    served.score(other)
    counted = served.warehouse.query("SELECT batch, count(*) AS n FROM monitoring.scored_records GROUP BY ALL").rows()
    assert dict(counted) == {batch: ROWS, other: 50}


def test_subject_groups_and_features_stand_beside_the_score(served: Served, batch: str) -> None:
    served.score(batch)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features")
    assert {"patient_id", "protected_sex", "protected_region", *served.bundle.feature_columns} <= set(features.columns)
    assert features["protected_sex"].null_count() > 0
    assert np.isnan(features["marker_a"].fill_null(float("nan")).to_numpy()).any()


def test_a_batch_of_nobody_has_no_scores(served: Served) -> None:
    done = served.score("sha256:nothing")
    assert (done.rows, done.alerts, done.tiers) == (0, 0, {"Low": 0, "High": 0})


def test_a_column_that_the_description_lost_does_not_keep_old_batches_from_being_scored(
    served: Served, batch: str
) -> None:
    with served.warehouse.writer() as connection:
        connection.execute("ALTER TABLE received_valid.subjects ADD COLUMN blood_type VARCHAR")
    assert served.score(batch).rows == ROWS
