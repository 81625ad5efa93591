"""Parquet files through DuckDB, numbered by their own row numbers, so that reading stays parallel."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

import duckdb

from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.dialect import check_columns
from clinical_assets.sources.files import Found, engine_message, fingerprint, identifier, path_literal
from clinical_assets.sources.reading import Reading

# Names under which DuckDB offers a file's own row numbers; a column of that name hides them.
_VIRTUAL = {"file_row_number", "file_index"}


def read_parquet(connection: duckdb.DuckDBPyConnection, found: Sequence[Found]) -> Reading:
    """Make Parquet files with the same columns ready to be read, typed as found.

    Raises
    ------
    SourceError
        When a file is empty, cut off or no Parquet, columns are doubled, or files differ in their columns.
    """
    marks = tuple(fingerprint(one) for one in found)
    columns: list[tuple[str, str]] = []
    rows: list[int] = []
    for one in found:
        here, count = _schema(connection, one)
        columns = columns or here
        rows.append(count)
        if here != columns:
            place = next((a for a, b in zip(here, columns, strict=False) if a != b), (here + columns)[-1])
            raise SourceError(
                f"{one.name} has other columns than {found[0].name}: see {place[0]!r} ({place[1]}).",
                cure="Give every file of the pattern the same columns and types in the same order, "
                "or make it a table of its own.",
            )
    names = [name for name, _ in columns]
    check_columns(found[0].name, [unicodedata.normalize("NFC", name) for name in names])
    offsets = [0, *accumulate(rows)][:-1]
    number = "row_number() OVER ()"
    if not _VIRTUAL & {name.lower() for name in names}:
        number = "file_row_number + 1" + (f" + {offsets}[file_index::BIGINT + 1]" if len(found) > 1 else "")
    paths = ", ".join(path_literal(one.path) for one in found)
    selected = ", ".join(composed(name) for name in names)
    what = found[0].name if len(found) == 1 else f"{len(found)} files, {found[0].name} to {found[-1].name}"
    return Reading(
        sql=f"SELECT CAST({number} AS BIGINT) AS _row, {selected} "
        f"FROM read_parquet([{paths}], hive_partitioning = false)",
        description=f"Parquet, {what}: {len(names)} columns",
        fingerprints=marks,
        records=sum(rows),
    )


def composed(name: str) -> str:
    """SQL that selects a column under its name in Unicode's composed form, as descriptions write it."""
    plain = unicodedata.normalize("NFC", name)
    return identifier(name) if plain == name else f"{identifier(name)} AS {identifier(plain)}"


def _schema(connection: duckdb.DuckDBPyConnection, one: Found) -> tuple[list[tuple[str, str]], int]:
    path = path_literal(one.path)
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({path}, hive_partitioning = false)")
        columns = [(row[0], row[1]) for row in described.fetchall()]
        counted = connection.execute(f"SELECT num_rows FROM parquet_file_metadata({path})").fetchone()
        original = [
            row[0]
            for row in connection.execute(
                f"SELECT name FROM parquet_schema({path}) QUALIFY row_number() OVER () > 1"
            ).fetchall()
        ]
    except duckdb.Error as error:
        size = one.path.stat().st_size if one.path.exists() else 0
        raise SourceError(
            f"{one.name} ({size} bytes) is no whole Parquet file: {engine_message(error, [(one.path, one.name)])}",
            cure="Export or copy it again; if it is text, set `format: csv` or `format: jsonl`.",
        ) from error
    if len(columns) == len(original):  # a flat table: DuckDB has renamed what is doubled, the file has not
        check_columns(one.name, original)
    return columns, int(counted[0]) if counted else 0
