"""From raw to validated records: what keeps every promise of the description goes on, the rest goes to quarantine.

What belongs here: the way of the records through ``row_validation`` and ``cross_row``, chunk by chunk so that memory
stays bounded, and the decision whether the outcome is kept. Nothing is decided about single records here.

Every raw record ends in exactly one of ``validated.<table>`` and ``quarantine.records``; ``quarantine.findings`` says
why, one row per broken promise. When too many are refused, a column is missing or a table is empty, quarantine is
written and the validated tables stay as they were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import duckdb
import polars as pl

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.code_digest import code_digest
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.record_versions import content_digest, origin_digest
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation import cross_row, erased_subjects, quarantine
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation import report as validation_report
from clinical_assets.warehouse.validation.cross_row import FINDINGS_TABLE, Stage
from clinical_assets.warehouse.validation.report import Failure, TableValidation, ValidationReport
from clinical_assets.warehouse.validation.row_validation import RowValidator, Validated, validate_frame
from clinical_assets.warehouse.validation.schemas import pandera_schema
from clinical_assets.warehouse.validation.typing_records import Clocks, source_columns

__all__ = [
    "TableValidation",
    "Validated",
    "ValidationReport",
    "content_digest",
    "origin_digest",
    "pandera_schema",
    "validate_cohort",
    "validate_connection",
    "validate_frame",
]

_CHUNK = "_chunk"
_BYTES_A_CELL = 24
_LEAST_CHUNK, _LARGEST_CHUNK = 16 * 2**20, 128 * 2**20
_SHARE_OF_MEMORY = 1 / 32
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_AS_FOUND = re.compile(
    r"(U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT|FLOAT|DOUBLE|DECIMAL.*|VARCHAR|BOOLEAN|DATE|TIMESTAMP.*|ENUM.*)"
)
_NESTED = re.compile(r"STRUCT|MAP|UNION|.*\]$")


@dataclass
class _Counts:
    """What is added up over the chunks of a table."""

    rows_in: int = 0
    unreadable_lines: int = 0
    undeclared: tuple[str, ...] = ()
    missing_made: Counter[str] = field(default_factory=Counter)
    corrected: Counter[str] = field(default_factory=Counter)
    implausible: Counter[str] = field(default_factory=Counter)
    unit_hints: Counter[str] = field(default_factory=Counter)
    clocks: dict[str, Clocks] = field(default_factory=dict)

    def add(self, validated: Validated) -> None:
        self.rows_in += validated.frame.height + validated.refused.height
        self.missing_made.update(validated.missing_made)
        self.corrected.update(validated.corrected)
        self.implausible.update(validated.implausible)
        self.unit_hints.update({cure: number for (_, cure), number in validated.unit_hints.items()})
        for name, found in validated.clocks.items():
            self.clocks[name] = self.clocks.get(name, Clocks()) + found


def validate_cohort(spec: CohortSpec, warehouse: Warehouse) -> ValidationReport:
    """Validate the raw records of a cohort, in one transaction.

    Parameters
    ----------
    spec : CohortSpec
        What the records promise.
    warehouse : Warehouse
        Where ``raw.*`` is read and ``validated.*`` and ``quarantine.*`` are written.

    Raises
    ------
    ValidationFailed
        When a table has no records, lacks described columns, or has more refused records than its ``refused_limit``.
        Quarantine is committed then, and the validated tables are as they were.
    SpecError
        When the description holds a rule, pattern or category that cannot be used; nothing is written then.
    WarehouseError
        When the raw records are a stand-in's and its files are there by now, or the other way round.
    """
    with warehouse.writer() as connection:
        ingestion_log.refuse_other_origin(connection, spec)
        erased_subjects.sweep(connection, spec, settings=warehouse.settings)
        report, failures = validate_connection(spec, connection)
        if not failures:
            erased = erased_subjects.any_erased(spec.name, warehouse.settings)
            origin = None if erased else origin_digest(spec, connection, code=_code())
            report = replace(report, digest=origin or content_digest(spec, connection))
    if failures:
        raise validation_report.failed(spec, failures)
    return report


def validate_connection(
    spec: CohortSpec, connection: duckdb.DuckDBPyConnection, *, chunk_bytes: int | None = None
) -> tuple[ValidationReport, tuple[Failure, ...]]:
    """The same on an open connection, inside the caller's transaction; failures are handed back, not raised.

    With failures, ``validated.*`` is untouched. The report has no digest of it; `content_digest` counts one.
    ``chunk_bytes`` is how much of a table is checked at a time, by default a share of the connection's memory limit.
    """
    cross_row.check_references(spec)
    chunk = _chunk_bytes(connection) if chunk_bytes is None else chunk_bytes
    validators = {
        name: RowValidator.of(table, table_name=name, subject=spec.subject_of(name), timezone=spec.timezone)
        for name, table in spec.tables.items()
    }
    quarantine.clear(connection)
    connection.execute("CREATE SCHEMA IF NOT EXISTS validated")
    failures: list[Failure] = []
    stages: dict[str, Stage] = {}
    counts = {name: _Counts() for name in spec.tables}
    for name, validator in validators.items():
        stage = Stage(connection, name, validator.table)
        failure = _stage_rows(spec, stage, validator, counts[name], target=chunk)
        if failure is None:
            stages[name] = stage
            cross_row.refuse_duplicates(stage)
        else:
            failures.append(failure)
    cross_row.refuse_orphans(stages)
    tables = {}
    for name, table in spec.tables.items():
        stage_or_none = stages.get(name)
        if stage_or_none is not None:
            quarantine.keep_records(stage_or_none)
        tables[name] = _result(connection, name, stage_or_none, counts[name])
        if stage_or_none is not None:
            failure = validation_report.too_many_refused(connection, name, table, tables[name])
            failures += [failure] if failure else []
    if spec.timezone is None:
        failures += validation_report.clocks_apart({name: counts[name].clocks for name in spec.tables})
    for stage in stages.values():
        _finish(stage, keep=not failures)
    if not failures:
        _drop_undescribed(spec, connection)
    report = ValidationReport(
        tables=tables,
        digest=None,
        quarantine_digest=quarantine.digest(connection),
    )
    return report, tuple(failures)


@cache
def _code() -> str:
    return code_digest(validate_connection)


def _stage_rows(
    spec: CohortSpec, stage: Stage, validator: RowValidator, counts: _Counts, *, target: int
) -> Failure | None:
    """Type and check every row of a raw table; the failure if that is impossible."""
    connection, name, table = stage.connection, stage.name, stage.table
    counts.unreadable_lines = quarantine.keep_unreadable_lines(connection, name)
    erased_subjects.note_findings(connection, name)
    types = _raw_types(connection, name)
    if types is None:
        return validation_report.not_ingested(name)
    sources = list(source_columns(table).values())
    counts.undeclared = tuple(column for column in types if column not in sources and column != ROW_NUMBER)
    absent = [source for source in sources if source not in types]
    if absent:
        failure = validation_report.missing_columns(name, table, [c for c in types if c != ROW_NUMBER], absent)
        return _noted(connection, failure, kinds.MISSING_COLUMN, absent)
    nested = [
        column
        for column, described in table.columns.items()
        if "identifier" in described.role and _NESTED.match(types[described.source_name or column])
    ]
    if nested:
        return validation_report.nested_identifier(name, nested[0])
    raw = f"raw.{quoted(name)}"
    first, last, rows = connection.execute(f"SELECT min(_row), max(_row), count(*) FROM {raw}").fetchone() or (0, 0, 0)
    if not rows:
        failure = validation_report.empty(name, counts.unreadable_lines)
        return _noted(connection, failure, kinds.EMPTY_TABLE, [None])
    stage.create(spec)
    selected = ", ".join(_as_found(source, types[source]) for source in dict.fromkeys(sources))
    widest = step = max(1, target // (_BYTES_A_CELL * (len(sources) + 1)))
    while first <= last:
        chunk = connection.execute(
            f"SELECT {ROW_NUMBER}, {selected} FROM {raw} WHERE {ROW_NUMBER} BETWEEN {first} AND {first + step - 1}"
        ).pl()
        first += step
        if chunk.height:
            # Long texts make a row larger than guessed.
            step = max(1, min(widest, int(target * chunk.height / chunk.estimated_size())))
            validated = validator.check(chunk)
            counts.add(validated)
            _append(connection, stage.staged, validated.frame)
            _append(connection, stage.refused, validated.refused)
            _append(connection, FINDINGS_TABLE, validated.findings)
    return None


def _noted(
    connection: duckdb.DuckDBPyConnection, failure: Failure, rule: str, columns: Sequence[str | None]
) -> Failure:
    quarantine.note_table(
        connection, failure.table, rule=rule, columns=columns, reason=failure.message, cure=failure.cure
    )
    return failure


def _raw_types(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str] | None:
    try:
        described = connection.execute(f"DESCRIBE raw.{quoted(name)}").fetchall()
    except duckdb.CatalogException:
        return None
    return {column: kind for column, kind, *_ in described}


def _as_found(column: str, kind: str) -> str:
    """Types that polars reads as they are stay; the rare others come as text, nested ones as JSON."""
    if _AS_FOUND.fullmatch(kind):
        return quoted(column)
    text = f"to_json({quoted(column)})" if _NESTED.match(kind) else quoted(column)
    return f"CAST({text} AS VARCHAR) AS {quoted(column)}"


def _chunk_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Size of a chunk: a share of the connection's memory limit, so that the setting bounds Python's part too."""
    row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    number, unit = str(row[0]).split() if row else ("4", "GiB")
    return int(min(max(float(number) * _UNITS[unit] * _SHARE_OF_MEMORY, _LEAST_CHUNK), _LARGEST_CHUNK))


def _append(connection: duckdb.DuckDBPyConnection, relation: str, frame: pl.DataFrame) -> None:
    if not frame.height:
        return
    connection.register(_CHUNK, frame)
    try:
        connection.execute(f"INSERT INTO {relation} BY NAME SELECT * FROM {_CHUNK}")
    finally:
        connection.unregister(_CHUNK)


def _result(connection: duckdb.DuckDBPyConnection, name: str, stage: Stage | None, counts: _Counts) -> TableValidation:
    by_rule = connection.execute(
        f"SELECT rule, count(*) FROM {FINDINGS_TABLE} WHERE table_name = ? GROUP BY rule ORDER BY ALL", [name]
    ).fetchall()
    return TableValidation(
        rows_in=counts.rows_in,
        rows_valid=stage.count(stage.staged) if stage else 0,
        rows_refused=stage.count(stage.refused) if stage else 0,
        unreadable_lines=counts.unreadable_lines,
        missing_made=dict(counts.missing_made),
        corrected=dict(counts.corrected),
        implausible=dict(counts.implausible),
        unit_hints=dict(counts.unit_hints),
        undeclared=counts.undeclared,
        findings_by_rule=dict(by_rule),
    )


def _finish(stage: Stage, *, keep: bool) -> None:
    """Put the new table in the place of the old one, or drop it."""
    connection = stage.connection
    if keep:
        connection.execute(f"DROP TABLE IF EXISTS validated.{quoted(stage.name)}")
        connection.execute(f"ALTER TABLE {stage.staged} RENAME TO {quoted(stage.name)}")
    else:
        connection.execute(f"DROP TABLE {stage.staged}")
    connection.execute(f"DROP TABLE {stage.refused}")


def _drop_undescribed(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> None:
    """Drop validated tables that the description no longer has."""
    kept = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'validated'"
    ).fetchall()
    for (name,) in kept:
        if name not in spec.tables:
            connection.execute(f"DROP TABLE validated.{quoted(name)}")
