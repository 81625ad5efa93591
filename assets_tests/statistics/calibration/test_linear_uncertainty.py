"""The spread of a linear model's risks: by subjects, by weights, the same for a row alone, true in normal draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.calibration.linear_uncertainty import (
    coefficient_factor,
    other_tier_probability,
    risk_interval,
    standard_errors,
    with_map,
)
from clinical_assets.statistics.calibration.logistic import expit, logit

LOWERS = np.array([0.0, 0.1, 0.3])


def rows(n: int = 400, *, seed: int = 1) -> tuple[FloatArray, IntArray, FloatArray]:
    """A design of an intercept and three columns, outcomes, and their true risks."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    risk = expit(design @ np.array([-1.0, 0.8, -0.5, 0.0]))
    return design, (rng.random(n) < risk).astype(np.int64), risk


def test_a_subject_that_comes_three_times_is_known_as_well_as_one_that_comes_once() -> None:
    design, y, risk = rows()
    once = coefficient_factor(design, y, risk, unseen=risk)
    thrice = np.repeat(np.arange(y.size), 3)
    third = np.full(thrice.size, 1 / 3)
    same = coefficient_factor(
        design[thrice], y[thrice], risk[thrice], unseen=risk[thrice], weights=third, groups=thrice
    )
    np.testing.assert_allclose(same, once, rtol=1e-10)
    believed = coefficient_factor(design[thrice], y[thrice], risk[thrice], unseen=risk[thrice])
    ratio = standard_errors(design, once) / standard_errors(design, believed)
    assert ratio == pytest.approx(np.sqrt(3), rel=0.05)


def test_without_a_prior_it_is_the_inverse_information_where_residuals_are_those_of_the_model() -> None:
    design, _, risk = rows(200_000)
    y = (np.random.default_rng(2).random(risk.size) < risk).astype(np.int64)
    factor = coefficient_factor(design, y, risk, unseen=risk, prior_sd=np.inf)
    information = (design.T * (risk * (1 - risk))) @ design
    np.testing.assert_allclose(factor @ factor.T @ information, np.eye(4), atol=0.02)


@given(st.integers(0, 399), st.integers(1, 3000))
def test_a_row_has_the_same_error_alone_and_in_any_company(place: int, company: int) -> None:
    design, y, risk = rows()
    factor = coefficient_factor(design, y, risk, unseen=risk)
    many = np.resize(design, (company, design.shape[1]))
    many[company // 2] = design[place]
    alone = standard_errors(design[place : place + 1], factor)
    assert standard_errors(many, factor)[company // 2] == alone[0]


@given(st.floats(0.001, 0.999), st.floats(0.01, 2.0))
def test_interval_and_chance_of_another_tier_are_those_of_normal_draws(risk: float, error: float) -> None:
    drawn = expit(logit(np.array(risk)) + error * np.random.default_rng(0).normal(size=20_000))
    (low,), (high,) = risk_interval(np.array([risk]), np.array([error]))
    assert low < risk < high
    assert np.mean((low <= drawn) & (drawn <= high)) == pytest.approx(0.95, abs=0.01)
    (chance,) = other_tier_probability(np.array([risk]), np.array([error]), LOWERS)
    own = np.searchsorted(LOWERS, risk, side="right")
    assert chance == pytest.approx(np.mean(np.searchsorted(LOWERS, drawn, side="right") != own), abs=0.015)


@given(st.sampled_from([1e200, 1e308, -1e308]), st.sampled_from([0.001, 0.2, 0.9]))
def test_of_a_value_beyond_all_that_was_seen_nothing_is_known(value: float, risk: float) -> None:
    design, y, risks = rows()
    factor = coefficient_factor(design, y, risks, unseen=risks)
    error = standard_errors(np.array([[1.0, value, -value, 3.0]]), factor)
    low, high = risk_interval(np.array([risk]), error)
    assert (low[0], high[0]) == (0.0, 1.0)
    assert 0.5 <= other_tier_probability(np.array([risk]), error, LOWERS)[0] <= 1.0


def test_a_map_without_doubt_stretches_and_a_map_with_doubt_adds_its_own() -> None:
    design, y, risk = rows()
    factor = coefficient_factor(design, y, risk, unseen=risk)
    terms, doubt = np.array([-1.0, 0.8, -0.5, 0.0]), np.array([[0.2, 0.0], [0.1, 0.3]])
    sure = with_map(factor, terms, slope=0.7, map_factor=np.zeros((2, 2)))
    np.testing.assert_allclose(standard_errors(design, sure), 0.7 * standard_errors(design, factor), rtol=1e-9)
    unsure = with_map(factor, terms, slope=0.7, map_factor=doubt)
    of_map = np.column_stack([np.ones(y.size), design @ terms])
    expected = np.sqrt((0.7 * standard_errors(design, factor)) ** 2 + standard_errors(of_map, doubt) ** 2)
    np.testing.assert_allclose(standard_errors(design, unsure), expected, rtol=1e-9)
