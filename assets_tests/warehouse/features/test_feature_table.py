"""Training reads units whose outcome is known, in key order, with numbers, outcome and protected attributes."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.descriptions import case_weight
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.features.feature_table import load_feature_table
from clinical_assets.warehouse.store.warehouse import Warehouse

SUBJECTS = [
    (1, "p3", 70, "f", True),
    (2, "p1", 50, None, False),
    (3, "p2", 60, "m", False),
    (4, "p4", 80, "m", None),
]
FEATURES = [("p3", 70.0, 1.0), ("p1", math.nan, 2.0), ("p2", 60.0, None), ("p4", 80.0, 4.0)]
OUTCOMES = [("p4", None, "censored before the horizon"), ("p3", 1, None), ("p2", 0, None), ("p1", 0, None)]


def fill(
    settings: Settings,
    *,
    subjects: list[Any] = SUBJECTS,
    features: list[Any] = FEATURES,
    outcomes: list[Any] = OUTCOMES,
    names: tuple[str, str] = ("age_years", "visits"),
) -> Warehouse:
    warehouse = Warehouse("small_cohort", settings)
    frames = {
        "validated.subjects": pl.DataFrame(
            subjects, schema=["_row", "patient_id", "age_years", "sex", "died"], orient="row", infer_schema_length=None
        ),
        "model.features": pl.DataFrame(features, schema=["patient_id", *names], orient="row", strict=False),
        "model.outcomes": pl.DataFrame(
            outcomes, schema={"patient_id": pl.String, "outcome": pl.Int32, "exclusion": pl.String}, orient="row"
        ),
    }
    with warehouse.writer() as connection:
        for relation, frame in frames.items():
            connection.register("frame", frame)
            connection.execute(f"CREATE OR REPLACE TABLE {relation} AS SELECT * FROM frame")
            connection.unregister("frame")
    return warehouse


def test_units_with_a_known_outcome_come_in_key_order(small_spec: CohortSpec, settings: Settings) -> None:
    table = load_feature_table(fill(settings), small_spec)
    assert (table.key, table.subject) == (("patient_id",), "patient_id")
    assert table.feature_columns == ("age_years", "visits")
    assert table.protected == ("sex",)
    assert table.frame.rows() == [
        ("p1", None, 2.0, 0, None),
        ("p2", 60.0, None, 0, "m"),
        ("p3", 70.0, 1.0, 1, "f"),
    ]
    assert table.frame.schema == {
        "patient_id": pl.String,
        "age_years": pl.Float64,
        "visits": pl.Float64,
        "outcome": pl.Int64,
        "sex": pl.String,
    }


def test_the_digest_follows_the_content_and_not_the_order(small_spec: CohortSpec, settings: Settings) -> None:
    first = load_feature_table(fill(settings), small_spec)
    again = load_feature_table(fill(settings, features=FEATURES[::-1], outcomes=OUTCOMES[::-1]), small_spec)
    assert again.digest == first.digest
    assert again.frame.equals(first.frame)
    other = [*OUTCOMES[:3], ("p1", 1, None)]
    assert load_feature_table(fill(settings, outcomes=other), small_spec).digest != first.digest
    unused = [*FEATURES[:3], ("p4", 81.0, 4.0)]  # of a unit that is excluded
    assert load_feature_table(fill(settings, features=unused), small_spec).digest == first.digest


def test_a_protected_attribute_stands_beside_a_feature_of_the_same_name(
    minimal: dict[str, Any], settings: Settings
) -> None:
    minimal["tables"]["subjects"]["columns"]["age_years"]["role"] = ["feature", "protected"]
    table = load_feature_table(fill(settings), CohortSpec.model_validate(minimal))
    assert table.protected == ("age_years", "sex")
    assert table.protected_column("age_years") == "age_years_group"
    assert table.protected_column("sex") == "sex"
    assert table.frame["age_years"].to_list() == [None, 60.0, 70.0]
    assert table.frame["age_years_group"].to_list() == ["50", "60", "70"]
    with pytest.raises(KeyError):
        table.protected_column("visits")


def test_a_subject_with_several_units_is_named_beside_the_key(minimal: dict[str, Any], settings: Settings) -> None:
    columns = minimal["tables"]["subjects"]["columns"]
    columns["stay"] = {"type": "integer", "role": "identifier", "description": "Stay."}
    minimal["tables"]["subjects"]["key"] = ["stay"]
    warehouse = Warehouse("small_cohort", settings)
    with warehouse.writer() as connection:
        connection.execute(
            "CREATE TABLE validated.subjects AS SELECT 1 AS _row, 10 - range AS stay, "
            "'p1' AS patient_id, 'f' AS sex FROM range(3)"
        )
        connection.execute("CREATE TABLE model.features AS SELECT stay, 1.0::DOUBLE AS x FROM validated.subjects")
        connection.execute(
            "CREATE TABLE model.outcomes AS SELECT stay, 0 AS outcome, NULL::VARCHAR AS exclusion "
            "FROM validated.subjects"
        )
    table = load_feature_table(warehouse, CohortSpec.model_validate(minimal))
    assert (table.key, table.subject) == (("stay",), "patient_id")
    assert table.frame.select("stay", "patient_id").rows() == [(8, "p1"), (9, "p1"), (10, "p1")]


def test_before_features_are_built_the_cure_is_named(small_spec: CohortSpec, settings: Settings) -> None:
    warehouse = Warehouse("small_cohort", settings)
    with warehouse.writer():
        pass
    with pytest.raises(WarehouseError, match=r"has no table model\.features yet") as caught:
        load_feature_table(warehouse, small_spec)
    assert "--select features" in (caught.value.cure or "")


def test_tables_of_different_age_are_refused(small_spec: CohortSpec, settings: Settings) -> None:
    for warehouse in (
        fill(settings, features=FEATURES[:2]),
        fill(settings, subjects=[*SUBJECTS, SUBJECTS[0]]),
        fill(settings, subjects=SUBJECTS[1:]),
    ):
        with pytest.raises(WarehouseError, match="of different age"):
            load_feature_table(warehouse, small_spec)


def test_an_outcome_missing_without_a_reason_is_refused(small_spec: CohortSpec, settings: Settings) -> None:
    with pytest.raises(WarehouseError, match=r"1 units .* neither an outcome nor a reason"):
        load_feature_table(fill(settings, outcomes=[*OUTCOMES[:3], ("p1", None, None)]), small_spec)


@pytest.mark.parametrize(("column", "factor"), [(None, 1.0), ("stands_for", 3.0)])
def test_units_weigh_what_the_outcome_gives_them_times_their_own_case_weight(
    minimal: dict[str, Any], settings: Settings, column: str | None, factor: float
) -> None:
    if column is not None:
        minimal["tables"]["subjects"]["columns"][column] = case_weight()
    warehouse = fill(settings)
    with warehouse.writer() as connection:
        connection.execute("ALTER TABLE validated.subjects ADD COLUMN stands_for DOUBLE DEFAULT 3")
        connection.execute("ALTER TABLE model.outcomes ADD COLUMN case_weight DOUBLE")
        connection.execute("UPDATE model.outcomes SET case_weight = 1.5 WHERE outcome = 1")
        connection.execute("UPDATE model.outcomes SET case_weight = 1.25 WHERE outcome = 0")
    frame = load_feature_table(warehouse, CohortSpec.model_validate(minimal)).frame
    assert frame["case_weight"].to_list() == [1.25 * factor, 1.25 * factor, 1.5 * factor]


def test_a_feature_that_is_no_number_is_refused(small_spec: CohortSpec, settings: Settings) -> None:
    words = [(key, "many", 1.0) for key, _, _ in FEATURES]
    with pytest.raises(WarehouseError, match="feature 'age_years' of cohort 'small_cohort' is no number"):
        load_feature_table(fill(settings, features=words), small_spec)


def test_the_follow_up_of_the_censored_stands_beside_the_rows_with_an_outcome(
    minimal: dict[str, Any], settings: Settings
) -> None:
    outcome = {"time": "followed", "event": "died", "horizon_days": 30}
    minimal["tables"]["subjects"]["columns"]["stands_for"] = case_weight()
    warehouse = fill(settings)
    with warehouse.writer() as connection:
        connection.execute("ALTER TABLE validated.subjects ADD COLUMN stands_for DOUBLE DEFAULT 3")
        connection.execute("ALTER TABLE model.outcomes ADD COLUMN case_weight DOUBLE")
        connection.execute("ALTER TABLE model.outcomes ADD COLUMN follow_up_days DOUBLE DEFAULT 12.5")
        connection.execute("ALTER TABLE model.outcomes ADD COLUMN event_code INTEGER DEFAULT 0")
        connection.execute("UPDATE model.outcomes SET case_weight = 1.5 WHERE outcome IS NOT NULL")
    other = load_feature_table(warehouse, CohortSpec.model_validate(minimal))
    assert other.censored is None
    assert "follow_up_days" not in other.frame.columns
    table = load_feature_table(warehouse, CohortSpec.model_validate({**minimal, "outcome": outcome}))
    assert table.frame["patient_id"].to_list() == ["p1", "p2", "p3"]
    assert table.frame["case_weight"].to_list() == [4.5, 4.5, 4.5]
    assert table.censored is not None
    assert table.censored.columns == table.frame.columns
    kept = ("patient_id", "outcome", "case_weight", "follow_up_days", "event_code", "record_weight", "age_years")
    assert table.censored.select(kept).rows() == [("p4", None, None, 12.5, 0, 3.0, 80.0)]
    with warehouse.writer() as connection:
        connection.execute("UPDATE model.features SET visits = 9 WHERE patient_id = 'p4'")
    assert load_feature_table(warehouse, CohortSpec.model_validate({**minimal, "outcome": outcome})).digest != (
        table.digest
    )
