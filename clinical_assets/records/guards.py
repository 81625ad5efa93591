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
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.entries import facts_of
from clinical_assets.records.schema import ledger

_log = logging.getLogger(__name__)
_FUNCTION = "records_refuse_change"


def found_version(connection: sa.Connection) -> int | None:
    """The version that the tables have; None where there are none yet.

    Raises
    ------
    RecordsError
        When a newer version of this package made them.
    """
    if not sa.inspect(connection).has_table(schema.version.name):
        return None
    found: int | None = connection.execute(sa.select(sa.func.max(schema.version.c.version))).scalar()
    if found is not None and found > schema.VERSION:
        raise RecordsError(
            f"The database of records has version {found}; this package knows versions up to {schema.VERSION}.",
            cure="Use the version of clinical-assets that last wrote it, or a newer one.",
        )
    return found


def version_problems(connection: sa.Connection) -> list[str]:
    """What is wrong with the notes of which version the tables have since when, held against the ledger.

    A version that came by an upgrade has the time of the upgrade's entry. The first one was noted before there was any
    entry: it cannot be later than the first, and when an empty database was made before that is no evidence of
    anything.
    """
    entries = sa.select(ledger.c.at, ledger.c.facts).order_by(ledger.c.seq)
    first = connection.execute(entries.limit(1)).first()
    upgraded = {}
    for row in connection.execute(entries.where(ledger.c.action == "upgrade")):
        facts = facts_of(row.facts)
        upgraded.update(dict.fromkeys(range(int(facts["before"]) + 1, int(facts["after"]) + 1), row.at))
    problems = []
    found = {row.version: row.made_at for row in connection.execute(sa.select(schema.version))}
    for version, made_at in found.items():
        noted = f"The tables' version {version} is noted with the time {made_at!r}"
        if version in upgraded:
            if made_at != upgraded[version]:
                problems.append(f"{noted}; the ledger says {upgraded[version]}.")
        elif version != min(found):
            problems.append(f"{noted}, but the ledger has no upgrade to it.")
        elif len(made_at) != len(utc_now()) or (first is not None and made_at > first.at):
            problems.append(f"{noted}, which is none, or is later than the first entry of the ledger.")
    problems += [f"The note of the tables' version {number} is gone." for number in upgraded.keys() - found.keys()]
    return problems


def complete(connection: sa.Connection) -> bool:
    """True when tables of the present version and all triggers are there."""
    return found_version(connection) == schema.VERSION and not _missing(connection)


def make(connection: sa.Connection) -> None:
    """Make what is missing of tables, triggers and the version's row; called by one process at a time."""
    fresh = not sa.inspect(connection).has_table(schema.version.name)
    schema.version.create(connection, checkfirst=True)
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
    if connection.execute(sa.select(schema.version.c.version)).first() is None:
        connection.execute(schema.version.insert().values(version=schema.VERSION, made_at=utc_now()))


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
