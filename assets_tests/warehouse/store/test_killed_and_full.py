"""A warehouse is whole after its process was killed and after its disk was full."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from assets_tests.worlds.machine.processes import child, fill, small_disk
from assets_tests.worlds.machine.warehouses import BOTH, MANY, NEW, OLD, REPLACE, content, leftovers
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.warehouse import Warehouse

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
import sys
from clinical_assets.warehouse.store import database_files
sys.modules[database_files.new_file.__module__].flush = lambda path: reached_and_wait("made")
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
