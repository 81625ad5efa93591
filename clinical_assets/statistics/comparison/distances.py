"""How far has a column moved? PSI, Kolmogorov-Smirnov, Wasserstein, Jensen-Shannon and total variation.

What belongs here: binning fixed on a reference, and distances between two samples of one column.
What does not: limits, and which columns to look at (`monitoring`).

Missing values are a bin of their own in PSI, Jensen-Shannon and total variation. Kolmogorov-Smirnov and
Wasserstein compare the values that are present; the share of missing values of both samples stands beside
them.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.comparison.sorted_samples import compare_sorted
from clinical_assets.statistics.inputs import InvalidArray, as_vector, check_fraction

UNSEEN = "(not in the reference)"
MISSING = "(missing)"


@dataclass(frozen=True)
class NumericBins:
    """Binning of a numeric column, fixed on a reference sample.

    Attributes
    ----------
    edges : tuple of floats, ascending
        Bin i holds edges[i-1] < x <= edges[i]; the outer bins are open.
    counts : tuple of floats
        Reference records per bin, the missing ones last: len(edges) + 2 numbers.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    def count(self, values: ArrayLike) -> FloatArray:
        """Records of another sample (n,) per bin, the missing ones (NaN) last."""
        x = as_vector(values, name="values", allow_nan=True)
        missing = np.isnan(x)
        bins = np.where(missing, len(self.edges) + 1, np.searchsorted(self.edges, x, side="left"))
        return np.bincount(bins, minlength=len(self.edges) + 2).astype(np.float64)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each bin."""
        bounds = [f"{e:g}" for e in self.edges]
        inner = [f"{a} < x <= {b}" for a, b in itertools.pairwise(bounds)]
        ends = (f"x <= {bounds[0]}", *inner, f"x > {bounds[-1]}") if bounds else ("all values",)
        return (*ends, MISSING)


@dataclass(frozen=True)
class CategoryBins:
    """Sorted categories of a reference sample and their counts, then those of unseen and missing values."""

    categories: tuple[str, ...]
    counts: tuple[float, ...]

    def count(self, values: ArrayLike) -> FloatArray:
        """Records of another sample (n,) per category, then of unseen categories, then missing."""
        counts, missing = _category_counts(values)
        known = [counts.pop(category, 0.0) for category in self.categories]
        return np.array([*known, sum(counts.values()), missing])

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each bin."""
        return (*self.categories, UNSEEN, MISSING)


@dataclass(frozen=True)
class Drift:
    """Distances of a current sample from a reference; 0 means no difference in all of them.

    Attributes
    ----------
    psi : float
        Population stability index, >= 0. By custom .1 is some and .25 is much change.
    psi_noise : float
        What PSI stays below in 95 % of samples of these sizes when nothing has changed. A PSI below it is
        no evidence, whatever the custom says.
    jensen_shannon : float in [0, 1]
    total_variation : float in [0, 1]
        Share of records that would have to change bin.
    kolmogorov_smirnov : float in [0, 1], or None for categories or when no value is present
    wasserstein : float or None
        Mean distance the values moved, in the unit of the column.
    n_reference, n_current : int
    missing_reference, missing_current : float
        Shares of missing values.
    """

    psi: float
    psi_noise: float
    jensen_shannon: float
    total_variation: float
    kolmogorov_smirnov: float | None
    wasserstein: float | None
    n_reference: int
    n_current: int
    missing_reference: float
    missing_current: float


def numeric_bins(reference: ArrayLike, *, n_bins: int = 10) -> NumericBins:
    """Quantile bins of a reference sample (n,), fewer where values are tied; NaN is missing.

    Raises InsufficientData for an empty or wholly missing reference, InvalidArray for infinite values.

    Examples
    --------
    >>> bins = numeric_bins([1, 2, 3, 4, 5, 6, 7, 8, np.nan], n_bins=4)
    >>> bins.edges, bins.counts  # the missing value comes last
    ((2.0, 4.0, 6.0), (2.0, 2.0, 2.0, 2.0, 1.0))
    >>> bins.count([0, 2.5, 99]).tolist()
    [1.0, 1.0, 0.0, 1.0, 0.0]
    """
    if n_bins < 2:
        raise InvalidArray(f"n_bins is {n_bins}, expected at least 2")
    x = as_vector(reference, name="reference", allow_nan=True)
    present = x[~np.isnan(x)]
    if present.size == 0:
        raise InsufficientData("every reference value is missing", cure="Choose another reference period.")
    # Inner quantiles that are values of the sample, so that a column of few values gets a bin for each.
    quantiles = np.quantile(present, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    edges = tuple(float(e) for e in np.unique(quantiles))
    counts = NumericBins(edges, ()).count(x)
    return NumericBins(edges, tuple(counts.tolist()))


def category_bins(reference: ArrayLike) -> CategoryBins:
    """The categories of a reference sample (n,) of any type; None, NaN and NaT are missing.

    Whole floats count as integers, since a missing value turns a column of integers into floats.

    Examples
    --------
    >>> bins = category_bins(["f", "m", "f", None])
    >>> bins.labels
    ('f', 'm', '(not in the reference)', '(missing)')
    >>> bins.counts
    (2.0, 1.0, 0.0, 1.0)
    """
    counts, missing = _category_counts(reference)
    categories = tuple(sorted(counts))
    return CategoryBins(categories, (*(counts[c] for c in categories), 0.0, missing))


def numeric_drift(reference: ArrayLike, current: ArrayLike, *, bins: NumericBins | None = None) -> Drift:
    """All distances of two numeric samples, shapes (n,) and (m,), NaN for missing.

    `bins` are those of the reference unless given. Raises as `numeric_bins`. Sources: see the single
    functions.

    Examples
    --------
    >>> moved = numeric_drift([1, 2, 3, 4], [2, 3, 4, 5])
    >>> moved.wasserstein, moved.kolmogorov_smirnov  # by one unit; at most a quarter of the records apart
    (1.0, 0.25)
    """
    x = as_vector(reference, name="reference", allow_nan=True)
    y = as_vector(current, name="current", allow_nan=True)
    fixed = numeric_bins(x) if bins is None else bins
    x_present, y_present = x[~np.isnan(x)], y[~np.isnan(y)]
    ks = shift = None
    if x_present.size and y_present.size:
        ks, shift = _compare_distributions(x_present, y_present)
    return drift_of_counts(fixed.count(x), fixed.count(y), kolmogorov_smirnov=ks, wasserstein=shift)


def categorical_drift(reference: ArrayLike, current: ArrayLike, *, bins: CategoryBins | None = None) -> Drift:
    """PSI, Jensen-Shannon and total variation of two categorical samples, shapes (n,) and (m,).

    A category not in the reference is a bin of its own. Raises InsufficientData for an empty sample.

    Examples
    --------
    >>> categorical_drift(["f", "m"] * 50, ["f", "m"] * 50).psi
    0.0
    >>> round(categorical_drift(["f", "m"] * 50, ["f"] * 80 + ["m"] * 20).total_variation, 2)
    0.3
    """
    fixed = category_bins(reference) if bins is None else bins
    return drift_of_counts(fixed.count(reference), fixed.count(current))


def drift_of_counts(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    kolmogorov_smirnov: float | None = None,
    wasserstein: float | None = None,
) -> Drift:
    """The distances of two arrays of counts (k,) over the same bins, the missing records last in both.

    Raises as `population_stability_index`.

    Examples
    --------
    >>> drift = drift_of_counts([50, 50, 0], [80, 20, 0])
    >>> round(drift.psi, 2), round(drift.psi_noise, 2)  # far more than chance gives
    (0.42, 0.08)
    >>> drift.missing_current
    0.0
    """
    x, y = _count_pair(reference, current)
    n, m = float(x.sum()), float(y.sum())
    used = int(((x > 0) | (y > 0)).sum())
    return Drift(
        psi=population_stability_index(x, y),
        psi_noise=psi_noise(used, n, m),
        jensen_shannon=jensen_shannon_distance(x, y),
        total_variation=total_variation(x, y),
        kolmogorov_smirnov=kolmogorov_smirnov,
        wasserstein=wasserstein,
        n_reference=round(n),
        n_current=round(m),
        missing_reference=float(x[-1]) / n,
        missing_current=float(y[-1]) / m,
    )


def population_stability_index(reference: ArrayLike, current: ArrayLike) -> float:
    """PSI of two arrays of counts (k,) over the same bins: sum of (q - p) ln(q / p), 0 means no difference.

    A bin that is empty in one sample takes half a record there, so that a small sample is not punished
    for its size; a bin empty in both is left out. Raises InvalidArray for shapes that differ or negative
    counts.

    Source: Lewis 1994 (credit scoring); it is the symmetrised divergence of Jeffreys 1946, doi
    10.1098/rspa.1946.0056.

    Examples
    --------
    >>> population_stability_index([50, 50], [5, 5])  # the same shares
    0.0
    >>> round(population_stability_index([50, 50], [80, 20]), 3)  # 0.3 ln(0.8 / 0.5) - 0.3 ln(0.2 / 0.5)
    0.416
    """
    x, y = _count_pair(reference, current)
    used = (x > 0) | (y > 0)
    p, q = (np.where(c > 0, c, 0.5)[used] / c.sum() for c in (x, y))
    return float(((q - p) * np.log(q / p)).sum())


def psi_noise(n_bins: int, n_reference: float, n_current: float, *, level: float = 0.95) -> float:
    """Quantile of PSI when nothing has changed: chi2(bins - 1) * (1/n + 1/m).

    Source: Yurdakul & Naranjo 2020, doi 10.21314/JRMV.2020.227.

    Examples
    --------
    >>> round(psi_noise(2, 100, 100), 3)  # 3.84 * (1 / 100 + 1 / 100)
    0.077
    """
    from scipy.special import chdtri

    if n_bins < 2:
        return 0.0
    quantile = float(chdtri(n_bins - 1, 1 - check_fraction(level, name="level")))
    return quantile * (1 / n_reference + 1 / n_current)


def jensen_shannon_distance(reference: ArrayLike, current: ArrayLike) -> float:
    """Square root of the Jensen-Shannon divergence in bits of two arrays of counts (k,).

    0 is equal, 1 is disjoint.

    Source: Endres & Schindelin 2003, doi 10.1109/TIT.2003.813506.

    Examples
    --------
    >>> jensen_shannon_distance([3, 1], [30, 10]), jensen_shannon_distance([1, 0], [0, 1])
    (0.0, 1.0)
    """
    from scipy.special import rel_entr

    p, q = (c / c.sum() for c in _count_pair(reference, current))
    middle = (p + q) / 2
    divergence = float((rel_entr(p, middle) + rel_entr(q, middle)).sum()) / (2 * np.log(2))
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    """Half the sum of |p - q| of two arrays of counts (k,), in [0, 1]; 0 means no difference.

    Examples
    --------
    >>> round(total_variation([50, 50], [80, 20]), 2)  # 30 of 100 records would have to change bin
    0.3
    """
    p, q = (c / c.sum() for c in _count_pair(reference, current))
    return float(np.abs(p - q).sum()) / 2


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> float:
    """Largest distance of two empirical distribution functions, in [0, 1]; 0 means no difference.

    Samples of shape (n,) and (m,) without missing values. Raises InvalidArray for NaN or infinite values.
    Source: Smirnov 1948, doi 10.1214/aoms/1177730256.

    Examples
    --------
    >>> kolmogorov_smirnov([1, 2, 3, 4], [2, 3, 4, 5])
    0.25
    >>> kolmogorov_smirnov([1, 2], [3, 4])  # nothing in common
    1.0
    """
    return _compare_distributions(as_vector(reference, name="reference"), as_vector(current, name="current"))[0]


def wasserstein_distance(reference: ArrayLike, current: ArrayLike) -> float:
    """Area between two empirical distribution functions, in the unit of the column; 0 means no difference.

    Samples and errors as in `kolmogorov_smirnov`. Source: Vallender 1974, doi 10.1137/1118101.

    Examples
    --------
    >>> wasserstein_distance([1, 2, 3, 4], [2, 3, 4, 5])
    1.0
    """
    return _compare_distributions(as_vector(reference, name="reference"), as_vector(current, name="current"))[1]


def _compare_distributions(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein distance from one merge of both samples."""
    return compare_sorted(np.sort(x), np.sort(y))


def _count_pair(reference: ArrayLike, current: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, y = as_vector(reference, name="reference"), as_vector(current, name="current")
    if x.size != y.size:
        raise InvalidArray(
            f"counts over {x.size} and {y.size} bins",
            cure="Count both samples with the bins of the reference.",
        )
    if (x < 0).any() or (y < 0).any():
        raise InvalidArray("counts must not be negative")
    if x.sum() == 0 or y.sum() == 0:
        raise InsufficientData("a sample without records", cure="Pass at least one record in each sample.")
    return x, y


def _category_counts(values: ArrayLike) -> tuple[dict[str, float], float]:
    import pandas as pd

    column = pd.Series(np.asarray(values))
    if column.empty:
        raise InsufficientData("a sample without records", cure="Pass at least one record in each sample.")
    present = column.dropna()
    counts: dict[str, float] = {}
    for label, count in present.value_counts().items():
        name = _label(label)
        counts[name] = counts.get(name, 0.0) + float(count)
    return counts, float(column.size - present.size)


def _label(value: Hashable) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]
