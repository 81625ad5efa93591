"""Performance beyond the one threshold in use: rates at several, and calibration by age.

What belongs here: more views of the scored holdout, as plain values. What does not: the measures that gates judge
(``evaluation``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.subgroups import UNKNOWN, subgroup_rows
from clinical_assets.modelling.table.resampled import drawn_units, rate_parts, ratio, resampled
from clinical_assets.statistics.discrimination.classification import threshold_metrics
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl

SHOWN = ("sensitivity", "specificity", "ppv", "npv", "alert_rate")
AGE_BANDS = "age"
_AGE = re.compile(r"age(_.*)?")
_RESAMPLES = 500


def rates_by_threshold(
    event: IntArray,
    risk: FloatArray,
    spec: CohortSpec,
    *,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
) -> list[dict[str, Any]]:
    """Sensitivity, specificity, predictive values and alert rate from a quarter to four times the threshold in use.

    Parameters
    ----------
    event : array of shape (n,), 0 or 1
        Outcomes of rows that the model has not seen.
    risk : array of shape (n,), in (0, 1)
        Served risks.
    spec : CohortSpec
        Costs give the threshold in use, tiers further ones.
    groups : array of shape (n,), optional
        Subjects, where they have several rows; intervals then come from resampling subjects.
    weights : array of shape (n,), optional
        Case weights.

    Returns
    -------
    list of dict
        ``threshold``, ``role`` and each rate with its 95 % interval, or null where it is insufficient: no row, or too
        few subjects, on the side of the threshold that it divides by; empty where a class is missing.
    """
    if event.min() == event.max():
        return []
    groups, seed = drawn_units(event.size, groups, weights), spec.modelling.search.seed
    return [
        {"threshold": threshold, "role": role, **_rates(event, risk, threshold, groups, weights, seed)}
        for threshold, role in thresholds_of(spec)
    ]


def thresholds_of(spec: CohortSpec) -> list[tuple[float, str]]:
    """Thresholds worth showing, in rising order, each with what it is."""
    used = spec.decisions.costs.threshold
    found = {round(used, 6): "in use"}
    for tier in spec.decisions.tiers:
        if tier.lower > 0:
            found.setdefault(round(tier.lower, 6), f"from tier {tier.name}")
    for factor, part in ((0.25, "a quarter of"), (0.5, "half of"), (2, "twice"), (4, "four times")):
        if factor * used < 1:
            found.setdefault(round(factor * used, 6), f"{part} that in use")
    return sorted(found.items())


def age_bands(rows: pl.DataFrame, *, train: pl.DataFrame, feature_columns: tuple[str, ...]) -> pl.Series | None:
    """The age band of each row, in thirds of the training rows; None where no feature is an age.

    Parameters
    ----------
    rows, train : polars.DataFrame
        Rows to be placed, and those whose thirds make the bands.
    feature_columns : tuple of str
        Features; the first called ``age`` or ``age_...`` counts.
    """
    import polars as pl

    name = next((each for each in feature_columns if _AGE.fullmatch(each)), None)
    if name is None or train[name].drop_nulls().n_unique() < 6:
        return None
    low, high = (float(np.ceil(train[name].drop_nulls().quantile(at, "linear") or 0.0)) for at in (1 / 3, 2 / 3))
    if not low < high:
        return None
    age = rows[name]
    bands = [f"under {low:g}", f"{low:g} to under {high:g}", f"{high:g} and over"]
    return pl.Series(
        AGE_BANDS,
        [UNKNOWN if value is None else bands[int(value >= low) + int(value >= high)] for value in age.to_list()],
    )


def calibration_by_age(
    event: IntArray,
    risk: FloatArray,
    bands: pl.Series,
    spec: CohortSpec,
    *,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
) -> list[dict[str, Any]]:
    """Estimates by age band on the holdout, in the form of ``evaluation.subgroups``, the youngest first.

    Parameters
    ----------
    event : array of shape (n,), 0 or 1
        Outcomes.
    risk : array of shape (n,)
        Served risks.
    bands : polars.Series, length n
        As `age_bands` gives them.
    spec : CohortSpec
        The cohort's description.
    groups : array of shape (n,), optional
        Subjects, where they have several rows.
    weights : array of shape (n,), optional
        Case weights.
    """
    made = subgroup_rows(
        event,
        risk,
        bands.to_frame(),
        sample="holdout",
        decisions=spec.decisions,
        groups=groups,
        weights=weights,
        seed=spec.modelling.search.seed,
    )
    return [dict(plain(row)) for row in sorted(made, key=lambda row: band_order(row.group))]


def band_order(band: str) -> int:
    """Place of an age band: youngest first, unknown last."""
    return 3 if band == UNKNOWN else 0 if band.startswith("under") else 2 if band.endswith("over") else 1


def _rates(
    event: IntArray,
    risk: FloatArray,
    threshold: float,
    groups: IntArray | None,
    weights: FloatArray | None,
    seed: int,
) -> dict[str, dict[str, Any] | None]:
    if groups is None:
        judged = threshold_metrics(event, risk, threshold=threshold)
        found: dict[str, Estimate | None] = {name: getattr(judged, name) for name in SHOWN}
    else:
        parts = rate_parts(event, risk, threshold=threshold)
        found = {name: _resampled(*parts[name], event, groups, weights, seed) for name in SHOWN}
    return {name: None if estimate is None else dict(plain(estimate)) for name, estimate in found.items()}


def _resampled(
    top: FloatArray, bottom: FloatArray, event: IntArray, groups: IntArray, weights: FloatArray | None, seed: int
) -> Estimate | None:
    """The rate with an interval from resampling subjects; None where too few of them define it."""
    if not bottom.sum():
        return None
    try:
        return resampled(ratio(top, bottom), event, groups, seed, _RESAMPLES, weights=weights)()
    except InsufficientData:
        return None
