"""A warehouse is read by many, written by one, and whole after whatever happened."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assets_tests.warehouse.processes import child, fill, small_disk
from clinical_assets.errors import ClinicalAssetsError, WarehouseError
from clinical_assets.settings import KEY, Settings
from clinical_assets.warehouse import locks
from clinical_assets.warehouse.connections import scratch
from clinical_assets.warehouse.database_files import SCHEMAS
from clinical_assets.warehouse.store import TableInfo, Warehouse

SECRET = "a master key for tests only, 32+ bytes"


BOTH = pytest.mark.parametrize("mode", ["plain", "encrypted"], indirect=True)


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """Plain files, unless a test is marked with ``BOTH``."""
    return str(getattr(request, "param", "plain"))


@pytest.fixture
def settings(mode: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The test's own settings, without or with a key; other processes get the same from the environment."""
    monkeypatch.setenv("CLINICAL_ASSETS_THREADS", "2")
    monkeypatch.setenv("CLINICAL_ASSETS_MEMORY", "1GB")
    if mode == "encrypted":
        monkeypatch.setenv(KEY, SECRET)
    return Settings.from_environment()


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """A warehouse with one old table."""
    made = Warehouse("heart", settings)
    with made.writer() as connection:
        connection.execute("CREATE TABLE raw.t AS SELECT range AS i, 'old' AS generation FROM range(1000)")
    return made


def content(warehouse: Warehouse) -> tuple[int, list[str]]:
    frame = warehouse.query("SELECT count(*) AS n, list(DISTINCT generation) AS g, count(DISTINCT i) AS d FROM raw.t")
    n, generations, different = frame.row(0)
    assert n == different
    return n, generations


OLD = (1000, ["old"])
MANY = 1_000_000
NEW = (MANY, ["new"])
REPLACE = f"CREATE OR REPLACE TABLE raw.t AS SELECT range AS i, 'new' AS generation, random() AS r FROM range({MANY})"


def leftovers(settings: Settings) -> list[str]:
    return [str(p.relative_to(settings.data)) for p in settings.data.rglob("*") if p.suffix in {".new", ".tmp"}] + [
        str(p.relative_to(settings.data)) for p in (settings.data / "temp").glob("*")
    ]


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


def test_readers_share_the_file_in_one_thread_and_across_threads(warehouse: Warehouse) -> None:
    counts = []

    def read() -> None:
        counts.append(content(warehouse))

    with warehouse.reader() as outer, warehouse.reader() as inner:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert outer.execute("SELECT count(*) FROM raw.t").fetchone() == (1000,)
        assert inner.execute("SELECT count(*) FROM raw.t").fetchone() == (1000,)
    assert counts == [OLD]


@BOTH
def test_a_result_that_was_not_read_to_its_end_does_not_keep_the_file(warehouse: Warehouse) -> None:
    with warehouse.reader() as connection:
        unread = connection.execute("SELECT * FROM raw.t").to_arrow_reader(10)
        unread.read_next_batch()
        relation = connection.sql("SELECT * FROM raw.t")
    with warehouse.writer() as connection:
        connection.execute("INSERT INTO raw.t VALUES (1000, 'old')")
        unread = connection.execute("SELECT * FROM raw.t").to_arrow_reader(10)
    with child("with Warehouse('heart', settings).writer():\n    reached('free')") as other:
        other.wait_for("free")
        other.finish()
    del relation, unread


def test_blocks_of_one_thread_that_would_wait_for_each_other_are_refused(warehouse: Warehouse) -> None:
    with warehouse.reader(), pytest.raises(WarehouseError, match="reads or writes it already"), warehouse.writer():
        pass
    with warehouse.writer(), pytest.raises(WarehouseError, match="that writes it"), warehouse.reader():
        pass
    with warehouse.writer(), pytest.raises(WarehouseError, match="reads or writes it already"), warehouse.writer():
        pass
    with warehouse.exclusive(), warehouse.exclusive():
        with warehouse.writer() as connection:
            connection.execute("DELETE FROM raw.t WHERE i > 9")
        assert warehouse.query("SELECT count(*) FROM raw.t").item() == 10


def test_a_thread_that_reads_waits_for_one_that_writes_and_sees_the_new_table(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    _tell_when_waiting(monkeypatch, waits.set)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(content(warehouse)))
    with warehouse.writer() as connection:
        connection.execute("UPDATE raw.t SET generation = 'newer'")
        reader.start()
        assert waits.wait(30)
    reader.join()
    assert seen == [(1000, ["newer"])]


def test_a_thread_that_writes_waits_for_one_that_reads_and_is_not_starved(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    _tell_when_waiting(monkeypatch, waits.set)

    def write() -> None:
        with warehouse.writer() as connection:
            connection.execute("DELETE FROM raw.t")

    writer = threading.Thread(target=write)
    impatient = Warehouse("heart", replace(warehouse.settings, lock_patience_s=0))
    with warehouse.reader() as connection:
        writer.start()
        assert waits.wait(30)
        refused = []

        def late_reader() -> None:
            with pytest.raises(WarehouseError, match="waiting writer"), impatient.reader():
                pass
            refused.append(True)

        late = threading.Thread(target=late_reader)
        late.start()
        late.join()
        assert refused
        assert connection.execute("SELECT count(*) FROM raw.t").fetchone() == (1000,)
    writer.join()
    assert warehouse.query("SELECT count(*) FROM raw.t").item() == 0


@BOTH
def test_a_reader_waits_for_a_writing_process_by_its_number_and_then_reads(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    script = """
with Warehouse("heart", settings).writer() as connection:
    connection.execute("UPDATE raw.t SET generation = 'newer'")
    reached_and_wait("writing")
"""
    with child(script) as other:
        other.wait_for("writing")
        impatient = Warehouse("heart", replace(warehouse.settings, lock_patience_s=0))
        with pytest.raises(WarehouseError, match=f"process {other.pid} still holds it") as caught:
            impatient.query("SELECT 1")
        assert "CLINICAL_ASSETS_LOCK_PATIENCE_S" in (caught.value.cure or "")
        with pytest.raises(WarehouseError, match=f"process {other.pid} still holds it"), impatient.writer():
            pass
        _tell_when_waiting(monkeypatch, other.go_on)
        with caplog.at_level(logging.WARNING):
            assert content(warehouse) == (1000, ["newer"])
        assert f"process {other.pid} holds it" in caplog.text
        assert str(warehouse.settings.data) not in caplog.text
        other.finish()


def test_a_writer_waits_for_a_reading_process(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
with Warehouse("heart", settings).reader() as connection:
    reached_and_wait("reading")
    print(connection.execute("SELECT count(*) FROM raw.t").fetchone()[0])
"""
    with child(script) as other:
        other.wait_for("reading")
        assert content(warehouse) == OLD  # another reader need not wait
        _tell_when_waiting(monkeypatch, other.go_on)
        with warehouse.writer() as connection:
            connection.execute("DELETE FROM raw.t")
        assert other.finish().strip() == "1000"


def test_another_cohort_never_waits(warehouse: Warehouse) -> None:
    other = Warehouse("stroke", replace(warehouse.settings, lock_patience_s=0))
    done = []

    def write() -> None:
        with other.writer() as connection:
            connection.execute("CREATE TABLE raw.t AS SELECT 1 AS x")
        done.append(other.query("SELECT x FROM raw.t").item())

    with warehouse.exclusive(), warehouse.writer():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert done == [1]


def test_a_file_that_is_no_database_is_called_damaged(warehouse: Warehouse) -> None:
    warehouse.path.write_bytes(b"not a database " * 1000)
    for opening in (warehouse.reader, warehouse.writer):
        with pytest.raises(WarehouseError, match="damaged") as caught, opening():
            pass
        assert "materialize heart" in (caught.value.cure or "")


KILLED_AT = {
    "writing": f"""
with Warehouse("heart", settings).writer() as connection:
    reached("writing")
    connection.execute("{REPLACE.replace(str(MANY), str(50 * MANY))}")
""",
    "written": f"""
with Warehouse("heart", settings).writer() as connection:
    connection.execute("{REPLACE}")
    reached_and_wait("written")
""",
    "committing": f"""
with Warehouse("heart", settings).writer() as connection:
    connection.execute("{REPLACE}")
    # The commit then sleeps in the middle of writing the new tables into the file.
    connection.execute("SET debug_checkpoint_sleep_ms = 60000")
    connection.execute("SET checkpoint_threshold = '1b'")
    reached("committing")
""",
    "committed": f"""
with Warehouse("heart", settings).writer() as connection:
    connection.execute("{REPLACE}")
    connection.execute("COMMIT")
    reached_and_wait("committed")
""",
}


@BOTH
@pytest.mark.parametrize("mark", KILLED_AT)
def test_a_killed_writer_leaves_one_whole_table(warehouse: Warehouse, mark: str) -> None:
    size = warehouse.path.stat().st_size
    with child(KILLED_AT[mark]) as other:
        other.wait_for(mark)
        if mark == "writing":
            while warehouse.path.stat().st_size <= size:
                pass
        elif mark == "committing":
            log = warehouse.path.with_name("heart.duckdb.wal")
            while not log.exists():
                pass
            time.sleep(0.3)  # into the sleep of the process, between the log and the tables in the file
        other.kill()
    expected = {"writing": [OLD], "written": [OLD], "committing": [OLD, NEW], "committed": [NEW]}[mark]
    assert content(warehouse) in expected
    with warehouse.writer() as connection:
        connection.execute("CREATE OR REPLACE TABLE raw.t AS SELECT 1 AS i, 'next' AS generation")
    assert content(warehouse) == (1, ["next"])
    assert not leftovers(warehouse.settings)


@BOTH
def test_a_process_killed_while_it_makes_the_file_leaves_none(settings: Settings) -> None:
    script = """
from clinical_assets.warehouse import database_files
database_files.flush = lambda path: reached_and_wait("made")
with Warehouse("heart", settings).writer():
    pass
"""
    warehouse = Warehouse("heart", settings)
    with child(script) as other:
        other.wait_for("made")
        other.kill()
    assert leftovers(settings)
    assert not warehouse.exists()
    with warehouse.writer() as connection:
        connection.execute("CREATE TABLE raw.t AS SELECT 1 AS i, 'new' AS generation")
    assert content(warehouse) == (1, ["new"])
    assert not leftovers(settings)


@pytest.fixture
def crowded(settings: Settings) -> Iterator[Warehouse]:
    """A warehouse on a disk of 40 MiB."""
    with small_disk(settings.data, mebibytes=40):
        made = Warehouse("heart", settings)
        with made.writer() as connection:
            connection.execute("CREATE TABLE raw.t AS SELECT range AS i, 'old' AS generation FROM range(1000)")
        yield made


@BOTH
def test_a_full_disk_is_named_and_leaves_the_old_table_and_room_to_go_on(crowded: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=r"No space is left .*MiB free") as caught, crowded.writer() as connection:
        connection.execute("CREATE OR REPLACE TABLE raw.t AS SELECT range AS i, random() AS r FROM range(20000000)")
    assert str(crowded.settings.data) in caught.value.message
    assert "CLINICAL_ASSETS_DATA" in (caught.value.cure or "")
    assert content(crowded) == OLD
    assert not leftovers(crowded.settings)
    with crowded.writer() as connection:
        connection.execute("CREATE OR REPLACE TABLE raw.t AS SELECT 1 AS i, 'next' AS generation")
    assert content(crowded) == (1, ["next"])


@BOTH
def test_a_disk_too_full_to_commit_is_named_and_leaves_the_old_table(crowded: Warehouse) -> None:
    filler = crowded.settings.data / "filler"

    def write() -> None:
        with crowded.writer() as connection:
            connection.execute("UPDATE raw.t SET generation = 'new' || i")
            fill(filler)

    with pytest.raises(WarehouseError, match="No space is left"):
        write()
    filler.unlink()
    assert content(crowded) == OLD


def test_a_disk_too_full_to_merge_the_log_keeps_what_was_committed(
    crowded: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    filler = crowded.settings.data / "filler"
    with crowded.writer() as connection:
        connection.execute("CREATE OR REPLACE TABLE raw.t AS SELECT 1 AS i, 'next' AS generation")
        fill(filler)
        os.truncate(filler, filler.stat().st_size - 32768)  # enough for the log alone
    assert "its log could not be merged yet" in caplog.text
    assert str(crowded.settings.data) not in caplog.text
    assert content(crowded) == (1, ["next"])
    filler.unlink()
    with crowded.writer():
        pass
    assert content(crowded) == (1, ["next"])


def test_a_folder_that_cannot_be_written_is_named(crowded: Warehouse) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(crowded.settings.data)], check=True)
    with pytest.raises(WarehouseError, match="Read-only file system") as caught, crowded.writer():
        pass
    assert "CLINICAL_ASSETS_DATA" in (caught.value.cure or "")


def test_connections_for_other_work_do_not_disturb_a_writer(warehouse: Warehouse) -> None:
    with scratch(warehouse.settings, "heart") as connection:
        with warehouse.writer():
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert leftovers(warehouse.settings)
    assert not leftovers(warehouse.settings)


@BOTH
def test_a_question_too_large_for_memory_and_disk_is_refused_and_leaves_no_file(crowded: Warehouse) -> None:
    tight = Warehouse("heart", replace(crowded.settings, memory_limit="60MB"))
    with pytest.raises(WarehouseError, match="No space is left"):
        tight.query(
            "SELECT * FROM (SELECT range AS i, random() AS r FROM range(20000000) ORDER BY r) LIMIT 1 OFFSET 1e7"
        )
    assert content(crowded) == OLD
    assert not leftovers(crowded.settings)


@BOTH
def test_temporary_files_of_a_killed_process_are_removed_by_the_next_writer(warehouse: Warehouse) -> None:
    script = """
from dataclasses import replace
tight = Warehouse("heart", replace(settings, memory_limit="60MB"))
with tight.reader() as connection:
    connection.execute("SELECT 'MARKER' || range AS t, random() AS r FROM range(2000000) ORDER BY r").fetchone()
    reached_and_wait("spilled")
"""
    folder = warehouse.settings.data / "temp"
    with child(script) as other:
        other.wait_for("spilled")
        files = [path for path in folder.rglob("*.tmp") if path.stat().st_size]
        assert files
        plain = any(b"MARKER" in path.read_bytes() for path in files)
        assert plain == (warehouse.settings.master_key is None)
        with child("with Warehouse('stroke', settings).writer():\n    pass") as bystander:
            bystander.finish()
        assert all(path.exists() for path in files)  # the living keep theirs
        other.kill()
    assert leftovers(warehouse.settings)
    with warehouse.writer():
        pass
    assert not leftovers(warehouse.settings)


def _tell_when_waiting(monkeypatch: pytest.MonkeyPatch, tell: Callable[[], object]) -> None:
    """Call ``tell`` as soon as somebody is told to wait, instead of after two seconds."""
    monkeypatch.setattr(locks, "_TOLD_AFTER_S", 0.0)
    warning = locks._log.warning

    def told(message: str, *arguments: object) -> None:
        warning(message, *arguments)
        tell()

    monkeypatch.setattr(locks._log, "warning", told)
