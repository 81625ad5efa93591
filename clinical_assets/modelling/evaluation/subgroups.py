"""The same model, one group at a time: who is ranked, calibrated and caught less well?

What belongs here: estimates by group, with "insufficient" where a group is too small to say anything.
What does not: limits on differences and verdicts; those are gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from clinical_assets.cohorts.decisions import Decisions
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, with_the_censored
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl


UNKNOWN = "unknown"
SHOWN = (
    "auroc",
    "brier",
    "calibration_intercept",
    "calibration_slope",
    "observed_expected_ratio",
    "sensitivity",
    "specificity",
    "ppv",
    "alert_rate",
    "net_benefit",
)
SampleKind = Literal["holdout", "out_of_fold", "left_out", "left_out_recalibrated"]


@dataclass(frozen=True)
class SubgroupRow:
    """One group of one protected attribute.

    Attributes
    ----------
    sample : "holdout", "out_of_fold", "left_out" or "left_out_recalibrated"
        Which rows: the locked ones, the training rows by their out-of-fold risks, those of a group that a model fitted
        on the other groups judged, or the same after intercept and slope were fitted on the group's other half.
    attribute, group : str
        Null is the group "unknown".
    n, events : int
    status : "ok" or "insufficient"
    reason : str
        Why nothing is estimated, empty otherwise.
    metrics : dict of name to Estimate
        Empty when insufficient; a measure that even a large group cannot support is left out.
    """

    sample: SampleKind
    attribute: str
    group: str
    n: int
    events: int
    status: Literal["ok", "insufficient"]
    reason: str
    metrics: dict[str, Estimate]


def subgroup_rows(
    y: IntArray,
    p: FloatArray,
    attributes: pl.DataFrame,
    *,
    sample: SampleKind,
    decisions: Decisions,
    action_from: int = 1,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    n_resamples: int = 500,
    followed: FollowedRisks | None = None,
    censored: pl.DataFrame | None = None,
) -> tuple[SubgroupRow, ...]:
    """Estimates for every group of every column of `attributes` (n rows), largest attribute order kept, groups by name.

    Parameters are those of ``evaluation.evaluate``; `followed` holds the rows and then the censored that they carry,
    whose attributes are the rows of `censored`. A group below ``limits.subgroup_minimum`` rows, or without both
    outcomes, is insufficient.
    """
    rows: list[SubgroupRow] = []
    for attribute in attributes.columns:
        labels = attributes[attribute].cast(str).fill_null(UNKNOWN).to_numpy()
        beyond = labels[:0] if censored is None else censored[attribute].cast(str).fill_null(UNKNOWN).to_numpy()
        for label in np.unique(labels):
            mine = labels == label
            at_risk = np.concatenate([mine, beyond == label])
            rows.append(
                subgroup_row(
                    y[mine],
                    p[mine],
                    sample=sample,
                    attribute=attribute,
                    group=str(label),
                    decisions=decisions,
                    action_from=action_from,
                    groups=None if groups is None else groups[mine],
                    weights=None if weights is None else weights[mine],
                    seed=seed,
                    n_resamples=n_resamples,
                    followed=None if followed is None else followed.people(at_risk),
                )
            )
    return tuple(rows)


def subgroup_row(
    y: IntArray,
    p: FloatArray,
    *,
    sample: SampleKind,
    attribute: str,
    group: str,
    decisions: Decisions,
    action_from: int,
    groups: IntArray | None,
    weights: FloatArray | None,
    seed: int,
    n_resamples: int = 500,
    followed: FollowedRisks | None = None,
) -> SubgroupRow:
    """Estimates for the rows of one group."""
    event = (y >= action_from).astype(np.int64)
    n, events, least = int(y.size), int(event.sum()), decisions.limits.subgroup_minimum
    reason = ""
    if n < least:
        reason = f"{n} rows, at least {least} are needed"
    elif min(events, n - events) < 2:
        reason = f"{events} events among {n} rows: both outcomes are needed at least twice"
    if reason:
        return SubgroupRow(sample, attribute, group, n, events, "insufficient", reason, {})
    found = evaluate(
        event,
        action_risk(p, action_from=action_from),
        decisions=decisions,
        groups=groups if groups is not None and np.unique(groups).size < n else None,
        weights=weights,
        seed=seed,
        n_resamples=n_resamples,
        leave_out=frozenset({"auprc", "ici", "curves"}),
    )
    if followed is not None:
        found = with_the_censored(found, followed)
    metrics = {name: found.metrics[name] for name in SHOWN if name in found.metrics}
    return SubgroupRow(sample, attribute, group, n, events, "ok", "", metrics)
