"""Could two samples come from one population? Tests of a distribution, of counts, of a share; and many at once.

What belongs here: p-values of two independent samples, and Holm's adjustment. What does not: how large a difference
is (`distances`), and which are looked at (`monitoring`). Records are taken as independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray, as_vector, check_fraction

# Expected records of a cell below which the chi-square distribution is not trusted (Cochran 1954, doi 10.2307/3001616).
MINIMUM_EXPECTED = 5.0
NameT = TypeVar("NameT")


def kolmogorov_smirnov_p(distance: float, n: int, m: int) -> float:
    """Two-sided p of a Kolmogorov-Smirnov distance of samples of n and m records: Smirnov's limit.

    Conservative for tied values. Source: Smirnov 1948, doi 10.1214/aoms/1177730256.

    Examples
    --------
    >>> round(kolmogorov_smirnov_p(0.2, 100, 100), 3)
    0.037
    >>> kolmogorov_smirnov_p(0, 100, 100)
    1.0
    """
    from scipy.special import kolmogorov

    return float(kolmogorov(distance * np.sqrt(_effective(n, m))))


def detectable_kolmogorov_smirnov(n: int, m: int, *, level: float) -> float:
    """Smallest Kolmogorov-Smirnov distance of n and m records whose p is below ``level``, in (0, 1].

    Examples
    --------
    >>> round(detectable_kolmogorov_smirnov(100, 100, level=0.05), 3)  # 1.358 / sqrt(50)
    0.192
    """
    from scipy.special import kolmogi

    return min(1.0, float(kolmogi(check_fraction(level, name="level")) / np.sqrt(_effective(n, m))))


def share_p(first: float, n: float, second: float, m: float) -> float:
    """Two-sided p that ``first`` of n and ``second`` of m records are one share.

    Pearson's chi-square, and Fisher's exact test where a cell expects fewer than 5 records. Sources: Pearson 1900,
    doi 10.1080/14786440009463897; Fisher 1922, doi 10.2307/2340521. Raises InvalidArray for counts beyond n or m.

    Examples
    --------
    >>> share_p(5, 100, 5, 100)
    1.0
    >>> round(share_p(10, 100, 20, 100), 3)  # chi-square 3.92 with one degree of freedom
    0.048
    """
    if not (0 <= first <= n and 0 <= second <= m and n > 0 and m > 0):
        raise InvalidArray(f"{first:g} of {n:g} and {second:g} of {m:g} records are no shares")
    table = np.array([[first, n - first], [second, m - second]])
    if (table.sum(axis=0) == 0).any():
        return 1.0
    if _expected(table).min() >= MINIMUM_EXPECTED:
        return _chi_square_p(table)
    from scipy.stats import fisher_exact

    return min(1.0, float(fisher_exact(table.astype(np.int64)).pvalue))


def counts_p(reference: ArrayLike, current: ArrayLike) -> float:
    """Two-sided p that two arrays of counts (k,) over the same cells come from one distribution: chi-square.

    Cells that expect fewer than 5 records in a sample are pooled; two cells are compared by `share_p`. One cell gives
    1. Raises InvalidArray for shapes that differ, InsufficientData for a sample without records.

    Examples
    --------
    >>> counts_p([50, 30, 20], [500, 300, 200])  # the same shares
    1.0
    >>> round(counts_p([50, 50], [60, 40]), 3)
    0.155
    """
    x, y = as_vector(reference, name="reference"), as_vector(current, name="current")
    if x.size != y.size or (x < 0).any() or (y < 0).any():
        raise InvalidArray(f"counts over {x.size} and {y.size} cells", cure="Count both samples over the same cells.")
    if x.sum() == 0 or y.sum() == 0:
        raise InsufficientData("a sample without records", cure="Pass at least one record in each sample.")
    table = np.stack([x, y])
    table = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    table = table[:, table.sum(axis=0) > 0]
    rare = int((_expected(table).min(axis=0) < MINIMUM_EXPECTED).sum())
    # Smallest first: the rare cells lead, and a pool that is still rare takes the next cell in.
    while table.shape[1] > 2 and rare:
        merged = max(2, rare)
        pooled = table[:, :merged].sum(axis=1, keepdims=True)
        table = np.concatenate([pooled, table[:, merged:]], axis=1)
        rare = int(_expected(table)[:, 0].min() < MINIMUM_EXPECTED)
    if table.shape[1] == 1:
        return 1.0
    if table.shape[1] == 2:
        return share_p(table[0, 0], table[0].sum(), table[1, 0], table[1].sum())
    return _chi_square_p(table)


def categories_p(reference: ArrayLike, current: ArrayLike, *, unseen: float) -> float:
    """P of known categories by `counts_p` and of ``unseen`` records of new categories by `share_p`: the smaller, twice.

    New categories are tested apart because any of them is rare in a large reference and would be pooled away.

    Examples
    --------
    >>> categories_p([50, 50], [50, 50], unseen=0)
    1.0
    >>> categories_p([50, 50], [50, 50], unseen=30) < 1e-6  # known ones as before, and a new one
    True
    """
    x, y = as_vector(reference, name="reference"), as_vector(current, name="current")
    new = share_p(0, float(x.sum()), unseen, float(y.sum()) + unseen)
    known = counts_p(x, y) if y.sum() else 1.0
    return min(1.0, 2 * min(known, new))


def holm(p_values: Mapping[NameT, float]) -> dict[NameT, float]:
    """Adjusted p of a family: calling those below a rate false in at most that share of families, however dependent.

    Source: Holm 1979, https://www.jstor.org/stable/4615733.

    Examples
    --------
    The smallest p is multiplied by 3, the next by 2; the last may not fall below the one before:

    >>> holm({"age": 0.01, "sex": 0.04, "bmi": 0.03})
    {'age': 0.03, 'sex': 0.06, 'bmi': 0.06}
    """
    ranked = sorted(p_values, key=lambda name: p_values[name])
    raw = np.array([p_values[name] for name in ranked], dtype=np.float64)
    adjusted = np.maximum.accumulate(raw * np.arange(raw.size, 0, -1)).clip(max=1.0)
    by_name = dict(zip(ranked, adjusted.tolist(), strict=True))
    return {name: by_name[name] for name in p_values}


def _effective(n: int, m: int) -> float:
    if n < 1 or m < 1:
        raise InsufficientData("a sample without records", cure="Pass at least one record in each sample.")
    return n * m / (n + m)


def _expected(table: FloatArray) -> FloatArray:
    return np.asarray(np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum())


def _chi_square_p(table: FloatArray) -> float:
    from scipy.special import chdtrc

    expected = _expected(table)
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))
