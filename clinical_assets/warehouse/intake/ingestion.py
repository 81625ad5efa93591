"""From sources to raw tables: all tables of a cohort at once, each kept as a snapshot.

What belongs here: the order of things. Reading a source is the work of ``clinical_assets.sources``; typing and
checking records comes later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.source_reader import SourceFile, open_source
from clinical_assets.warehouse.outcomes.matured_outcomes import append_matured
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.snapshots import Snapshot, rejects_of, write_snapshot
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation import erased_subjects

ROW = "_row"


@dataclass(frozen=True)
class TableIngest:
    """One table as it was read.

    Attributes
    ----------
    rows, rejects : int
        Records read, and records that could not be parsed.
    digest : str
        Digest of the content, whatever the order of rows and columns.
    columns : tuple of str
        The source's own names, in its order.
    files : tuple of SourceFile
        Name (without folder), bytes and SHA-256 of each file that was read; empty for databases and generators.
    snapshot : Snapshot
        Where the content is kept.
    rejects_digest : str or None
        Digest of the unreadable lines, kept likewise; None when every record could be read.
    seconds : float
        Time it took, snapshot included.
    erased : int
        Records that were not taken in because their subject was erased on request; not among ``rows``.
    """

    rows: int
    rejects: int
    digest: str
    columns: tuple[str, ...]
    files: tuple[SourceFile, ...]
    snapshot: Snapshot
    rejects_digest: str | None
    seconds: float
    erased: int = 0


@dataclass(frozen=True)
class IngestReport:
    """All tables of a cohort, and one digest for all: equal when the content of every table is."""

    tables: dict[str, TableIngest]
    digest: str


def ingest(
    spec: CohortSpec,
    *,
    settings: Settings,
    folder: Path | None,
    progress: Callable[[str], object] | None = None,
) -> IngestReport:
    """Read every source of a cohort into ``raw.<table>`` and keep it as a snapshot.

    All tables are replaced in one transaction: when one source fails, or the process dies, every table keeps what it
    held. Tables that the description no longer has are dropped. Snapshots are written before the transaction ends,
    so no raw table is ever without one.

    Parameters
    ----------
    spec : CohortSpec
        The cohort.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    folder : Path or None
        Folder of its description, where relative paths of files begin.
    progress : callable, optional
        Is told in words, without values of any record, when a table is begun and when it is done.

    Raises
    ------
    SourceError
        When a source cannot be read whole, or changes while it is read.
    WarehouseError
        When the warehouse cannot be written.
    """
    tell = progress if progress is not None else _say_nothing
    tables: dict[str, TableIngest] = {}
    refusing = erased_subjects.any_erased(spec.name, settings)
    with Warehouse(spec.name, settings).writer() as connection:
        ingestion_log.prepare(connection)
        if ingestion_log.origin_changed(connection, spec):
            tell("files and stand-in have changed places: what was made of the former records is removed")
            _drop_made(connection)
        connection.execute("DELETE FROM raw._rejects")
        erased_subjects.begin(connection)
        for number, name in enumerate(spec.tables, start=1):
            tell(f"table {name!r} ({number} of {len(spec.tables)}): reading")
            tables[name] = done = _ingest_table(
                connection, spec, name, settings=settings, folder=folder, refusing=refusing
            )
            tell(
                f"table {name!r}: {done.rows:,} records, {len(done.columns):,} columns, {done.rejects:,} unreadable, "
                f"{done.digest[:19]}, {done.seconds:.1f} s"
                + (f"; {done.erased:,} left out: erased on request" if done.erased else "")
            )
        _drop_others(connection, keep=set(tables))
    digest = value_digest({name: [table.digest, table.rejects_digest] for name, table in tables.items()})
    return IngestReport(tables=tables, digest=digest)


def _ingest_table(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    name: str,
    *,
    settings: Settings,
    folder: Path | None,
    refusing: bool,
) -> TableIngest:
    started = time.monotonic()
    relation = f"raw.{quoted(name)}"
    # Where subjects were erased, their records must not even pass through the file.
    read = f"temp.{quoted('_read_' + name)}" if refusing else relation
    erased = 0
    with open_source(connection, spec.tables[name], table_name=name, settings=settings, folder=folder) as opened:
        rows = opened.store(connection, read, temporary=refusing)
        rejects = 0
        if opened.rejects_sql is not None:
            unread = f"SELECT line, reason, text FROM ({opened.rejects_sql})"
            if refusing:
                unread = erased_subjects.keep_other_lines(
                    connection, spec.name, relation=f"({unread})", settings=settings
                )
            counted = connection.execute(
                f"INSERT INTO raw._rejects SELECT {literal(name)}, line, reason, text FROM ({unread})"
            ).fetchone()
            rejects = int(counted[0]) if counted else 0
    if refusing:
        erased = erased_subjects.keep_others(connection, spec, name, found=read, target=relation, settings=settings)
        connection.execute(f"DROP TABLE {read}")
        rows -= erased
    columns = _columns(connection, relation, name)
    # Records that came through the inbox and whose outcome is known by now.
    rows += append_matured(connection, spec, name)
    snapshot = write_snapshot(connection, relation, cohort=spec.name, table=name, settings=settings)
    rejects_digest = None
    if rejects:
        unread = f"(SELECT line, reason, text FROM raw._rejects WHERE table_name = {literal(name)})"
        rejects_digest = write_snapshot(
            connection, unread, cohort=spec.name, table=rejects_of(name), settings=settings
        ).digest
    ingestion_log.add(
        connection,
        table=name,
        rows=rows,
        rejects=rejects,
        digest=snapshot.digest,
        rejects_digest=rejects_digest,
        files=[asdict(file) for file in opened.files],
    )
    return TableIngest(
        rows=rows,
        rejects=rejects,
        digest=snapshot.digest,
        columns=columns,
        files=opened.files,
        snapshot=snapshot,
        rejects_digest=rejects_digest,
        seconds=time.monotonic() - started,
        erased=erased,
    )


def _columns(connection: duckdb.DuckDBPyConnection, relation: str, table: str) -> tuple[str, ...]:
    """The source's columns; without a record number nothing could be led back to its record."""
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    kinds = dict(zip(shape.columns, (str(kind) for kind in shape.types), strict=True))
    if kinds.pop(ROW, None) != "BIGINT":
        raise SourceError(
            f"Table {table!r}: its source was read without a record number in {ROW!r}.",
            cure=f"If the source has a column of its own called {ROW!r}, rename it there.",
        )
    return tuple(kinds)


def _drop_others(connection: duckdb.DuckDBPyConnection, *, keep: set[str]) -> None:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'raw'"
    ).fetchall()
    for (name,) in found:
        if name not in keep and name not in ("_rejects", "_erased"):
            connection.execute(f"DROP TABLE raw.{quoted(name)}")


def _drop_made(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove what was made of raw tables, so that real and generated records are never taken for one another."""
    connection.execute("DROP SCHEMA IF EXISTS validated CASCADE")
    for relation in ("model.features", "model.outcomes", "marts.cohort_overview"):
        connection.execute(f"DROP TABLE IF EXISTS {relation}")


def _say_nothing(_: str) -> None:
    return None
