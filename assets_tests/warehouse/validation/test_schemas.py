"""The pandera schema of a table says what the description says, and cannot be switched off."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.validation.conversions import POLARS_TYPES
from clinical_assets.warehouse.validation.schemas import COLUMNS_AT_A_TIME, pandera_schema, row_schema

COLUMNS: dict[str, dict[str, Any]] = {
    "patient_id": {"type": "string", "role": "identifier", "pattern": "P[0-9]+"},
    "systolic_bp_mmhg": {"type": "number", "range": [60, 260]},
    "diastolic_bp_mmhg": {"type": "number", "range": [30, None]},
    "age_years": {"type": "integer", "range": [None, 120]},
    "sex": {"type": "string", "categories": ["f", "m"], "nullable": False},
    "grade": {"type": "integer", "categories": {"1": "low", "2": "high"}},
    "is_smoker": {"type": "boolean"},
    "admitted_date": {"type": "date"},
    "discharged_date": {"type": "date"},
}
SOUND: dict[str, Any] = {
    "patient_id": "P1",
    "systolic_bp_mmhg": 120.0,
    "diastolic_bp_mmhg": 80.0,
    "age_years": 50,
    "sex": "f",
    "grade": 1,
    "is_smoker": True,
    "admitted_date": dt.date(2020, 1, 1),
    "discharged_date": dt.date(2020, 1, 3),
}


def table(*, rules: list[dict[str, str]] | None = None, **columns: dict[str, Any]) -> Table:
    described = {name: {"description": "A column.", **column} for name, column in (columns or COLUMNS).items()}
    return Table.model_validate(
        {
            "description": "A table.",
            "source": {"kind": "file", "path": "a.csv"},
            "key": [next(iter(described))],
            "columns": described,
            "rules": [{"cure": "Look.", **rule} for rule in rules or []],
        }
    )


def frame_of(rows: list[dict[str, Any]], described: Table) -> pl.DataFrame:
    types = {name: POLARS_TYPES[column.type] for name, column in described.columns.items()}
    return pl.DataFrame(rows, schema=types)


def breaches(rows: list[dict[str, Any]], described: Table) -> set[tuple[str, tuple[str, ...], int]]:
    frame = frame_of(rows, described)
    return {(b.rule, b.columns, p) for b in row_schema(described).breaches(frame) for p in b.positions.to_list()}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"patient_id": "X1"}, "pattern"),
        ({"patient_id": "P1 "}, "pattern"),
        ({"patient_id": None}, "null"),
        ({"systolic_bp_mmhg": 59.9}, "range"),
        ({"systolic_bp_mmhg": 261.0}, "range"),
        ({"diastolic_bp_mmhg": 29.0}, "range"),
        ({"age_years": 121}, "range"),
        ({"sex": "F"}, "category"),
        ({"sex": None}, "null"),
        ({"grade": 3}, "category"),
    ],
)
def test_each_promise_of_a_column_is_kept_by_its_own_rule(change: dict[str, Any], rule: str) -> None:
    column = next(iter(change))
    assert breaches([SOUND, SOUND | change, SOUND], table()) == {(rule, (column,), 1)}


def test_limits_belong_to_the_range_and_missing_values_pass() -> None:
    limits = SOUND | {"systolic_bp_mmhg": 60.0, "diastolic_bp_mmhg": 30.0, "age_years": 120}
    missing = dict.fromkeys(SOUND) | {"patient_id": "P2", "sex": "m"}
    assert breaches([limits, missing], table()) == set()


def test_all_breaches_come_at_once() -> None:
    rules = [{"name": "dates_in_order", "expression": "admitted_date <= discharged_date"}]
    wrong = SOUND | {"sex": "x", "age_years": 999, "discharged_date": dt.date(2019, 12, 31)}
    assert breaches([wrong, SOUND, wrong], table(rules=rules)) == {
        (rule, columns, row)
        for row in (0, 2)
        for rule, columns in (
            ("range", ("age_years",)),
            ("category", ("sex",)),
            ("dates_in_order", ("admitted_date", "discharged_date")),
        )
    }


def test_a_rule_with_an_unknown_value_passes() -> None:
    rules = [{"name": "systolic_above_diastolic", "expression": "systolic_bp_mmhg > diastolic_bp_mmhg"}]
    rows = [SOUND | {"systolic_bp_mmhg": None}, SOUND | {"diastolic_bp_mmhg": 120.0}]
    named = ("systolic_bp_mmhg", "diastolic_bp_mmhg")
    assert breaches(rows, table(rules=rules)) == {("systolic_above_diastolic", named, 1)}


def test_a_rule_may_have_the_name_of_a_built_in_kind() -> None:
    rules = [{"name": "null", "expression": "age_years > 60"}]
    found = list(row_schema(table(rules=rules)).breaches(frame_of([SOUND], table())))
    assert [(b.rule, b.columns, b.own) for b in found] == [("null", ("age_years",), True)]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("age_years > avg(age_years)", "more than one row"),
        ("sum(age_years) OVER () > 3", "more than one row"),
        ("age_years > (SELECT max(age_years))", "more than one row"),
        ("agee_years > 3", "Did you mean age_years"),
        ("age_years + grade", "not true or false"),
        ("true", "names no column"),
        ("age_years > 'x'", "same type"),
        ("admitted_date > '2020-01-01'", "DATE '2020-01-31'"),
        ("age_years >", "cannot be used"),
        ("nonsense(age_years) > 1", "nonsense"),
        ("discharged_date - admitted_date <= 30", "INTERVAL '30 days'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_before_any_data_is_read(expression: str, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        row_schema(table(rules=[{"name": "odd", "expression": expression}]))
    assert "rule odd" in str(refused.value)
    assert told in str(refused.value)


def test_lengths_of_time_are_compared_with_their_unit() -> None:
    rules = [{"name": "short_stay", "expression": "discharged_date - admitted_date <= INTERVAL '30 days'"}]
    late = SOUND | {"discharged_date": dt.date(2020, 3, 1)}
    assert {p for *_, p in breaches([SOUND, late], table(rules=rules))} == {1}


def test_a_pattern_or_category_that_cannot_be_used_is_refused_with_its_column() -> None:
    with pytest.raises(SpecError, match="column patient_id: pattern"):
        row_schema(table(patient_id={"type": "string", "pattern": "(?=P)P"}))
    with pytest.raises(SpecError, match="column grade: categories"):
        row_schema(table(grade={"type": "integer", "categories": ["low"]}))


def test_pandera_cannot_be_switched_off_from_outside() -> None:
    from pandera.config import ValidationDepth, config_context

    for switched_off in (
        config_context(validation_enabled=False),
        config_context(validation_depth=ValidationDepth.SCHEMA_ONLY),
    ):
        with switched_off:
            assert breaches([SOUND | {"age_years": 999}], table()) == {("range", ("age_years",), 0)}


def test_the_schema_of_a_whole_table_also_holds_key_and_unique_columns() -> None:
    import pandera.errors

    described = table(
        patient_id={"type": "string", "role": "identifier"},
        insurance_id={"type": "string", "role": "identifier", "unique": True},
    )
    schema = pandera_schema(described)
    sound = pl.DataFrame({"patient_id": ["a", "b"], "insurance_id": ["1", "2"]})
    assert schema.validate(sound, lazy=True).equals(sound)
    for column, other in (("patient_id", "insurance_id"), ("insurance_id", "patient_id")):
        with pytest.raises(pandera.errors.SchemaErrors):
            schema.validate(sound.with_columns(pl.lit("same").alias(column), pl.Series(other, ["x", "y"])), lazy=True)


def test_the_schema_of_a_whole_table_refuses_other_types() -> None:
    import pandera.errors

    with pytest.raises(pandera.errors.SchemaErrors):
        pandera_schema(table(age_years={"type": "integer"})).validate(pl.DataFrame({"age_years": [1.0]}), lazy=True)


def test_more_columns_than_are_asked_at_a_time_are_all_asked() -> None:
    names = [f"gene_{i}" for i in range(2 * COLUMNS_AT_A_TIME + 3)]
    genes: dict[str, Any] = {name: {"type": "number", "range": [0, 1]} for name in names}
    described = table(patient_id={"type": "string"}, **genes)
    row: dict[str, Any] = {"patient_id": "a"} | dict.fromkeys(names, 0.5)
    wrong = row | {names[0]: 2.0, names[COLUMNS_AT_A_TIME]: -1.0, names[-1]: 3.0}
    expected = {("range", (name,), 1) for name in (names[0], names[COLUMNS_AT_A_TIME], names[-1])}
    assert breaches([row, wrong], described) == expected


@settings(max_examples=40)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), min_size=1, max_size=30),
    low=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    width=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_ranges_agree_with_comparing_each_value(
    values: list[float | None], low: float | None, width: float | None
) -> None:
    high = None if width is None else (low or 0.0) + width
    described = table(number_of={"type": "integer"}, value={"type": "number", "range": [low, high]})
    rows = [{"number_of": i, "value": value} for i, value in enumerate(values)]
    outside = {
        ("range", ("value",), i)
        for i, value in enumerate(values)
        if value is not None and ((low is not None and value < low) or (high is not None and value > high))
    }
    assert breaches(rows, described) == outside


@pytest.mark.parametrize(("numbers", "sound"), [(["1", "2", None, None], True), (["1", "1", None], False)])
def test_missing_values_are_no_repetition_in_a_column_that_must_be_unique(
    numbers: list[str | None], sound: bool
) -> None:
    import pandera.errors

    schema = pandera_schema(
        table(patient_id={"type": "string"}, insurance_id={"type": "string", "unique": True, "role": "identifier"})
    )
    rows = pl.DataFrame(
        {"patient_id": [f"P{i}" for i in range(len(numbers))], "insurance_id": numbers},
        schema={"patient_id": pl.String, "insurance_id": pl.String},
    )
    if sound:
        schema.validate(rows, lazy=True)
        return
    with pytest.raises(pandera.errors.SchemaErrors, match="unrepeated"):
        schema.validate(rows, lazy=True)
