"""Who reads or writes a warehouse waits for whom, in threads and in processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from assets_tests.worlds.machine.processes import child, on_warning
from assets_tests.worlds.machine.warehouses import BOTH, OLD, content
from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.store.warehouse import Warehouse


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


def _tell_when_waiting(monkeypatch: pytest.MonkeyPatch, tell: Callable[[], object]) -> None:
    """Call ``tell`` as soon as somebody is told to wait, instead of after two seconds."""
    monkeypatch.setattr(locks, "_TOLD_AFTER_S", 0.0)
    on_warning(monkeypatch, tell)
