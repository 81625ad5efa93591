"""Features hang on the past alone: deleting what came after the prediction changes none, and a change is found."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets_tests.warehouse.features.test_row_independence import HONEST, project, rows, visits
from assets_tests.worlds.tables.shipped import CATALOGUE, build_cohort, own_settings
from assets_tests.worlds.tables.sql_cohorts import INDEX, VISIT_FEATURES, one_table, project_of, validated, with_visits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.features.features import build_on
from clinical_assets.warehouse.features.truncation import TruncationResult, truncation_invariance
from clinical_assets.warehouse.sql.project import SqlProject

OUTCOME = "SELECT subject_id, 1 AS outcome, NULL AS exclusion FROM {{ source('subjects') }}"
DAYS = (-3, 0, 27, 28, 29, 400)


def moment(kind: str, day: int) -> Any:
    if kind == "integer":
        return day
    return INDEX + dt.timedelta(days=day) if kind == "date" else dt.datetime(2020, 3, 1, 12) + dt.timedelta(days=day)


def built(tmp_path: Path, spec: CohortSpec, *, recorded: str = "date", index: str = "date") -> tuple[Any, SqlProject]:
    files = {"visit_features.sql": VISIT_FEATURES, "outcomes/o.sql": OUTCOME}
    models = project_of(tmp_path / "team", files, spec)
    people = [(f"p{i}", moment(index, 0), 40 + i, 10.0 * i, "alive") for i in range(5)]
    events = [
        (f"p{i}", number, moment(recorded, day), 60.0 + 3 * number + i, day > 20, 1.0)
        for i in range(5)
        for number, day in enumerate(DAYS)
    ]
    connection = validated(spec, {"subjects": people, "visits": events})
    build_on(connection, spec, models)
    return connection, models


def looked_at(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, models: SqlProject) -> TruncationResult:
    return truncation_invariance(connection, spec, models.compile(models.feature_model))


@pytest.mark.parametrize(
    ("recorded", "index"),
    [("date", "date"), ("datetime", "date"), ("date", "datetime"), ("datetime", "datetime"), ("integer", "date")],
)
def test_what_came_later_is_deleted_by_its_own_clock_and_nothing_changes(
    tmp_path: Path, recorded: str, index: str
) -> None:
    spec = with_visits(outcome="o", kind=recorded, index_kind=index)
    connection, models = built(tmp_path, spec, recorded=recorded, index=index)
    found = looked_at(connection, spec, models)
    assert found == TruncationResult(5, {"subjects": 0, "visits": 5 * 2}, (), {}, 0)


def test_features_that_saw_more_than_was_known_are_named(tmp_path: Path) -> None:
    seeing_more = with_visits(outcome="o", landmark_days=29)
    connection, _ = built(tmp_path, seeing_more)
    spec = with_visits(outcome="o", landmark_days=28)
    found = looked_at(connection, spec, SqlProject([tmp_path / "team"], spec))
    assert found.changed == {
        "visits": 5, "visits_missed": 5, "visits_missed_share": 5, "heart_rate_mean_bpm": 5, "heart_rate_last_bpm": 5,
    }  # fmt: skip
    assert found.units == 5


@pytest.mark.parametrize("expression", HONEST)
def test_a_persons_first_and_last_unit_are_looked_at_each_as_it_was_then(tmp_path: Path, expression: str) -> None:
    spec = visits()
    models = project(tmp_path, expression, spec)
    data = rows()
    connection = validated(spec, {"subjects": data})
    build_on(connection, spec, models)
    found = looked_at(connection, spec, models)
    assert (found.units, found.changed, found.lost) == (12 + 9, {}, 0)
    assert found.removed == {"subjects": len(data) - 12}
    # A value of the person's future, as a statement would take that counts over the whole person.
    connection.execute("UPDATE model.features SET f = coalesce(f, 0) + 1 WHERE subject_id = 'p4' AND day < 100")
    assert looked_at(connection, spec, models).changed == {"f": 1}


def test_tables_without_a_time_are_named_and_tables_of_one_moment_have_no_future(tmp_path: Path) -> None:
    spec = one_table(outcome="o")
    models = project_of(tmp_path / "team", {"outcomes/o.sql": OUTCOME}, spec)
    connection = validated(spec, {"subjects": [("p1", 40, 70.5, True, "F", "", True, "A", 1.0)]})
    assert looked_at(connection, spec, models) == TruncationResult(0, {}, (), {}, 0)


@pytest.mark.parametrize("cohort", [n for n in CATALOGUE.names() if CATALOGUE.spec(n).index_column is not None])
def test_the_features_of_a_shipped_cohort_hang_on_the_past_alone(cohort: str, tmp_path: Path) -> None:
    made = build_cohort(cohort, own_settings(tmp_path))
    with made.warehouse.reader() as connection:
        found = looked_at(connection, made.spec, made.project)
    assert (found.changed, found.lost) == ({}, 0)
    assert found.units == made.build.rows
    assert sum(found.removed.values()) > 0
