"""Pictures of tables: how much is missing, and how values are distributed.

Counting happens in DuckDB over all rows; only the counts are drawn. Pictures are PNG bytes, small enough to be kept
beside the event that they document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from clinical_assets.reporting.charts.drawing import draw
from clinical_assets.reporting.charts.page import ChartPage
from clinical_assets.reporting.charts.panel import Panel
from clinical_assets.reporting.figures import DPI, INK, QUIET
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
    panel = Panel(
        xlabel="missing, % of rows",
        title=f"{len(missing)} of {len(shares)} columns have missing values",
        xlim=(0, 100),
        ylim=(-0.6, len(drawn) - 0.4),
        ticks={place: name for place, (_, name) in enumerate(drawn)},
    )
    places = np.arange(len(drawn))
    panel.bars(places - 0.35, places + 0.35, [100 * share for share, _ in drawn], across=True)
    return draw([panel], synthetic=False, width=6.5, height=0.7 + 0.24 * len(drawn))


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
    across = min(4, len(panels))
    page = ChartPage(2.1 * across, 1.2 * math.ceil(len(panels) / across))
    width, height = page.width / across, 1.2 * DPI

    def place(right: float, down: float) -> tuple[float, float]:
        """Pixels of a place that is so many panels to the right and down."""
        return right * width, page.height - down * height

    for number, panel in enumerate(panels):
        left, top = number % across + 0.06, number // across
        floor, step = top + 0.8, 0.88 / (_BINS if panel.numeric else max(4, len(panel.counts)))
        page.text(*place(left, top + 0.14), panel.name[:30], 6.5, "left middle")
        ends = [place(left, floor), place(left + 0.88, floor)]
        page.line([x for x, _ in ends], [y for _, y in ends], QUIET, 0.5)
        tallest = max(panel.counts)
        for index, count in enumerate(panel.counts):
            (x0, y0) = place(left + index * step, floor)
            (x1, y1) = place(left + (index + 0.92) * step, floor - 0.52 * count / tallest)
            page.area([x0, x1, x1, x0], [y0, y0, y1, y1], INK, 1.0)
        for x, text, side in panel.labels(step):
            page.text(*place(left + x, floor + 0.05), text, 5, f"{side} top", "#444444")
    return page.png()


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
