"""What the tests of records share: a database of each kind, and a way past its triggers."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from assets_tests.worlds.machine.postgres import postgres_server as postgres_server
from assets_tests.worlds.machine.postgres import postgres_url as postgres_url
from clinical_assets.foundation.settings import Settings
from clinical_assets.records import schema
from clinical_assets.records.database import FILE, RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

Tamper = Callable[..., None]


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, settings: Settings) -> RecordsDatabase:
    """An empty database of records, of both kinds one after the other."""
    if request.param == "postgresql":
        settings = dataclasses.replace(settings, records_uri=request.getfixturevalue("postgres_url"))
    return RecordsDatabase(settings)


@pytest.fixture
def ledger(records: RecordsDatabase) -> Ledger:
    """The ledger in it."""
    return Ledger(records)


@pytest.fixture
def local(settings: Settings) -> Ledger:
    """An empty ledger in SQLite."""
    return Ledger(RecordsDatabase(settings))


@pytest.fixture
def tamper(records: RecordsDatabase) -> Tamper:
    """Run a statement as somebody who may switch the triggers off."""

    def run(statement: str) -> None:
        if records.on_server:
            with records.engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                connection.exec_driver_sql(statement)
        else:
            run_without_guards(records.settings, statement)

    return run


def run_without_guards(settings: Settings, statement: str, values: tuple[Any, ...] = ()) -> None:
    """Change the SQLite file as somebody does who has it and knows SQL."""
    with closing(sqlite3.connect(settings.records / FILE)) as connection, connection:
        for table in schema.APPEND_ONLY:
            for what in ("update", "delete", "replacement"):
                connection.execute(f"DROP TRIGGER IF EXISTS {table.name}_no_{what}")
        connection.execute(statement, values)
