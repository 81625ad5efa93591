"""SQL databases: streamed in batches, one type a column, and no credentials in any message."""

from __future__ import annotations

import datetime
import decimal
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.cohorts.sources_spec import SqlSource
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.outside import databases
from clinical_assets.sources.outside.databases import read_database

VARIABLE = "CLINICAL_ASSETS_SOURCE_CLINIC"


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "clinic.sqlite"
    monkeypatch.setenv(VARIABLE, f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE subjects (subject_id TEXT PRIMARY KEY, age INTEGER, weight REAL, note)")
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO subjects VALUES (?, ?, ?, ?)",
            [(f"S{i:05d}", i % 90 or None, i / 2, "text" if i % 2 else None) for i in reversed(range(2500))],
        )
        database.execute("COMMIT")
        yield database


def test_a_table_comes_in_the_order_of_its_key_over_many_batches(
    clinic: sqlite3.Connection, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BATCH_ROWS", 400)
    loaded = load(kind="sql", url_variable=VARIABLE, table="subjects")
    assert loaded.rows == clinic.execute("SELECT * FROM subjects ORDER BY subject_id").fetchall()
    assert loaded.numbers == list(range(1, 2501))
    assert loaded.types == ["VARCHAR", "BIGINT", "DOUBLE", "VARCHAR"]
    assert loaded.records == 2500
    assert VARIABLE in loaded.description
    assert "clinic.sqlite" not in loaded.description


def test_a_query_is_sent_as_it_stands(clinic: sqlite3.Connection, load: Load) -> None:
    query = """
        SELECT subject_id, '10:30 :x %s 5%' AS "odd ""name" FROM subjects WHERE subject_id LIKE 'S0000%' ORDER BY 1"""
    loaded = load(kind="sql", url_variable=VARIABLE, query=query)
    assert loaded.columns == ["subject_id", 'odd "name']
    assert loaded.rows == [(f"S{i:05d}", "10:30 :x %s 5%") for i in range(10)]


def test_a_column_is_missing_in_one_batch_and_there_in_the_next(
    clinic: sqlite3.Connection, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BATCH_ROWS", 2)
    clinic.execute("CREATE TABLE visits (number INTEGER PRIMARY KEY, score, result, empty)")
    rows: list[tuple[Any, ...]] = [
        (1, None, None, None),
        (2, None, None, None),
        (3, 7, 5, None),
        (4, None, "high", None),
        (5, 7.5, 2, None),
    ]
    clinic.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", rows)
    loaded = load(kind="sql", url_variable=VARIABLE, table="visits")
    assert loaded.types == ["BIGINT", "DOUBLE", "VARCHAR", "VARCHAR"]
    assert loaded.rows == [(a, b, str(c) if c is not None else None, d) for a, b, c, d in rows]


def test_a_number_that_no_common_type_keeps_is_refused(
    clinic: sqlite3.Connection, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BATCH_ROWS", 1)
    clinic.execute("CREATE TABLE ids (number INTEGER PRIMARY KEY, id)")
    clinic.executemany("INSERT INTO ids VALUES (?, ?)", [(1, 0.5), (2, 2**53 + 1)])
    with pytest.raises(SourceError, match="column 'id'") as caught:
        load(kind="sql", url_variable=VARIABLE, table="ids")
    assert "CAST" in str(caught.value.cure)


def test_values_without_a_plain_type_become_text() -> None:
    name = uuid.UUID(int=1)
    assert databases._array([name, None]).to_pylist() == [str(name), None]
    assert databases._array([{"a": [1]}, None]).to_pylist() == ['{"a": [1]}', None]
    assert databases._array([datetime.timedelta(days=1)]).to_pylist() == ["1 day, 0:00:00"]
    assert databases._array([2**70, "x"]).to_pylist() == [str(2**70), "x"]
    plain = [decimal.Decimal("1.50"), None]
    assert databases._array(plain).to_pylist() == plain


def test_an_empty_result_has_its_columns(clinic: sqlite3.Connection, load: Load) -> None:
    loaded = load(kind="sql", url_variable=VARIABLE, query="SELECT * FROM subjects WHERE false")
    assert (loaded.columns, loaded.rows) == (["subject_id", "age", "weight", "note"], [])


def test_doubled_columns_are_refused(clinic: sqlite3.Connection, load: Load) -> None:
    with pytest.raises(SourceError, match="columns 1 and 3 are both called 'age'"):
        load(kind="sql", url_variable=VARIABLE, query="SELECT age, weight, age FROM subjects")


def test_a_query_cannot_write(clinic: sqlite3.Connection, load: Load) -> None:
    with pytest.raises(SourceError):
        load(kind="sql", url_variable=VARIABLE, query="DELETE FROM subjects RETURNING subject_id")
    assert clinic.execute("SELECT count(*) FROM subjects").fetchone() == (2500,)


def test_a_missing_variable_or_table_or_file_names_the_cure(
    clinic: sqlite3.Connection, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"CLINICAL_ASSETS_SOURCE_NONE.*is not set"):
        load(kind="sql", url_variable="CLINICAL_ASSETS_SOURCE_NONE", table="subjects")
    with pytest.raises(SourceError, match="no_such_table"):
        load(kind="sql", url_variable=VARIABLE, table="no_such_table")
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/other.sqlite")
    with pytest.raises(SourceError, match="no SQLite file"):
        load(kind="sql", url_variable=VARIABLE, table="subjects")
    assert not (tmp_path / "other.sqlite").exists()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg2://nurse:hunter2%21@db.clinic.example/ward",
        "oracle+cx_nothing://nurse:hunter2%21@db.clinic.example/ward",
        "nothing at all hunter2! nurse db.clinic.example",
        "sqlite:////nowhere/db.clinic.example?password=hunter2%21&user=nurse",
    ],
)
def test_no_part_of_the_address_is_ever_shown(
    load: Load, monkeypatch: pytest.MonkeyPatch, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(SourceError) as caught:
        load(kind="sql", url_variable=VARIABLE, table="subjects")
    error: BaseException | None = caught.value
    shown = caplog.text
    while error is not None:
        shown += f"{error} {getattr(error, 'cure', '')}"
        error = error.__cause__ if error.__suppress_context__ else error.__cause__ or error.__context__
    assert not any(secret in shown for secret in ("hunter2", "nurse", "clinic.example"))


def test_what_the_driver_says_is_scrubbed() -> None:
    from sqlalchemy import make_url

    url = make_url("postgresql://nurse:pa%3Ass@db.example/ward?sslkey=abc123")
    error = RuntimeError('connection to "db.example" failed: user "nurse" with pa:ss / pa%3Ass, key abc123, db ward')
    assert databases._scrubbed(error, url) == 'connection to "***" failed: user "***" with *** / ***, key ***, db ***'


def test_postgresql_types_come_as_they_are(
    tmp_path: Path,
    connection: duckdb.DuckDBPyConnection,
    postgres_url: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    query = """
        SELECT i AS id, i * 1.25::numeric(10, 2) AS dose, date '2020-01-01' + i AS day, i % 2 = 0 AS even,
            timestamptz '2020-01-01 12:00+01' AS moment, jsonb_build_object('i', i) AS payload,
            interval '1 day' AS span, ARRAY[i, 2] AS list, gen_random_uuid() AS token, '5%' AS share
        FROM generate_series(1, 2500) AS i ORDER BY i"""
    source = SqlSource(kind="sql", url_variable=VARIABLE, query=query)
    reading = read_database(connection, source, folder=tmp_path, settings=settings, batch_rows=400)
    connection.execute(f"CREATE TABLE stored AS {reading.sql}")
    types = [row[1] for row in connection.execute("DESCRIBE stored").fetchall()]
    assert types[:7] == ["BIGINT", "BIGINT", types[2], "DATE", "BOOLEAN", "TIMESTAMP WITH TIME ZONE", "VARCHAR"]
    assert types[2].startswith("DECIMAL")
    assert connection.execute("SELECT count(*), min(_row = id), sum(dose) FROM stored").fetchone() == (
        2500,
        True,
        decimal.Decimal("3907812.50"),
    )
    assert connection.execute("SELECT payload, list, share FROM stored WHERE id = 1").fetchone() == (
        '{"i": 1}',
        "[1, 2]",
        "5%",
    )
