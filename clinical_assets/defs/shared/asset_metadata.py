"""What a materialisation says about itself: counts, schema, lineage, preview, pictures.

Every asset builds its metadata here, so that the same fact has the same name everywhere in the UI. Identifiers are
masked: the event log is no place for them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    import duckdb

MASK = "•••"
PREVIEW_ROWS = 5
#: Fewest records that a shown value belongs to: the usual rule for small cells in published tables.
COMMON = 11
_PREVIEW_COLUMNS = 40
_DUCKDB_TYPES = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as the UI shows them best.

    Parameters
    ----------
    values : mapping
        By name: rows (a list of mappings) become a table, a PNG (bytes) a picture, a ``Path`` a path; None and empty
        tables are left out; anything else is passed on.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, bytes):
            found |= picture(value, name)
        elif isinstance(value, Path):
            found[name] = dg.MetadataValue.path(str(value))
        elif isinstance(value, list):
            found |= {name: records_table(value)} if value else {}
        else:
            found[name] = value
    return found


def picture(png: bytes | None, title: str) -> dict[str, dg.MetadataValue]:
    """A PNG as Markdown that the UI shows in place, or nothing when there is nothing to draw."""
    if png is None:
        return {}
    text = base64.b64encode(png).decode()
    return {title: dg.MetadataValue.md(f"![{title}](data:image/png;base64,{text})")}


def column_schema(columns: Mapping[str, Column], *, prefix: str = "") -> list[dg.TableColumn]:
    """The described columns as the UI shows them: type, unit, limits and what the data dictionary says."""
    return [
        dg.TableColumn(
            name=f"{prefix}{name}",
            type=_DUCKDB_TYPES[column.type],
            description=_described(column),
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable, unique=column.unique, other=_limits(column)
            ),
            tags=dict.fromkeys(column.role, ""),
        )
        for name, column in columns.items()
    ]


def _described(column: Column) -> str:
    return f"{column.description} [{column.unit}]" if column.unit not in (None, "1") else column.description


def _limits(column: Column) -> list[str]:
    limits = []
    if column.range is not None:
        low, high = ("" if end is None else f"{end:g}" for end in column.range)
        limits.append(f"range {low}..{high}")
    if column.categories is not None:
        limits.append("one of " + ", ".join(column.categories))
    return limits


def all_tables_schema(spec: CohortSpec) -> dg.TableSchema:
    """Columns of every table of the cohort as ``table.column``."""
    single = len(spec.tables) == 1
    columns: list[dg.TableColumn] = []
    for name, table in spec.tables.items():
        columns += column_schema(table.columns, prefix="" if single else f"{name}.")
    return dg.TableSchema(columns=columns)


def validated_lineage(spec: CohortSpec) -> dg.TableColumnLineage:
    """Which raw column every validated column is a typed copy of."""
    single = len(spec.tables) == 1
    raw = dg.AssetKey("raw_records")
    return dg.TableColumnLineage(
        deps_by_column={
            name if single else f"{table_name}.{name}": [
                dg.TableColumnDep(
                    asset_key=raw,
                    column_name=(column.source_name or name)
                    if single
                    else f"{table_name}.{column.source_name or name}",
                )
            ]
            for table_name, table in spec.tables.items()
            for name, column in table.columns.items()
        }
    )


def found_schema(connection: duckdb.DuckDBPyConnection, relations: Mapping[str, str]) -> dg.TableSchema:
    """Columns as they were found, with DuckDB's types, of every table by its name."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=column if len(relations) == 1 else f"{name}.{column}", type=kind)
            for name, relation in relations.items()
            for column, kind, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()
        ]
    )


def preview(
    connection: duckdb.DuckDBPyConnection, relation: str, *, cohort: CohortHandle, clear: Iterable[str]
) -> dict[str, dg.MetadataValue]:
    """What a table holds, as a table of a few rows; nothing for an empty one, or where previews are switched off.

    Only ``clear`` columns show values: a column that nobody described may name a person, too. Of real records no row is
    shown, since a whole row is a person even without a name: each column lists its most frequent values by itself, and
    none that fewer than `COMMON` records have. Generated records are shown as they are.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has the table.
    relation : str
        Its name, as SQL.
    cohort : CohortHandle
        Says whether records are real, and whether the installation wants previews.
    clear : iterable of str
        Columns whose values may be shown.
    """
    if not cohort.settings.previews:
        return {}
    shown = set(cohort.in_clear(clear))
    result = connection.execute(f"SELECT * FROM {relation} LIMIT {PREVIEW_ROWS}")
    names = [column[0] for column in result.description or ()][:_PREVIEW_COLUMNS]
    rows = [list(row[: len(names)]) for row in result.fetchall()]
    if not rows:
        return {}
    if cohort.spec.synthetic:
        shown.add("_row")
    else:
        frequent = {name: _frequent(connection, relation, name) for name in names if name in shown}
        rows = [[frequent[name][i] if name in frequent else None for name in names] for i in range(PREVIEW_ROWS)]
    records = [
        dg.TableRecord({name: _cell(value) if name in shown else MASK for name, value in zip(names, row, strict=True)})
        for row in rows
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name=name) for name in names])
    return {f"preview of {relation}": dg.MetadataValue.table(records=records, schema=schema)}


def _frequent(connection: duckdb.DuckDBPyConnection, relation: str, column: str) -> list[Any]:
    """The most frequent values of a column, the mask in place of those that few records have."""
    name = quoted(column)
    found = connection.execute(
        f"SELECT {name} FROM {relation} WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) >= {COMMON} "
        f"ORDER BY count(*) DESC, {name} LIMIT {PREVIEW_ROWS}"
    ).fetchall()
    values = [value for (value,) in found]
    return values + [MASK] * (PREVIEW_ROWS - len(values))


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    return str(value)[:200]


def records_table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue | None:
    """Rows of plain values as a table; None when there are none."""
    if not rows:
        return None
    schema = dg.TableSchema(columns=[dg.TableColumn(name=name) for name in rows[0]])
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records=records, schema=schema)


def identity(spec: CohortSpec | PairedCohortSpec) -> dict[str, Any]:
    """What every materialisation says first: whether the records are real, and under which licence."""
    label = "SYNTHETIC: made by a generator, not patients" if spec.synthetic else "real records"
    return {"records are": label, "licence": spec.data.licence, "cohort owner": spec.owner.team}
