"""A finding: one broken promise of one record, in words that its owner can act on.

What belongs here: the shape of findings and the names of the rules. Who breaks what is found by ``typing_records``
(values that cannot be read), ``schemas`` (promises of one row) and ``cross_row`` (promises between rows).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from clinical_assets.cohorts.tables import Table
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.validation.conversions import finite_times

FINDINGS = pl.Schema(
    {
        "table_name": pl.String,
        ROW_NUMBER: pl.Int64,
        "column_name": pl.String,
        "rule": pl.String,
        "value": pl.String,
        "reason": pl.String,
        "cure": pl.String,
    }
)
"""Columns of a frame of findings, and of ``quarantine.findings``."""

TYPE = "type"
NULL = "null"
RANGE = "range"
CATEGORY = "category"
PATTERN = "pattern"
RECORDED = "recorded"
DUPLICATE_KEY = "duplicate_key"
DUPLICATE_ROW = "duplicate_row"
UNIQUE = "unique"
REFERENCE = "reference"
UNREADABLE_LINE = "unreadable_line"
MISSING_COLUMN = "missing_column"
EMPTY_TABLE = "empty_table"
HEADER = "repeated_header"

LONGEST_VALUE = 200
"""Characters of a value that a finding keeps; the whole record is in ``quarantine.records``."""


def block(
    *,
    table_name: str,
    rows: pl.Series,
    column: str,
    rule: str,
    values: pl.Series,
    reason: str,
    cure: str | pl.Series,
) -> pl.DataFrame:
    """Findings of one rule on one column.

    Parameters
    ----------
    table_name : str
        Table of the records.
    rows : Series of integers
        Row numbers of the raw records, one per finding.
    column : str
        Column that the finding is about; several are separated by ", ".
    rule : str
        Name of the broken rule.
    values : Series of text
        What stood there, of the same length; null where nothing did.
    reason : str
        What is wrong, in words that hold no value of the record.
    cure : str or Series of text
        One cure for all, or one per finding.
    """
    texts = {"table_name": table_name, "column_name": column, "rule": rule, "reason": reason}
    return pl.DataFrame({ROW_NUMBER: rows.cast(pl.Int64), "value": values.cast(pl.String)}).select(
        pl.lit(texts["table_name"]).alias("table_name"),
        pl.col(ROW_NUMBER),
        pl.lit(texts["column_name"]).alias("column_name"),
        pl.lit(texts["rule"]).alias("rule"),
        pl.col("value").str.head(LONGEST_VALUE),
        pl.lit(texts["reason"]).alias("reason"),
        (pl.lit(cure) if isinstance(cure, str) else cure.cast(pl.String)).alias("cure"),
    )


def gathered(blocks: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All findings in one frame, without copying their texts; an empty frame of the right shape for none."""
    filled = [part for part in blocks if part.height]
    return pl.concat(filled, rechunk=False) if filled else FINDINGS.to_frame()


def as_text(values: pl.Series) -> pl.Series:
    """Values as a person would write them; nested and binary ones only by their type."""
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        return pl.select(pl.when(values.is_not_null()).then(pl.lit(f"<{values.dtype}>"))).to_series()
    if isinstance(values.dtype, pl.Datetime):
        times = values.cast(pl.Datetime("us", values.dtype.time_zone)).alias("at").to_frame()
        written = pl.coalesce(finite_times(pl.col("at")).cast(pl.String), pl.lit("infinity"))
        return times.select(pl.when(pl.col("at").is_not_null()).then(written)).to_series()
    return values.cast(pl.String)


def confidential(table: Table) -> frozenset[str]:
    """Columns whose values must not appear in a log or a message: they may name a person."""
    return frozenset({*table.with_role("identifier"), *table.with_role("note")})
