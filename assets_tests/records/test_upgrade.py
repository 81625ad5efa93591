"""Databases of an older version: copied, upgraded in one transaction, guarded as before; both kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from clinical_assets.cli.main import app
from clinical_assets.foundation.settings import DATA, RECORDS_URI, Settings
from clinical_assets.records import guards, schema
from clinical_assets.records.database import FILE, RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.anchors import Anchor, Anchors
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.entries import GENESIS, entry_hash
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.migrations import runner

BEFORE = "2025-12-31T00:00:00.000000+00:00"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RecordsDatabase:
    """A database of version 1 with two entries and their anchor."""
    if request.param == "postgresql":
        settings = dataclasses.replace(settings, records_uri=request.getfixturevalue("postgres_url"))
        monkeypatch.setenv(RECORDS_URI, str(settings.records_uri))
    make_version_1(settings)
    return RecordsDatabase(settings)


def make_version_1(settings: Settings) -> None:
    """Tables as version 1 made them, filled as it filled them."""
    (settings.records).mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(RecordsDatabase(settings).url, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", "clinical_assets.records:migrations")
    previous = GENESIS
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(f"DROP TABLE {schema.REVISION_TABLE}")
        schema.version.create(connection)
        connection.execute(schema.version.insert().values(version=1, made_at=BEFORE))
        for seq in (1, 2):
            fields: dict[str, Any] = {
                "seq": seq,
                "at": "2026-01-01T00:00:00.000000+00:00",
                "actor": "ann",
                "action": "review",
                "cohort": None,
                "digest": None,
                "reason": None,
                "facts": canonical({"n": seq}),
                "previous": previous,
            }
            previous = entry_hash(**fields)
            columns = ", ".join(fields) + ", hash"
            values = ", ".join(f":{name}" for name in [*fields, "hash"])
            connection.execute(
                sa.text(f"INSERT INTO ledger ({columns}) VALUES ({values})"), {**fields, "hash": previous}
            )
    engine.dispose()
    Anchors(settings).add(Anchor(2, previous, "2026-01-01T00:00:00.000000+00:00"))


def test_the_steps_make_the_tables_that_a_new_database_has(old: RecordsDatabase) -> None:
    old.upgrade()
    with old.read() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "include_name": _ours}), schema.METADATA
        )
    assert found == []


def _ours(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or name in schema.METADATA.tables


def test_entries_keep_their_hashes_the_upgrade_is_entered_and_what_follows_is_sealed(old: RecordsDatabase) -> None:
    done = old.upgrade()
    assert (done.before, done.after) == (1, schema.VERSION)
    ledger = Ledger(RecordsDatabase(old.settings))
    ledger.append("login", actor="ben")
    entries = ledger.entries()
    assert [entry.action for entry in entries] == ["review", "review", "upgrade", "login"]
    assert [entry.seal is None for entry in entries] == [True, True, False, False]
    assert entries[2].facts == {"before": 1, "after": schema.VERSION, "entries": 2}
    report = ledger.verify(every_seal=True)
    assert report.intact, report.problem
    assert (report.entries, report.sealed, report.anchored) == (4, 2, 4)
    assert old.upgrade().before == schema.VERSION


def test_the_time_of_an_upgrade_is_that_of_its_entry_and_another_one_is_seen(old: RecordsDatabase) -> None:
    old.upgrade()
    with old.write() as connection:
        assert guards.version_problems(connection) == []
        for version, right in connection.execute(sa.select(schema.version)).all():
            row = schema.version.update().where(schema.version.c.version == version)
            connection.execute(row.values(made_at="2030-01-01T00:00:00.000000+00:00"))
            (problem,) = guards.version_problems(connection)
            assert f"version {version} " in problem
            connection.execute(row.values(made_at=right))
        connection.execute(schema.version.delete().where(schema.version.c.version == 2))
        assert guards.version_problems(connection) == ["The note of the tables' version 2 is gone."]


def test_what_is_recorded_cannot_be_changed_after_an_upgrade_either(old: RecordsDatabase) -> None:
    old.upgrade()
    for statement in ("UPDATE ledger SET actor = 'mallory'", "DELETE FROM ledger", "UPDATE ledger SET seal = NULL"):
        with pytest.raises(RecordsError, match="append-only"), old.write() as connection:
            connection.exec_driver_sql(statement)


def test_a_file_is_copied_and_upgraded_when_it_is_opened_and_a_server_only_when_asked(
    old: RecordsDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    if old.on_server:
        with pytest.raises(RecordsError, match="has version 1") as caught:
            Ledger(old).entries()
        assert "clinical-assets records upgrade" in str(caught.value.cure)
        return
    assert len(Ledger(old).entries()) == 3
    (copy,) = (old.settings.records / "backups").glob("*.sqlite")
    assert str(copy) in caplog.text
    before = sa.create_engine(sa.URL.create("sqlite", database=str(copy)))
    with before.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*), max(version) FROM ledger, records_version").one() == (2, 1)
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    before.dispose()


def test_a_ledger_that_is_not_whole_is_not_vouched_for(old: RecordsDatabase) -> None:
    engine = sa.create_engine(old.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ledger SET actor = 'mallory' WHERE seq = 2")
    with pytest.raises(RecordsError, match="Entry 2 was changed"):
        old.upgrade()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT max(version) FROM records_version").scalar() == 1
        assert "seal" not in [column["name"] for column in sa.inspect(connection).get_columns("ledger")]


def test_a_step_that_does_more_than_add_waits_for_the_command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version_1(settings)
    monkeypatch.setattr(runner, "adds_only", lambda *_, **__: False)
    with pytest.raises(RecordsError, match="has version 1"):
        Ledger(RecordsDatabase(settings)).entries()
    RecordsDatabase(settings).upgrade()
    assert len(Ledger(RecordsDatabase(settings)).entries()) == 3


def test_the_command_names_the_copy_and_asks_for_a_dump_of_a_server(
    old: RecordsDatabase, call: Callable[..., Any]
) -> None:
    if old.on_server:
        refused = call("records", "upgrade")
        assert isinstance(refused.exception, RecordsError)
        assert "--dumped" in str(refused.exception.cure)
    done = call("records", "upgrade", *(["--dumped"] if old.on_server else []))
    assert done.exit_code == 0, done.output
    assert f"from version 1 to {schema.VERSION}" in done.output
    assert ("backups" in done.output.replace("\n", "")) is not old.on_server
    assert f"has version {schema.VERSION} already" in call("records", "upgrade", "--dumped").output


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv(DATA, str(settings.data))
    return lambda *words: CliRunner().invoke(app, list(words))


def test_several_processes_may_open_an_old_file_at_once(settings: Settings) -> None:
    from concurrent.futures import ThreadPoolExecutor

    make_version_1(settings)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: len(Ledger(RecordsDatabase(settings)).entries()), range(4)))
    assert found == [3] * 4
    assert len(list((settings.records / "backups").iterdir())) == 1
    assert (settings.records / FILE).exists()
