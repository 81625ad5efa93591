"""A snapshot is what its name says, or it is not used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.machine.processes import child, fill, small_disk
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.snapshots.snapshots import (
    Snapshot,
    find_snapshot,
    list_snapshots,
    restore_snapshot,
    verify_snapshot,
    write_snapshot,
)
from clinical_assets.warehouse.store.warehouse import Warehouse

ROWS = "SELECT range + 1 AS _row, range % 7 AS age_years, 'p' || range AS patient_id FROM range(1000)"


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """A warehouse of bounded size."""
    return Warehouse("heart", replace(settings, memory_limit="1GB", threads=2))


def store(warehouse: Warehouse, select: str = ROWS) -> Snapshot:
    """Make the raw table and its snapshot from a SELECT."""
    with warehouse.writer() as connection:
        connection.execute(f"CREATE OR REPLACE TABLE raw.subjects AS {select}")
        return write_snapshot(connection, "raw.subjects", cohort="heart", table="subjects", settings=warehouse.settings)


def damage(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1
    path.write_bytes(content)


def test_a_snapshot_says_what_it_holds_and_lies_under_its_digest(warehouse: Warehouse) -> None:
    snapshot = store(warehouse)
    assert (snapshot.rows, snapshot.columns, snapshot.encrypted) == (1000, 2, False)
    folder = warehouse.settings.snapshots / "heart" / "subjects"
    assert snapshot.path == folder / f"{snapshot.digest.removeprefix('sha256:')}.parquet"
    assert snapshot.bytes == snapshot.path.stat().st_size
    assert {path.name for path in folder.iterdir()} == {snapshot.path.name, f"{snapshot.path.stem}.json"}
    assert list_snapshots("heart", "subjects", settings=warehouse.settings) == [snapshot]
    assert str(warehouse.settings.data) not in snapshot.path.with_suffix(".json").read_text()
    verify_snapshot(snapshot, settings=warehouse.settings)


def test_the_same_content_in_another_order_keeps_the_snapshot(warehouse: Warehouse) -> None:
    first = store(warehouse)
    before = first.path.stat()
    again = store(warehouse, f"SELECT patient_id, age_years, 1001 - _row AS _row FROM ({ROWS}) ORDER BY patient_id")
    assert again == first
    assert first.path.stat().st_mtime_ns == before.st_mtime_ns
    other = store(warehouse, f"{ROWS} WHERE range <> 5")
    assert other.digest != first.digest
    assert list_snapshots("heart", settings=warehouse.settings) == [other, first]


def test_restoring_brings_back_every_value_and_record_number(warehouse: Warehouse) -> None:
    first = store(warehouse)
    everything = "SELECT * FROM raw.subjects ORDER BY _row"
    before = warehouse.query(everything)
    store(warehouse, "SELECT 1 AS _row, 'x' AS another")
    assert restore_snapshot(warehouse, "subjects", first.digest[:15]) == 1000
    assert warehouse.query(everything).equals(before)
    (row,) = warehouse.query("SELECT table_name, rows, rejects, digest FROM meta.ingestions").rows()
    assert row == ("subjects", 1000, 0, first.digest)


def test_restoring_needs_no_warehouse(warehouse: Warehouse) -> None:
    first = store(warehouse)
    warehouse.path.unlink()
    assert restore_snapshot(warehouse, "subjects", first.digest) == 1000


@pytest.mark.parametrize("position", [0, 10, 500, -5])
def test_a_flipped_bit_is_found_and_the_table_stays(warehouse: Warehouse, position: int) -> None:
    first = store(warehouse)
    store(warehouse, "SELECT 1 AS _row, 'x' AS another")
    damage(first.path, position)
    with pytest.raises(WarehouseError, match="its bytes have changed"):
        verify_snapshot(first, settings=warehouse.settings)
    with pytest.raises(WarehouseError, match="its bytes have changed") as caught:
        restore_snapshot(warehouse, "subjects", first.digest)
    assert caught.value.cure is not None
    assert warehouse.query("SELECT another FROM raw.subjects").item() == "x"


def test_a_file_swapped_together_with_its_manifest_is_found_by_its_content(warehouse: Warehouse) -> None:
    first = store(warehouse)
    other = store(warehouse, f"{ROWS} WHERE range <> 5")
    first.path.write_bytes(other.path.read_bytes())
    first.path.with_suffix(".json").write_text(other.path.with_suffix(".json").read_text())
    (swapped,) = (s for s in list_snapshots("heart", settings=warehouse.settings) if s.digest == first.digest)
    with pytest.raises(WarehouseError, match=f"its content has the digest {other.digest}"):
        verify_snapshot(swapped, settings=warehouse.settings)
    with pytest.raises(WarehouseError, match="its content has the digest"):
        restore_snapshot(warehouse, "subjects", first.digest)
    assert warehouse.query("SELECT count(*) FROM raw.subjects").item() == 999


def test_a_damaged_snapshot_is_written_again_when_its_content_comes_again(warehouse: Warehouse) -> None:
    first = store(warehouse)
    damage(first.path, 500)
    verify_snapshot(store(warehouse), settings=warehouse.settings)
    first.path.unlink()
    verify_snapshot(store(warehouse), settings=warehouse.settings)


def test_a_missing_file_and_a_broken_manifest_are_named(warehouse: Warehouse) -> None:
    first = store(warehouse)
    first.path.unlink()
    with pytest.raises(WarehouseError, match="its file is missing"):
        verify_snapshot(first, settings=warehouse.settings)
    first.path.with_suffix(".json").write_text(json.dumps({"format": 1}))
    with pytest.raises(WarehouseError, match=r"Manifest .* of heart/subjects cannot be understood"):
        list_snapshots("heart", settings=warehouse.settings)


def test_a_digest_must_name_exactly_one_snapshot(warehouse: Warehouse) -> None:
    first = store(warehouse)
    settings = warehouse.settings
    assert find_snapshot("heart", "subjects", first.digest, settings=settings) == first
    assert find_snapshot("heart", "subjects", first.digest.removeprefix("sha256:")[:6], settings=settings) == first
    for wanted in ("sha256:", "", "zz"):
        with pytest.raises(WarehouseError, match="no snapshots whose digest begins") as caught:
            find_snapshot("heart", "subjects", wanted, settings=settings)
        assert "warehouse snapshots heart" in (caught.value.cure or "")


@pytest.mark.parametrize("value", ["170141183460469231731687303715884105727::HUGEINT", "'101'::BIT"])
def test_what_parquet_would_change_is_refused_by_column(warehouse: Warehouse, value: str) -> None:
    with pytest.raises(WarehouseError, match="column 'big' is of kind"):
        store(warehouse, f"SELECT 1 AS _row, {value} AS big")
    assert list_snapshots("heart", settings=warehouse.settings) == []
    assert [path for path in warehouse.settings.snapshots.rglob("*") if path.is_file()] == []


def test_typed_columns_come_back_as_they_were(warehouse: Warehouse) -> None:
    columns = (
        "1 AS _row, 1.5::DOUBLE AS a, 'nan'::DOUBLE AS b, DATE '2020-02-29' AS c, true AS d, TIME '10:00' AS e, "
        "TIMESTAMP '2020-01-01 10:00:00.5' AS f, TIMESTAMPTZ '2020-01-01 10:00:00+02' AS g, 1.25::DECIMAL(9,2) AS h, "
        "[1, NULL] AS i, {'x': 'y'} AS j, 255::UTINYINT AS k, ''::VARCHAR AS l, NULL::VARCHAR AS m, '{}'::JSON AS n"
    )
    first = store(warehouse, f"SELECT {columns}")
    before = warehouse.query("SELECT * FROM raw.subjects")
    restore_snapshot(warehouse, "subjects", first.digest)
    assert warehouse.query("SELECT * FROM raw.subjects").equals(before)


@pytest.mark.parametrize("function", ["new_file.take_place", "write_parquet.file_sha256"])
def test_a_process_killed_while_it_writes_a_snapshot_leaves_none_and_the_old_table(
    warehouse: Warehouse, function: str
) -> None:
    """``take_place`` gives the Parquet file its name, ``file_sha256`` comes before it gets its manifest."""
    called_by, _, name = function.partition(".")
    store(warehouse, "SELECT 1 AS _row, 'x' AS another")
    before = list_snapshots("heart", settings=warehouse.settings)
    script = f"""
import sys
from clinical_assets.warehouse.snapshots import snapshot_files
from clinical_assets.warehouse.snapshots.snapshots import write_snapshot
setattr(sys.modules[snapshot_files.{called_by}.__module__], "{name}", lambda *_: reached_and_wait("half written"))
with Warehouse("heart", settings).writer() as connection:
    connection.execute("CREATE OR REPLACE TABLE raw.subjects AS {ROWS}")
    write_snapshot(connection, "raw.subjects", cohort="heart", table="subjects", settings=settings)
"""
    with child(script) as other:
        other.wait_for("half written")
        other.kill()
    assert len(list((warehouse.settings.snapshots / "heart" / "subjects").iterdir())) == 3
    assert list_snapshots("heart", settings=warehouse.settings) == before
    assert warehouse.query("SELECT another FROM raw.subjects").item() == "x"
    verify_snapshot(store(warehouse), settings=warehouse.settings)
    assert not list(warehouse.settings.snapshots.rglob(".*.new"))


def test_a_disk_too_full_for_the_snapshot_is_named_and_keeps_table_and_room(warehouse: Warehouse) -> None:
    settings = warehouse.settings

    def write_on_a_full_disk(filler: Path) -> None:
        with warehouse.writer() as connection:
            connection.execute(
                "CREATE OR REPLACE TABLE raw.subjects AS SELECT range AS _row, random() AS r FROM range(9)"
            )
            fill(filler)
            write_snapshot(connection, "raw.subjects", cohort="heart", table="subjects", settings=settings)

    with small_disk(settings.data, mebibytes=8):
        store(warehouse)
        with pytest.raises(WarehouseError, match=r"No space is left .* 0\.0 MiB free"):
            write_on_a_full_disk(settings.data / "filler")
        assert not list(settings.data.rglob(".*.new"))
        assert warehouse.query("SELECT count(*) FROM raw.subjects").item() == 1000
        assert len(list_snapshots("heart", settings=settings)) == 1
        (settings.data / "filler").unlink()
        verify_snapshot(store(warehouse, "SELECT 1 AS _row, 'x' AS another"), settings=settings)
