"""Matured records of an outcome that takes time: whom those with a known outcome stand for.

Whoever was censored before the horizon has no class. Leaving such people out alone would favour those whose event comes
early, so that the others count more, by the chance not to be censored among the records of the report.

What belongs here: weights and follow-up of the records of one report. What does not: reading them (``windows``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, EVENT_CODE, FOLLOW_UP_DAYS
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.evaluation.followed import FollowedRisks, followed_rows
from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
from clinical_assets.statistics.survival.censoring_weights import censoring_weights

if TYPE_CHECKING:
    import polars as pl


def known_records(rows: pl.DataFrame, spec: CohortSpec) -> pl.DataFrame:
    """The records with a known outcome, with ``case_weight`` where anybody was censored before the horizon.

    Records without follow-up, such as those whose outcome came through the API as a class, count 1.

    Parameters
    ----------
    rows : polars.DataFrame
        As ``windows.followed_records`` gives them: ``outcome`` is null for the censored.
    spec : CohortSpec
        The cohort's description.
    """
    import polars as pl

    if not rows["outcome"].null_count():
        return rows
    timed = rows[EVENT_CODE].is_not_null()
    days, code = (rows.filter(timed)[name].to_numpy() for name in (FOLLOW_UP_DAYS, EVENT_CODE))
    weights = np.ones(rows.height)
    weights[timed.to_numpy()] = censoring_weights(censored_outcomes(days, code, horizon=_horizon(spec)))
    return rows.with_columns(pl.Series(CASE_WEIGHT, weights)).filter(pl.col("outcome").is_not_null())


def weights_of(known: pl.DataFrame) -> FloatArray | None:
    """Case weights of known records (n,) over their mean; None where nobody was censored."""
    if CASE_WEIGHT not in known.columns:
        return None
    weights = known[CASE_WEIGHT].to_numpy()
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def followed_risks(rows: pl.DataFrame, spec: CohortSpec) -> FollowedRisks | None:
    """All records of a report with their follow-up; None where nobody was censored, or one has no follow-up."""
    if not rows["outcome"].null_count():
        return None
    subject = spec.subject_of(spec.subject_table)
    return followed_rows(rows, rows["risk"].to_numpy(), subject=subject, horizon=_horizon(spec))


def _horizon(spec: CohortSpec) -> float:
    asked = spec.time_to_event
    assert asked is not None  # only such an outcome has follow-up
    return float(asked.horizon_days)
