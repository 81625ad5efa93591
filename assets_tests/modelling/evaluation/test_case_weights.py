"""Weighted evaluation answers for the population that the records stand for, with the records' own uncertainty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.descriptions import case_weight
from assets_tests.worlds.tables.training import made_up, make_spec
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.evaluation.subgroups import subgroup_rows
from clinical_assets.modelling.evaluation.thresholds import decide_threshold
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.evaluation.training_warnings import CASE_WEIGHTS
from clinical_assets.statistics.uncertainty.effective_size import effective_sample_size, effective_weights

DECISIONS = make_spec().decisions
COLUMN = {"stands_for": case_weight()}


def _case_control(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes and true risks of a sample that took all events and one in ten others, with the weights that undo it."""
    rng = np.random.default_rng(seed)
    risk = 1 / (1 + np.exp(3 - 1.3 * rng.normal(size=12 * n)))
    y = (rng.random(12 * n) < risk).astype(np.int64)
    taken = (y == 1) | (rng.random(12 * n) < 0.1)
    return y[taken][:n], risk[taken][:n], np.where(y[taken][:n] == 1, 1.0, 10.0)


def test_point_values_are_those_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(1, 5, 300)
    risk = rng.uniform(0.05, 0.9, 300)
    y = (rng.random(300) < risk).astype(np.int64)
    weighted = evaluate(y, risk, decisions=DECISIONS, weights=times * 3.7, n_resamples=50)
    repeated = evaluate(np.repeat(y, times), np.repeat(risk, times), decisions=DECISIONS, n_resamples=50)
    assert set(weighted.metrics) == set(repeated.metrics)
    for name, found in weighted.metrics.items():
        # The smooth curve behind the ICI has its knots at weighted quantiles of cells.
        tolerance = 0.01 if name in ("ici", "e50", "e90") else 1e-6
        assert found.value == pytest.approx(repeated.metrics[name].value, abs=tolerance), name
        assert (found.n, found.events) == (300, int(y.sum())), name
    assert weighted.decision_curve is not None
    assert repeated.decision_curve is not None
    np.testing.assert_allclose(weighted.decision_curve.model, repeated.decision_curve.model, atol=1e-9)
    assert weighted.decision_curve.n == 300


def test_weights_undo_a_sample_that_took_too_many_events() -> None:
    y, risk, weights = _case_control(4000, seed=2)
    plain = evaluate(y, risk, decisions=DECISIONS, n_resamples=100)
    weighted = evaluate(y, risk, decisions=DECISIONS, weights=weights, n_resamples=100)
    assert plain.metrics["calibration_intercept"].value > 1.5
    assert weighted.metrics["calibration_intercept"].value == pytest.approx(0, abs=0.15)
    assert weighted.metrics["observed_expected_ratio"].value == pytest.approx(1, abs=0.12)
    assert weighted.metrics["alert_rate"].value < plain.metrics["alert_rate"].value
    assert weighted.metrics["sensitivity"].value == pytest.approx(plain.metrics["sensitivity"].value)


def test_intervals_of_weighted_measures_hold_the_truth_as_often_as_they_say() -> None:
    covered = {"observed_expected_ratio": 0, "auroc": 0}
    big = _case_control(60_000, seed=99)
    truth = evaluate(
        *big[:2], decisions=DECISIONS, weights=big[2], n_resamples=1, leave_out=frozenset({"ici", "auprc", "curves"})
    )
    target = {"observed_expected_ratio": 1.0, "auroc": truth.metrics["auroc"].value}
    for seed in range(60):
        y, risk, weights = _case_control(400, seed=seed)
        found = evaluate(
            y,
            risk,
            decisions=DECISIONS,
            weights=weights,
            n_resamples=200,
            leave_out=frozenset({"ici", "auprc", "curves"}),
        )
        for name, value in target.items():
            covered[name] += found.metrics[name].ci_low <= value <= found.metrics[name].ci_high
    # Of 60 intervals of 95 %, 51 or more hold the truth with a chance of 99.9 %.
    assert min(covered.values()) >= 51, covered


def test_tiers_and_policies_are_shares_of_the_population_and_counts_of_records() -> None:
    y, risk, weights = _case_control(2000, seed=3)
    made = decide_threshold(y, risk, decisions=DECISIONS, weights=weights, n_resamples=100)
    low, high = made.tiers
    above = risk >= DECISIONS.tiers[1].lower
    assert (low.n, high.n, low.events, high.events) == (
        int((~above).sum()),
        int(above.sum()),
        int(y[~above].sum()),
        int(y[above].sum()),
    )
    assert high.share.value == pytest.approx(np.average(above, weights=weights))
    assert high.share.n == round(effective_sample_size(weights)) < 2000
    policy = {row.policy: row for row in made.business_table}["model at cost threshold"]
    alert = risk >= made.threshold
    assert policy.alerts.value == pytest.approx(1000 * np.average(alert, weights=weights))
    assert made.curve.n == made.net_benefit.n == 2000
    hundredfold = decide_threshold(y, risk, decisions=DECISIONS, weights=100 * weights, n_resamples=100)
    assert hundredfold.advantage.ci_low == pytest.approx(made.advantage.ci_low)


def test_groups_are_judged_by_their_own_weights() -> None:
    y, risk, weights = _case_control(1500, seed=4)
    sex = np.where(np.arange(1500) % 3 == 0, "f", "m")
    rows = subgroup_rows(
        y, risk, pl.DataFrame({"sex": sex}), sample="holdout", decisions=DECISIONS, weights=weights, n_resamples=60
    )
    for row in rows:
        mine = sex == row.group
        alone = evaluate(y[mine], risk[mine], decisions=DECISIONS, weights=weights[mine], n_resamples=60)
        assert row.metrics["observed_expected_ratio"].value == pytest.approx(
            alone.metrics["observed_expected_ratio"].value
        )
        assert row.n == int(mine.sum())


def test_effective_weights_add_up_to_the_effective_number() -> None:
    weights = np.random.default_rng(5).uniform(0.2, 8, 500)
    scaled = effective_weights(weights)
    assert scaled.sum() == pytest.approx(effective_sample_size(weights))
    np.testing.assert_allclose(scaled / scaled[0], weights / weights[0])


def test_a_training_with_case_weights_is_calibrated_for_the_population_and_says_what_they_cost() -> None:
    table = made_up(1500, seed=6)
    y = table.frame["outcome"].to_numpy()
    taken = (y == 1) | (np.random.default_rng(6).random(1500) < 0.35)
    frame = table.frame.filter(taken)
    weights = np.where(frame["outcome"].to_numpy() == 1, 1.0, 1 / 0.35)
    spec = make_spec(columns=COLUMN)
    weighted = train_cohort(replace(table, frame=frame.with_columns(case_weight=pl.Series(weights))), spec)
    plain = train_cohort(replace(table, frame=frame), make_spec())
    population = float(y.mean())
    risk = weighted.out_of_fold["risk"].to_numpy()
    each = weighted.out_of_fold.join(frame.with_columns(w=pl.Series(weights)), on="patient_id")["w"].to_numpy()
    assert np.average(risk, weights=each) == pytest.approx(population, abs=0.03)
    assert plain.out_of_fold["risk"].mean() > population + 0.1  # type: ignore[operator]
    (said,) = [warning for warning in weighted.warnings if warning.code == CASE_WEIGHTS]
    assert f"{weighted.train.n:,} training rows as much as" in said.message
    assert not [warning for warning in plain.warnings if warning.code == CASE_WEIGHTS]
    assert weighted.metrics["observed_expected_ratio"].ci_low < 1 < weighted.metrics["observed_expected_ratio"].ci_high
