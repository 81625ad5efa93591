"""Candidates that learn from times: whom they learn from, what they refuse, and what they find where nothing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from assets_tests.worlds.descriptions import minimal
from assets_tests.worlds.tables.survival import HORIZON, followed_up, made_up_times, survival_spec, survival_table
from assets_tests.worlds.tables.training import made_up
from clinical_assets.cohorts.loading import load_spec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.search.kinds import KINDS, refuse_unknown
from clinical_assets.modelling.search.search import fit_setting, nested, tune
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.survival.targets import followed_rows
from clinical_assets.modelling.table.inputs import UnusableTable, model_input
from clinical_assets.statistics.discrimination.discrimination import auroc
from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
from clinical_assets.statistics.survival.incidence import observed_risk
from clinical_assets.statistics.survival.proportional_hazards import fit_hazards

TIMED = tuple((name, kind.competing) for name, kind in KINDS.items() if kind.timed)


@pytest.mark.parametrize("competing", [False, True])
def test_everybody_at_risk_is_learned_from_once(competing: bool) -> None:
    data = followed_up(300, seed=5, competing=competing)
    X, y, weights = followed_rows(data)
    whole_X, days, code = made_up_times(300, seed=5, competing=competing)
    assert weights is None
    assert len(y) == 300 > data.n
    wanted = np.column_stack([whole_X, days / HORIZON, code])
    found = np.column_stack([X, y["time"], y["event"]])
    np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


@pytest.mark.parametrize(("name", "competing"), TIMED)
def test_mean_risk_is_the_observed_risk_although_many_are_censored(name: str, competing: bool) -> None:
    data = followed_up(900, seed=6, competing=competing)
    X, days, code = made_up_times(900, seed=6, competing=competing)
    people = censored_outcomes(days, code, horizon=HORIZON)
    pipeline = fit_setting(name, start(name, data.n), "none", data, seed=1)
    risk = pipeline.predict_proba(X)[:, 1]
    assert risk.mean() == pytest.approx(observed_risk(people, np.ones(people.n)).value, abs=0.02)
    assert data.follow_up is not None
    # Without the censored the risk would be that of those who are left.
    assert data.y.mean() > risk.mean() + 0.01


def test_cox_ridge_is_the_plain_regression_on_scaled_columns() -> None:
    data = followed_up(300, seed=5)
    X, days, code = made_up_times(300, seed=5)
    fitted = fit_setting("cox_ridge", {"alpha": 3.0}, "none", data, seed=1)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    plain = fit_hazards(scaled, censored_outcomes(days, code, horizon=HORIZON), ridge=3.0)
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], plain.risk(scaled), atol=1e-9)


@pytest.mark.parametrize(("name", "competing"), TIMED)
def test_a_record_that_stands_for_more_people_counts_more(name: str, competing: bool) -> None:
    table = survival_table(400, seed=7, competing=competing)
    assert table.censored is not None

    def weighed(frame: pl.DataFrame) -> pl.DataFrame:
        ill = (pl.col("event_code") == 1) & (pl.col("follow_up_days") <= HORIZON)
        return frame.with_columns(record_weight=pl.when(ill).then(4.0).otherwise(1.0))

    heavy = replace(table, frame=weighed(table.frame), censored=weighed(table.censored))
    spec = survival_spec(competing=competing)
    plain, more = (
        fit_setting(name, start(name, 400), "none", model_input(each, spec), seed=1) for each in (table, heavy)
    )
    X = model_input(table, spec).X
    assert plain.predict_proba(X)[:, 1].mean() + 0.1 < more.predict_proba(X)[:, 1].mean()


@pytest.mark.parametrize(("name", "competing"), TIMED)
def test_where_times_depend_on_nothing_risks_rank_like_chance(name: str, competing: bool) -> None:
    data = followed_up(600, seed=8, competing=competing, strength=0.0)
    # The hazard of the competing event depends on a feature, too.
    mixed = replace(data, X=np.random.default_rng(1).permutation(data.X))
    modelling = survival_spec(competing=competing).modelling
    risk = nested([name], mixed, modelling=modelling)[name].risk
    assert auroc(mixed.y, risk, weights=mixed.weights).value == pytest.approx(0.5, abs=0.07)


def test_a_fold_learns_nothing_from_the_censored_of_the_other_folds() -> None:
    data = followed_up(200, seed=9)
    assert data.follow_up is not None
    modelling = survival_spec().modelling
    before = tune("cox_ridge", data, modelling=modelling, fixed={"alpha": 3.0}).raw
    # A censored person of another size changes the risks of the folds that learned from them, not of their own.
    changed = data.follow_up.censored_X.copy()
    changed[0] += 50.0
    other = replace(data, follow_up=replace(data.follow_up, censored_X=changed))
    after = tune("cox_ridge", other, modelling=modelling, fixed={"alpha": 3.0}).raw
    same = np.isclose(before, after, atol=1e-12)
    assert same[data.follow_up.carrier[0]]
    assert 0.3 < same.mean() < 0.7


def test_the_search_is_in_the_training_and_the_training_repeats_itself() -> None:
    table, spec = survival_table(300, seed=2), survival_spec(candidates=("cox_ridge", "xgboost_survival"))
    one, two = (train_cohort(table, spec) for _ in range(2))
    assert {each.name for each in one.candidates} == {"cox_ridge", "xgboost_survival"}
    assert one.holdout_scores.equals(two.holdout_scores)


def test_a_table_without_times_is_refused_with_a_cure() -> None:
    data = model_input(made_up(100), survival_spec())
    with pytest.raises(UnusableTable, match="needs time and event") as refused:
        fit_setting("cox_ridge", {"alpha": 1.0}, "none", data, seed=1)
    assert "outcome: {time" in str(refused.value.cure)


@pytest.mark.parametrize(
    ("candidate", "outcome", "modelling", "words"),
    [
        ("cox_ridge", "target_class", {}, "learns from times to events, and the outcome is a class"),
        ("cox_ridge", {"event_values": ["a"], "competing": ["b"]}, {}, "competing events for censored"),
        ("fine_gray", {}, {}, "the outcome has none.*\n.*Take cox_ridge"),
        ("cox_ridge", {}, {"pooled": ["age_years"]}, "by the mean outcome of groups"),
    ],
)
def test_an_outcome_that_a_candidate_cannot_learn_from_is_refused_by_its_line(
    tmp_path: Path, candidate: str, outcome: Any, modelling: dict[str, Any], words: str
) -> None:
    if isinstance(outcome, dict):
        outcome = {"time": "followed", "event": "status", "horizon_days": 90, **outcome}
    path = tmp_path / "small_cohort.yaml"
    modelling = {**modelling, "candidates": ["logistic_ridge", candidate]}
    path.write_text(yaml.safe_dump({**minimal(), "outcome": outcome, "modelling": modelling}))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), start=1) if f"- {candidate}" in text)
    with pytest.raises(SpecError, match=rf"(?s)small_cohort\.yaml:{line}: modelling\.candidates\.1: .*{words}"):
        refuse_unknown(load_spec(path), path)
