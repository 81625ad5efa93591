"""Table 1: what the units looked like, by outcome, in training and holdout; small counts are suppressed.

TRIPOD+AI item 20b. A count from 1 to 4 could name a person and is written ``< 5``; where one count of a block could be
found by subtraction, the next smallest is suppressed with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.features.feature_table import FeatureTable

if TYPE_CHECKING:
    import polars as pl

LEAST = 5
SUPPRESSED = f"< {LEAST}"
WITHHELD = "withheld"
TOO_FEW = "too few"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Column:
    """One column of the table: a class of the outcome in one part, with its rows."""

    part: str
    label: str
    rows: pl.DataFrame


def table_one(table: FeatureTable, spec: CohortSpec, *, train: pl.DataFrame, holdout: pl.DataFrame) -> dict[str, Any]:
    """Features and protected attributes by outcome, training beside holdout.

    Parameters
    ----------
    table : FeatureTable
        One row per unit used.
    spec : CohortSpec
        The cohort's description: classes and labels of groups.
    train, holdout : polars.DataFrame
        The rows of `table` that were trained on, and those held out.

    Returns
    -------
    dict
        ``columns`` (``part``, ``label``, ``n``) and ``rows`` (``name``, ``level``, ``kind``, ``cells`` in the order of
        the columns, ``smd``). Numbers are median and quartiles; two-valued features and categories are counts with
        shares of all rows of the column. ``smd`` is the absolute standardised mean difference between training and
        holdout (Austin 2009, doi 10.1002/sim.3697), null where it cannot be computed.
    """
    parts = {"training": train, "holdout": holdout}
    columns = [
        _Column(part, label, rows.filter(rows["outcome"] == number))
        for part, rows in parts.items()
        for number, label in enumerate(spec.target.classes)
    ]
    made: list[dict[str, Any]] = []
    for attribute in table.protected:
        made += _categories(table, spec, attribute, columns, parts)
    for name in table.feature_columns:
        values = set(table.frame[name].drop_nulls().unique().to_list()) if table.frame.height else set()
        made += _two_valued(name, columns, parts) if values <= {0.0, 1.0} else _number(name, columns, parts)
    return {
        "columns": [{"part": each.part, "label": each.label, "n": _hidden(each.rows.height)} for each in columns],
        "rows": made,
    }


def suppressed(counts: Sequence[int]) -> tuple[str | int, ...]:
    """Counts that add up to a known total, the small ones hidden so that none can be found by subtraction.

    >>> suppressed([40, 3, 57])
    ('withheld', '< 5', 57)
    >>> suppressed([40, 0, 60])
    (40, 0, 60)
    >>> suppressed([40, 1, 1, 57])  # two that add up to 2 can only be 1 and 1
    ('withheld', '< 5', '< 5', 57)
    """
    hidden: dict[int, str] = {place: SUPPRESSED for place, count in enumerate(counts) if 0 < count < LEAST}
    small = [counts[place] for place in hidden]
    withheld: list[int] = []
    for count, place in sorted((count, place) for place, count in enumerate(counts) if count >= LEAST):
        if not small or _has_choice(small, withheld):
            break
        hidden[place] = WITHHELD
        withheld.append(count)
    return tuple(hidden.get(place, count) for place, count in enumerate(counts))


def _has_choice(small: Sequence[int], withheld: Sequence[int]) -> bool:
    """Whether counts of 1 to 4, and withheld ones of 5 at least, could be others with the same sum."""
    k = len(small)
    if not withheld:
        return k > 1 and k < sum(small) < (LEAST - 1) * k
    return sum(small) + sum(withheld) - LEAST * len(withheld) > k


def _hidden(count: int) -> str | int:
    return SUPPRESSED if 0 < count < LEAST else count


def _categories(
    table: FeatureTable,
    spec: CohortSpec,
    attribute: str,
    columns: Sequence[_Column],
    parts: Mapping[str, pl.DataFrame],
) -> list[dict[str, Any]]:
    name = table.protected_column(attribute)
    found = {str(level) for level in table.frame[name].drop_nulls().unique().to_list()}
    described = list(spec.subjects.columns[attribute].categories or {})
    levels = [*described, *sorted(found - set(described))]
    if table.frame[name].null_count():
        levels.append(UNKNOWN)

    def counted(rows: pl.DataFrame) -> list[int]:
        texts = rows[name].fill_null(UNKNOWN).to_list()
        return [texts.count(level) for level in levels]

    cells = [[_share(shown, each.rows.height) for shown in suppressed(counted(each.rows))] for each in columns]
    share = {
        part: [count / rows.height if rows.height else math.nan for count in counted(rows)]
        for part, rows in parts.items()
    }
    return [
        {
            "name": attribute,
            "level": spec.group_label(attribute, level),
            "kind": "category",
            "cells": [column[place] for column in cells],
            "smd": _smd_of_shares(share["training"][place], share["holdout"][place]),
        }
        for place, level in enumerate(levels)
    ]


def _two_valued(name: str, columns: Sequence[_Column], parts: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    cells = []
    for each in columns:
        values, n = each.rows[name], each.rows.height
        yes, missing = int((values == 1).sum()), values.null_count()
        # The other value is not shown, but n is: a small rest would be found by subtraction.
        text = WITHHELD if 0 < n - missing - yes < LEAST else _share(_hidden(yes), n)
        cells.append(_with_missing(text, missing))
    mean = {part: _mean(rows[name]) for part, rows in parts.items()}
    smd = _smd_of_shares(mean["training"], mean["holdout"])
    return [{"name": name, "level": "", "kind": "share", "cells": cells, "smd": smd}]


def _number(name: str, columns: Sequence[_Column], parts: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    cells = []
    for each in columns:
        values = each.rows[name].drop_nulls()
        if values.len() < LEAST:
            cells.append(TOO_FEW)
            continue
        low, middle, high = (values.quantile(at, "linear") for at in (0.25, 0.5, 0.75))
        cells.append(_with_missing(f"{middle:.4g} ({low:.4g} to {high:.4g})", each.rows.height - values.len()))
    mean = {part: _mean(rows[name]) for part, rows in parts.items()}
    spread = [_variance(rows[name]) for rows in parts.values()]
    pooled = math.sqrt(sum(spread) / 2) if all(map(math.isfinite, spread)) else math.nan
    smd = abs(mean["training"] - mean["holdout"]) / pooled if pooled > 0 else None
    return [{"name": name, "level": "", "kind": "number", "cells": cells, "smd": _finite(smd)}]


def _share(shown: str | int, of: int) -> str:
    return str(shown) if isinstance(shown, str) or not of else f"{shown:,} ({100 * shown / of:.1f} %)"


def _with_missing(text: str, missing: int) -> str:
    return f"{text}; missing {_hidden(missing)}" if missing else text


def _mean(values: pl.Series) -> float:
    found = values.mean()
    return float(found) if isinstance(found, int | float) else math.nan


def _variance(values: pl.Series) -> float:
    found = values.var()
    return float(found) if isinstance(found, int | float) else math.nan


def _smd_of_shares(one: float, other: float) -> float | None:
    spread = (one * (1 - one) + other * (1 - other)) / 2
    return _finite(abs(one - other) / math.sqrt(spread)) if spread > 0 else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
