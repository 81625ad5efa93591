"""A cohort's description as a batch of new records must fit it: the same promises, without what is only known later.

What belongs here: deriving the description. What does not: reading a batch (``batch_intake``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from clinical_assets.cohorts.sources_spec import CsvDialect, ExcelSheet, FileSource, PackagedSource, UrlSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.sources.readers import format_of
from clinical_assets.warehouse.sql.schema import DUCKDB_TYPES
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation.erased_subjects import subject_text

#: A batch is refused as a whole when more than this share of a table's records is.
REFUSED_LIMIT = 0.5
_LATER = {"target", "outcome", "weight"}


def later_columns(table: Table) -> tuple[str, ...]:
    """Columns that new records come without: roles target, outcome and weight, but for keys and dates."""
    kept = {*table.key, *([table.recorded] if table.recorded else [])}
    return tuple(name for name, column in table.columns.items() if _LATER & set(column.role) and name not in kept)


def batch_spec(spec: CohortSpec, patterns: Mapping[str, str]) -> CohortSpec:
    """The description that a batch is read and checked by.

    Parameters
    ----------
    spec : CohortSpec
        The description that the cohort was trained by.
    patterns : mapping
        Table name to the pattern of its files, relative to the batch's folder. Tables without files are left out,
        with references to them.

    Returns
    -------
    CohortSpec
        Sources are the files. Columns known only later are left out, with rules that speak of them.
    """
    tables = {
        name: _early(table, files=patterns[name], tables=patterns)
        for name, table in spec.tables.items()
        if name in patterns
    }
    return spec.model_copy(update={"tables": tables})


def as_delivered(table: Table, files: str) -> FileSource:
    """Delivered files of a table as a source: of the format that their ending says, written like the table's own.

    Parameters
    ----------
    table : Table
        The table's description.
    files : str
        Path or pattern of the files, with an ending that a reader is for.

    Raises
    ------
    SourceError
        When no reader is for the ending.
    """
    dialect = _dialect(table)
    if {".tsv", ".tab"} & {suffix.lower() for suffix in PurePosixPath(files).suffixes}:
        dialect = dialect.model_copy(update={"delimiter": None})  # the ending says otherwise than a source of commas
    return FileSource(
        kind="file",
        path=files,
        csv=dialect,
        format=format_of(files),
        excel=_sheet(table),
        unnest=_unnested(table),
    )


def outcome_spec(spec: CohortSpec) -> CohortSpec:
    """The description that received records are checked by once outcomes are filled in: those may still be missing."""
    tables = {}
    for name, table in spec.tables.items():
        later = set(later_columns(table))
        columns = {
            column: described.model_copy(update={"nullable": True}) if column in later else described
            for column, described in table.columns.items()
        }
        tables[name] = table.model_copy(update={"columns": columns, "refused_limit": 1.0})
    return spec.model_copy(update={"tables": tables})


def _early(table: Table, *, files: str, tables: Collection[str]) -> Table:
    later = set(later_columns(table))
    columns: dict[str, Column] = {name: column for name, column in table.columns.items() if name not in later}
    return table.model_copy(
        update={
            "source": as_delivered(table, files),
            "columns": columns,
            "corrections": tuple(one for one in table.corrections if not {*one.where, *one.put} & later),
            "rules": tuple(rule for rule in table.rules if not _named(rule.expression) & later),
            "references": tuple(reference for reference in table.references if reference.table in tables),
            "refused_limit": max(table.refused_limit, REFUSED_LIMIT),
        }
    )


def _dialect(table: Table) -> CsvDialect:
    """Batches are written like the source, where that is text."""
    source = table.source
    return source.csv if isinstance(source, FileSource | PackagedSource | UrlSource) else CsvDialect()


def _unnested(table: Table) -> dict[str, str]:
    source = table.source
    return source.unnest if isinstance(source, FileSource | PackagedSource | UrlSource) else {}


def _sheet(table: Table) -> ExcelSheet:
    source = table.source
    return source.excel if isinstance(source, FileSource | PackagedSource | UrlSource) else ExcelSheet()


def _named(expression: str) -> set[str]:
    import sqlglot
    from sqlglot import expressions

    tree = sqlglot.parse_one(f"SELECT {expression}", dialect="duckdb")
    return {column.name.lower() for column in tree.find_all(expressions.Column)}


def key_text(table: Table, alias: str = "", *, typed: bool = False) -> str:
    """SQL text that names a unit in the same way however its key was written.

    ``1``, ``' 1'`` and ``1.0`` are one integer, a date is one in the source's format and as a date; texts keep their
    leading zeros.

    Parameters
    ----------
    table : Table
        Its key columns name the unit.
    alias : str
        Of the relation, where it needs one.
    typed : bool
        Whether the relation has the description's names and types (validated), or the source's (raw).
    """
    prefix = f"{alias}." if alias else ""
    parts = []
    for name in table.key:
        column = table.columns[name]
        text = _plain(f"{prefix}{quoted(name if typed else column.source_name or name)}", column)
        if len(table.key) > 1:
            text = f"replace(replace({text}, '\\', '\\\\'), '|', '\\|')"
        parts.append(f"coalesce({text}, '')")
    return " || '|' || ".join(parts)


def _plain(found: str, column: Column) -> str:
    text = subject_text(found, integer=column.type == "integer")
    if column.type == "number":
        return f"coalesce(CAST(TRY_CAST({text} AS DOUBLE) AS VARCHAR), {text})"
    if column.type in ("date", "datetime"):
        kind = DUCKDB_TYPES[column.type]
        read = f"TRY_CAST({text} AS {kind})"
        if column.format is not None:
            read = f"coalesce(CAST(try_strptime({text}, {literal(column.format)}) AS {kind}), {read})"
        return f"coalesce(CAST({read} AS VARCHAR), {text})"
    return text


def as_written(table: Table, name: str, typed: str, *, timezone: str | None = None) -> str:
    """SQL of a typed value as the table's source would write it: what reads back as the same value.

    Parameters
    ----------
    table : Table
        The description of the table that holds the column.
    name : str
        The column, by the description's name.
    typed : str
        SQL expression of the column's DuckDB type.
    timezone : str, optional
        Zone of the cohort.
    """
    column = table.columns[name]
    if column.type == "boolean":
        yes, no = literal(column.true_values[0]), literal(column.false_values[0])
        return f"CASE WHEN {typed} THEN {yes} WHEN NOT {typed} THEN {no} END"
    if column.type in ("date", "datetime") and column.format is not None:
        if column.type == "datetime" and "%z" in column.format and timezone is not None:
            typed = f"timezone('UTC', timezone({literal(timezone)}, {typed}))"
        return f"strftime({typed}, {literal(column.format.replace('%z', '+00:00'))})"
    text = f"CAST({typed} AS VARCHAR)"
    if column.type == "number" and _dialect(table).decimal == ",":
        return f"replace({text}, '.', ',')"
    return text
