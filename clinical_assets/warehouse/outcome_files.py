"""Outcomes that arrive later, in any order: matched to received records, never applied twice, never overwritten.

An outcome file has the key of the cohort's units (or ``pseudonym``) and columns of the subject table that are known
only later; ``shown`` and ``acted`` may stand beside them. Values are kept one by one in ``received.outcome_values``:
those of a unit that has not arrived yet wait there. The same fact twice changes nothing; a contradiction goes to
``received.outcome_conflicts`` and changes nothing either.

What belongs here: taking outcome files in. What an outcome means is the work of the cohort's outcome model
(``matured``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.cohorts.sources_spec import FileSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.errors import SourceError, ValidationFailed
from clinical_assets.settings import Settings
from clinical_assets.sources.files import workspace
from clinical_assets.warehouse.batch_spec import key_text, later_columns
from clinical_assets.warehouse.digests import file_digest
from clinical_assets.warehouse.ingestion import ingest
from clinical_assets.warehouse.pseudonym_files import PSEUDONYM, with_keys
from clinical_assets.warehouse.received_tables import (
    CONFLICTS,
    FEEDBACK,
    RAW,
    VALID,
    VALUES,
    has_table,
    prepare_outcomes,
    utc_now,
)
from clinical_assets.warehouse.sql_text import literal, quoted
from clinical_assets.warehouse.store import Warehouse
from clinical_assets.warehouse.validation import validate_cohort

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class OutcomesReceived:
    """What became of an outcome file; counts are of values, but for `waiting` and `refused_rows`.

    Attributes
    ----------
    new, known, conflicts : int
        Facts that are new, that were known already, and that contradict what is known.
    waiting : int
        Units of the file whose record has not arrived yet.
    refused_rows : int
        Rows with an unreadable or impossible value, or a doubled key.
    reason, cure : str or None
        Why the file was refused as a whole; nothing of it was taken in then.
    """

    file: str
    new: int = 0
    known: int = 0
    conflicts: int = 0
    waiting: int = 0
    refused_rows: int = 0
    reason: str | None = None
    cure: str | None = None

    @property
    def refused(self) -> bool:
        """True when nothing of the file was taken in."""
        return self.reason is not None


def receive_outcomes(spec: CohortSpec, path: Path, *, settings: Settings) -> OutcomesReceived:
    """Take in one outcome file of the subject table.

    Parameters
    ----------
    path : Path
        CSV, Parquet or JSON Lines, written like the cohort's source.
    """
    digest = file_digest(path)
    with workspace(settings) as work:
        try:
            source = with_keys(spec, path, settings=settings, work=work)
            table = _table(spec, source, settings)
            narrow = spec.model_copy(update={"tables": {spec.subject_table: table}})
            scratch = replace(settings, data=work / "scratch", keys_folder=settings.keys)
            ingest(narrow, settings=scratch, folder=source.parent)
            report = validate_cohort(narrow, Warehouse(spec.name, scratch))
        except (SourceError, ValidationFailed) as error:
            return OutcomesReceived(file=digest, reason=error.message, cure=error.cure)
        with (
            Warehouse(spec.name, scratch).reader() as found,
            Warehouse(spec.name, settings).writer() as connection,
        ):
            prepare_outcomes(connection)
            return _apply(
                spec,
                table,
                found,
                connection,
                digest=digest,
                refused=report.tables[spec.subject_table].rows_refused,
            )


def _table(spec: CohortSpec, path: Path, settings: Settings) -> Table:
    """What the rows of this file promise: the key, and the later columns that the file has."""
    full = spec.subjects
    csv = getattr(full.source, "csv", None)
    source = FileSource(kind="file", path=path.name, **({"csv": csv} if csv is not None else {}))
    there = _header(source, path, settings)
    index = (spec.prediction.index_date or ".").split(".")[1]
    wanted = [*full.key, *later_columns(full), *([index] if index and index not in full.key else [])]
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(wanted):
        column = full.columns[name]
        spelled = next((each for each in (column.source_name, name) if each in there), None)
        if spelled is not None:
            changed = {"source_name": spelled, "nullable": name not in full.key, "unique": False}
            columns[name] = column.model_copy(update=changed)
    lacking = [full.columns[name].source_name or name for name in full.key if name not in columns]
    if lacking:
        raise SourceError(
            f"{path.name}: an outcome file needs the key of its units, but has no column {', '.join(lacking)}.",
            cure=f"Name units by {', '.join(lacking)}, or by {PSEUDONYM}.",
        )
    feedback = {name: _yes_or_no(name) for name in FEEDBACK if name in there}
    if not feedback and not set(columns) & set(later_columns(full)):
        known = ", ".join(full.columns[name].source_name or name for name in later_columns(full))
        raise SourceError(
            f"{path.name}: none of its columns is an outcome of cohort {spec.name}.", cure=f"Give one of: {known}."
        )
    return full.model_copy(
        update={
            "source": source,
            "columns": {**columns, **feedback},
            "rules": (),
            "references": (),
            "recorded": None,
            "refused_limit": 0.5,
        }
    )


def _yes_or_no(name: str) -> Column:
    meaning = {"shown": "Whether the score was shown to somebody.", "acted": "Whether somebody acted on it."}
    return Column(type="boolean", role=("outcome",), description=meaning[name])


def _header(source: FileSource, path: Path, settings: Settings) -> set[str]:
    import duckdb

    from clinical_assets.sources.opening import open_source

    table = Table(
        description="An outcome file.",
        source=source,
        key=("any",),
        columns={"any": Column(type="string", description="-")},
    )
    with (
        duckdb.connect(config={"threads": "1"}) as connection,
        open_source(connection, table, table_name="outcomes", settings=settings, folder=path.parent) as opened,
    ):
        return {str(row[0]) for row in connection.execute(f"DESCRIBE ({opened.sql})").fetchall()}


def _apply(
    spec: CohortSpec,
    table: Table,
    found: duckdb.DuckDBPyConnection,
    connection: duckdb.DuckDBPyConnection,
    *,
    digest: str,
    refused: int,
) -> OutcomesReceived:
    name = quoted(spec.subject_table)
    index = (spec.prediction.index_date or ".").split(".")[1]
    facts = [column for column in table.columns if column not in table.key and column != index]
    parts = [
        f"SELECT {key_text(table, 'r')} AS unit, {literal(column)} AS column_name, "
        f"trim(CAST(r.{quoted(table.columns[column].source_name or column)} AS VARCHAR)) AS raw_value, "
        f"CAST(v.{quoted(column)} AS VARCHAR) AS value, "
        f"{f'CAST(v.{quoted(index)} AS VARCHAR)' if index in table.columns else 'NULL::VARCHAR'} AS index_date "
        f"FROM validated.{name} AS v JOIN raw.{name} AS r USING (_row) WHERE v.{quoted(column)} IS NOT NULL"
        for column in facts
    ]
    connection.execute("DROP TABLE IF EXISTS temp.arrived")
    connection.register("_arrived", found.execute(" UNION ALL ".join(parts)).to_arrow_table())
    connection.execute("CREATE TEMP TABLE arrived AS SELECT * FROM _arrived")
    connection.unregister("_arrived")
    stamp = f"{literal(digest)} AS file, {literal(utc_now())} AS received_at"
    _refuse_other_dates(spec, connection, stamp, index if index in table.columns else None)
    joined = f"temp.arrived AS a LEFT JOIN {VALUES} AS k USING (unit, column_name)"
    count = connection.execute(
        f"SELECT count(*) FILTER (k.value IS NULL), count(*) FILTER (k.value = a.value), "
        f"count(*) FILTER (k.value <> a.value) FROM {joined}"
    ).fetchone() or (0, 0, 0)
    connection.execute(
        f"INSERT INTO {CONFLICTS} SELECT unit, column_name, k.value, a.value, {stamp}, "
        "'another value is already known', 'Find out which is right; correct it at the source and erase the other.' "
        f"FROM {joined} WHERE k.value <> a.value "
        f"AND NOT EXISTS (SELECT 1 FROM {CONFLICTS} AS c WHERE c.unit = a.unit AND c.column_name = a.column_name "
        "AND c.other_value = a.value)"
    )
    connection.execute(
        f"INSERT INTO {VALUES} SELECT unit, column_name, a.raw_value, a.value, {stamp} FROM {joined} "
        "WHERE k.value IS NULL"
    )
    (dates,) = connection.execute("SELECT count(*) FROM temp.other_dates").fetchone() or (0,)
    waiting = _waiting(spec, connection)
    connection.execute("DROP TABLE temp.arrived; DROP TABLE temp.other_dates")
    return OutcomesReceived(
        file=digest,
        new=int(count[0]),
        known=int(count[1]),
        conflicts=int(count[2]) + int(dates),
        waiting=waiting,
        refused_rows=refused,
    )


def _refuse_other_dates(spec: CohortSpec, connection: duckdb.DuckDBPyConnection, stamp: str, index: str | None) -> None:
    """An outcome that speaks of another index date than the record's is another episode's."""
    subjects = spec.subject_table
    if index is None or not has_table(connection, VALID, subjects):
        connection.execute("CREATE TEMP TABLE other_dates (unit VARCHAR)")
        return
    units = f"{VALID}.{quoted(subjects)} AS s"
    plain = spec.subjects.model_copy(
        update={
            "columns": {
                name: column.model_copy(update={"source_name": None}) for name, column in spec.subjects.columns.items()
            }
        }
    )
    connection.execute(
        f"CREATE TEMP TABLE other_dates AS SELECT a.unit, a.column_name, a.index_date, "
        f"any_value(CAST(s.{quoted(index)} AS VARCHAR)) AS recorded FROM temp.arrived AS a "
        f"JOIN {units} ON {key_text(plain, 's')} = a.unit WHERE a.index_date IS NOT NULL "
        f"GROUP BY ALL HAVING bool_and(CAST(s.{quoted(index)} AS VARCHAR) <> a.index_date)"
    )
    connection.execute(
        f"INSERT INTO {CONFLICTS} SELECT unit, column_name, recorded, index_date, {stamp}, "
        "'the record has another index date', 'Send the outcome of the episode that was scored.' FROM temp.other_dates"
    )
    connection.execute(
        "DELETE FROM temp.arrived WHERE (unit, column_name) IN (SELECT (unit, column_name) FROM temp.other_dates)"
    )


def _waiting(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> int:
    arrived = "SELECT DISTINCT unit FROM temp.arrived"
    if has_table(connection, RAW, spec.subject_table):
        known = f"SELECT {key_text(spec.subjects)} AS unit FROM {RAW}.{quoted(spec.subject_table)}"
        arrived = f"{arrived} EXCEPT {known}"
    found = connection.execute(f"SELECT count(*) FROM ({arrived})").fetchone()
    return int(found[0]) if found else 0


def conflicts(warehouse: Warehouse, *, limit: int = 100) -> Sequence[tuple[str, ...]]:
    """The newest contradictions: column, kept value, other value, reason, cure; without the unit's name."""
    if not warehouse.exists():
        return []
    with warehouse.reader() as connection:
        if not has_table(connection, RAW, "outcome_conflicts"):
            return []
        return connection.execute(
            f"SELECT column_name, kept_value, other_value, reason, cure FROM {CONFLICTS} "
            f"ORDER BY received_at DESC LIMIT {int(limit)}"
        ).fetchall()
