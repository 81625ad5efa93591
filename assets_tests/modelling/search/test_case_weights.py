"""Case weights reach every fit, every score of a search, the recalibration and the choice among candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.descriptions import case_weight
from assets_tests.worlds.tables.survival import BY_CLASS
from assets_tests.worlds.tables.training import Table, as_input, made_up, make_spec
from clinical_assets.cohorts.decisions import Costs
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.search import candidates, recalibration
from clinical_assets.modelling.search.candidates import SIMPLICITY, balanced_weights, fitting_weights
from clinical_assets.modelling.search.search import fit_setting, nested, tune
from clinical_assets.modelling.search.selection import select
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput, UnusableTable

COSTS = Costs.model_validate({"false_positive": 1, "false_negative": 4, "rationale": "For tests."})
COLUMN = {"stands_for": case_weight()}


def _weighted(table: Table, weights: np.ndarray) -> Table:
    return replace(table, frame=table.frame.with_columns(case_weight=pl.Series(weights.astype(np.float64))))


def _spec(**more: object) -> CohortSpec:
    return make_spec(columns=COLUMN, **more)  # type: ignore[arg-type]


def _repeated(data: ModelInput, times: np.ndarray) -> ModelInput:
    place = np.repeat(np.arange(data.n), times)
    return replace(
        data, frame=data.frame[place], X=data.X[place], y=data.y[place], groups=data.groups[place], weights=None
    )


def _some(weights: np.ndarray, seed: int = 0, n: int = 300) -> ModelInput:
    return as_input(_weighted(made_up(n, seed=seed), weights), _spec())


def test_weights_are_relative_to_their_mean_and_equal_ones_are_none() -> None:
    times = np.random.default_rng(1).integers(1, 5, 300)
    one, hundred = _some(times), _some(times * 25)
    assert one.weights is not None
    assert hundred.weights is not None
    np.testing.assert_allclose(one.weights, times / times.mean())
    np.testing.assert_allclose(hundred.weights, one.weights)
    assert _some(np.full(300, 7)).weights is None
    kept = one.rows(one.y == 1)
    np.testing.assert_array_equal(kept.weights, one.weights[one.y == 1])


def test_rows_without_a_weight_are_counted_and_refused_with_a_cure() -> None:
    table = made_up(50)
    weights = pl.Series([None, None, *[2.0] * 48], dtype=pl.Float64)
    table = replace(table, frame=table.frame.with_columns(case_weight=weights))
    with pytest.raises(UnusableTable, match="2 of 50 rows have no case weight above 0 in stands_for") as refused:
        as_input(table, _spec())
    assert "Deliver stands_for with the outcomes" in str(refused.value.cure)


@pytest.mark.parametrize("name", ["logistic_ridge", "naive_bayes"])
def test_a_weight_of_three_is_the_row_three_times(name: str) -> None:
    times = np.random.default_rng(2).integers(1, 4, 300)
    data = replace(_some(times), X=np.nan_to_num(_some(times).X))
    setting = start(name, data.n) | ({"C": 1e4} if name.startswith("logistic") else {})
    fits = [fit_setting(name, setting, "none", each, seed=1) for each in (data, _repeated(data, times))]
    # Scaling takes rows as they are, so a penalised fit differs by it; here the penalty is next to nothing.
    one, two = (fit.predict_proba(data.X)[:, 1] for fit in fits)
    np.testing.assert_allclose(one, two, atol=2e-3)
    plain = fit_setting(name, setting, "none", replace(data, weights=None), seed=1).predict_proba(data.X)[:, 1]
    assert np.abs(one - plain).max() > 5 * np.abs(one - two).max()


@pytest.mark.parametrize("name", BY_CLASS)
def test_every_candidate_gives_heavier_events_more_risk(name: str) -> None:
    data = _some(np.ones(300) + 4 * (as_input(made_up(300)).y == 1))
    setting = start(name, data.n)
    heavy = fit_setting(name, setting, "none", data, seed=1).predict_proba(data.X)[:, 1].mean()
    plain = fit_setting(name, setting, "none", replace(data, weights=None), seed=1).predict_proba(data.X)[:, 1].mean()
    assert data.weights is not None
    share = np.average(data.y, weights=data.weights)
    assert plain + 0.15 < heavy < share + 0.1


def test_balanced_classes_weigh_the_same_after_case_weights() -> None:
    y = np.array([0] * 70 + [1] * 30)
    weights = np.random.default_rng(3).uniform(0.5, 4, 100)
    both = fitting_weights(y, imbalance="class_weight", weights=weights)
    assert both is not None
    assert both[y == 1].sum() == pytest.approx(both[y == 0].sum())
    ratio = both[y == 1] / weights[y == 1]
    np.testing.assert_allclose(ratio, ratio[0])
    np.testing.assert_allclose(balanced_weights(y, np.ones(100)), balanced_weights(y))
    assert fitting_weights(y, imbalance="none") is None


def test_the_search_scores_settings_and_maps_risks_by_weight() -> None:
    modelling = make_spec(trials=3, inner=3).modelling
    times = np.random.default_rng(4).integers(1, 6, 300)
    data = _some(times)
    assert data.weights is not None
    tuned = tune("logistic_ridge", data, modelling=modelling)
    risk = tuned.recalibration.apply(tuned.raw)
    assert tuned.inner_score == pytest.approx(np.average((data.y - risk) ** 2, weights=data.weights))
    # A calibrated mean is that of the population for which the rows stand.
    assert np.average(risk, weights=data.weights) == pytest.approx(np.average(data.y, weights=data.weights), abs=5e-3)
    mapped = recalibration.fit(data.y, tuned.raw, times.astype(np.float64))
    repeated = recalibration.fit(np.repeat(data.y, times), np.repeat(tuned.raw, times))
    assert mapped.slope == pytest.approx(repeated.slope, rel=1e-6)
    assert mapped.intercept == pytest.approx(repeated.intercept, rel=1e-6)
    ranked = tune("logistic_ridge", data, modelling=modelling.model_copy(update={"criterion": "auroc"}))
    assert ranked.inner_score < 0.5


def test_nested_estimates_use_the_weights_of_the_rows_at_hand() -> None:
    modelling = make_spec(trials=1).modelling
    data = _some(np.random.default_rng(5).choice([1.0, 9.0], 300))
    weighted, plain = (
        nested(["logistic_ridge"], each, modelling=modelling)["logistic_ridge"].risk
        for each in (data, replace(data, weights=None))
    )
    assert np.abs(weighted - plain).max() > 0.01


@pytest.mark.parametrize("criterion", ["brier", "expected_cost", "auroc"])
def test_who_wins_is_decided_on_the_rows_that_count(criterion: str) -> None:
    rng = np.random.default_rng(6)
    half = 400
    signal = rng.normal(size=2 * half)
    y = (rng.random(2 * half) < 1 / (1 + np.exp(-2 * signal))).astype(np.int64)
    good, noise = 1 / (1 + np.exp(-2 * signal)), rng.uniform(0.05, 0.95, 2 * half)
    first = np.arange(2 * half) < half
    risks = {"logistic_ridge": np.where(first, good, noise), "lightgbm": np.where(first, noise, good)}

    def winner(weights: np.ndarray) -> str:
        return select(risks, y, criterion=criterion, costs=COSTS, weights=weights).selected

    assert winner(np.where(first, 20.0, 1.0)) == "logistic_ridge"
    assert winner(np.where(first, 1.0, 20.0)) == "lightgbm"


def test_whole_weights_and_repeated_people_give_standings_alike() -> None:
    rng = np.random.default_rng(7)
    times = rng.integers(1, 4, 250)
    y = rng.integers(0, 2, 250)
    risks = {name: np.clip(0.5 + 0.2 * (y - 0.5) + rng.normal(0, 0.15, 250), 0.02, 0.98) for name in SIMPLICITY[:2]}
    repeated = {name: np.repeat(risk, times) for name, risk in risks.items()}
    person = np.repeat(np.arange(250), times)
    one = select(risks, y, criterion="brier", costs=COSTS, weights=times / times.mean())
    two = select(repeated, np.repeat(y, times), criterion="brier", costs=COSTS, groups=person)
    for a, b in zip(one.standings, two.standings, strict=True):
        assert a.criterion == pytest.approx(b.criterion)
        assert a.lead_error == pytest.approx(b.lead_error, rel=1e-9)


def test_equal_weights_change_no_byte_of_a_model() -> None:
    data = _some(np.full(300, 3.0))
    plain = as_input(made_up(300))
    fits = [fit_setting("lightgbm", start("lightgbm", 300), "class_weight", each, seed=1) for each in (data, plain)]
    one, two = (candidates.raw_risk(fit.predict_proba(plain.X), floor=candidates.floor_of("lightgbm")) for fit in fits)
    np.testing.assert_array_equal(one, two)
