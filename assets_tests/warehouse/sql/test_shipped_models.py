"""The shipped models mean what they say: declared columns, recorded classes, outcomes at a fixed horizon."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.worlds.tables.sql_cohorts import SHIPPED_SQL, column, one_table, project_of, validated, with_visits
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import create_validated_tables

INDEX = dt.date(2020, 3, 1)


def test_a_declared_feature_that_is_no_number_is_refused_with_the_cure(tmp_path: Path) -> None:
    spec = one_table(columns={"town": column("string")})
    with pytest.raises(SqlModelError, match="feature town is a string, which is no number") as caught:
        project_of(tmp_path, {}, spec).compile("declared_columns")
    assert caught.value.cure is not None
    assert "categories" in caught.value.cure


def test_codes_that_leave_one_name_are_told_apart_by_their_labels(tmp_path: Path) -> None:
    labels = {"A+": "A positive", "A-": "A negative"}
    spec = one_table(columns={"blood": column("string", categories=labels)})
    sql = project_of(tmp_path, {}, spec).compile("declared_columns").sql
    assert "= 'A+' AS INTEGER) AS \"blood_is_a_positive\"" in sql
    assert "= 'A-' AS INTEGER) AS \"blood_is_a_negative\"" in sql


def test_two_categories_that_would_share_a_name_are_refused(tmp_path: Path) -> None:
    spec = one_table(columns={"stage": column("string", categories=["I a", "i-A"])})
    with pytest.raises(SqlModelError, match="would be called stage_is_i_a, which is taken"):
        project_of(tmp_path, {}, spec).compile("declared_columns")


def test_the_heart_disease_features_agree_with_the_declared_columns() -> None:
    spec = Catalogue(folders=(SHIPPED,)).spec("heart_disease")
    project = SqlProject([SHIPPED_SQL], spec)
    written = project.compile("features.heart_disease").sql
    declared = project.compile("features.declared_columns").sql
    categories = {
        "sex": ["Male", "Female", None],
        "chest_pain": ["typical angina", "atypical angina", "non-anginal", "asymptomatic", None],
        "st_slope": ["upsloping", "flat", "downsloping", None],
        "thallium_scan": ["normal", "fixed defect", "reversable defect", None],
        "resting_ecg": ["normal", "st-t abnormality", "lv hypertrophy", None],
    }
    with duckdb.connect() as connection:
        create_validated_tables(connection, spec)
        lists = ", ".join(
            f"(SELECT unnest({values!r}) AS {name})".replace("None", "NULL") for name, values in categories.items()
        )
        connection.execute(
            f"INSERT INTO validated.subjects BY NAME SELECT row_number() OVER () AS patient_id, 50 AS age_years, "
            f"150 AS max_heart_rate_bpm, * FROM {lists}"
        )
        same = {
            "is_male": "sex_is_male",
            "is_angina_typical": "chest_pain_is_typical_angina",
            "is_angina_atypical": "chest_pain_is_atypical_angina",
            "is_pain_free": "chest_pain_is_asymptomatic",
            "is_ecg_st_t_abnormal": "resting_ecg_is_st_t_abnormality",
            "is_ecg_lv_hypertrophy": "resting_ecg_is_lv_hypertrophy",
            "is_st_slope_flat": "st_slope_is_flat",
            "is_st_slope_down": "st_slope_is_downsloping",
            "is_thallium_defect_fixed": "thallium_scan_is_fixed_defect",
            "is_thallium_defect_reversible": "thallium_scan_is_reversable_defect",
        }
        differing = " OR ".join(f"w.{a} IS DISTINCT FROM d.{b}" for a, b in same.items())
        total, wrong, below = connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {differing}), any_value(heart_rate_below_expected_bpm) "
            f"FROM ({written}) AS w JOIN ({declared}) AS d USING (patient_id)"
        ).fetchall()[0]
    assert (total, wrong, below) == (3 * 5 * 4 * 4 * 4, 0, 20)


@pytest.mark.parametrize(
    ("variables", "kind", "values", "expected"),
    [
        ({}, "boolean", [True, False, None], [1, 0, None]),
        ({}, "integer", [0, 1, None], [0, 1, None]),
        ({"positive_values": [2, 3]}, "integer", [1, 2, 3, None], [0, 1, 1, None]),
        ({"positive_values": ["dead"]}, "string", ["dead", "alive", None], [1, 0, None]),
        ({"ordered_values": ["mild", "severe"]}, "string", ["severe", "mild", "unclear", None], [1, 0, None, None]),
    ],
)
def test_a_recorded_class_becomes_the_outcome(
    tmp_path: Path, variables: dict[str, Any], kind: str, values: list[Any], expected: list[int | None]
) -> None:
    spec = one_table(columns={"died": column(kind, "target")}, vars=variables)
    people = [(f"p{i}", 40, 70.0, True, "F", "", value, "A", 1.0) for i, value in enumerate(values)]
    connection = validated(spec, {"subjects": people})
    found = connection.execute(project_of(tmp_path, {}, spec).compile("target_class").sql + " ORDER BY 1").fetchall()
    assert [outcome for _, outcome, _ in found] == expected
    assert all((outcome is None) == (exclusion is not None) for _, outcome, exclusion in found)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"target_column": "nothing"}, "the outcome column is not clear: nothing"),
        ({"positive_values": [1], "ordered_values": [0, 1]}, "both positive_values and ordered_values"),
        ({"ordered_values": [0, 1, 2]}, "3 values for 2 classes"),
        ({"target_column": "remark"}, "the values of remark are not said to be classes"),
    ],
)
def test_a_class_that_is_not_clear_is_refused(tmp_path: Path, variables: dict[str, Any], words: str) -> None:
    with pytest.raises(SqlModelError, match=rf"(?s)outcomes/target_class\.sql:\d+: .*{words}"):
        project_of(tmp_path, {}, one_table(vars=variables)).compile("target_class")


def judged(days: float | None, event: bool | None, *, landmark: int, horizon: int) -> tuple[int | None, bool]:
    """The rule in plain words: outcome, and whether the unit is used."""
    if days is None or event is None or days <= landmark:
        return None, False
    if event and days <= landmark + horizon:
        return 1, True
    return (0, True) if days >= landmark + horizon else (None, False)


@hypothesis_settings(max_examples=60)
@given(
    followed=st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-2, 30)), st.sampled_from(["event", "alive", None])), max_size=20
    ),
    landmark=st.integers(0, 5),
    horizon=st.integers(1, 12),
    unit=st.sampled_from(["days", "weeks"]),
)
def test_an_outcome_at_a_fixed_horizon_follows_the_written_rule(
    tmp_path_factory: pytest.TempPathFactory,
    followed: list[tuple[int | None, str | None]],
    landmark: int,
    horizon: int,
    unit: str,
) -> None:
    spec = with_visits(landmark_days=landmark)
    spec = spec.model_copy(update={"vars": {**spec.vars, "horizon_days": horizon, "time_unit": unit}})
    people = [(f"p{i:02}", INDEX, 40, days, status) for i, (days, status) in enumerate(followed)]
    project = project_of(tmp_path_factory.getbasetemp() / "horizon", {}, spec)
    connection = validated(spec, {"subjects": people, "visits": []})
    found = connection.execute(f"SELECT * FROM ({project.compile('fixed_horizon').sql}) ORDER BY 1").fetchall()
    factor = {"days": 1, "weeks": 7}[unit]
    assert [(outcome, exclusion is None) for _, outcome, exclusion, *_ in found] == [
        judged(
            None if days is None else days * factor,
            None if status is None else status == "event",
            landmark=landmark,
            horizon=horizon,
        )
        for days, status in followed
    ]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"time_column": "followed_days"}, "does not set the variable 'event_column'"),
        ({"time_column": "nothing", "event_column": "status"}, "has no column nothing"),
        ({"time_column": "followed_days", "event_column": "status"}, "which values of status mean the event"),
        (
            {"time_column": "status", "event_column": "status", "event_values": ["event"]},
            "time_column status is a string",
        ),
        (
            {"time_column": "followed_days", "event_column": "status", "event_values": ["event"], "time_unit": "moons"},
            "time_unit is moons",
        ),
    ],
)
def test_a_horizon_that_is_not_clear_is_refused(tmp_path: Path, variables: dict[str, Any], words: str) -> None:
    with pytest.raises(SqlModelError, match=rf"outcomes/fixed_horizon\.sql:\d+: .*{words}"):
        project_of(tmp_path, {}, with_visits(vars=variables)).compile("fixed_horizon")
