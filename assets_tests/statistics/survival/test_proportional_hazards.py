"""Hazards are those of statsmodels, lifelines and cmprsk; without features the risk is that of the curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2
from statsmodels.duration.hazard_regression import PHReg

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.survival.censored_outcomes import CensoredOutcomes, censored_outcomes
from clinical_assets.statistics.survival.incidence import observed_risk
from clinical_assets.statistics.survival.proportional_hazards import fit_hazards, log_cumulative_hazard


def gbsg2() -> tuple[np.ndarray, CensoredOutcomes]:
    """Six features of 686 women, and their whole follow-up in days, of which many are equal."""
    frame = load_gbsg2()
    hormones, after = (frame["horTh"] == "yes").to_numpy(float), (frame["menostat"] == "Post").to_numpy(float)
    numbers = frame[["age", "pnodes", "tsize"]].to_numpy(float)
    X = np.column_stack([numbers, frame["progrec"] / 100, hormones, after])
    return X, censored_outcomes(frame["time"], frame["cens"], horizon=1e5)


@pytest.mark.parametrize("horizon", [730.0, 1e5])
def test_without_a_penalty_coefficients_are_those_of_statsmodels_with_ties_by_breslow(horizon: float) -> None:
    X, people = gbsg2()
    stopped = people.event * (people.time <= horizon)
    reference = PHReg(np.minimum(people.time, horizon), X, status=stopped, ties="breslow").fit()
    found = fit_hazards(X, CensoredOutcomes(np.minimum(people.time, horizon), stopped, horizon))
    np.testing.assert_allclose(found.coefficients, reference.params, atol=1e-6)


def test_coefficients_penalty_weights_and_risks_are_those_of_lifelines() -> None:
    X, people = gbsg2()
    # Lifelines breaks ties by Efron: without ties the two are the same.
    time = people.time + np.linspace(0, 0.5, people.n)
    weights = np.random.default_rng(1).integers(1, 4, people.n)
    frame = pd.DataFrame(X - X.mean(axis=0)).assign(time=time, event=people.event, weight=weights)
    for penalty in (0.0, 0.1):
        reference = CoxPHFitter(penalizer=penalty).fit(frame, "time", "event", weights_col="weight", robust=True)
        scaled = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
        # Lifelines draws lines between the steps of the hazard: at a step the two are the same.
        step = float(time[(people.event == 1) & (time < 730)].max())
        outcomes = CensoredOutcomes(time, people.event, step)
        whole = CensoredOutcomes(time, people.event, 1e5)
        found = fit_hazards(scaled, whole, ridge=penalty * people.n, weights=weights)
        np.testing.assert_allclose(found.coefficients / X.std(axis=0, ddof=1), reference.params_, atol=1e-5)
        linear = scaled @ found.coefficients
        cumulative = np.exp(log_cumulative_hazard(linear, outcomes, weights=weights) + linear[:5])
        wanted = reference.predict_cumulative_hazard(frame.iloc[:5], times=[step]).to_numpy()[0]
        np.testing.assert_allclose(cumulative, wanted, rtol=1e-4)


def made_up_for_r() -> tuple[np.ndarray, CensoredOutcomes]:
    """Numbers that R makes too: see the test that uses them."""
    i = np.arange(1, 301)
    X = np.column_stack([(i * 37 % 101) / 101, i % 2, np.sin(i)]).astype(float)
    time = i * 7919 % 997 + 1 - 300 * X[:, 0] * (i * 53 % 10 > 3)
    code = np.where(i * 53 % 10 < 4, 0, np.where(i * 53 % 10 < 8, 1, 2))
    return X, censored_outcomes(time - time.min() + 1, code, horizon=600)


def test_where_events_compete_coefficients_and_risk_are_those_of_cmprsk() -> None:
    # By cmprsk 2.2-11 of R 4.2.2, with i from 1 to 300: columns (37 i mod 101) / 101, i mod 2 and sin i, codes and
    # times as in `made_up_for_r`; crr(times, codes, columns), and its predict at the last step up to day 600.
    X, people = made_up_for_r()
    whole = CensoredOutcomes(people.time, people.event, 1e5)
    found = fit_hazards(X, whole)
    wanted = (0.472507132167867, 0.033023989395365, 0.014801124088999)
    np.testing.assert_allclose(found.coefficients, wanted, atol=1e-8)
    person = np.array([0.5, 1.0, 0.0]) @ found.coefficients
    risk = -np.expm1(-np.exp(log_cumulative_hazard(X @ found.coefficients, people) + person))
    assert risk == pytest.approx(0.19606793395347, abs=1e-8)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0, 0, 1, 1, 2])), min_size=20, max_size=60).filter(
        lambda rows: any(code == 1 and time <= 10 for time, code in rows) and any(time > 10 for time, _ in rows)
    )
)
def test_without_features_the_risk_is_the_curve_but_for_the_steps_of_the_hazard(rows: list[tuple[int, int]]) -> None:
    time, code = zip(*rows, strict=True)
    people = censored_outcomes(time, code, horizon=10)
    risk = float(fit_hazards(np.empty((people.n, 0)), people).risk(np.empty((1, 0)))[0])
    wanted = observed_risk(people, np.ones(people.n)).value
    # By the curves it is 1 - prod(1 - d), here 1 - exp(-sum(d)): never more, and near where the steps d are small.
    assert risk <= wanted + 1e-9
    assert -np.log1p(-risk) == pytest.approx(_hazard_of_subdistribution(people), abs=1e-9)


def _hazard_of_subdistribution(people: CensoredOutcomes) -> float:
    """Sum of the risk's rises over what was left of 1 just before each, as Gray's estimate has it."""
    left, total = 1.0, 0.0
    for time in np.unique(people.time[(people.event == 1) & (people.time <= 10)]):
        after = 1 - observed_risk(CensoredOutcomes(people.time, people.event, float(time)), np.ones(people.n)).value
        total += (left - after) / left
        left = after
    return total


def test_a_weight_of_two_is_the_person_twice() -> None:
    X, people = made_up_for_r()
    weights = 1 + (np.arange(people.n) % 3 == 0)
    twice = np.repeat(np.arange(people.n), weights)
    one = fit_hazards(X, people, ridge=2.0, weights=weights)
    two = fit_hazards(X[twice], CensoredOutcomes(people.time[twice], people.event[twice], 600.0), ridge=2.0)
    np.testing.assert_allclose(one.coefficients, two.coefficients, atol=1e-9)
    assert one.log_cumulative_hazard == pytest.approx(two.log_cumulative_hazard)


def test_the_horizon_changes_the_baseline_and_no_coefficient() -> None:
    X, people = made_up_for_r()
    early, late = (
        fit_hazards(X, CensoredOutcomes(people.time, people.event, day), ridge=1.0) for day in (300.0, 900.0)
    )
    np.testing.assert_array_equal(early.coefficients, late.coefficients)
    assert early.log_cumulative_hazard < late.log_cumulative_hazard - 0.5


def test_a_feature_that_orders_all_times_needs_a_penalty() -> None:
    people = censored_outcomes(np.arange(1, 31), np.ones(30), horizon=100)
    X = -np.arange(30.0)[:, None]
    with pytest.raises(InsufficientData, match="without bound"):
        fit_hazards(X, people)
    assert fit_hazards(X, people, ridge=1.0).coefficients[0] > 0


def test_nobody_with_the_event_is_an_error() -> None:
    with pytest.raises(InsufficientData, match="nobody had the event by the horizon"):
        fit_hazards(np.ones((3, 1)), censored_outcomes([1, 2, 9], [0, 2, 1], horizon=5))
