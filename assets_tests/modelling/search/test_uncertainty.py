"""Intervals of risks cover the true risk about as often as they say, and are given only where they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.training import as_input, made_up, make_spec
from clinical_assets.modelling.search.fitting import FittedModel, fit_final
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.statistics.calibration.linear_uncertainty import risk_interval, standard_errors
from clinical_assets.statistics.calibration.logistic import expit

COLUMNS = ("a", "b", "c", "d", "e")
SEARCH = {"trials": 1, "inner_folds": 3, "outer_folds": 2}


def _bounds(model: FittedModel, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    assert model.uncertainty.factor is not None
    columns = Preparation.of(model.pipeline, n_features=X.shape[1]).apply(X)
    error = standard_errors(np.column_stack([np.ones(len(X)), columns]), model.uncertainty.factor)
    return risk_interval(model.predict_proba(X), error)


def _drawn(n: int, seed: int, *, visits: int = 1) -> tuple[ModelInput, np.ndarray]:
    """Rows of people with their true risks; those of one person share what is peculiar to the person."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n // visits), visits)
    X = np.repeat(rng.normal(size=(n // visits, len(COLUMNS))), visits, axis=0)
    beta = np.random.default_rng(seed + 10_000).normal(size=len(COLUMNS)) * 0.6
    risk = expit(-1.0 + X @ beta)
    if visits > 1:  # the same outcome at every visit: rows of a person say nothing new
        y = np.repeat(rng.random(n // visits) < risk[::visits], visits).astype(np.int64)
    else:
        y = (rng.random(n) < risk).astype(np.int64)
    return ModelInput(pl.DataFrame({"k": np.arange(n)}), X, y, person, COLUMNS, ("no", "yes")), risk


@pytest.mark.parametrize(("n", "visits"), [(300, 1), (900, 3)])
def test_intervals_cover_the_true_risk_about_as_often_as_they_say(n: int, visits: int) -> None:
    modelling = make_spec(candidates=("logistic_ridge",), search=SEARCH).modelling
    covered = []
    for seed in range(12):
        data, _ = _drawn(n, seed, visits=visits)
        model, _ = fit_final("logistic_ridge", data, modelling=modelling)
        others, risk = _drawn(400, seed + 500)
        # The same truth, other people.
        beta = np.random.default_rng(seed + 10_000).normal(size=len(COLUMNS)) * 0.6
        risk = expit(-1.0 + others.X @ beta)
        low, high = _bounds(model, others.X)
        covered.append(np.mean((low <= risk) & (risk <= high)))
    assert 0.9 < np.mean(covered) < 0.99


@pytest.mark.parametrize(
    ("name", "imbalance", "said"),
    [("lightgbm", "none", "lightgbm"), ("naive_bayes", "none", "naive bayes"), ("logistic_ridge", "smote", "made up")],
)
def test_a_model_without_a_true_interval_says_why_it_gives_none(name: str, imbalance: str, said: str) -> None:
    spec = make_spec(candidates=(name,), imbalance=[imbalance], search=SEARCH)
    model, _ = fit_final(name, as_input(made_up(200)), modelling=spec.modelling)
    assert model.uncertainty.factor is None
    assert said in model.uncertainty.missing


def test_few_outcomes_for_many_columns_give_no_interval() -> None:
    modelling = make_spec(candidates=("logistic_ridge",), search=SEARCH).modelling
    data, _ = _drawn(80, 1)
    rarer = int(min(data.y.sum(), data.n - data.y.sum()))
    wide = replace(
        data,
        X=np.random.default_rng(1).normal(size=(data.n, rarer)),
        feature_columns=tuple(f"f{i}" for i in range(rarer)),
    )
    model, _ = fit_final("logistic_ridge", wide, modelling=modelling)
    assert model.uncertainty.factor is None
    assert f"{rarer} subjects for {rarer} columns" in model.uncertainty.missing
