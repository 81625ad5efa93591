"""Making the tables of records, and the triggers that refuse to change or remove what is recorded.

What belongs here: statements that define. What does not: columns (``schema``), transactions (``database``).

Triggers stop mistakes and ordinary accounts. Whoever may drop a trigger can still rewrite a table: that is what the
chain of the ledger and its anchors find.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.refusals import RecordsError

_log = logging.getLogger(__name__)
_MARKS = sa.MetaData()
version = sa.Table(
    "records_version",
    _MARKS,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("made_at", sa.String(32), nullable=False),
)
_FUNCTION = "records_refuse_change"


def complete(connection: sa.Connection) -> bool:
    """True when tables, version and all triggers are there.

    Raises
    ------
    RecordsError
        When another version of this package made the tables.
    """
    if not sa.inspect(connection).has_table(version.name):
        return False
    found = connection.execute(sa.select(sa.func.max(version.c.version))).scalar()
    if found is None:
        return False
    if found != schema.VERSION:
        raise RecordsError(
            f"The database of records has version {found}; this package knows version {schema.VERSION}.",
            cure="Use the version of clinical-assets that last wrote it, or a newer one.",
        )
    return not _missing(connection)


def make(connection: sa.Connection) -> None:
    """Make what is missing of tables, triggers and the version's row; called by one process at a time."""
    fresh = not sa.inspect(connection).has_table(version.name)
    _MARKS.create_all(connection)
    schema.METADATA.create_all(connection)
    missing = _missing(connection)
    if missing and not fresh:
        _log.warning("Guards of the database of records were gone and are made again: %s.", ", ".join(sorted(missing)))
    if missing and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION USING MESSAGE = 'table ' || TG_TABLE_NAME || ' is append-only'; END $$"
        )
    for name in sorted(missing):
        connection.exec_driver_sql(_statements(connection.dialect.name)[name])
    if connection.execute(sa.select(version.c.version)).first() is None:
        connection.execute(version.insert().values(version=schema.VERSION, made_at=utc_now()))


def _missing(connection: sa.Connection) -> set[str]:
    wanted = set(_statements(connection.dialect.name))
    if connection.dialect.name == "postgresql":
        # 'O' and 'A': the trigger fires for ordinary sessions.
        query = (
            "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') "
            "AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        )
    else:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    return wanted - set(connection.exec_driver_sql(query).scalars())


def _statements(dialect: str) -> dict[str, str]:
    """Each trigger's name and the statement that makes it."""
    statements = {}
    for table in schema.APPEND_ONLY:
        name = table.name
        if dialect == "postgresql":
            for what, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
                trigger = f"{name}_no_{'change' if each == 'ROW' else 'truncate'}"
                statements[trigger] = (
                    f"CREATE OR REPLACE TRIGGER {trigger} BEFORE {what} ON {name} FOR EACH {each} "
                    f"EXECUTE FUNCTION {_FUNCTION}()"
                )
            continue
        refuse = f"BEGIN SELECT RAISE(ABORT, 'table {name} is append-only'); END"
        for what in ("UPDATE", "DELETE"):
            trigger = f"{name}_no_{what.lower()}"
            statements[trigger] = f"CREATE TRIGGER {trigger} BEFORE {what} ON {name} {refuse}"
        # INSERT OR REPLACE removes the old row without asking the trigger for DELETE.
        keys = [[column.name for column in table.primary_key], *([c.name] for c in table.columns if c.unique)]
        same = " OR ".join("(" + " AND ".join(f'"{key}" = NEW."{key}"' for key in each) + ")" for each in keys)
        trigger = f"{name}_no_replacement"
        statements[trigger] = (
            f"CREATE TRIGGER {trigger} BEFORE INSERT ON {name} WHEN EXISTS (SELECT 1 FROM {name} WHERE {same}) {refuse}"
        )
    return statements
