"""An evaluation of an outcome that takes time speaks of everybody at risk, the censored included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.survival import followed_up, survival_spec, survival_table
from clinical_assets.cohorts.tables import RECORD_WEIGHT
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, everybody_at_risk, with_the_censored
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
from clinical_assets.statistics.survival.censoring_weights import censoring_weights
from clinical_assets.statistics.survival.observed_expected import observed_expected_at_horizon

DECISIONS = survival_spec().decisions


def score(X: FloatArray) -> FloatArray:
    """A fixed risk of the event."""
    return 1 / (1 + np.exp(0.6 - 0.9 * X[:, 0] + 0.5 * X[:, 1]))


@pytest.mark.parametrize("competing", [False, True])
def test_weights_of_the_table_are_those_of_the_statistics(competing: bool) -> None:
    data = followed_up(800, seed=1, competing=competing)
    everybody = everybody_at_risk(data, score(data.X), score(data.censored_X))
    assert everybody is not None
    assert data.weights is not None
    weights = censoring_weights(everybody.outcomes)
    np.testing.assert_allclose(weights[: data.n] / weights[: data.n].mean(), data.weights)
    assert not weights[data.n :].any()
    assert weights.size > data.n
    np.testing.assert_array_equal(everybody.outcomes.outcome[: data.n], data.y)
    # Weighted events over the weighted are the risk of all at risk: no two answers to one question.
    report = with_the_censored(
        evaluate(data.y, score(data.X), decisions=DECISIONS, weights=data.weights, n_resamples=20), everybody
    )
    assert np.average(data.y, weights=data.weights) == pytest.approx(report.metrics["observed_risk"].value)
    assert report.metrics["observed_risk"].n == weights.size
    assert report.metrics["auroc"].n == data.n
    assert report.calibration is not None
    assert report.calibration.bin_n.sum() == weights.size


def test_with_nobody_censored_it_says_what_the_shares_say() -> None:
    rng = np.random.default_rng(2)
    risk = rng.uniform(0.05, 0.8, 1000)
    y = (rng.random(1000) < risk).astype(np.int64)
    plain = evaluate(y, risk, decisions=DECISIONS, n_resamples=20)
    outcomes = censored_outcomes(np.where(y == 1, 3.0, 9.0), y, horizon=5)
    found = with_the_censored(plain, FollowedRisks(outcomes, risk))
    for name in ("value", "ci_low", "ci_high"):
        ratios = (each.metrics["observed_expected_ratio"] for each in (plain, found))
        one, other = (getattr(ratio, name) for ratio in ratios)
        assert one == pytest.approx(other, rel=2e-3)
    assert plain.calibration is not None
    assert found.calibration is not None
    np.testing.assert_allclose(found.calibration.bin_observed, plain.calibration.bin_observed)
    np.testing.assert_allclose(found.calibration.bin_predicted, plain.calibration.bin_predicted)


def test_case_weights_count_beside_the_weights_for_the_censored() -> None:
    data = followed_up(500, seed=3)
    everybody = everybody_at_risk(data, score(data.X), score(data.censored_X))
    assert everybody is not None
    own = np.random.default_rng(0).integers(1, 4, everybody.risk.size)
    places = np.repeat(np.arange(own.size), own)
    repeated = observed_expected_at_horizon(
        censored_outcomes(everybody.outcomes.time[places], everybody.outcomes.event[places], horizon=100),
        everybody.risk[places],
        groups=places,
    )
    report = evaluate(data.y, score(data.X), decisions=DECISIONS, n_resamples=20, leave_out=frozenset({"curves"}))
    found = with_the_censored(report, replace(everybody, weights=own.astype(float))).metrics["observed_expected_ratio"]
    assert (found.value, found.ci_low) == (pytest.approx(repeated.value), pytest.approx(repeated.ci_low))


def test_case_weights_of_records_are_those_of_the_rows_and_of_the_censored() -> None:
    data = followed_up(300, seed=3)
    assert data.follow_up is not None
    own = np.arange(1.0, data.n + 1)
    lost = data.follow_up.censored_frame.with_columns(pl.Series(RECORD_WEIGHT, -np.arange(len(data.censored_X)) - 1.0))
    weighed = replace(data, follow_up=replace(data.follow_up, case_weights=own, censored_frame=lost))
    everybody = everybody_at_risk(weighed, score(data.X), score(data.censored_X))
    assert everybody is not None
    assert everybody.weights is not None
    assert everybody.weights.tolist() == [*own, *(-place - 1.0 for place in range(len(data.censored_X)))]


def test_a_horizon_that_nobody_reaches_is_said_and_no_number() -> None:
    outcomes = censored_outcomes([1, 2, 3, 4] * 20, [1, 0, 1, 0] * 20, horizon=50)
    report = evaluate(
        np.array([1, 0] * 20), np.linspace(0.1, 0.9, 40), decisions=DECISIONS, leave_out=frozenset({"curves", "ici"})
    )
    found = with_the_censored(report, FollowedRisks(outcomes, np.full(80, 0.5)))
    assert "observed_expected_ratio" not in found.metrics
    assert "before the horizon of 50" in found.insufficient["observed_risk"]


def test_a_training_judges_its_holdout_with_the_censored_of_the_holdout() -> None:
    spec = survival_spec(competing=True)
    result = train_cohort(survival_table(700, seed=4, competing=True), spec)
    found = result.metrics["observed_expected_ratio"]
    assert found.n > result.holdout.n
    assert found.n - result.holdout.n == pytest.approx(
        (700 - result.total.n) * result.holdout.n / result.total.n, rel=0.5
    )
    assert found.ci_low < 1 < found.ci_high
    assert result.calibration is not None
    assert result.calibration.bin_n.sum() <= found.n
    # Out of fold likewise: together all at risk, and in the groups those of the group.
    inside = result.candidates[0].metrics["observed_expected_ratio"]
    assert inside.n + found.n == 700
    assert inside.ci_low < 1 < inside.ci_high
    groups = [row for row in result.subgroups if row.sample == "out_of_fold"]
    assert sum(row.n for row in groups) == result.train.n
    assert sum(row.metrics["observed_expected_ratio"].n for row in groups) == inside.n
