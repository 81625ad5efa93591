"""The proportional-odds candidate: the model of statsmodels without a penalty, the logistic ridge of two classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from statsmodels.miscmodels.ordinal_model import OrderedModel

from clinical_assets.modelling.bundle.graph.onnx_graph import FEATURES, build_graph
from clinical_assets.modelling.bundle.scorer import session_of
from clinical_assets.modelling.search.candidates import build, fit
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.kinds.proportional_odds import penalised_loss
from clinical_assets.modelling.search.recalibration import IDENTITY, Recalibration
from clinical_assets.modelling.table.preparation import Preparation

KIND = kind_of("proportional_odds")


def rows(n: int = 500, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(6)
    X = random.normal(size=(n, 3))
    latent = X @ (1.0, -0.5, 0.0) + random.logistic(size=n)
    return X, np.digitize(latent, np.linspace(-1, 2, classes - 1)).astype(np.int64)


def test_the_gradient_is_that_of_finite_differences() -> None:
    X, y = rows(80)
    weights = np.random.default_rng(1).uniform(0.5, 2, 80)
    for seed in range(5):
        t = np.random.default_rng(seed).normal(size=6)
        error = check_grad(
            lambda t: penalised_loss(t, X, y, weights, C=0.7)[0],
            lambda t: penalised_loss(t, X, y, weights, C=0.7)[1],
            t,
        )
        assert error < 1e-4


def test_without_a_penalty_it_is_the_model_of_statsmodels() -> None:
    X, y = rows()
    ours = KIND.model({"C": 1e6}, 4, 0).fit(X, y)
    theirs = OrderedModel(y, X, distr="logit").fit(method="bfgs", disp=False)
    assert ours.coef_[0] == pytest.approx(theirs.params[:3], abs=2e-3)
    assert ours.predict_proba(X) == pytest.approx(np.asarray(theirs.predict(X)), abs=1e-3)


def test_of_two_classes_it_is_the_logistic_ridge() -> None:
    X, y = rows(classes=2)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y))
    ours = KIND.model({"C": 0.05}, 2, 0).fit(X, y, sample_weight=weights)
    theirs = LogisticRegression(C=0.05, tol=1e-8).fit(X, y, sample_weight=weights)
    assert ours.predict_proba(X) == pytest.approx(theirs.predict_proba(X), abs=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_pipeline_and_graph_give_one_risk(classes: int) -> None:
    X, y = rows(classes=classes)
    X[::5, 1] = np.nan
    pipeline = fit(build(KIND, KIND.start(len(y)), n_classes=classes), X, y, imbalance="none")
    maps = IDENTITY if classes == 2 else Recalibration((0.0,) * 3, (1.0,) * 3)
    graph = build_graph(pipeline[-1], Preparation.of(pipeline, n_features=3), maps, floor=1e-6, n_classes=classes)
    (risk,) = session_of(graph.SerializeToString()).run(None, {FEATURES: X})
    expected = pipeline.predict_proba(X)
    assert risk == pytest.approx(expected[:, 1] if classes == 2 else expected, abs=1e-6)


def test_few_rows_of_ordered_classes_are_told_better_than_by_one_coefficient_per_class() -> None:
    X, y = rows(4000)
    few, rest = slice(0, 60), slice(60, None)
    losses = []
    for name in ("proportional_odds", "logistic_ridge"):
        p = kind_of(name).model({"C": 1.0}, 4, 0).fit(X[few], y[few]).predict_proba(X[rest])
        above = np.cumsum(p[:, ::-1], axis=1)[:, ::-1][:, 1:]
        losses.append(((above - (y[rest, None] >= np.arange(1, 4))) ** 2).mean())
    assert losses[0] < losses[1]
