"""Running the steps from an older version of the tables to the present one.

What belongs here: which steps are pending, whether they only add, a copy of the file beforehand. What does not: when it
is done (``database``), and the tables (``schema``).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clinical_assets.foundation.atomic_files import flush
from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.keys.private_files import private_file
from clinical_assets.records.ledger.transaction import transaction_of

if TYPE_CHECKING:
    from alembic.config import Config

BACKUPS = "backups"


def adds_only(found: int) -> bool:
    """Whether every step from version ``found`` to the present one only adds tables, columns or indices."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    steps = scripts.iterate_revisions(_revision(schema.VERSION), _revision(found))
    return all(getattr(step.module, "ADDS_ONLY", False) for step in steps)


def run(connection: sa.Connection, *, found: int) -> None:
    """Bring the tables from version ``found`` to the present one, within the caller's transaction.

    Triggers that a step took away with their table are made again by ``guards.make``, in the same transaction.
    """
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    if not sa.inspect(connection).has_table(schema.REVISION_TABLE):
        command.stamp(config, _revision(found))
    command.upgrade(config, _revision(schema.VERSION))
    at = transaction_of(connection).at  # that of the ledger's entry
    for number in range(found + 1, schema.VERSION + 1):
        connection.execute(schema.version.insert().values(version=number, made_at=at))


def back_up(path: Path, *, found: int) -> Path:
    """Copy a SQLite file, its write-ahead log included, into ``backups`` beside it; on disk when this returns.

    The copy has a private mode and is named after its version and the time.
    """
    moment = utc_now()[:19].replace("-", "").replace(":", "")
    target = path.parent / BACKUPS / f"{path.stem}-version{found}-{moment}.sqlite"
    private_file(target)
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    with target.open("rb") as file:
        # The pages were written by SQLite, which flushed them; this waits for what the system may hold back.
        os.fsync(file.fileno())
    flush(target.parent)
    return target


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "clinical_assets.records:migrations")
    return config


def _revision(version: int) -> str:
    return f"{version:04d}"
