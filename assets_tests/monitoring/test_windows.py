"""A report says which records it speaks of: the newest batches, or the matured outcomes of one model."""

from __future__ import annotations

import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served, new_patients
from clinical_assets.monitoring.performance.label_free import label_free_report
from clinical_assets.monitoring.windows import drift_relation, followed_records, matured_records, newest_batches


def test_as_many_of_the_newest_batches_as_are_needed(served: Served) -> None:
    sizes = (40, 30, 20)
    batches = [
        served.receive(*new_patients(size, seed=number), name=str(number)) for number, size in enumerate(sizes, start=1)
    ]
    for batch in batches:
        served.score(batch)
    with served.warehouse.reader() as connection:
        windows = {
            least: newest_batches(connection, served.spec, bundle_digest=served.bundle.digest, at_least=least)
            for least in (1, 20, 21, 51, 10_000)
        }
    found = {least: (window.batches, window.rows) for least, window in windows.items() if window is not None}
    assert found[1] == found[20] == ((batches[2],), 20)
    assert found[21] == ((batches[1], batches[2]), 50)
    assert found[51] == (tuple(batches), 90)
    assert found[10_000][1] == 490


def test_a_model_that_scored_nothing_has_no_window(served: Served) -> None:
    with served.warehouse.reader() as connection:
        assert newest_batches(connection, served.spec, bundle_digest="sha256:none", at_least=1) is None


def test_drift_looks_at_every_record_of_the_window_once(served: Served) -> None:
    with served.warehouse.reader() as connection:
        window = newest_batches(connection, served.spec, bundle_digest=served.bundle.digest, at_least=1)
        assert window is not None
        relation = drift_relation(
            connection, served.spec, window, bundle_digest=served.bundle.digest, features=served.bundle.feature_columns
        )
        rows = connection.execute(f"SELECT * FROM {relation}").pl()
    assert rows.columns == [*served.bundle.feature_columns, "risk"]
    assert rows.height == window.rows == 400


def test_matured_records_have_score_outcome_features_and_groups_once(served: Served, matured: pl.DataFrame) -> None:
    wanted = {"patient_id", "batch", "risk", "is_alert", "outcome", "known_at", "shown", "acted", "protected_sex"}
    assert {*wanted, *served.bundle.feature_columns} <= set(matured.columns)
    assert matured.height == matured["patient_id"].n_unique() == 400


def test_a_unit_that_is_delivered_again_is_no_new_evidence(served: Served) -> None:
    subjects, visits = new_patients(40, seed=1)
    for name, rows in (("one", subjects), ("two", [{**row, "age_years": 90} for row in subjects])):
        served.score(served.receive(rows, visits, name=name))
    with served.warehouse.reader() as connection:
        window = newest_batches(connection, served.spec, bundle_digest=served.bundle.digest, at_least=41)
        assert window is not None
        # Forty units and the four hundred before them; the first delivery of the forty adds nothing.
        assert (len(window.batches), window.rows) == (3, 440)
        names = served.bundle.feature_columns
        relation = drift_relation(connection, served.spec, window, bundle_digest=served.bundle.digest, features=names)
        rows = connection.execute(f"SELECT * FROM {relation}").pl()
        expected = label_free_report(connection, served.spec, served.bundle)
    assert rows.height == 440
    assert rows.filter(pl.col("age_years") == 90).height >= 40
    assert expected is not None
    assert expected.n == 440


def test_a_score_made_after_the_outcome_does_not_replace_the_one_that_was_served(served: Served) -> None:
    subjects, visits = new_patients(30, seed=9)
    told = [{"patient_id": row["patient_id"], "died": row["died"]} for row in subjects]
    served.score(served.receive(subjects, visits, name="before"))
    served.outcomes(told)
    before = served.matured()
    later = [{**row, "age_years": 17 if row["age_years"] > 60 else 99} for row in subjects]
    served.score(served.receive(later, visits, name="after"))
    # Neither does the same outcome, sent once more, make the later record an earlier one.
    served.outcomes(told, name="again.csv")
    after = served.matured()
    assert before is not None
    assert after is not None
    assert before.equals(after)


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
    from assets_tests.worlds.ward.trained import made_records

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


def test_the_censored_are_followed_records_and_others_stand_for_them(served: Served) -> None:
    variables = {"time_column": "followed_days", "event_column": "died", "horizon_days": 30}
    timed = served.spec.model_copy(update={"outcome": "fixed_horizon", "vars": variables})
    with served.warehouse.writer() as connection:
        connection.execute(
            "UPDATE monitoring.outcomes SET follow_up_days = 1 + hash(unit) % 30, event_code = outcome; "
            "UPDATE monitoring.outcomes SET outcome = NULL WHERE event_code = 0 AND hash(unit) % 3 = 0; "
            "UPDATE monitoring.outcomes SET follow_up_days = 31 WHERE event_code = 0 AND outcome = 0"
        )
    with served.warehouse.reader() as connection:
        asked = {"bundle_digest": served.bundle.digest}
        everybody = followed_records(connection, timed, **asked)
        known = matured_records(connection, timed, **asked)
    assert everybody is not None
    assert known is not None
    assert everybody.height == 400
    censored = everybody["outcome"].null_count()
    assert 0 < censored == 400 - known.height
    assert known["case_weight"].min() == 1.0
    assert known["case_weight"].sum() == pytest.approx(400)
