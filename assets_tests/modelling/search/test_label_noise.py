"""Doubted labels count less while a model is fitted, and never where it is judged."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import brier_score_loss

from assets_tests.worlds.tables.training import make_spec
from clinical_assets.cohorts.decisions import LabelNoise
from clinical_assets.modelling.evaluation.training_warnings import LABEL_NOISE, noise_findings
from clinical_assets.modelling.search.inner_folds import InnerFolds, weights_of_fit
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.search import fit_setting
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.statistics.calibration.label_noise import doubted_labels

WEIGHT = 0.1
RIDGE = replace(kind_of("logistic_ridge"), doubted_weight=WEIGHT)


def tumours(share: float, *, seed: int = 1) -> tuple[ModelInput, np.ndarray, np.ndarray, np.ndarray]:
    """Training rows of which a share has the wrong label; which; and other rows with right ones."""
    X, y = load_breast_cancer(return_X_y=True)
    X, y = np.asarray(X)[:, :10], 1 - np.asarray(y)
    order = np.random.default_rng(seed).permutation(len(y))
    seen, held = order[:340], order[340:]
    told, turned = y[seen].copy(), np.zeros(340, dtype=bool)
    turned[: round(share * 340)] = True
    told[turned] = 1 - told[turned]
    names = tuple(f"f{place}" for place in range(10))
    frame = pl.DataFrame({"row": np.arange(340)})
    return ModelInput(frame, X[seen], told, np.arange(340), names, ("no", "yes")), turned, X[held], y[held]


def test_doubted_are_labels_turned_round_and_no_more_than_there_are_surely() -> None:
    data, turned, *_ = tumours(0.2)
    weights = weights_of_fit(RIDGE, data, 1)
    assert weights is not None
    assert set(np.unique(weights)) == {WEIGHT, 1.0}
    doubted = weights < 1
    assert doubted[turned].mean() > 0.2
    assert turned[doubted].mean() > 0.95


def test_where_no_label_is_wrong_hardly_one_is_doubted() -> None:
    data, *_ = tumours(0.0)
    weights = weights_of_fit(RIDGE, data, 1)
    assert weights is not None
    assert (weights < 1).mean() < 0.02


def test_risks_of_rows_with_right_labels_are_nearer_to_them() -> None:
    data, _, X, y = tumours(0.2)
    setting = start(RIDGE, data.n)
    losses = [
        brier_score_loss(y, fit_setting(kind, setting, "none", data, seed=1).predict_proba(X)[:, 1])
        for kind in (kind_of("logistic_ridge"), RIDGE)
    ]
    assert losses[1] < losses[0] - 0.01


def test_a_judged_row_is_doubted_by_nobody_and_doubts_nobody() -> None:
    data, *_ = tumours(0.1)
    inner = InnerFolds(RIDGE, data, 1, 3, 1)
    setting = start(RIDGE, data.n)
    before = inner.out_of_fold(setting, "none")
    _, test = inner.folds[0]
    told = data.y.copy()
    # Labels of judged rows change places; the folds are given, so that nothing else changes.
    told[test] = np.roll(told[test], 1)
    changed = InnerFolds(RIDGE, replace(data, y=told), 1, 3, 1)
    changed.folds = inner.folds
    np.testing.assert_array_equal(changed.out_of_fold(setting, "none")[test], before[test])
    assert inner._seen(0) is not None
    assert len(inner._seen(0)) == data.n - test.size  # type: ignore[arg-type]


def test_case_weights_are_multiplied_and_nothing_changes_where_nothing_is_asked() -> None:
    data, *_ = tumours(0.2)
    cases = np.linspace(0.5, 1.5, data.n)
    alone, both = weights_of_fit(RIDGE, data, 1), weights_of_fit(RIDGE, replace(data, weights=cases), 1)
    assert alone is not None
    assert both is not None
    assert set(np.round(both / cases, 9)) == {WEIGHT, 1.0}
    assert weights_of_fit("logistic_ridge", data, 1) is None
    assert candidate_type("lightgbm", make_spec().modelling).doubted_weight == 1
    noise = {"label_noise": LabelNoise(doubted_weight=0.3)}
    assert candidate_type("lightgbm", make_spec().modelling.model_copy(update=noise)).doubted_weight == 0.3


def test_of_ordered_classes_those_on_the_wrong_side_of_a_cut_are_doubted() -> None:
    random = np.random.default_rng(2)
    latent = random.uniform(-9, 9, 900)
    cuts = 1 / (1 + np.exp(-(latent[:, None] - (-3, 3))))
    truth = (random.random((900, 1)) < cuts).sum(axis=1)
    told = truth.copy()
    wrong = random.random(900) < 0.15
    told[wrong] = (truth[wrong] + random.integers(1, 3, wrong.sum())) % 3
    p = np.column_stack([1 - cuts[:, 0], cuts[:, 0] - cuts[:, 1], cuts[:, 1]])
    doubted = doubted_labels(told, p)
    assert 0.05 < doubted.mean() < 1.5 * wrong.mean()
    assert wrong[doubted].mean() > 0.8


def test_the_finding_gives_the_estimate_with_its_interval() -> None:
    data, turned, *_ = tumours(0.2)
    random = np.random.default_rng(3)
    latent = random.uniform(-9, 9, data.n)
    truth = (latent + random.logistic(size=data.n) > 0).astype(np.int64)
    data, risk = replace(data, y=np.where(turned, 1 - truth, truth)), 1 / (1 + np.exp(-latent))
    asked = make_spec().model_copy(
        update={"modelling": make_spec().modelling.model_copy(update={"label_noise": LabelNoise(doubted_weight=0.3)})}
    )
    (found,) = noise_findings(data, risk, asked)
    assert found.code == LABEL_NOISE
    estimate = re.match(r"an estimated ([\d.]+)% \(([\d.]+)% to ([\d.]+)%\) of 340", found.message)
    assert estimate is not None
    value, low, high = map(float, estimate.groups())
    assert 5 < low < value < high
    assert low < 20 < high
    assert "count 0.3 instead of 1" in found.message
    assert noise_findings(data, risk, make_spec()) == ()


def test_doubt_beside_invented_records_is_refused() -> None:
    with pytest.raises(ValidationError, match="offers smotenc, whose invented records have no weight"):
        make_spec(imbalance=["smotenc"], label_noise={"doubted_weight": 0.3})
