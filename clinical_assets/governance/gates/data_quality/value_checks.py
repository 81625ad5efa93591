"""Are the stored values possible, plausible, and in the unit that they are described in?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.governance.verdicts.count_verdicts import counted, one, share, shortened, validated
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation import unit_mixups

if TYPE_CHECKING:
    import duckdb
    import polars as pl


def ranges(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]) -> Verdict:
    """No validated value is one that the description calls impossible."""
    outside: dict[str, int] = {}
    n = 0
    for name, table in tables.items():
        n += one(connection, f"SELECT count(*) FROM {validated(name)}")
        for column, described in table.columns.items():
            conditions = list(_impossible(column, described))
            if conditions:
                wrong = one(connection, f"SELECT count(*) FROM {validated(name)} WHERE {' OR '.join(conditions)}")
                if wrong:
                    outside[f"{name}.{column}"] = wrong
    return counted(
        "ranges",
        sum(outside.values()),
        n,
        what="validated records hold a value that is described as impossible (range, categories, empty)",
        cure=f"Validate the records again with the description as it is now; wrong: {', '.join(outside)}.",
        evidence={"values by column": outside},
    )


def _impossible(column: str, described: Column) -> Iterator[str]:
    name = quoted(column)
    low, high = described.range or (None, None)
    if low is not None:
        yield f"{name} < {low!r}"
    if high is not None:
        yield f"{name} > {high!r}"
    if described.categories is not None:
        yield f"CAST({name} AS VARCHAR) NOT IN {literal(list(described.categories))}"
    if not described.nullable:
        yield f"{name} IS NULL"


def plausible_values(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], limits: GateLimits
) -> list[Verdict]:
    """Shares of values outside their plausible limits, and of values that fit only in another unit, by column."""
    implausible: list[Verdict] = []
    mixups: list[Verdict] = []
    for name, table in tables.items():
        for column, described in table.columns.items():
            if described.type not in ("integer", "number"):
                continue
            present = one(connection, f"SELECT count({quoted(column)}) FROM {validated(name)}")
            where = f"[{name}.{column}]"
            if described.plausible is not None:
                outside = _outside(connection, name, column, described)
                # A value that nobody believes counts like a refused record, though it was kept.
                implausible.append(
                    share(
                        f"implausible_values{where}",
                        len(outside),
                        present,
                        most=limits.refused_share,
                        what=f"values of {column} are outside their plausible limits",
                        cure="Look at them at the source: typing errors, other units, or limits set too narrow.",
                    )
                )
            verdict = _mixup(connection, name, column, described, present, limits)
            if verdict is not None:
                mixups.append(verdict)
    return [*shortened("implausible_values", implausible), *shortened("unit_mixups", mixups)]


def _outside(connection: duckdb.DuckDBPyConnection, name: str, column: str, described: Column) -> pl.DataFrame:
    """Values outside the plausible limits, as a polars column ``value``."""
    low, high = described.plausible or (None, None)
    limits = [f"{quoted(column)} < {low!r}"] * (low is not None) + [f"{quoted(column)} > {high!r}"] * (high is not None)
    return connection.execute(
        f"SELECT CAST({quoted(column)} AS DOUBLE) AS value FROM {validated(name)} "
        f"WHERE {' OR '.join(limits) or 'false'}"
    ).pl()


def _mixup(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    column: str,
    described: Column,
    present: int,
    limits: GateLimits,
) -> Verdict | None:
    """Kept and refused values that would fit in another unit; None for a column of which no other unit is known."""
    import polars as pl

    others = unit_mixups.candidates(column, described)
    if not others or (described.plausible is None and described.range is None):
        return None
    kept = _outside(connection, name, column, described)
    by_unit = {other.unit: kept.filter(unit_mixups.fits(pl.col("value"), described, other)).height for other in others}
    kept_ones = kept.filter(
        pl.any_horizontal([unit_mixups.fits(pl.col("value"), described, other) for other in others])
    ).height
    refused = one(
        connection,
        f"SELECT count(DISTINCT {ROW_NUMBER}) FROM quarantine.findings WHERE table_name = {literal(name)} "
        f"AND column_name = {literal(column)} AND rule = {literal(kinds.RANGE)} "
        "AND cure LIKE 'The value would fit if it was recorded in %'",
    )
    likeliest = max(by_unit, key=lambda unit: by_unit[unit]) if any(by_unit.values()) else None
    return share(
        f"unit_mixups[{name}.{column}]",
        kept_ones + refused,
        present + refused,
        most=limits.refused_share,
        what=f"values of {column} fit only in another unit than {described.unit}"
        + (f", most of them in {likeliest}" if likeliest else ""),
        cure="Convert them at the source; nothing is converted here.",
        evidence={"kept values by unit": by_unit, "refused values": refused},
    )
