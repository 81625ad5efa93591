"""Subjects that were erased on request and come back with the next delivery: their records are not taken in.

What belongs here: telling their records among those that were read, and what is left of them: the number of the row
and the words "erased on request". No identifier and no value is kept, neither in a table nor in a snapshot. Erasing
itself is the work of ``clinical_assets.governance``.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import BLANKS, TEXT_AS_FORMULA, literal, quoted
from clinical_assets.warehouse.validation.cross_row import FINDINGS_TABLE

if TYPE_CHECKING:
    import polars as pl

ERASED = "erased_on_request"
"""Name of the rule in findings."""
REASON = "erased on request"
CURE = "Remove the record at the source: it is refused at every delivery."
NOTES = "raw._erased"
"""Numbers of the rows that the last ingestion did not take in; the table exists only while there are any."""

MASK = "[erased]"
_LEAST_LENGTH, _LEAST_DIGITS = 6, 8
_WHOLE = r"[+-]?\d+(\.0*)?"

WORD = r"[\pL\pN](?:[^,;|\s\"'<>(){}\[\]:=]*[\pL\pN])?"
"""A word that could be an identifier: no separator of any dialect in it, a letter or digit at both ends."""


def subject_text(column: str, *, integer: bool) -> str:
    """SQL of a subject's identifier as text, the same whether it was read as text or is typed already.

    Validation writes a letter and its accent as one character; a source may not.

    Parameters
    ----------
    column : str
        SQL expression.
    integer : bool
        Whether the identifier is described as an integer, so that ``007`` and ``7.0`` are 7.
    """
    text = f"trim(CAST({column} AS VARCHAR), {literal(BLANKS)})"
    if not integer:
        return f"nfc_normalize(regexp_replace({text}, {literal(TEXT_AS_FORMULA)}, '\\1'))"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(_WHOLE)}) "
        f"THEN coalesce(CAST(TRY_CAST({text} AS HUGEINT) AS VARCHAR), {text}) ELSE {text} END"
    )


def distinctive(identifier: str) -> bool:
    """Whether an identifier can be told from other words and numbers wherever it stands.

    ``17`` in a text may be anything; ``01-701-1015`` is one subject.
    """
    import polars as pl

    return bool(distinctive_words(pl.Series([identifier]))[0])


def distinctive_words(words: pl.Series) -> pl.Series:
    """`distinctive` for many identifiers at once: a Series of bool of the same length."""
    import polars as pl

    word = pl.col("word")
    number = word.str.contains(r"^[\d.,+-]*$") & ~word.str.contains(r"^\d+(-\d+)+$")
    enough = pl.when(number).then(word.str.count_matches(r"\d") >= _LEAST_DIGITS)
    return words.alias("word").to_frame().select(enough.otherwise(word.str.len_chars() >= _LEAST_LENGTH)).to_series()


def any_erased(cohort: str, settings: Settings) -> bool:
    """True when at least one subject of the cohort was erased."""
    return Pseudonyms(settings, cohort).any_erased()


def begin(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget what the ingestion before had left out."""
    connection.execute(f"DROP TABLE IF EXISTS {NOTES}")


def keep_others(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    table: str,
    *,
    found: str,
    target: str,
    settings: Settings,
) -> int:
    """Write into ``target`` the rows of ``found`` that belong to nobody who was erased; say how many were left out.

    ``found`` and ``target`` may be the same table. Without the described column of the subject every text column is
    held against the erased ones. In notes and undescribed text of the others the identifier of an erased one is masked
    where it stands as a word.
    """
    rows = f"{found} AS found"
    condition = _condition(connection, spec, table, found, settings)
    left_out = 0
    if condition is not None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {NOTES} (table_name VARCHAR, {ROW_NUMBER} BIGINT)")
        counted = connection.execute(
            f"INSERT INTO {NOTES} SELECT {literal(table)}, {ROW_NUMBER} FROM {rows} WHERE {condition}"
        ).fetchone()
        left_out = int(counted[0]) if counted else 0
    masks = _masks(connection, spec, table, found, settings)
    if left_out or masks or found != target:
        rest = f" WHERE NOT ({condition})" if left_out else ""
        replaced = f" REPLACE ({', '.join(masks)})" if masks else ""
        # A new table: rows that are only deleted stay in the file's blocks.
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT *{replaced} FROM {rows}{rest}")
    with contextlib.suppress(duckdb.CatalogException):
        connection.execute("DROP TABLE temp.erased_identifiers")
    return left_out


def keep_other_lines(connection: duckdb.DuckDBPyConnection, cohort: str, *, relation: str, settings: Settings) -> str:
    """A SELECT of unreadable lines (``line``, ``reason``, ``text``) without the text of those that name an erased one.

    A line is cut into words; one that is an erased identifier hides the whole line.
    """
    words = connection.execute(f"SELECT DISTINCT unnest({_words('text')}) AS word FROM {relation}").pl()["word"]
    gone = _erased_of(words, cohort, settings)
    if not gone.len():
        return f"SELECT line, reason, text FROM {relation}"
    _remember(connection, gone)
    named = f"len(list_intersect({_words('text')}, (SELECT list(identifier) FROM temp.erased_identifiers))) > 0"
    return (
        f"SELECT line, CASE WHEN {named} THEN {literal(REASON)} ELSE reason END AS reason, "
        f"CASE WHEN {named} THEN '' ELSE text END AS text FROM {relation}"
    )


def sweep(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, settings: Settings) -> int:
    """Leave erased subjects out of raw tables that were brought in by another way, such as an old backup."""
    if not any_erased(spec.name, settings):
        return 0
    left_out = 0
    for name in spec.tables:
        raw = f"raw.{quoted(name)}"
        with contextlib.suppress(duckdb.CatalogException):
            left_out += keep_others(connection, spec, name, found=raw, target=raw, settings=settings)
    return left_out


def note_findings(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """One finding for each record of a table that was left out: its row and why; says how many."""
    try:
        counted = connection.execute(
            f"INSERT INTO {FINDINGS_TABLE} BY NAME SELECT DISTINCT table_name, {ROW_NUMBER}, "
            f"{literal(ERASED)} AS rule, {literal(REASON)} AS reason, {literal(CURE)} AS cure "
            f"FROM {NOTES} WHERE table_name = {literal(table)}"
        ).fetchone()
    except duckdb.CatalogException:
        return 0
    return int(counted[0]) if counted else 0


def _condition(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str, relation: str, settings: Settings
) -> str | None:
    """SQL that is true for rows of erased subjects, never null; None when there are none."""
    subject = spec.subject_of(table)
    described = spec.tables[table].columns[subject]
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    source = described.source_name or subject
    integer = described.type == "integer"
    columns = [source] if source in shape.columns else []
    if not columns:
        kinds = zip(shape.columns, shape.types, strict=True)
        columns = [name for name, kind in kinds if name != ROW_NUMBER and str(kind) == "VARCHAR"]
    if not columns:
        return None
    texts = [subject_text(f"found.{quoted(name)}", integer=integer) for name in columns]
    every = " UNION ".join(f"SELECT {text} AS identifier FROM {relation} AS found" for text in texts)
    gone = _erased_of(connection.execute(every).pl()["identifier"], spec.name, settings)
    if not gone.len():
        return None
    _remember(connection, gone)
    known = "(SELECT identifier FROM temp.erased_identifiers)"
    return " OR ".join(f"coalesce({text} IN {known}, false)" for text in texts)


def _masks(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str, relation: str, settings: Settings
) -> list[str]:
    """SQL of the text columns in which erased subjects are named, without their identifiers."""
    described = {column.source_name or name: column for name, column in spec.tables[table].columns.items()}
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    masks: list[str] = []
    for name, kind in zip(shape.columns, shape.types, strict=True):
        column = described.get(name)
        free = column is None or {"note", "identifier"} & set(column.role)
        if str(kind) != "VARCHAR" or not free:
            continue
        words = connection.execute(f"SELECT DISTINCT unnest({_words(quoted(name))}) AS word FROM {relation}").pl()[
            "word"
        ]
        gone = [word for word in _erased_of(words, spec.name, settings) if distinctive(word)]
        if gone:
            variable = f"erased_words_{len(masks)}"
            # Twice when masking: two mentions with one character between share it.
            pattern = rf"(^|[^0-9A-Za-z])(?:{'|'.join(map(re.escape, gone))})($|[^0-9A-Za-z])"
            connection.execute(f"SET VARIABLE {variable} = {literal(pattern)}")
            once = f"regexp_replace({{}}, getvariable('{variable}'), '\\1{MASK}\\2', 'g')"
            masks.append(f"{once.format(once.format(quoted(name)))} AS {quoted(name)}")
    return masks


def _words(text: str) -> str:
    return f"regexp_extract_all({text}, {literal(WORD)})"


def _erased_of(identifiers: pl.Series, cohort: str, settings: Settings) -> pl.Series:
    distinct = identifiers.drop_nulls().unique()
    return distinct.filter(Pseudonyms(settings, cohort).erased(distinct.str.normalize("NFC")))


def _remember(connection: duckdb.DuckDBPyConnection, identifiers: pl.Series) -> None:
    """A table that ends with the connection: literals would stand in the text of errors."""
    connection.register("_erased_frame", identifiers.alias("identifier").to_frame().to_arrow())
    connection.execute("CREATE OR REPLACE TEMP TABLE erased_identifiers AS SELECT identifier FROM _erased_frame")
    connection.unregister("_erased_frame")
