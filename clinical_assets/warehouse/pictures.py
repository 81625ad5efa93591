"""Pictures of tables: how much is missing, and how values are distributed.

Counting happens in DuckDB over all rows; only the counts are drawn. Pictures are PNG bytes, small enough to be kept
beside the event that they document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinical_assets.drawing import INK, new_figure, png

if TYPE_CHECKING:
    import duckdb

_MOST_COLUMNS = 24
_BINS = 24


def quoted(name: str) -> str:
    """A name as DuckDB reads it, whatever characters it holds."""
    return '"' + name.replace('"', '""') + '"'


def missing_shares(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]
) -> dict[str, float | None]:
    """Share of NULL in each column.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Where the relation lives.
    relation : str
        Table or view, quoted as needed.
    columns : sequence of str
        Columns to count.

    Returns
    -------
    dict
        Shares in [0, 1], 0 means complete; None for a table without rows, where no share exists.
    """
    if not columns:
        return {}
    counts = ", ".join(f"count({quoted(name)})" for name in columns)
    total, *present = connection.execute(f"SELECT count(*), {counts} FROM {relation}").fetchone() or (0,)
    if total == 0:
        return dict.fromkeys(columns)
    return {name: 1 - count / total for name, count in zip(columns, present, strict=True)}


def missingness_picture(shares: Mapping[str, float | None]) -> bytes | None:
    """Bars of the share missing, the most incomplete first; None when nothing is missing.

    At most 24 columns are drawn; the title says how many there are.
    """
    missing = sorted(((share, name) for name, share in shares.items() if share), reverse=True)
    if not missing:
        return None
    drawn = missing[:_MOST_COLUMNS][::-1]
    figure = new_figure(width=6.5, height=0.7 + 0.24 * len(drawn))
    axes = figure.add_subplot()
    axes.barh([name for _, name in drawn], [100 * share for share, _ in drawn], color=INK, height=0.7)
    axes.set_xlim(0, 100)
    axes.set_xlabel("missing, % of rows")
    axes.set_title(f"{len(missing)} of {len(shares)} columns have missing values", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def distributions_picture(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> bytes | None:
    """Small histograms, one a column: numbers in 24 equal bins, other values by their most frequent.

    None when there is no column or no value to draw. At most 24 columns are drawn.
    """
    kinds = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()}
    panels: list[tuple[str, list[Any], list[int], bool]] = []
    for name in columns[:_MOST_COLUMNS]:
        numeric = kinds[name] in ("DOUBLE", "BIGINT", "INTEGER", "FLOAT", "DECIMAL", "HUGEINT")
        values, counts = (_bins if numeric else _categories)(connection, relation, name)
        if counts:
            panels.append((name, values, counts, numeric))
    if not panels:
        return None
    across = min(4, len(panels))
    down = math.ceil(len(panels) / across)
    figure = new_figure(width=2.1 * across, height=1.35 * down)
    for place, (name, values, counts, numeric) in enumerate(panels, start=1):
        axes = figure.add_subplot(down, across, place)
        axes.set_title(name, fontsize=6, pad=2)
        axes.tick_params(labelsize=5, length=2, pad=1)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        if numeric:
            width = (values[1] - values[0]) if len(values) > 1 else 1.0
            axes.bar(values, counts, width=0.95 * width, color=INK, align="edge")
        else:
            labels = [str(value)[:14] for value in values]
            axes.bar(range(len(labels)), counts, color=INK)
            axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
    return png(figure)


def _bins(connection: duckdb.DuckDBPyConnection, relation: str, name: str) -> tuple[list[float], list[int]]:
    column = quoted(name)
    low, high = connection.execute(
        f"SELECT min({column})::DOUBLE, max({column})::DOUBLE FROM {relation} WHERE isfinite({column}::DOUBLE)"
    ).fetchone() or (None, None)
    if low is None:
        return [], []
    width = (high - low) / _BINS or 1.0
    found = dict(
        connection.execute(
            f"SELECT least(floor(({column}::DOUBLE - ?) / ?), ?)::INT AS bin, count(*) FROM {relation} "
            f"WHERE isfinite({column}::DOUBLE) GROUP BY bin",
            [low, width, _BINS - 1],
        ).fetchall()
    )
    last = max(found)
    return [low + width * i for i in range(last + 1)], [found.get(i, 0) for i in range(last + 1)]


def _categories(connection: duckdb.DuckDBPyConnection, relation: str, name: str) -> tuple[list[Any], list[int]]:
    column = quoted(name)
    rows = connection.execute(
        f"SELECT {column}, count(*) AS n FROM {relation} WHERE {column} IS NOT NULL "
        f"GROUP BY {column} ORDER BY n DESC, {column} LIMIT 8"
    ).fetchall()
    return [row[0] for row in rows], [row[1] for row in rows]
