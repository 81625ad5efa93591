"""What an evaluation says of everybody at risk, those censored before the horizon too.

Measures of ranking, calibration slope and benefit are those of rows with a known outcome, each with the weight of those
for whom it stands. Observed risk, observed over expected and the groups of the calibration plot need no such weights:
they are Kaplan-Meier or Aalen-Johansen risks beside the risks of all.

What belongs here: putting these into an ``Evaluation``. What does not: the estimates (``statistics.survival``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.tables import EVENT_CODE, FOLLOW_UP_DAYS
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.evaluation import Evaluation
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.statistics.survival.censored_outcomes import CENSORED, CensoredOutcomes, censored_outcomes
from clinical_assets.statistics.survival.incidence import risk_at_horizon
from clinical_assets.statistics.survival.observed_expected import observed_expected_at_horizon, observed_groups
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class FollowedRisks:
    """Everybody at risk when the prediction was made, with their risks.

    Attributes
    ----------
    outcomes : CensoredOutcomes
        Of m people, the censored included.
    risk : array of shape (m,)
        Served risks of the event by the horizon.
    groups : array of shape (m,) or None
        Subjects, where they have several rows.
    weights : array of shape (m,) or None
        Case weights, without what anybody stands for of the censored.
    """

    outcomes: CensoredOutcomes
    risk: FloatArray
    groups: IntArray | None = None
    weights: FloatArray | None = None

    def people(self, chosen: NDArray[np.bool_]) -> FollowedRisks:
        """Those where `chosen` (m,) is true."""
        return FollowedRisks(
            self.outcomes.people(chosen),
            self.risk[chosen],
            None if self.groups is None else self.groups[chosen],
            None if self.weights is None else self.weights[chosen],
        )


def everybody_at_risk(part: ModelInput, risk: FloatArray, censored_risk: FloatArray | None) -> FollowedRisks | None:
    """The rows of a part and the censored that they carry; None where the outcome is no time to an event.

    Parameters
    ----------
    part : ModelInput
        Rows that the model has not seen, n of them, which carry m of the censored.
    risk : array of shape (n,)
        Served risks of the event.
    censored_risk : array of shape (m,)
        Those of the censored, who have features and a risk as anybody.
    """
    found = part.follow_up
    if found is None or censored_risk is None:
        return None
    event = np.concatenate([found.event, np.full(found.censored_days.size, CENSORED)])
    outcomes = censored_outcomes(np.concatenate([found.days, found.censored_days]), event, horizon=found.horizon)
    groups = np.concatenate([part.groups, found.censored_groups])
    weights = None
    if found.case_weights is not None and found.censored_case_weights is not None:
        weights = np.concatenate([found.case_weights, found.censored_case_weights])
    return FollowedRisks(
        outcomes,
        np.concatenate([risk, censored_risk]),
        groups if np.unique(groups).size < groups.size else None,
        weights,
    )


def followed_rows(rows: pl.DataFrame, risk: FloatArray, *, subject: str, horizon: float) -> FollowedRisks | None:
    """Later records and the censored among them; None where one has no follow-up.

    Parameters
    ----------
    rows : polars.DataFrame
        m rows with ``follow_up_days`` and ``event_code``.
    risk : array of shape (m,)
        Served risks of the event.
    subject : str
        Column that names the person.
    horizon : float
        Days after the prediction.
    """
    if rows[EVENT_CODE].null_count():
        return None
    repeated = rows[subject].n_unique() < rows.height
    return FollowedRisks(
        censored_outcomes(rows[FOLLOW_UP_DAYS].to_numpy(), rows[EVENT_CODE].to_numpy(), horizon=horizon),
        risk,
        rows[subject].rank("dense").to_numpy().astype(np.int64) if repeated else None,
    )


def with_the_censored(report: Evaluation, followed: FollowedRisks) -> Evaluation:
    """The evaluation with the observed risk, observed over expected and the plotted groups of everybody at risk.

    Returns
    -------
    Evaluation
        ``observed_risk`` and ``observed_expected_ratio`` count all people at risk as `n`; what their follow-up cannot
        support is under `insufficient`.
    """
    metrics, insufficient = dict(report.metrics), dict(report.insufficient)
    outcomes, risk, weights, groups = followed.outcomes, followed.risk, followed.weights, followed.groups
    found: dict[str, Callable[[], Estimate]] = {
        "observed_risk": lambda: risk_at_horizon(outcomes, weights=weights, groups=groups),
        "observed_expected_ratio": lambda: observed_expected_at_horizon(outcomes, risk, weights=weights, groups=groups),
    }
    for name, compute in found.items():
        metrics.pop(name, None)
        insufficient.pop(name, None)
        try:
            metrics[name] = compute()
        except InsufficientData as error:
            insufficient[name] = error.message
    plot = report.calibration
    if plot is not None:
        each = observed_groups(outcomes, risk, weights=weights, level=plot.level)
        plot = replace(
            plot,
            bin_predicted=each.predicted,
            bin_observed=each.observed,
            bin_low=each.low,
            bin_high=each.high,
            bin_n=each.n,
            bin_events=each.events,
        )
    return replace(report, metrics=metrics, insufficient=insufficient, calibration=plot)
