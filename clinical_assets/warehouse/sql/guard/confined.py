"""Where a model's statement runs: a database in memory that holds what the model may see, and nothing else.

What belongs here: copying the permitted views there, running the statement, and bringing its rows back. The
warehouse's own connection never parses a model's text, so a statement that slips past the check of its tree finds
neither a hidden column nor a late row, no other table, no file and no network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.foundation.scratch_folder import scratch_folder
from clinical_assets.warehouse.sql.errors import explain
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.store.encryption import enable_encryption
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS = 122_880
"""Rows that travel at once, a row group of DuckDB."""
_INHERITED = ("memory_limit", "threads", "temp_file_encryption")


@contextlib.contextmanager
def confined(source: duckdb.DuckDBPyConnection, compiled: CompiledModel) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that holds the views of a statement's sources, filled from ``source``.

    Parameters
    ----------
    source : DuckDBPyConnection
        Has the tables that the views stand on; memory, threads and the encryption of temporary files are as there.
    compiled : CompiledModel
        The statement whose ``body`` is to run.
    """
    import duckdb

    with contextlib.ExitStack() as stack:
        config: dict[str, str | bool | int | float | list[str]] = {name: _setting(source, name) for name in _INHERITED}
        spill = _setting(source, "temp_directory")
        if Path(spill).is_absolute():
            # A folder of its own, since DuckDB empties the whole folder when a connection closes.
            config["temp_directory"] = str(stack.enter_context(scratch_folder(Path(spill), prefix="model-")))
        config |= {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        }
        connection = stack.enter_context(duckdb.connect(":memory:", config=config))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET arrow_lossless_conversion = true")
        if config["temp_file_encryption"] == "true":
            enable_encryption(connection)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        for view in compiled.sources:
            try:
                rows = source.execute(view.sql).to_arrow_reader(ROWS)
            except duckdb.CatalogException:
                raise SqlModelError(
                    f"{compiled.name}: the table {view.relation} that it reads does not exist.",
                    cure="Run the stages before it first.",
                ) from None
            with _registered(connection, "_incoming", rows):
                connection.execute(f"CREATE TABLE {quoted(view.cte)} AS SELECT * FROM _incoming")
        yield connection


def write_result(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    compiled: CompiledModel,
    *,
    columns: Sequence[str] = ("*",),
    order: Sequence[str] = (),
    temporary: bool = False,
) -> None:
    """Run a model's statement confined and write its rows as a table of ``connection``.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has the sources' tables; the transaction is the caller's.
    relation : str
        The table that is replaced, quoted.
    compiled : CompiledModel
        The statement.
    columns, order : sequence of str
        What is selected of the statement and by what it is ordered, as SQL.
    temporary : bool
        True makes a table of this connection alone.

    Raises
    ------
    SqlModelError
        When DuckDB refuses the statement; names file and line.
    """
    import duckdb

    ordered = f" ORDER BY {', '.join(order)}" if order else ""
    kind = "TEMP TABLE" if temporary else "TABLE"
    with confined(connection, compiled) as alone:
        try:
            # Computed to its end before anything is written: an error belongs to the author's file, not to the write.
            alone.execute(f"CREATE TABLE _result AS SELECT {', '.join(columns)} FROM (\n{compiled.body}\n){ordered}")
        except duckdb.Error as error:
            raise explain(error, compiled, lines_before=1) from None
        rows = alone.execute("SELECT * FROM _result").to_arrow_reader(ROWS)
        with _registered(connection, "_incoming", rows):
            connection.execute(f"CREATE OR REPLACE {kind} {relation} AS SELECT * FROM _incoming")


@contextlib.contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.RecordBatchReader) -> Iterator[None]:
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)


def _setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    row = connection.execute(f"SELECT current_setting('{name}')").fetchone()
    return str(row[0]).lower() if row and isinstance(row[0], bool) else str(row[0]) if row and row[0] else ""
