"""A report says which records it speaks of: the newest batches, or the matured outcomes of one model."""

from __future__ import annotations

import polars as pl

from assets_tests.modelling.served import Served, new_patients
from clinical_assets.monitoring.windows import drift_relation, newest_batches


def test_as_many_of_the_newest_batches_as_are_needed(served: Served) -> None:
    sizes = (40, 30, 20)
    batches = [
        served.receive(*new_patients(size, seed=number), name=str(number)) for number, size in enumerate(sizes, start=1)
    ]
    for batch in batches:
        served.score(batch)
    with served.warehouse.reader() as connection:
        windows = {
            least: newest_batches(connection, bundle_digest=served.bundle.digest, at_least=least)
            for least in (1, 20, 21, 51, 10_000)
        }
    found = {least: (window.batches, window.rows) for least, window in windows.items() if window is not None}
    assert found[1] == found[20] == ((batches[2],), 20)
    assert found[21] == ((batches[1], batches[2]), 50)
    assert found[51] == (tuple(batches), 90)
    assert found[10_000][1] == 490


def test_a_model_that_scored_nothing_has_no_window(served: Served) -> None:
    with served.warehouse.reader() as connection:
        assert newest_batches(connection, bundle_digest="sha256:none", at_least=1) is None


def test_drift_looks_at_every_record_of_the_window_once(served: Served) -> None:
    with served.warehouse.reader() as connection:
        window = newest_batches(connection, bundle_digest=served.bundle.digest, at_least=1)
        assert window is not None
        relation = drift_relation(
            served.spec, window, bundle_digest=served.bundle.digest, features=served.bundle.feature_columns
        )
        rows = connection.execute(f"SELECT * FROM {relation}").pl()
    assert rows.columns == [*served.bundle.feature_columns, "risk"]
    assert rows.height == window.rows == 400


def test_matured_records_have_score_outcome_features_and_groups_once(served: Served, matured: pl.DataFrame) -> None:
    wanted = {"patient_id", "batch", "risk", "is_alert", "outcome", "known_at", "shown", "acted", "protected_sex"}
    assert {*wanted, *served.bundle.feature_columns} <= set(matured.columns)
    assert matured.height == matured["patient_id"].n_unique() == 400


def test_of_a_unit_that_came_twice_the_newest_score_counts(served: Served) -> None:
    subjects, visits = new_patients(30, seed=9)
    served.score(served.receive(subjects, visits, name="one"))
    served.score(served.receive([{**row, "age_years": 90} for row in subjects], visits, name="two"))
    served.outcomes([{"patient_id": row["patient_id"], "died": row["died"]} for row in subjects])
    found = served.matured()
    assert found is not None
    twice = found.filter(pl.col("patient_id").is_in([row["patient_id"] for row in subjects]))
    assert (twice.height, twice["age_years"].unique().to_list()) == (30, [90.0])


def test_patients_whom_the_model_was_made_from_are_not_its_performance(served: Served) -> None:
    from assets_tests.governance.trained import made_records

    subjects, visits = made_records(50)
    served.score(served.receive(subjects, visits, name="old"))
    served.outcomes([{"patient_id": row["patient_id"], "died": row["died"]} for row in subjects])
    found = served.matured()
    assert found is not None
    assert not set(found["patient_id"]) & {row["patient_id"] for row in subjects}


def test_without_outcomes_nothing_has_matured(served: Served) -> None:
    with served.warehouse.writer() as connection:
        connection.execute("DROP TABLE monitoring.outcomes")
    assert served.matured() is None


def test_scores_of_long_ago_are_left_out(served: Served) -> None:
    with served.warehouse.writer() as connection:
        connection.execute("UPDATE monitoring.scored_records SET scored_at = '2001-01-01T00:00:00.000000+00:00'")
    found = served.matured()
    assert found is not None
    assert found.height == 0
