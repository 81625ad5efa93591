"""JSON Lines: one object a line, typed as found, with what is no object rejected by line.

DuckDB's own JSON reader stops at the first broken line or turns it into a row of NULLs. Here lines are read as text,
numbered, and only then parsed, so a broken line keeps its number and its text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from clinical_assets.cohorts.sources_spec import REFERENCE_KEY
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.dialect import check_columns, refuse_width
from clinical_assets.sources.delimited.encoded_text import text_file
from clinical_assets.sources.delimited.plain_text import make_plain, read_head
from clinical_assets.sources.delimited.record_scan import RecordScanner, Scan
from clinical_assets.sources.files import (
    Fingerprint,
    Found,
    engine_message,
    fingerprint,
    identifier,
    literal,
    path_literal,
)
from clinical_assets.sources.reading import Reading

# A character that JSON forbids inside a line, so that every line is one value.
_NEVER = "\x01"
_REFERENCE = r"(?:^|/)[A-Z][A-Za-z]+/([A-Za-z0-9.-]+)(?:/_history/[^/]+)?$"
_OBJECT = "json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT'"


def read_json_lines(
    connection: duckdb.DuckDBPyConnection,
    found: Sequence[Found],
    *,
    encoding: str,
    folder: Path,
    unnest: Mapping[str, str] | None = None,
) -> Reading:
    """Make JSON Lines files ready to be read: one column per key that any object has.

    ``unnest`` adds columns of text by name: the value at a path such as ``subject.reference`` or
    ``code.coding[0].code``; null where there is none. A key with values of several types is VARCHAR, and nested objects
    and lists keep their shape. Whole numbers are BIGINT, or VARCHAR in a file that holds one of 19 digits or more.
    ``_row`` counts the lines that are not blank, the rejected ones among them.

    Raises
    ------
    SourceError
        When the text cannot be read, no line holds an object, or keys differ in case alone.
    """
    prepared = [_prepare(one, encoding, folder) for one in found]
    lines = [_lines(readable, scan) for _, readable, scan in prepared]
    together = " UNION ALL ".join(f"(SELECT line FROM {one})" for one in lines)
    paths = [(readable, one.name) for (_, readable, _), one in zip(prepared, found, strict=True)]
    structure = _structure(connection, together, paths)
    names = {key: unicodedata.normalize("NFC", key) for key in structure}
    check_columns(found[0].name, [*names.values(), *(unnest or {})])
    inner = [_at_path(path) for path in (unnest or {}).values()]
    columns = ", ".join(
        [f"object.{identifier(key)} AS {identifier(name)}" for key, name in names.items()]
        + [f"inner_{number} AS {identifier(name)}" for number, name in enumerate(unnest or {})]
    )
    more = "".join(f", {sql} AS inner_{number}" for number, sql in enumerate(inner))
    parsed = f"from_json(CASE WHEN {_OBJECT} THEN line END, {literal(json.dumps(structure))}) AS object"
    rejects = " UNION ALL ".join(
        f"""(SELECT line_number AS line, {literal(one.name + ": ") + " || " if len(found) > 1 else ""}
            CASE WHEN json_valid(line) THEN 'a JSON value, but no object' ELSE 'no valid JSON' END AS reason,
            line AS text
        FROM (SELECT row_number() OVER () AS line_number, line FROM {relation})
        WHERE line IS NOT NULL AND ({_OBJECT}) IS NOT TRUE)"""
        for one, relation in zip(found, lines, strict=True)
    )
    what = found[0].name if len(found) == 1 else f"{len(found)} files, {found[0].name} to {found[-1].name}"
    return Reading(
        sql=f"""SELECT _row, {columns} FROM (
            SELECT _row, {parsed}{more} FROM (
                SELECT row_number() OVER () AS _row, line FROM ({together}) WHERE line IS NOT NULL
            ) WHERE {_OBJECT})""",
        rejects_sql=rejects,
        description=f"JSON Lines, {what}: {len(structure)} keys",
        fingerprints=tuple(mark for mark, _, _ in prepared),
        records=sum(scan.records for _, _, scan in prepared),
    )


def _at_path(path: str) -> str:
    """SQL of the value at a path of the line; the id of a FHIR reference, relative, absolute or of a version."""
    value = f"json_extract_string(line, {literal('$.' + path.removesuffix(REFERENCE_KEY))})"
    if not path.endswith(REFERENCE_KEY):
        return value
    reference = value[:-2] + ".reference')"
    found = f"regexp_extract({reference}, {literal(_REFERENCE)}, 1)"
    return f"coalesce(nullif({found}, ''), {reference})"


def _prepare(found: Found, encoding: str, folder: Path) -> tuple[Fingerprint, Path, Scan]:
    text = text_file(found.name, found.path, encoding)
    with ThreadPoolExecutor(max_workers=1) as pool:
        mark = pool.submit(fingerprint, found)
        scanner = RecordScanner(found.name, delimiter=_NEVER, quote="")
        readable, scan = make_plain(text, read_head(text), scanner, folder)
        if not scan.records:
            raise SourceError(f"{found.name} is empty.", cure="Export it again; it needs one JSON object a line.")
        return mark.result(), readable, scan


def _lines(path: Path, scan: Scan) -> str:
    return (
        f"read_csv({path_literal(path)}, auto_detect = false, columns = {{'line': 'VARCHAR'}}, header = false, "
        f"delim = {literal(_NEVER)}, quote = '', escape = '', compression = 'none', hive_partitioning = false, "
        f"max_line_size = {max(2_000_000, scan.longest_bytes + 1024)})"
    )


def _structure(connection: duckdb.DuckDBPyConnection, lines: str, files: Sequence[tuple[Path, str]]) -> dict[str, Any]:
    """Keys and types over all objects, in the notation of DuckDB's ``json_group_structure``."""
    try:
        row = connection.execute(
            f"SELECT json_group_structure(line::JSON), bool_or(regexp_matches(line, '[0-9]{{19}}')) "
            f"FROM ({lines}) WHERE {_OBJECT}"
        ).fetchone()
    except duckdb.Error as error:
        raise SourceError(
            f"{files[0][1]} cannot be read as JSON Lines: {engine_message(error, files)}",
            cure="Look at the line for a control character, or export the file again.",
        ) from error
    found, long_numbers = row or (None, False)
    structure = json.loads(found) if found else {}
    if not structure or not isinstance(structure, dict):
        raise SourceError(
            f"No line of {files[0][1]} holds a JSON object with a key.",
            cure="Write one object a line, without an array around them.",
        )
    refuse_width(f"{files[0][1]}: as JSON Lines", len(structure))
    return {key: _plain_type(kind, long_numbers=long_numbers) for key, kind in structure.items()}


def _plain_type(kind: Any, *, long_numbers: bool) -> Any:
    """Mixed and unknown types as text; whole numbers as BIGINT unless some have so many digits that they may not fit.

    DuckDB calls them UBIGINT, or HUGEINT when some are negative, which Parquet keeps as DOUBLE only. As text no digit
    is lost.
    """
    if isinstance(kind, dict):
        return {key: _plain_type(inner, long_numbers=long_numbers) for key, inner in kind.items()} or "VARCHAR"
    if isinstance(kind, list):
        return [_plain_type(inner, long_numbers=long_numbers) for inner in kind]
    if kind in ("UBIGINT", "BIGINT", "HUGEINT"):
        return "VARCHAR" if long_numbers else "BIGINT"
    return "VARCHAR" if kind in ("JSON", "NULL") else kind
