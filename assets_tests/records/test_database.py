"""The database of records: private, one writer at a time, append-only, and clear when it refuses."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assets_tests.worlds.machine.processes import child
from clinical_assets.foundation.settings import DATA, RECORDS_URI, Settings
from clinical_assets.records import guards, schema
from clinical_assets.records.database import FILE, RecordsDatabase, transaction_of
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger


def _insert(connection: sa.Connection, login: str) -> None:
    connection.execute(
        schema.people.insert().values(
            login=login, printed_name=login, roles="[]", accounts="[]", active=True, created_at="now"
        )
    )


def _logins(records: RecordsDatabase) -> list[str]:
    with records.read() as connection:
        return list(connection.execute(sa.select(schema.people.c.login).order_by(schema.people.c.login)).scalars())


def test_making_the_object_opens_nothing(settings: Settings) -> None:
    RecordsDatabase(settings)
    assert not settings.data.exists()


def test_a_transaction_is_kept_whole_or_not_at_all(records: RecordsDatabase) -> None:
    called: list[str] = []

    def fail_after_the_row() -> None:
        with records.write() as connection:
            transaction_of(connection).after_commit.append(lambda: called.append("rolled back"))
            _insert(connection, "ann")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_the_row()
    assert _logins(records) == []
    with records.write() as connection:
        transaction_of(connection).after_commit.append(lambda: called.append("committed"))
        _insert(connection, "ann")
        _insert(connection, "ben")
        assert called == []
    assert _logins(records) == ["ann", "ben"]
    assert called == ["committed"]


def test_a_reader_sees_one_moment_and_holds_up_no_writer(records: RecordsDatabase) -> None:
    with records.read() as view:
        assert view.execute(sa.select(sa.func.count()).select_from(schema.people)).scalar() == 0
        with records.write() as connection:
            _insert(connection, "ann")
        assert view.execute(sa.select(sa.func.count()).select_from(schema.people)).scalar() == 0
    assert _logins(records) == ["ann"]


def test_writers_queue(records: RecordsDatabase) -> None:
    order: list[str] = []
    inside, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with records.write() as connection:
            inside.set()
            may_end.wait(10)
            _insert(connection, "first")
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    threading.Timer(0.1, may_end.set).start()
    with RecordsDatabase(records.settings).write() as connection:
        order.append("second")
        _insert(connection, "second")
    thread.join()
    assert order == ["first", "second"]
    assert _logins(records) == ["first", "second"]


def test_a_second_transaction_in_the_same_thread_is_refused_at_once(records: RecordsDatabase) -> None:
    with records.write(), pytest.raises(RecordsError, match="writes in the database of records already") as caught:
        Ledger(RecordsDatabase(records.settings)).append("login", actor="ann")
    assert "connection" in str(caught.value.cure)
    Ledger(records).append("login", actor="ann")


def test_waiting_for_another_writer_ends_with_the_patience(records: RecordsDatabase) -> None:
    assert _logins(records) == []
    hasty = RecordsDatabase(dataclasses.replace(records.settings, lock_patience_s=0.05))
    caught: list[RecordsError] = []

    def other() -> None:
        try:
            with hasty.write():
                pass
        except RecordsError as error:
            caught.append(error)

    with records.write():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "CLINICAL_ASSETS_LOCK_PATIENCE_S" in str(caught[0].cure)


@pytest.mark.parametrize("table", schema.APPEND_ONLY, ids=lambda table: table.name)
def test_what_is_recorded_cannot_be_changed_removed_or_replaced(records: RecordsDatabase, table: sa.Table) -> None:
    values: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type.python_type
        values[column.name] = 1 if kind is int else 0.5 if kind is float else "x"
    with records.write() as connection:
        if table is schema.verdicts:
            parent = {c.name: 1 if c.type.python_type is int else "x" for c in schema.gate_runs.columns}
            connection.execute(schema.gate_runs.insert().values(parent))
        connection.execute(table.insert().values(values))
    key = next(iter(table.primary_key)).name
    statements: list[Any] = [
        sa.update(table).values({c.name: c for c in table.columns if not c.primary_key}),
        sa.delete(table),
        sa.text(f"TRUNCATE {table.name} CASCADE")
        if records.on_server
        else table.insert().prefix_with("OR REPLACE").values(values),
    ]
    for statement in statements:
        with pytest.raises(RecordsError, match="append-only") as caught, records.write() as connection:
            connection.execute(statement)
        assert "corrects" in str(caught.value.cure)
    with records.read() as connection:
        assert connection.execute(sa.select(table.c[key])).scalars().all() == [values[key]]


def test_guards_that_are_gone_are_made_again_and_told(
    records: RecordsDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    drop = "DROP TRIGGER ledger_no_truncate ON ledger" if records.on_server else "DROP TRIGGER ledger_no_update"
    with records.engine.begin() as connection:
        connection.exec_driver_sql(drop)
        assert not guards.complete(connection)
    with RecordsDatabase(records.settings).read() as connection:
        assert guards.complete(connection)
    assert "were gone and are made again: ledger_no_" in caplog.text


def test_a_database_of_a_newer_version_is_left_alone(records: RecordsDatabase) -> None:
    with records.write() as connection:
        connection.execute(schema.version.insert().values(version=99, made_at="later"))
    with pytest.raises(RecordsError, match="version 99"):
        Ledger(RecordsDatabase(records.settings)).append("login", actor="ann")


@pytest.mark.slow
def test_several_processes_may_be_the_first(records: RecordsDatabase) -> None:
    environment = {DATA: str(records.settings.data), RECORDS_URI: records.settings.records_uri or ""}
    script = """
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
reached_and_wait("ready")
Ledger(RecordsDatabase(settings)).append("login", actor="ann")
"""
    with child(script, environment) as one, child(script, environment) as two, child(script, environment) as three:
        for process in (one, two, three):
            process.wait_for("ready")
        for process in (one, two, three):
            process.go_on()
        for process in (one, two, three):
            process.finish()
    report = Ledger(records).verify()
    assert (report.intact, report.entries, report.anchored, report.note) == (True, 3, 3, None)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_account_itself_can_read_the_files(local: Ledger, umask: int) -> None:
    before = os.umask(umask)
    try:
        with local.database.write() as connection:
            local.append("login", actor="ann", connection=connection)
            found = {path.name: path for path in local.database.settings.records.iterdir()}
            assert {FILE, f"{FILE}-wal", f"{FILE}-shm"} <= set(found)
            for path in found.values():
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    finally:
        os.umask(before)
    anchors = local.anchors.path
    assert stat.S_IMODE(anchors.stat().st_mode) == 0o600
    for folder in (local.database.settings.records, anchors.parent, local.database.settings.keys):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("pragma", "words", "cure"),
    [
        ("max_page_count = 1", "full", "Free some space"),
        ("query_only = ON", "readonly", "write the file"),
    ],
)
def test_a_disk_that_is_full_or_read_only_is_named_with_the_cure(
    local: Ledger, pragma: str, words: str, cure: str
) -> None:
    local.append("login", actor="ann")
    sa.event.listen(local.database.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}"))
    with pytest.raises(RecordsError, match=words) as caught:
        local.append("login", actor="ann", reason="x" * 100_000)
    assert cure in str(caught.value.cure)
    report = Ledger(RecordsDatabase(local.database.settings)).verify()
    assert report.intact
    assert report.note is None


def test_a_writer_of_another_program_that_does_not_end_is_named_with_the_cure(local: Ledger) -> None:
    local.append("login", actor="ann")
    hasty = RecordsDatabase(dataclasses.replace(local.database.settings, lock_patience_s=0.02))
    with closing(sqlite3.connect(local.database.settings.records / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsError, match="locked") as caught:
            Ledger(hasty).append("login", actor="ann")
    assert "CLINICAL_ASSETS_LOCK_PATIENCE_S" in str(caught.value.cure)


def test_a_file_that_is_no_database_is_named(settings: Settings) -> None:
    settings.records.mkdir(parents=True)
    (settings.records / FILE).write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(RecordsError, match="not a database") as caught:
        Ledger(RecordsDatabase(settings)).entries()
    assert "backup" in str(caught.value.cure)


def test_a_folder_that_cannot_be_made_is_named(settings: Settings) -> None:
    settings.data.mkdir()
    settings.records.write_text("in the way")
    with pytest.raises(RecordsError, match="records"):
        Ledger(RecordsDatabase(settings)).entries()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://nurse:hunter2@127.0.0.1:1/ward",
        "nothing hunter2 at all nurse",
        "mysql://nurse:hunter2@db.example/ward",
    ],
)
def test_no_part_of_an_address_is_shown(settings: Settings, address: str) -> None:
    database = RecordsDatabase(dataclasses.replace(settings, records_uri=address))
    with pytest.raises(RecordsError) as caught:
        Ledger(database).entries()
    error: BaseException | None = caught.value
    shown = repr(database.settings)
    while error is not None:
        shown += f"{error}"
        error = error.__cause__ if error.__suppress_context__ else error.__cause__ or error.__context__
    assert RECORDS_URI in shown
    assert not any(secret in shown for secret in ("hunter2", "nurse", "127.0.0.1", "db.example", "ward"))


def test_sqlite_can_be_named_by_an_address(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "other.sqlite"
    ledger = Ledger(RecordsDatabase(dataclasses.replace(settings, records_uri=f"sqlite:///{path}")))
    ledger.append("login", actor="ann")
    assert path.is_file()
    assert not settings.records.exists()


def test_a_connection_of_another_kind_is_refused(records: RecordsDatabase) -> None:
    with records.read() as connection, pytest.raises(RecordsError, match="outside a writing transaction"):
        Ledger(records).append("login", actor="ann", connection=connection)


def test_a_schema_whose_text_was_damaged_is_named_with_its_cure(settings: Settings) -> None:
    records = RecordsDatabase(settings)
    assert _logins(records) == []
    path = settings.records / FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    for whole, damaged in (
        (b"tablepeoplepeople", b"tablep\xc9oplepeople"),
        (b"CREATE TABLE people", b"CREATE TXBLE people"),
    ):
        assert whole in content
        content = content.replace(whole, damaged)
    path.write_bytes(content)
    with pytest.raises(RecordsError, match="malformed") as refused:
        _logins(RecordsDatabase(settings))
    assert "backup" in str(refused.value.cure)
