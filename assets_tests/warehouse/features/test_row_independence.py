"""A person's own past is a history; other persons and the person's future are not, in a run and in a check alike."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.tables.shipped import representatives
from assets_tests.worlds.tables.sql_cohorts import SHIPPED_SQL, column, one_table, project_of, validated
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.features.features import FeatureBuild, build_on
from clinical_assets.warehouse.features.invented import try_models
from clinical_assets.warehouse.sql.project import SqlProject

OUTCOME = "SELECT subject_id, day, CAST(died AS INTEGER) AS outcome, NULL AS exclusion FROM {{ source('subjects') }}"
HONEST = (
    "lag(bilirubin) OVER (PARTITION BY subject_id ORDER BY day)",
    "avg(bilirubin) OVER (PARTITION BY subject_id ORDER BY day)",
    "max(bilirubin) OVER (PARTITION BY subject_id ORDER BY day ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)",
    "count(*) OVER (PARTITION BY subject_id ORDER BY day)",
    "day - min(day) OVER (PARTITION BY subject_id ORDER BY day)",
)
DISHONEST = (
    "lead(bilirubin) OVER (PARTITION BY subject_id ORDER BY day)",
    "lag(bilirubin) OVER (PARTITION BY subject_id ORDER BY day DESC)",
    "lag(bilirubin) OVER (PARTITION BY subject_id ORDER BY bilirubin)",
    "lag(bilirubin) OVER (ORDER BY day, bilirubin)",
    "avg(bilirubin) OVER (PARTITION BY subject_id)",
    "avg(bilirubin) OVER (PARTITION BY subject_id ORDER BY day ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "avg(bilirubin) OVER (PARTITION BY day)",
    "avg(bilirubin) OVER ()",
    "rank() OVER (ORDER BY bilirubin)",
    "(SELECT max(o.bilirubin) FROM {{ source('subjects') }} AS o WHERE o.subject_id = s.subject_id)",
)


def visits(**changes: Any) -> CohortSpec:
    """Several visits per person, counted in days; a person is a subject, a visit is a unit."""
    spec = one_table(features="m", outcome="o").canonical()
    subjects = spec["tables"]["subjects"]
    subjects["key"] = ["subject_id", "day"]
    subjects["columns"] = {
        "subject_id": column("string", "identifier", nullable=False),
        "day": column("integer", ["date", "feature"], unit="d", nullable=False, range=[0, 5000]),
        "bilirubin": column("number", range=[0, 40]),
        "died": column("boolean", "target", nullable=False),
    }
    spec["prediction"] = {"moment": "At the visit.", "index_date": "subjects.day", "horizon_days": 365}
    return CohortSpec.model_validate(spec | changes)


def rows(persons: int = 12) -> list[tuple[Any, ...]]:
    draw = random.Random(5)
    return [
        (f"p{person}", 100 * visit + draw.randrange(90), draw.uniform(0.3, 9), draw.random() < 0.3)
        for person in range(persons)
        for visit in range(1 + person % 5)
    ]


def project(folder: Path, expression: str, spec: CohortSpec) -> SqlProject:
    sql = f"SELECT s.subject_id, s.day, {expression} AS f FROM {{{{ source('subjects') }}}} AS s"
    return project_of(folder / "team", {"features/m.sql": sql, "outcomes/o.sql": OUTCOME}, spec)


def built(folder: Path, expression: str) -> FeatureBuild:
    spec = visits()
    data = [row[:4] for row in rows()]
    return build_on(validated(spec, {"subjects": data}), spec, project(folder, expression, spec))


@pytest.mark.parametrize("expression", HONEST)
def test_what_a_person_had_before_is_a_history(tmp_path: Path, expression: str) -> None:
    spec = visits()
    assert try_models(spec, project(tmp_path, expression, spec)) == ()
    found = built(tmp_path, expression)
    assert found.rows == len(rows())
    assert found.compared_alone > 8  # first visits of persons with several, beside those chosen by hash


@pytest.mark.parametrize("expression", DISHONEST)
def test_what_looks_ahead_or_at_others_is_refused_by_the_run_and_by_the_check_before_it(
    tmp_path: Path, expression: str
) -> None:
    spec = visits()
    with pytest.raises(SqlModelError, match="f changes when") as in_the_check:
        try_models(spec, project(tmp_path, expression, spec))
    assert "PARTITION BY subject_id ORDER BY day" in str(in_the_check.value.cure)
    with pytest.raises(SqlModelError, match="f changes when"):
        built(tmp_path, expression)


def test_without_an_index_nobody_can_tell_a_history_from_the_future(tmp_path: Path) -> None:
    spec = visits(prediction={"moment": "At the visit."})
    with pytest.raises(SqlModelError, match="f changes when") as caught:
        try_models(spec, project(tmp_path, HONEST[0], spec))
    assert "index_date" in str(caught.value.cure)


def test_a_day_number_in_the_key_is_a_feature_under_another_name(tmp_path: Path) -> None:
    spec = visits(features="declared_columns")
    found = project_of(tmp_path / "team", {"outcomes/o.sql": OUTCOME}, spec)
    assert list(found.types("features.declared_columns")) == ["subject_id", "day", "day_value", "bilirubin"]
    overview = found.compile("marts.cohort_overview").sql
    assert "newest_record_at" in overview
    assert found.types("staging.prediction_units")["predicted_at"] == "BIGINT"


def test_rows_recorded_after_a_day_number_are_not_seen(tmp_path: Path) -> None:
    spec = visits().canonical()
    spec["tables"]["measures"] = {
        "description": "One row per measurement.",
        "source": {"kind": "file", "path": "none.csv"},
        "key": ["subject_id", "measured_day"],
        "recorded": "measured_day",
        "columns": {
            "subject_id": column("string", "identifier", nullable=False),
            "measured_day": column("integer", "date", nullable=False),
            "weight": column("number"),
        },
    }
    spec["prediction"]["landmark_days"] = 2
    spec = CohortSpec.model_validate(spec)
    sql = (
        "SELECT s.subject_id, s.day, (SELECT sum(weight) FROM {{ source('measures') }} AS m "
        "WHERE m.subject_id = s.subject_id AND m.day = s.day) AS f FROM {{ source('subjects') }} AS s"
    )
    found = project_of(tmp_path / "team", {"features/m.sql": sql, "outcomes/o.sql": OUTCOME}, spec)
    data = {
        "subjects": [("a", 10, 1.0, False), ("a", 20, 1.0, True), ("b", 10, 1.0, False)],
        "measures": [("a", 9, 1.0), ("a", 12, 2.0), ("a", 13, 4.0), ("b", 99, 8.0)],
    }
    connection = validated(spec, data)
    build_on(connection, spec, found)
    assert connection.execute("SELECT * FROM model.features ORDER BY ALL").fetchall() == [
        ("a", 10, 3.0),
        ("a", 20, 7.0),
        ("b", 10, None),
    ]


def test_a_date_cannot_be_compared_with_a_day_number() -> None:
    spec = visits().canonical()
    spec["tables"]["subjects"]["columns"]["seen_on"] = column("date", "date")
    spec["tables"]["subjects"]["recorded"] = "seen_on"
    with pytest.raises(ValueError, match="cannot be compared"):
        CohortSpec.model_validate(spec)


def test_invented_records_raise_no_alarm_on_any_shipped_cohort() -> None:
    catalogue = Catalogue(folders=(SHIPPED,))
    for name in representatives():
        spec = catalogue.spec(name)
        assert try_models(spec, SqlProject((SHIPPED_SQL,), spec)) == (), name
