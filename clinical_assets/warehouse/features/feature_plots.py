"""Pictures of tables: how much is missing, and how values are distributed.

Counting happens in DuckDB over all rows; only the counts are drawn. Pictures are PNG bytes, small enough to be kept
beside the event that they document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from clinical_assets.reporting.figures import INK, QUIET, new_figure, png
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

_MOST_COLUMNS = 24
_BINS = 24


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
    panels: list[_Panel] = []
    for name in columns[:_MOST_COLUMNS]:
        numeric = kinds[name] in ("DOUBLE", "BIGINT", "INTEGER", "FLOAT", "DECIMAL", "HUGEINT")
        values, counts = (_bins if numeric else _categories)(connection, relation, name)
        if counts:
            panels.append(_Panel(name, values, counts, numeric))
    if not panels:
        return None
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    across = min(4, len(panels))
    down = math.ceil(len(panels) / across)
    figure = new_figure(width=2.1 * across, height=1.2 * down)
    figure.set_layout_engine("none")
    # One set of axes for all panels: two dozen of them would take seconds to lay out.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, across)
    axes.set_ylim(down, 0)
    axes.axis("off")
    bars: list[Rectangle] = []
    for place, panel in enumerate(panels):
        left, top = place % across + 0.06, place // across
        floor, width = top + 0.8, 0.88 / (_BINS if panel.numeric else max(4, len(panel.counts)))
        axes.text(left, top + 0.14, panel.name[:30], fontsize=6.5, va="center")
        axes.plot([left, left + 0.88], [floor, floor], color=QUIET, lw=0.5)
        tallest = max(panel.counts)
        for index, count in enumerate(panel.counts):
            height = 0.52 * count / tallest
            bars.append(Rectangle((left + index * width, floor - height), 0.92 * width, height))
        for x, text, side in panel.labels(width):
            axes.text(left + x, floor + 0.05, text, fontsize=5, va="top", ha=side, color="#444444")
    axes.add_collection(PatchCollection(bars, facecolor=INK, linewidth=0))
    return png(figure)


class _Panel(NamedTuple):
    name: str
    values: list[Any]
    counts: list[int]
    numeric: bool

    def labels(self, width: float) -> list[tuple[float, str, Literal["left", "right"]]]:
        """Texts below the bars: the ends of a number's range, or the first categories."""
        if not self.numeric:
            letters = int(width / 0.028)
            return [(i * width, str(value)[:letters], "left") for i, value in enumerate(self.values)]
        if len(self.values) == 1:
            return [(0.0, f"{self.values[0]:.4g}", "left")]
        step = self.values[1] - self.values[0]
        return [(0.0, f"{self.values[0]:.4g}", "left"), (0.88, f"{self.values[-1] + step:.4g}", "right")]


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
            # Bound parameters would import pandas, which costs more than all the counting.
            f"SELECT least(floor(({column}::DOUBLE - {low!r}::DOUBLE) / {width!r}::DOUBLE), {_BINS - 1})::INT AS bin, "
            f"count(*) FROM {relation} "
            f"WHERE isfinite({column}::DOUBLE) GROUP BY bin"
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
