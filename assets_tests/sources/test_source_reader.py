"""The contract of ``open_source``: inside a warehouse's transaction, nothing left behind, nothing silently lost."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from assets_tests.sources.conftest import Load, make_table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.readers import format_of
from clinical_assets.sources.source_reader import open_source


@pytest.fixture
def warehouse(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> duckdb.DuckDBPyConnection:
    connection.execute(f"ATTACH '{tmp_path / 'cohort.duckdb'}' AS warehouse")
    connection.execute("USE warehouse")
    connection.execute("CREATE SCHEMA raw")
    return connection


def test_a_table_is_stored_inside_the_warehouses_transaction(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("id,age\n" + "".join(f"{i},{i}\n" if i != 5 else "bad\n" for i in range(1, 10)))
    for _ in range(2):
        warehouse.execute("BEGIN")
        table = make_table(kind="file", path="x.csv")
        with open_source(warehouse, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
            assert opened.store(warehouse, 'raw."subjects"') == 8
            assert opened.rejects_sql is not None
            warehouse.execute(f"CREATE OR REPLACE TABLE raw._rejects AS {opened.rejects_sql}")
        warehouse.execute("COMMIT")
    assert warehouse.execute("SELECT _row = id::BIGINT FROM raw.subjects").fetchall() == [(True,)] * 8
    assert warehouse.execute("SELECT line, text FROM raw._rejects").fetchall() == [(6, "bad")]
    tables = warehouse.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    assert sorted(tables) == [("raw", "_rejects"), ("raw", "subjects")]


def test_a_failed_statement_inside_is_what_the_caller_sees(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("id,age\n1,2\nbad\n")

    def fails() -> None:
        table = make_table(kind="file", path="x.csv")
        with open_source(warehouse, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
            opened.store(warehouse, "raw.subjects")
            warehouse.execute("SELECT 1 / 'x'")

    warehouse.execute("BEGIN")
    with pytest.raises(duckdb.ConversionException):
        fails()
    warehouse.execute("ROLLBACK")
    assert warehouse.execute("SELECT count(*) FROM information_schema.tables").fetchone() == (0,)
    assert list((settings.data / "temporary").iterdir()) == []


def test_records_that_the_engine_loses_are_noticed(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text('id,note\n1,"a" "b\n2,c\n3,"d"\n4,"e" x",f\n')
    table = make_table(kind="file", path="x.csv")
    with open_source(connection, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
        assert opened.records is not None
        opened.verify_complete(opened.records - 1, 1)
        with pytest.raises(SourceError, match=r"Malformed quotes begin at x\.csv, line 2") as caught:
            opened.verify_complete(opened.records - 1, 0)
        assert "quote" in str(caught.value.cure)


def test_a_connection_that_forgets_order_is_refused(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    connection.execute("SET preserve_insertion_order = false")
    table = make_table(kind="file", path="x.csv")
    with (
        pytest.raises(SourceError, match="keep their order"),
        open_source(connection, table, table_name="subjects", settings=settings, folder=tmp_path),
    ):
        pass


def test_reading_twice_gives_each_reject_once(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("a,b,c,d\n1\n1,2,3,4\n1,2,3,4,5,6\n")
    table = make_table(kind="file", path="x.csv")
    with open_source(connection, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
        assert opened.rejects_sql is not None
        for _ in range(2):
            assert len(connection.execute(opened.sql).fetchall()) == 1
            assert [row[0] for row in connection.execute(opened.rejects_sql).fetchall()] == [2, 4]


def test_a_file_is_looked_for_in_the_data_folder_too(load: Load, settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    (settings.data / "x.csv").write_text("id\n1\n")
    assert load(path="x.csv").rows == [("1",)]


def test_nothing_is_written_beside_the_data_folder(load: Load, tmp_path: Path) -> None:
    load(path="in/x.csv", content="id,name\n1,Müller\r\n2,x\n".encode("utf-16"), csv={"encoding": "utf-16"})
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {"in", "in/x.csv", "data", "data/temporary"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.CSV", "csv"), ("a.b.tsv.gz", "csv"), ("a.txt.zst", "csv"), ("a.parquet", "parquet"), ("a.ndjson", "jsonl")],
)
def test_the_ending_says_the_format(name: str, expected: str) -> None:
    assert format_of(name) == expected


@pytest.mark.parametrize("name", ["a", "a.gz", "a.rds"])
def test_an_ending_that_says_nothing_asks_for_the_format(load: Load, name: str) -> None:
    with pytest.raises(SourceError, match="ending does not say") as caught:
        load(path=name, content="id\n1\n")
    assert "format: csv" in str(caught.value.cure)
    assert load(path=name, content="id\n1\n", format="csv").rows == [("1",)]
