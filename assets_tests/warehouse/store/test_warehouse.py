"""What a warehouse holds, what a block of it does and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assets_tests.worlds.machine.warehouses import BOTH, NEW, OLD, REPLACE, content, leftovers
from clinical_assets.foundation.errors import ClinicalAssetsError, WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.connections import scratch
from clinical_assets.warehouse.store.database_files import SCHEMAS
from clinical_assets.warehouse.store.warehouse import TableInfo, Warehouse


@BOTH
def test_a_new_warehouse_has_every_schema_and_what_was_written(warehouse: Warehouse) -> None:
    assert warehouse.exists()
    assert warehouse.tables() == [TableInfo("raw", "t", rows=1000, columns=2)]
    found = warehouse.query("SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'warehouse'")
    assert set(SCHEMAS) <= set(found["schema_name"])
    assert not leftovers(warehouse.settings)


def test_without_a_warehouse_there_are_no_tables_and_reading_names_the_cure(settings: Settings) -> None:
    warehouse = Warehouse("heart", settings)
    assert not warehouse.exists()
    assert warehouse.tables() == []
    with pytest.raises(WarehouseError, match="no warehouse yet") as caught, warehouse.reader():
        pass
    assert caught.value.cure is not None
    assert "materialize heart" in caught.value.cure


@pytest.mark.parametrize("name", ["../other", "Heart", "", "a b"])
def test_a_name_that_could_leave_the_folder_is_no_cohort(settings: Settings, name: str) -> None:
    with pytest.raises(WarehouseError, match="not the name of a cohort"):
        Warehouse(name, settings)


@BOTH
def test_a_failed_block_changes_nothing_and_gives_its_space_back(warehouse: Warehouse) -> None:
    before = warehouse.path.stat().st_size

    def fail_late() -> None:
        with warehouse.writer() as connection:
            connection.execute(REPLACE)
            assert warehouse.path.stat().st_size > before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    assert warehouse.path.stat().st_size == before
    assert content(warehouse) == OLD
    with warehouse.writer() as connection:
        connection.execute(REPLACE)
    assert content(warehouse) == NEW


def test_a_statement_that_fails_takes_the_earlier_ones_back(warehouse: Warehouse) -> None:
    with pytest.raises(duckdb.CatalogException), warehouse.writer() as connection:
        connection.execute("DROP TABLE raw.t; SELECT * FROM raw.t")
    assert content(warehouse) == OLD


def test_a_reader_can_change_nothing_and_sees_no_other_file(warehouse: Warehouse, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for statement in (
        "CREATE TABLE raw.other AS SELECT 1",
        "DELETE FROM raw.t",
        f"SELECT * FROM read_csv('{secret}')",
        f"COPY raw.t TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'other.duckdb'}'",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
    ):
        with pytest.raises(WarehouseError, match="cannot answer") as caught:
            warehouse.query(statement)
        assert str(tmp_path / "data") not in str(caught.value)
    assert content(warehouse) == OLD


@BOTH
def test_every_connection_is_bounded_and_offline(warehouse: Warehouse) -> None:
    def setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
        (value,) = connection.execute("SELECT value FROM duckdb_settings() WHERE name = ?", [name]).fetchone() or ("",)
        return str(value)

    for opening in (warehouse.reader, warehouse.writer):
        with opening() as connection:
            assert setting(connection, "threads") == "2"
            assert setting(connection, "memory_limit") == "953.6 MiB"
            assert Path(setting(connection, "temp_directory")).is_relative_to(warehouse.settings.data)
            encrypted = str(warehouse.settings.master_key is not None).lower()
            assert setting(connection, "temp_file_encryption") == encrypted
            for name in ("autoinstall_known_extensions", "autoload_known_extensions", "allow_community_extensions"):
                assert setting(connection, name) == "false"
            assert setting(connection, "TimeZone") in {"UTC", "Etc/UTC"}
            with pytest.raises(duckdb.Error, match=r"disabled|not loaded|Missing Extension|requires the extension"):
                connection.execute("SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')")


def test_a_limit_that_is_none_is_named(settings: Settings) -> None:
    with (
        pytest.raises(ClinicalAssetsError, match="memory 'plenty'"),
        Warehouse("heart", replace(settings, memory_limit="plenty")).writer(),
    ):
        pass


def test_running_out_of_memory_names_the_limit(warehouse: Warehouse) -> None:
    tight = Warehouse("heart", replace(warehouse.settings, memory_limit="20MB"))
    with pytest.raises(WarehouseError, match="more memory than the limit of 20MB"):
        tight.query("SELECT list(range) FROM range(20000000)")


def test_a_file_that_is_no_database_is_called_damaged(warehouse: Warehouse) -> None:
    warehouse.path.write_bytes(b"not a database " * 1000)
    for opening in (warehouse.reader, warehouse.writer):
        with pytest.raises(WarehouseError, match="damaged") as caught, opening():
            pass
        assert "materialize heart" in (caught.value.cure or "")


def test_connections_for_other_work_do_not_disturb_a_writer(warehouse: Warehouse) -> None:
    with scratch(warehouse.settings, "heart") as connection:
        with warehouse.writer():
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert leftovers(warehouse.settings)
    assert not leftovers(warehouse.settings)
