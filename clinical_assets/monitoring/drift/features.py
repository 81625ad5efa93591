"""How far one column has moved from its reference: every distance, and what chance alone would do.

What belongs here: measuring one column. What does not: limits and verdicts (``drift``), reading (``columns``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.monitoring.drift.columns import Counted, DriftError
from clinical_assets.statistics.comparison.distances import MISSING, UNSEEN, CategoryBins, NumericBins, drift_of_counts
from clinical_assets.statistics.comparison.homogeneity import categories_p, kolmogorov_smirnov_p, share_p
from clinical_assets.statistics.comparison.sorted_samples import compare_sorted, count_between, distinct, quantile_edges

# A number with so few values in the reference is read as categories: quantile bins cannot tell 98 % from 99 %.
FEW_VALUES = 10
_BINS_SHOWN = 25


@dataclass(frozen=True)
class BinShare:
    """Share of the records of both samples in one bin or category."""

    label: str
    reference: float
    batch: float


@dataclass(frozen=True)
class Distances:
    """One column of a batch against its reference. None stands where a number cannot be had.

    Attributes
    ----------
    name : str
    kind : "numeric" or "category"
        Text, booleans and numbers of at most 10 values in the reference are categories.
    n_reference, n_batch, present_reference, present_batch : int
        Records, and those whose value is not missing.
    missing_reference, missing_batch, missing_p : float or None
        Shares, and p of their difference (chi-square, Fisher where few are expected).
    psi, psi_noise : float or None
        Population stability index over ten quantile bins or the categories of the reference, missing as a bin of its
        own, and what it stays below in 95 % of samples of these sizes when nothing has changed.
    jensen_shannon, total_variation : float in [0, 1] or None
        Over the same bins.
    kolmogorov_smirnov, wasserstein : float or None
        Of the values present; Wasserstein in the unit of the column. None for text.
    wasserstein_standardised : float or None
        In standard deviations of the reference; None where it does not vary.
    gap : float in [0, 1] or None
        Of the values present: the Kolmogorov-Smirnov distance of a numeric column, the total variation of a category.
        It is what ``ks_limit`` is held against; for two categories both are the same.
    test, p : str, float or None
        Test of the values present, and its p.
    mean_reference, mean_batch, sd_reference : float or None
    bins : tuple of BinShare
        At most 25, the largest; missing last.
    """

    name: str
    kind: Literal["numeric", "category"]
    n_reference: int
    n_batch: int
    present_reference: int
    present_batch: int
    missing_reference: float | None = None
    missing_batch: float | None = None
    missing_p: float | None = None
    psi: float | None = None
    psi_noise: float | None = None
    jensen_shannon: float | None = None
    total_variation: float | None = None
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    wasserstein_standardised: float | None = None
    gap: float | None = None
    test: Literal["Kolmogorov-Smirnov", "chi-square"] | None = None
    p: float | None = None
    mean_reference: float | None = None
    mean_batch: float | None = None
    sd_reference: float | None = None
    bins: tuple[BinShare, ...] = ()


def numeric_distances(name: str, x: FloatArray, y: FloatArray, *, n_reference: int, n_batch: int) -> Distances:
    """Measure a column of numbers.

    Parameters
    ----------
    name : str
        Name of the column.
    x, y : arrays of shape (n,) and (m,)
        Values that are present, ascending.
    n_reference, n_batch : int
        Records with those whose value is missing.

    Raises
    ------
    DriftError
        An infinite value.
    """
    _refuse_infinite(name, reference=x, batch=y)
    few = distinct(x, at_most=FEW_VALUES)
    base = _base(name, "numeric" if few is None else "category", x.size, y.size, n_reference, n_batch)
    if not (x.size and n_batch):
        return base
    labels: Sequence[str]
    gone = (float(n_reference - x.size), float(n_batch - y.size))
    if few is None:
        edges = quantile_edges(x, n_bins=10)
        x_counts = np.append(count_between(x, edges), gone[0])
        y_counts = np.append(count_between(y, edges), gone[1])
        labels = NumericBins(edges, ()).labels
    else:
        x_counts, y_counts, labels = _few_counts(x, y, few, gone)
    values: dict[str, Any] = {"mean_reference": float(x.mean()), "sd_reference": float(x.std())}
    if y.size:
        ks, wasserstein = compare_sorted(x, y)
        spread = values["sd_reference"]
        values |= {"kolmogorov_smirnov": ks, "wasserstein": wasserstein, "mean_batch": float(y.mean())}
        values["wasserstein_standardised"] = wasserstein / spread if spread else None
        if few is None:
            values |= {"gap": ks, "p": kolmogorov_smirnov_p(ks, x.size, y.size), "test": "Kolmogorov-Smirnov"}
        else:
            values |= _categories(x_counts, y_counts)
    return replace(base, **values, **_binned(x_counts, y_counts, labels))


def text_distances(name: str, reference: Counted, batch: Counted, *, n_reference: int, n_batch: int) -> Distances:
    """Measure a column of text from its counts; those of the batch are over the categories of the reference."""
    categories = tuple(sorted(reference.by_category))
    present, present_now = n_reference - reference.missing, n_batch - batch.missing
    base = _base(name, "category", present, present_now, n_reference, n_batch)
    if not (categories and n_batch):
        return base
    x = np.array([*(reference.by_category[c] for c in categories), 0, reference.missing], dtype=np.float64)
    y = np.array([*(batch.by_category.get(c, 0) for c in categories), batch.unseen, batch.missing], dtype=np.float64)
    labels = CategoryBins(categories, ()).labels
    return replace(base, **_categories(x, y), **_binned(x, y, labels))


def _refuse_infinite(name: str, **samples: FloatArray) -> None:
    for what, ordered in samples.items():
        if ordered.size and not np.isfinite(ordered[[0, -1]]).all():
            raise DriftError(
                f"feature {name!r} holds an infinite value in the {what}.",
                cure="Look for a division by zero in its SQL; missing is NULL.",
            )


def _few_counts(
    x: FloatArray, y: FloatArray, values: FloatArray, gone: tuple[float, float]
) -> tuple[FloatArray, FloatArray, Sequence[str]]:
    known = [np.searchsorted(s, values, side="right") - np.searchsorted(s, values, side="left") for s in (x, y)]
    x_counts, y_counts = (
        np.concatenate([count, [sample.size - count.sum(), missing]]).astype(np.float64)
        for count, sample, missing in zip(known, (x, y), gone, strict=True)
    )
    labels = [str(int(v)) if float(v).is_integer() else str(float(v)) for v in values]
    return x_counts, y_counts, (*labels, UNSEEN, MISSING)


def _base(name: str, kind: Literal["numeric", "category"], present: int, present_now: int, n: int, m: int) -> Distances:
    return Distances(
        name,
        kind,
        n_reference=n,
        n_batch=m,
        present_reference=present,
        present_batch=present_now,
        missing_reference=(n - present) / n if n else None,
        missing_batch=(m - present_now) / m if m else None,
        missing_p=share_p(n - present, n, m - present_now, m) if n and m else None,
    )


def _categories(x: FloatArray, y: FloatArray) -> dict[str, Any]:
    """Gap and p of the values present; the last two counts are of unseen categories and of missing values."""
    if not y[:-1].sum():
        return {}
    gap = np.abs(x[:-1] / x[:-1].sum() - y[:-1] / y[:-1].sum()).sum() / 2
    return {"gap": float(gap), "p": categories_p(x[:-2], y[:-2], unseen=float(y[-2])), "test": "chi-square"}


def _binned(x: FloatArray, y: FloatArray, labels: Sequence[str]) -> dict[str, Any]:
    drift = drift_of_counts(x, y)
    shares = np.stack([x / x.sum(), y / y.sum()])
    largest = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:_BINS_SHOWN])
    return {
        "psi": drift.psi,
        "psi_noise": drift.psi_noise,
        "jensen_shannon": drift.jensen_shannon,
        "total_variation": drift.total_variation,
        "bins": tuple(BinShare(labels[i], float(shares[0, i]), float(shares[1, i])) for i in largest),
    }
