"""Tables and queries of any database that SQLAlchemy reaches, streamed in batches into Parquet.

What belongs here: the connection, the batches, and one Arrow type per column. What does not: any SQL of ours beyond
selecting one table.

The address holds credentials: it is read from the environment variable that the description names, and neither it
nor any part of it enters a message, a log or a description.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_assets.cohorts.sources_spec import SqlSource
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.delimited.dialect import check_columns
from clinical_assets.sources.files import Found
from clinical_assets.sources.outside.reach import check_database, check_variable
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.typed.columnar import read_parquet

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult, Select

BATCH_ROWS = 50_000


def read_database(
    connection: duckdb.DuckDBPyConnection,
    source: SqlSource,
    *,
    folder: Path,
    settings: Settings,
    batch_rows: int | None = None,
) -> Reading:
    """Fetch a table or query into Parquet files in ``folder`` and make them ready to be read.

    Only one batch is in memory at a time. A table is ordered by its primary key, so that the same rows get the same
    ``_row``; a query should say ``ORDER BY`` itself. The session is read-only where the database can do that, and
    nothing is ever committed. A column that has values of several types in the database (SQLite allows it) is text.

    Raises
    ------
    SourceError
        When the variable is not set, the driver is missing, or the database refuses; without the address.
    """
    from sqlalchemy.exc import SQLAlchemyError

    batch_rows = batch_rows or BATCH_ROWS
    check_variable(source.url_variable, settings)
    url = _url(source.url_variable)
    check_database(url, source.url_variable, settings)
    what = f"table {source.table}" if source.table else "a query"
    described = f"{what} of the {url.get_backend_name()} database named by {source.url_variable}"
    parts: list[Path] = []
    kinds: list[list[pa.DataType]] = []
    try:
        with _connected(url) as database:
            result = _select(database, source, batch_rows)
            names = [str(name) for name in result.keys()]  # noqa: SIM118 - the names of the result, not of a dict
            check_columns(f"The result of {what}", names)
            for rows in result.partitions(batch_rows):
                batch = pa.table([_array(values) for values in zip(*rows, strict=True)], names=names)
                kinds.append(list(batch.schema.types))
                parts.append(folder / f"part-{len(parts):06d}.parquet")
                _write(batch, parts[-1], described)
    except SQLAlchemyError as error:
        # `from None`: the causes repeat the address.
        raise SourceError(
            f"{described} cannot be read: {_scrubbed(error, url)}",
            cure=f"Check the query and the account's rights, and the address in {source.url_variable}.",
        ) from None
    if not parts:
        parts = [folder / "part-000000.parquet"]
        _write(pa.table({name: pa.array([], pa.string()) for name in names}), parts[0], described)
    else:
        _make_alike(parts, kinds, names, described)
    reading = read_parquet(connection, [Found(f"{what}, part {i + 1}", path) for i, path in enumerate(parts)])
    rows_read = reading.records or 0
    return Reading(sql=reading.sql, description=f"{described}: {rows_read} rows", records=reading.records)


def _url(variable: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    text = os.environ.get(variable)
    if not text:
        raise SourceError(
            f"The environment variable {variable}, which names the database, is not set.",
            cure=f"Set {variable} to an SQLAlchemy URL such as postgresql+psycopg://user:password@host/database.",
        )
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise SourceError(
            f"What {variable} holds is no SQLAlchemy URL.",
            cure="Write it as dialect+driver://user:password@host:port/database, special characters as %XX.",
        ) from None


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    backend = url.get_backend_name()
    in_file = backend == "sqlite" and url.database and not url.database.startswith(("file:", ":memory:"))
    if in_file and not Path(str(url.database)).is_file():
        # SQLite itself would make an empty database there.
        raise SourceError(
            "There is no SQLite file where the address points.",
            cure="Correct the path; sqlite:////with/four/slashes is absolute.",
        )
    try:
        engine = create_engine(url, poolclass=NullPool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        driver = getattr(error, "name", None) or url.drivername
        raise SourceError(
            f"The driver {driver} for the database is not installed.",
            cure=f"Install it, for instance: pip install {driver}",
        ) from None
    try:
        with engine.connect() as database:
            if backend == "sqlite":
                database.exec_driver_sql("PRAGMA query_only = ON")
            read_only = {"postgresql_readonly": True} if backend == "postgresql" else {}
            yield database.execution_options(**read_only)
    finally:
        engine.dispose()


def _select(database: Connection, source: SqlSource, batch_rows: int) -> CursorResult[Any]:
    from sqlalchemy import inspect, literal_column, select, table

    options = {"stream_results": True, "yield_per": batch_rows}
    if source.query is not None:
        # As it stands: colons and per cent signs are the query's own.
        return database.exec_driver_sql(source.query, execution_options={**options, "no_parameters": True})
    assert source.table is not None
    schema, _, name = source.table.rpartition(".")
    key = inspect(database).get_pk_constraint(name, schema=schema or None)["constrained_columns"]
    quoted = database.dialect.identifier_preparer.quote
    everything: Select[Any] = select(literal_column("*")).select_from(table(name, schema=schema or None))
    ordered = everything.order_by(*[literal_column(quoted(column)) for column in key])
    return database.execute(ordered, execution_options=options)


def _array(values: Sequence[Any]) -> pa.Array:
    """One column of a batch; what has no plain Arrow type becomes text."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _text(values)
    kind = array.type
    odd = pa.types.is_nested(kind) or pa.types.is_duration(kind) or isinstance(kind, pa.BaseExtensionType)
    return _text(values) if odd else array


def _text(values: Sequence[Any]) -> pa.Array:
    def shown(value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=False, default=str)
        return str(value)

    return pa.array(map(shown, values), pa.string())


def _make_alike(parts: Sequence[Path], kinds: Sequence[list[pa.DataType]], names: list[str], described: str) -> None:
    """Rewrite the parts whose types differ from what all parts have in common."""
    common = pa.schema([(name, _common([kind[i] for kind in kinds])) for i, name in enumerate(names)])
    for path, kind in zip(parts, kinds, strict=True):
        if kind != common.types:
            part = pq.read_table(path)
            columns = [_cast(part[i], field, described) for i, field in enumerate(common)]
            _write(pa.table(columns, schema=common), path, described)


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType:
    different = set(kinds)
    if different == {pa.null()}:
        return pa.string()
    try:
        return (
            pa.unify_schemas(
                [pa.schema([("x", kind)]) for kind in sorted(different, key=str)], promote_options="permissive"
            )
            .field(0)
            .type
        )
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string()


def _cast(column: pa.ChunkedArray, field: pa.Field, described: str) -> pa.ChunkedArray:
    if pa.types.is_string(field.type) and not pa.types.is_string(column.type):
        return pa.chunked_array([_text(column.to_pylist())])
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{described}: column {field.name!r} holds values of several types that no one type keeps: {error}",
            cure="Give the column one type in the query, with CAST.",
        ) from error


def _write(table: pa.Table, path: Path, described: str) -> None:
    try:
        pq.write_table(table, path, compression="zstd", compression_level=1)
    except OSError as error:
        raise SourceError(
            f"{described}: there is no room for what was fetched: {error.strerror or error}.",
            cure="Free space in CLINICAL_ASSETS_DATA and start again.",
        ) from error


def _scrubbed(error: Exception, url: URL) -> str:
    """What the database says, without any part of the address."""
    text = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    secrets = [url.password, url.username, url.host, url.database, *(str(value) for value in url.query.values())]
    for secret in sorted({str(secret) for secret in secrets if secret}, key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(form, "***")
    return text
