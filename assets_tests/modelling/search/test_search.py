"""The nested search equals plain scikit-learn on the same folds, repeats itself, and learns from no row it judges."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assets_tests.worlds.tables.training import as_input, made_up, make_spec, make_table
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.search import candidates, recalibration
from clinical_assets.modelling.search.inner_folds import InnerFolds, seed_of
from clinical_assets.modelling.search.search import nested, side_by_side, trials_frame, tune
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.splits import outer_folds
from clinical_assets.statistics.calibration.calibration import brier


def _breast_cancer() -> ModelInput:
    X, y = load_breast_cancer(return_X_y=True)
    X = X.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    return as_input(make_table(X, 1 - y))


def test_the_nested_estimate_of_a_fixed_ridge_equals_a_plain_scikit_learn_script_on_the_same_folds() -> None:
    data, modelling = _breast_cancer(), make_spec(outer=5, inner=3).modelling
    ours = nested(["logistic_ridge"], data, modelling=modelling, fixed={"C": 0.1})["logistic_ridge"]
    folds = outer_folds(data.y, data.groups, n_splits=5, seed=modelling.search.seed)
    plain = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)
    )
    expected = cross_val_predict(plain, data.X, data.y, cv=folds, method="predict_proba")[:, 1]
    np.testing.assert_allclose(ours.raw, np.clip(expected, 1e-6, 1 - 1e-6), atol=1e-7)
    assert roc_auc_score(data.y, ours.raw) == pytest.approx(roc_auc_score(data.y, expected), abs=1e-6)
    assert 0.98 < roc_auc_score(data.y, ours.risk) <= 1


@pytest.mark.parametrize("imbalance", ["none", "smote", "borderline_smote", "smotenc", "focal"])
@pytest.mark.parametrize("name", ["logistic_ridge", "lightgbm", "naive_bayes"])
def test_preparing_a_fold_once_gives_what_fitting_the_whole_pipeline_gives(name: str, imbalance: str) -> None:
    data = as_input(made_up(150))
    inner = InnerFolds(name, data, seed=4, n_splits=3, outer_fold=1)
    minority = min(int(np.bincount(data.y[train]).min()) for train, _ in inner.folds)
    pipeline = candidates.build(name, start(name, 150), n_classes=2, imbalance=imbalance, seed=4, minority=minority)
    expected = cross_val_predict(pipeline, data.X, data.y, cv=inner.folds, method="predict_proba")
    found = inner.out_of_fold(start(name, 150), imbalance)
    np.testing.assert_allclose(
        found, candidates.raw_risk(expected, floor=candidates.floor_of(name)), rtol=0, atol=1e-12
    )


def test_class_weights_are_those_of_scikit_learn() -> None:
    data = as_input(made_up(200, missing=0))
    inner = InnerFolds("logistic_ridge", data, seed=4, n_splits=3, outer_fold=1)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced", max_iter=1000))
    expected = cross_val_predict(plain, data.X, data.y, cv=inner.folds, method="predict_proba")[:, 1]
    np.testing.assert_allclose(inner.out_of_fold({"C": 0.3}, "class_weight"), expected, atol=1e-6)


def test_a_row_is_judged_by_a_model_that_does_not_depend_on_it() -> None:
    modelling = make_spec(candidates=("lightgbm",), imbalance=["smote"], trials=1).modelling
    data = as_input(made_up(150))
    before = nested(["lightgbm"], data, modelling=modelling)["lightgbm"]
    judged = before.fold == 2
    moved = data.X.copy()
    row = np.flatnonzero(judged)[0]
    moved[row] = 50.0
    after = nested(["lightgbm"], replace(data, X=moved), modelling=modelling)["lightgbm"]
    others = judged.copy()
    others[row] = False
    np.testing.assert_array_equal(before.risk[others], after.risk[others])
    assert (before.risk[~judged] != after.risk[~judged]).any()


@pytest.mark.parametrize("kind", ["smote", "borderline_smote"])
def test_smote_never_sees_nor_makes_an_evaluation_row(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from imblearn.over_sampling import SMOTE, BorderlineSMOTE

    seen: list[tuple[int, int]] = []
    owner: Any = SMOTE if kind == "smote" else BorderlineSMOTE
    original = owner.fit_resample

    def watched(self: Any, X: np.ndarray, y: np.ndarray) -> Any:
        result = original(self, X, y)
        seen.append((len(X), len(result[0])))
        return result

    monkeypatch.setattr(owner, "fit_resample", watched)
    data = as_input(made_up(120))
    modelling = make_spec(imbalance=[kind], trials=2, inner=3, outer=2).modelling
    estimate = nested(["logistic_ridge"], data, modelling=modelling)["logistic_ridge"]
    assert estimate.risk.shape == (120,)
    # Two outer folds of 60 rows: three inner fits on 40 of them each, one refit on 60. Never all rows of a part.
    assert sorted(given for given, _ in seen) == [40] * 6 + [60] * 2
    assert all(made > given for given, made in seen)


def test_two_searches_and_any_number_of_workers_give_the_same_trials_and_risks() -> None:
    data = as_input(made_up(150))
    modelling = make_spec(trials=4, imbalance=["none", "class_weight"]).modelling
    names = ["logistic_ridge", "lightgbm", "xgboost"]
    one, two = (nested(names, data, modelling=modelling, workers=workers) for workers in (1, 3))
    for name in names:
        np.testing.assert_array_equal(one[name].risk, two[name].risk)
        first, second = (trials_frame(found[name].tuned).drop("seconds") for found in (one, two))
        assert first.equals(second)


def test_adding_a_candidate_leaves_the_others_alone() -> None:
    data = as_input(made_up(120))
    modelling = make_spec(trials=3).modelling
    alone = nested(["logistic_ridge"], data, modelling=modelling)["logistic_ridge"]
    among = nested(["naive_bayes", "logistic_ridge"], data, modelling=modelling)["logistic_ridge"]
    np.testing.assert_array_equal(alone.risk, among.risk)


def test_every_trial_is_a_row() -> None:
    data = as_input(made_up(120))
    modelling = make_spec(trials=4, outer=3, inner=2).modelling
    found = nested(["lightgbm", "random_forest"], data, modelling=modelling)
    frame = trials_frame([tuned for estimate in found.values() for tuned in estimate.tuned])
    assert frame.group_by("candidate").len().sort("candidate").rows() == [("lightgbm", 12), ("random_forest", 6)]
    assert frame.filter(pl.col("candidate") == "lightgbm")["outer_fold"].to_list() == [1] * 4 + [2] * 4 + [3] * 4
    assert frame["fold_scores"].list.len().unique().to_list() == [2]
    assert (frame["seconds"] > 0).all()
    assert json.loads(frame["parameters"][0]) == start("lightgbm", 80)


def test_the_score_of_a_trial_is_the_brier_score_of_its_recalibrated_out_of_fold_risks() -> None:
    data = as_input(made_up(150))
    tuned = tune("logistic_ridge", data, modelling=make_spec(trials=5, inner=3).modelling)
    mapped = recalibration.fit(data.y, tuned.raw)
    assert tuned.recalibration == mapped
    assert tuned.inner_score == pytest.approx(brier(data.y, mapped.apply(tuned.raw)).value, abs=1e-12)
    assert tuned.inner_score == min(trial.inner_score for trial in tuned.trials)
    by_fold = tuned.trials[0].fold_scores
    assert np.mean(by_fold) == pytest.approx(tuned.trials[0].inner_score, abs=0.01)


@pytest.mark.parametrize("criterion", ["auroc", "ranked_probability_score"])
def test_the_search_of_several_classes_follows_the_criterion(criterion: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(180, 3))
    y = np.digitize(X[:, 0] + rng.normal(size=180), [-0.5, 0.7])
    spec = make_spec(classes=("none", "mild", "severe"), criterion=criterion)
    data = as_input(make_table(X, y), spec)
    found = nested(["logistic_ridge"], data, modelling=spec.modelling)["logistic_ridge"]
    np.testing.assert_allclose(found.risk.sum(axis=1), 1)
    assert roc_auc_score(y, found.risk, multi_class="ovr") > 0.6


def test_permuted_outcomes_give_an_auroc_near_one_half_over_many_draws() -> None:
    modelling = make_spec(trials=3, inner=2, outer=4, imbalance=["none", "class_weight", "smote"]).modelling
    areas = []
    for draw in range(8):
        table = made_up(160, 6, seed=100, strength=2.0)
        y = np.random.default_rng(draw).permutation(table.frame["outcome"].to_numpy())
        data = as_input(replace(table, frame=table.frame.with_columns(outcome=pl.Series(y))))
        areas.extend(
            roc_auc_score(data.y, nested([name], data, modelling=modelling)[name].risk)
            for name in ("logistic_ridge", "lightgbm")
        )
    # Chance scatters one AUROC of 56 against 104 rows by .048. Pooling folds costs noise about .025: a fold that keeps
    # more events than its share learns from fewer (Airola et al. 2011, doi 10.1016/j.csda.2010.11.018).
    assert abs(np.mean(areas) - 0.5) < 0.05
    assert 0.02 < np.std(areas) < 0.1
    honest = as_input(made_up(160, 6, seed=100, strength=2.0))
    assert roc_auc_score(honest.y, nested(["logistic_ridge"], honest, modelling=modelling)["logistic_ridge"].risk) > 0.7


def test_rows_without_a_varying_feature_are_refused() -> None:
    data = as_input(make_table(np.ones((60, 2)), np.arange(60) % 2))
    with pytest.raises(InsufficientData, match="no feature varies"):
        nested(["lightgbm"], data, modelling=make_spec(candidates=("lightgbm",)).modelling)


def test_an_error_in_one_job_stops_those_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    cancelled = threading.Event()
    original = ThreadPoolExecutor.shutdown

    def shutdown(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        original(self, wait=wait and not cancel_futures, cancel_futures=cancel_futures)
        if cancel_futures:
            cancelled.set()

    def job(_: str, number: int) -> None:
        ran.append(number)
        if number == 1:
            raise InsufficientData("too few", cure="more")
        assert cancelled.wait(60)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    with pytest.raises(InsufficientData, match="too few"):
        side_by_side([("a", number) for number in range(1, 50)], job, workers=1, progress=None)
    assert ran in ([1], [1, 2])


def test_progress_is_told_of_every_job() -> None:
    told: list[tuple[str, int, int]] = []
    pairs = [("a", 1), ("b", 1), ("b", 2)]
    side_by_side(pairs, lambda *_: None, workers=2, progress=lambda *what: told.append(what))
    assert [done for _, done, _ in told] == [1, 2, 3]
    assert {total for _, _, total in told} == {3}
    assert {text for text, _, _ in told} == {"a, fold 1", "b, fold 1", "b, fold 2"}


def test_seeds_differ_by_purpose() -> None:
    assert len({seed_of(1, "a", 1), seed_of(1, "a", 2), seed_of(1, "b", 1), seed_of(2, "a", 1)}) == 4
    assert 0 <= seed_of(1, "x") < 2**31
