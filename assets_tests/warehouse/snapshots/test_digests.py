"""A digest says the same of the same content, whatever the order, and something else of anything else."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clinical_assets.foundation.canonical import file_digest, value_digest
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.snapshots.digests import table_digest

KINDS = {
    "n": ("integer", pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "r": ("real", pl.Float64, st.floats(allow_nan=True, allow_infinity=True)),
    "t": ("text", pl.String, st.text(alphabet=st.one_of(st.sampled_from(":;[]0123+-"), st.characters(codec="utf-8")))),
    "b": ("boolean", pl.Boolean, st.booleans()),
}
Row = tuple[Any, ...]
ROWS = st.lists(st.tuples(*(st.none() | values for _, _, values in KINDS.values())), max_size=8)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A plain in-memory connection."""
    with duckdb.connect(":memory:") as opened:
        yield opened


def digest_of(connection: duckdb.DuckDBPyConnection, rows: list[Row], order: tuple[str, ...] = tuple(KINDS)) -> str:
    frame = pl.DataFrame(rows, schema={name: kind for name, (_, kind, _) in KINDS.items()}, orient="row")
    connection.register("frame", frame.select(order))
    return table_digest(connection, "frame")


def reference(rows: list[Row]) -> str:
    """The same digest written a second time, from its description, in plain Python."""

    def piece(name: str, value: Any) -> str:
        if value is None:
            return ":" if name == "t" else ";"
        if name == "t":
            return f"{len(value.encode())}:{value}"
        if name == "r":
            value = 0.0 if value == 0 else math.nan if math.isnan(value) else value
            return f"{int.from_bytes(struct.pack('>d', value), 'big')};"
        return f"{str(value).lower()};"

    header = json.dumps(
        {
            "columns": {name: family for name, (family, _, _) in KINDS.items()},
            "format": "clinical_assets table digest, version 1",
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    texts = ["".join(piece(name, row[list(KINDS).index(name)]) for name in sorted(KINDS)) for row in rows]
    hashes = sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts)
    return "sha256:" + hashlib.sha256(f"{len(header)}:".encode() + header + "".join(hashes).encode()).hexdigest()


def canonical(row: Row) -> Row:
    """A row in which equal values are equal for Python, too: NaN as a word, kinds apart."""
    return tuple("NaN" if isinstance(v, float) and math.isnan(v) else (type(v).__name__, v) for v in row)


@given(rows=ROWS)
@hypothesis_settings(max_examples=60)
def test_duckdb_and_a_second_writing_of_the_definition_agree(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    assert digest_of(connection, rows) == reference(rows)


@given(rows=ROWS, data=st.data())
@hypothesis_settings(max_examples=40)
def test_order_of_rows_and_columns_does_not_matter(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    columns = data.draw(st.permutations(list(KINDS)))
    assert digest_of(connection, shuffled, tuple(columns)) == digest_of(connection, rows)


@given(left=ROWS, right=ROWS)
@hypothesis_settings(max_examples=80)
def test_different_content_has_different_digests(
    connection: duckdb.DuckDBPyConnection, left: list[Row], right: list[Row]
) -> None:
    assume(sorted(map(repr, map(canonical, left))) != sorted(map(repr, map(canonical, right))))
    # repr tells -0.0 from 0.0, which count as the same value.
    assume(sorted(map(repr, map(canonical, plus_zero(left)))) != sorted(map(repr, map(canonical, plus_zero(right)))))
    assert digest_of(connection, left) != digest_of(connection, right)


def plus_zero(rows: list[Row]) -> list[Row]:
    return [tuple(v + 0.0 if isinstance(v, float) else v for v in row) for row in rows]


@given(rows=ROWS.filter(bool), copies=st.integers(1, 3))
@hypothesis_settings(max_examples=25)
def test_a_row_more_or_less_counts(connection: duckdb.DuckDBPyConnection, rows: list[Row], copies: int) -> None:
    assert digest_of(connection, rows + [rows[0]] * copies) != digest_of(connection, rows)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1::BIGINT", "'1'"),
        ("1::BIGINT", "1.0::DOUBLE"),
        ("1::BIGINT", "true"),
        ("''", "NULL::VARCHAR"),
        ("'NULL'", "NULL::VARCHAR"),
        ("'nan'::DOUBLE", "NULL::DOUBLE"),
        ("0::BIGINT", "NULL::BIGINT"),
        ("1.0::DECIMAL(4,1)", "1.0::DECIMAL(4,2)"),
        ("''::BLOB", "NULL::BLOB"),
        ("'infinity'::TIMESTAMPTZ", "NULL::TIMESTAMPTZ"),
        ("[]::INTEGER[]", "NULL::INTEGER[]"),
        ("[NULL]::INTEGER[]", "[]::INTEGER[]"),
        ("['a, b']", "['a', 'b']"),
        ("['1:a']", "['', 'a']"),
        ("{'a': NULL::INTEGER}", "NULL::STRUCT(a INTEGER)"),
        ("MAP {'a': 1}", "MAP {'a': NULL::INTEGER}"),
        ("DATE '2020-01-01'", "TIMESTAMP '2020-01-01'"),
        ("TIMESTAMP '2020-01-01 00:00:00'", "TIMESTAMP '2020-01-01 00:00:00.000001'"),
    ],
)
def test_values_that_look_alike_differ(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    assert table_digest(connection, f"(SELECT {one} AS x)") != table_digest(connection, f"(SELECT {other} AS x)")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1::TINYINT", "1::HUGEINT"),
        ("1::UINTEGER", "1::BIGINT"),
        ("0.5::FLOAT", "0.5::DOUBLE"),
        ("-0.0::DOUBLE", "0.0::DOUBLE"),
        ("'nan'::DOUBLE", "-('nan'::DOUBLE)"),
        ("'a'::VARCHAR", "'a'::ENUM('b', 'a')"),
        ("TIMESTAMP_S '2020-01-01 00:00:00'", "TIMESTAMP '2020-01-01 00:00:00.000'"),
        ("TIMESTAMPTZ '2020-01-01 02:00:00+02'", "TIMESTAMPTZ '2020-01-01 00:00:00+00'"),
        ("MAP {'a': 1, 'b': 2}", "MAP {'b': 2, 'a': 1}"),
        ("{'a': 1, 'b': 'x'}", "{'b': 'x', 'a': 1}"),
        ("[1, 2]::INTEGER[]", "[1, 2]::BIGINT[2]"),
    ],
)
def test_the_same_value_in_another_storage_type_is_the_same(
    connection: duckdb.DuckDBPyConnection, one: str, other: str
) -> None:
    assert table_digest(connection, f"(SELECT {one} AS x)") == table_digest(connection, f"(SELECT {other} AS x)")


def test_the_time_zone_of_the_connection_does_not_matter() -> None:
    digests = set()
    for zone in ("UTC", "Asia/Kathmandu"):
        with duckdb.connect(":memory:") as opened:
            opened.execute(f"SET TimeZone = '{zone}'")
            digests.add(table_digest(opened, "(SELECT to_timestamp(0) AS at)"))
    assert len(digests) == 1


def test_the_number_of_threads_and_spilling_to_disk_do_not_matter(tmp_path: Path) -> None:
    digests = set()
    for threads, memory in ((1, "1GB"), (4, "1GB"), (2, "60MB")):
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": str(tmp_path / str(threads)),
        }
        with duckdb.connect(":memory:", config=config) as opened:
            digests.add(
                table_digest(opened, "(SELECT range AS i, range % 7 AS k, 'x' || range AS t FROM range(1000000))")
            )
    assert len(digests) == 1


def test_an_empty_table_is_its_columns(connection: duckdb.DuckDBPyConnection) -> None:
    empty = [
        table_digest(connection, f"(SELECT {columns} LIMIT 0)")
        for columns in ("1 AS a", "1 AS b", "'x' AS a", "1 AS a, 1 AS b")
    ]
    assert len(set(empty)) == 4
    assert table_digest(connection, "(SELECT 1 AS a LIMIT 0)") == empty[0]


def test_record_numbers_are_no_content_unless_asked_for(connection: duckdb.DuckDBPyConnection) -> None:
    one, two = "(SELECT 1 AS _row, 5 AS x)", "(SELECT 2 AS _row, 5 AS x)"
    assert table_digest(connection, one) == table_digest(connection, two)
    assert table_digest(connection, one, exclude=()) != table_digest(connection, two, exclude=())


def test_a_table_of_record_numbers_only_counts_its_rows(connection: duckdb.DuckDBPyConnection) -> None:
    one, two = (f"(SELECT range AS _row FROM range({n}))" for n in (1, 2))
    assert table_digest(connection, one) != table_digest(connection, two)


def test_uncommitted_rows_are_seen_by_their_own_connection() -> None:
    with duckdb.connect(":memory:") as opened:
        opened.execute("CREATE TABLE t AS SELECT 1 AS x")
        before = table_digest(opened, "t")
        opened.execute("BEGIN")
        opened.execute("INSERT INTO t VALUES (2)")
        during = table_digest(opened, "t")
        opened.execute("ROLLBACK")
        assert before == table_digest(opened, "t") != during


def test_thousands_of_columns_have_a_digest(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f"{i} AS c{i}" for i in range(3000))
    backwards = ", ".join(f"{i} AS c{i}" for i in reversed(range(3000)))
    assert table_digest(connection, f"(SELECT {columns})") == table_digest(connection, f"(SELECT {backwards})")


def test_a_type_without_a_canonical_text_is_refused_by_column(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(WarehouseError, match="column 'u' has type UNION") as caught:
        table_digest(connection, "(SELECT union_value(n := 1) AS u)")
    assert caught.value.cure is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON, data=st.data())
@hypothesis_settings(max_examples=60)
def test_the_order_of_keys_does_not_matter_for_a_value(value: Any, data: st.DataObject) -> None:
    def turned(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: turned(item[key]) for key in data.draw(st.permutations(list(item)))}
        return tuple(turned(part) for part in item) if isinstance(item, list) else item

    assert value_digest(turned(value)) == value_digest(value)


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, 1.0), (None, "null"), ([1], [[1]]), ({}, []), (True, 1)])
def test_values_of_different_kinds_differ(one: Any, other: Any) -> None:
    assert value_digest(one) != value_digest(other)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        value_digest([math.nan])
    with pytest.raises(TypeError, match="not text"):
        value_digest([{1: "a"}])


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_digest(path) == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
