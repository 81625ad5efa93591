"""A batch is held to the promises of the source, but for what is only known later."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from clinical_assets.cohorts.sources_spec import FileSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.warehouse.outcomes.batch_spec import as_written, batch_spec, key_text, later_columns, outcome_spec


def table(key: dict[str, dict[str, Any]], **source: Any) -> Table:
    columns = {name: {"description": "A column.", **column} for name, column in key.items()}
    value = {"description": "-", "source": {"kind": "file", "path": "x.csv", **source}, "key": list(key)}
    return Table.model_validate({**value, "columns": columns})


def answer(sql: str) -> Any:
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchone()[0]


def test_columns_known_later_are_left_out_with_rules_that_speak_of_them(minimal: dict[str, Any]) -> None:
    minimal["tables"]["subjects"]["rules"] = [
        {"name": "adults_die", "expression": "NOT DIED OR age_years > 1", "cure": "-"},
        {"name": "adults", "expression": "age_years > 0", "cure": "-"},
    ]
    spec = CohortSpec.model_validate(minimal)

    early = batch_spec(spec, {"subjects": "subjects/*.csv"}).subjects

    assert "died" not in early.columns
    assert [rule.name for rule in early.rules] == ["adults"]
    assert isinstance(early.source, FileSource)
    assert early.source.format == "csv"


def test_keys_and_times_of_recording_stay_even_where_they_are_outcomes() -> None:
    described = table({"id": {"type": "string", "role": "outcome"}})
    assert later_columns(described) == ()


def test_outcomes_that_are_filled_in_may_still_be_missing(small_spec: CohortSpec) -> None:
    assert not small_spec.subjects.columns["died"].nullable
    assert outcome_spec(small_spec).subjects.columns["died"].nullable


@pytest.mark.parametrize(("written", "same"), [("1", "1.0"), ("1", " 1 "), ("007", "7"), ("+7", "7")])
def test_an_integer_key_is_one_however_it_is_written(written: str, same: str) -> None:
    described = table({"id": {"type": "integer"}})
    names = {answer(f"SELECT {key_text(described)} FROM (SELECT '{text}' AS id)") for text in (written, same)}
    assert len(names) == 1


def test_a_text_key_keeps_its_leading_zeros() -> None:
    described = table({"id": {"type": "string"}})
    names = {answer(f"SELECT {key_text(described)} FROM (SELECT '{text}' AS id)") for text in ("007", "7")}
    assert len(names) == 2


def test_large_integers_are_told_apart() -> None:
    described = table({"id": {"type": "integer"}})
    near = [9007199254740992, 9007199254740993]
    assert len({answer(f"SELECT {key_text(described)} FROM (SELECT {number} AS id)") for number in near}) == 2


def test_a_date_in_the_sources_format_names_the_same_unit_as_the_date() -> None:
    described = table({"on": {"type": "date", "format": "%d.%m.%Y"}})
    raw = answer(f"SELECT {key_text(described)} FROM (SELECT '31.01.2024' AS \"on\")")
    assert raw == answer(f"SELECT {key_text(described, typed=True)} FROM (SELECT DATE '2024-01-31' AS \"on\")")


@given_settings(max_examples=50)
@given(
    st.lists(st.tuples(st.text("ab|\\", max_size=4), st.text("ab|\\", max_size=4)), min_size=2, max_size=2, unique=True)
)
def test_two_keys_of_several_columns_never_have_one_name(keys: list[tuple[str, str]]) -> None:
    described = table({"a": {"type": "string"}, "b": {"type": "string"}})
    with duckdb.connect() as connection:
        names = {
            connection.execute(
                f"SELECT {key_text(described)} FROM (SELECT $a AS a, $b AS b)", {"a": a, "b": b}
            ).fetchone()[0]  # type: ignore[index]
            for a, b in keys
        }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("column", "typed", "written"),
    [
        ({"type": "boolean", "true_values": ["ja"], "false_values": ["nein"]}, "true", "ja"),
        ({"type": "date", "format": "%d.%m.%Y"}, "DATE '2024-01-31'", "31.01.2024"),
        ({"type": "date"}, "DATE '2024-01-31'", "2024-01-31"),
        ({"type": "number"}, "1.5::DOUBLE", "1,5"),
        ({"type": "boolean"}, "NULL::BOOLEAN", None),
    ],
)
def test_a_typed_value_is_written_as_the_source_writes_it(
    column: dict[str, Any], typed: str, written: str | None
) -> None:
    described = table({"x": column}, csv={"decimal": ","})
    assert isinstance(described.columns["x"], Column)
    assert answer(f"SELECT {as_written(described, 'x', typed)}") == written
