"""Digests of content: what a data version is made of.

What belongs here: turning a table into one SHA-256. What does not: digests of values and files
(``foundation.canonical``), and where digests are kept.

How a table becomes a digest
----------------------------
1. Columns are sorted by name, and each gets the *family* of its type: every width of integer is ``integer``, both
   floating types are ``real``, ``VARCHAR``, ``ENUM`` and ``JSON`` are ``text``. Names and families go into a header,
   so the number 1, the text '1' and the real 1.0 differ, and so do empty tables with other columns.
2. Each row becomes one text that can be read back in one way only: numbers, dates and times end with ``;``, texts
   are preceded by their length in bytes, NULL is what no value is (an empty number, a text without a length).
   Reals are written as the decimal number of their 64 IEEE 754 bits: as exact as the shortest decimal text that reads
   back the same, twice as quick, and not subject to how a version of DuckDB prints. -0.0 counts as 0.0, and every
   NaN as the same one, which is not NULL.
3. Each row text is hashed with SHA-256, the row hashes are sorted as hexadecimal text, and header and hashes are
   hashed together. Sorting keeps multiplicity, makes the order of rows and the number of threads irrelevant, and
   spills to disk when memory is short.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_assets.foundation.canonical import HEX_DIGITS, PREFIX, canonical_json
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    from duckdb.sqltypes import DuckDBPyType

_FORMAT = "clinical_assets table digest, version 1"
_ROWS_A_BATCH = 100_000

_INTEGERS = {
    *("tinyint", "smallint", "integer", "bigint", "hugeint", "bignum"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
}
# Families whose text never holds the closing mark and never is empty, so that an empty piece can mean NULL.
_AS_TEXT = {
    "boolean": "boolean",
    "uuid": "uuid",
    "bit": "bit",
    "date": "date",
    "time": "time",
    "time with time zone": "time with offset",
    "interval": "interval",
    "timestamp_ns": "timestamp in nanoseconds",
}
_TIMESTAMPS = {"timestamp", "timestamp_s", "timestamp_ms"}
_TEXTS = {"varchar", "enum"}
_NAN_BITS = 0x7FF8_0000_0000_0000


def table_digest(connection: duckdb.DuckDBPyConnection, relation: str, *, exclude: Sequence[str] = ("_row",)) -> str:
    """SHA-256 of a table's content, independent of the order of rows and columns, machine and threads.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Connection on which ``relation`` can be read; uncommitted changes of its transaction are seen.
    relation : str
        What may stand after FROM: ``raw."subjects"``, ``read_parquet('...')`` or ``(SELECT ...)``.
    exclude : sequence of str
        Columns that are not content. The default leaves out the record number.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Raises
    ------
    WarehouseError
        When a column has a type without a canonical text, such as a union.
    """
    families = column_families(connection, relation, exclude=exclude)
    pieces = [piece for name in sorted(families) for piece in families[name][1]]
    row = f"concat({', '.join(pieces)})" if pieces else "''"
    header = canonical_json(
        {"format": _FORMAT, "columns": {name: family for name, (family, _) in families.items()}}
    ).encode()
    total = hashlib.sha256(f"{len(header)}:".encode() + header)
    reader = connection.execute(f"SELECT sha256({row}) AS row_hash FROM {relation} ORDER BY row_hash").to_arrow_reader(
        _ROWS_A_BATCH
    )
    for batch in reader:
        column = batch.column(0)
        start = column.offset * HEX_DIGITS
        # The texts of a column lie end to end in its last buffer.
        total.update(column.buffers()[2][start : start + len(column) * HEX_DIGITS])
    return PREFIX + total.hexdigest()


def column_families(
    connection: duckdb.DuckDBPyConnection, relation: str, *, exclude: Sequence[str] = ()
) -> dict[str, tuple[str, list[str]]]:
    """For each column the family of its type and the SQL expressions whose concatenation encodes a value.

    Raises
    ------
    WarehouseError
        When a column has a type without a canonical text.
    """
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    families = {}
    for name, kind in zip(shape.columns, shape.types, strict=True):
        if name in exclude:
            continue
        try:
            families[name] = _encoding(quoted(name), kind, depth=0)
        except _NoCanonicalText as error:
            raise WarehouseError(
                f"{relation}: column {name!r} has type {kind}, which has no canonical text to make a digest of.",
                cure="Cast the column to text, numbers or a list of them where it is read.",
            ) from error
    return families


class _NoCanonicalText(Exception):
    """A type for which no one way of writing a value is defined."""


def _encoding(value: str, kind: DuckDBPyType, *, depth: int) -> tuple[str, list[str]]:
    """Family of a type, and SQL pieces that write ``value``; ``concat`` writes NULL pieces as nothing."""
    name = kind.id
    if name in _INTEGERS:
        return "integer", [value, "';'"]
    if name in ("float", "double"):
        real = f"CAST({value} AS DOUBLE)"
        bits = (
            f"CASE WHEN {real} = 0 THEN 0::UBIGINT WHEN isnan({real}) THEN {_NAN_BITS}::UBIGINT"
            f" ELSE CAST(CAST({real} AS BIT) AS UBIGINT) END"
        )
        return "real", [bits, "';'"]
    if name in _TEXTS:
        text = value if str(kind) == "VARCHAR" else f"CAST({value} AS VARCHAR)"
        return "text", [f"strlen({text})", "':'", text]
    if name in _AS_TEXT:
        return _AS_TEXT[name], [value, "';'"]
    if name in _TIMESTAMPS:
        return "timestamp", [f"CAST({value} AS TIMESTAMP)", "';'"]
    if name == "timestamp with time zone":
        # Printed in the connection's time zone otherwise; infinity has no number.
        moment = f"CASE WHEN isinf({value}) THEN CAST({value} AS VARCHAR) ELSE CAST(epoch_us({value}) AS VARCHAR) END"
        return "moment", [moment, "';'"]
    if name == "decimal":
        return f"decimal with scale {dict(kind.children)['scale']}", [value, "';'"]
    if name == "blob":
        return "bytes", [f"octet_length({value})", "':'", f"hex({value})"]
    if name in ("list", "array", "map"):
        return _listed(value, kind, depth=depth)
    if name == "struct":
        return _struct(value, kind, depth=depth)
    raise _NoCanonicalText(name)


def _listed(value: str, kind: DuckDBPyType, *, depth: int) -> tuple[str, list[str]]:
    item = f"item{depth}"
    if kind.id == "map":
        # A map has no order, so its entries are sorted by how they are written.
        parts = [_encoding(f"{item}.{part}", child, depth=depth + 1) for part, child in _children(kind).items()]
        family = f"map of {parts[0][0]} to {parts[1][0]}"
        items = f"list_sort(list_transform(map_entries({value}), lambda {item}: concat({_joined(parts)})))"
    else:
        child = _children(kind)["child"]
        plain = value if kind.id == "list" else f"CAST({value} AS {child}[])"
        parts = [_encoding(item, child, depth=depth + 1)]
        family = f"list of {parts[0][0]}"
        items = f"list_transform({plain}, lambda {item}: concat({_joined(parts)}))"
    length = f"cardinality({value})" if kind.id == "map" else f"len({value})"
    return family, [length, "'['", f"array_to_string({items}, '')", "']'"]


def _struct(value: str, kind: DuckDBPyType, *, depth: int) -> tuple[str, list[str]]:
    fields = {
        name: _encoding(f"struct_extract({value}, {literal(name)})", child, depth=depth)
        for name, child in _children(kind).items()
    }
    ordered = [fields[name] for name in sorted(fields)]
    family = "struct of " + json.dumps({name: fields[name][0] for name in sorted(fields)})
    return family, [f"CASE WHEN {value} IS NULL THEN '-' ELSE concat('+', {_joined(ordered)}) END"]


def _children(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """The types inside a nested type; numbers such as the length of an array are left out."""
    from duckdb.sqltypes import DuckDBPyType

    return {name: child for name, child in kind.children if isinstance(child, DuckDBPyType)}


def _joined(parts: Sequence[tuple[str, list[str]]]) -> str:
    return ", ".join(piece for _, pieces in parts for piece in pieces)
