"""Every candidate fits awkward rows, repeats itself to the byte, and is what a plain script would build."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assets_tests.worlds.tables.survival import BY_CLASS, target_for
from assets_tests.worlds.tables.training import as_input, made_up
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.spaces import budget, space, start

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _rows(classes: int = 2, n: int = 160) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 5))
    y = np.digitize(X[:, 0] + rng.normal(size=n), np.linspace(-0.6, 0.6, classes - 1))
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 3], X[:, 4] = 2.5, np.nan  # a constant column and an empty one
    return X, y


@pytest.mark.parametrize(
    ("name", "classes"), [*((name, 2) for name in candidates.SIMPLICITY), *((name, 3) for name in BY_CLASS)]
)
def test_constant_and_empty_columns_and_missing_values_are_taken(name: str, classes: int) -> None:
    X, y = _rows(classes)
    built = [candidates.build(name, start(name, y.size), n_classes=classes, seed=3) for _ in range(2)]
    target = target_for(name, y)
    p = [candidates.fit(pipeline, X, target, imbalance="none").predict_proba(X) for pipeline in built]
    assert p[0].shape == (y.size, classes)
    assert np.isfinite(p[0]).all()
    np.testing.assert_array_equal(p[0], p[1])
    raw = candidates.raw_risk(p[0], floor=candidates.floor_of(name))
    assert raw.shape == ((y.size,) if classes == 2 else (y.size, classes))
    assert ((raw > 0) & (raw < 1)).all()


@pytest.mark.parametrize("imbalance", ["class_weight", "smote", "borderline_smote"])
@pytest.mark.parametrize("name", ["logistic_ridge", "lightgbm", "random_forest"])
def test_imbalance_strategies_raise_the_risks_of_a_rare_class(name: str, imbalance: str) -> None:
    X, y = _rows()
    keep = (y == 0) | (np.arange(y.size) % 4 == 0)
    X, y = X[keep], y[keep]
    minority = int(np.bincount(y).min())
    means = []
    for strategy in ("none", imbalance):
        pipeline = candidates.build(
            name, start(name, y.size), n_classes=2, imbalance=strategy, seed=3, minority=minority
        )
        means.append(candidates.fit(pipeline, X, y, imbalance=strategy).predict_proba(X)[:, 1].mean())
    assert means[1] > means[0] + 0.05


def test_a_fitted_pipeline_scores_without_its_sampler() -> None:
    X, y = _rows()
    pipeline = candidates.build("lightgbm", start("lightgbm", 160), n_classes=2, imbalance="smote", minority=40)
    candidates.fit(pipeline, X, y, imbalance="smote")
    plain = candidates.without_sampler(pipeline)
    assert [label for label, _ in plain.steps] == ["impute", "vary", "scale", "single", "model"]
    np.testing.assert_array_equal(plain.predict_proba(X), pipeline.predict_proba(X))


def test_ridge_is_imputation_with_indicator_scaling_and_regression() -> None:
    data = as_input(made_up(200, missing=0.2))
    ours = candidates.build("logistic_ridge", {"C": 0.5}, n_classes=2).fit(data.X, data.y)
    plain = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)
    ).fit(data.X, data.y)
    np.testing.assert_allclose(ours.predict_proba(data.X), plain.predict_proba(data.X), atol=1e-10)


def test_smote_with_one_row_of_a_class_is_refused_with_a_cure() -> None:
    with pytest.raises(InsufficientData, match="at least 2 rows") as caught:
        candidates.build("logistic_ridge", {"C": 1.0}, n_classes=2, imbalance="smote", minority=1)
    assert "modelling.imbalance" in str(caught.value)


def test_smote_uses_no_more_neighbours_than_there_are() -> None:
    X, y = _rows(n=60)
    y = np.zeros(60, dtype=int)
    y[:3] = 1
    pipeline = candidates.build("logistic_ridge", {"C": 1.0}, n_classes=2, imbalance="smote", minority=3)
    assert np.isfinite(candidates.fit(pipeline, X, y, imbalance="smote").predict_proba(X)).all()


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_sample_weight

    y = np.array([0, 0, 0, 2, 2, 1])
    np.testing.assert_allclose(candidates.balanced_weights(y), compute_sample_weight("balanced", y))


def test_an_unknown_candidate_is_refused_with_the_choices() -> None:
    with pytest.raises(ClinicalAssetsError, match="no candidate 'svm'") as caught:
        candidates.build("svm", {}, n_classes=2)
    assert "lightgbm" in str(caught.value)


@pytest.mark.parametrize("n_rows", [20, 400, 50_000])
@pytest.mark.parametrize("name", candidates.SIMPLICITY)
def test_the_first_trial_lies_inside_the_space_and_every_draw_can_be_built(name: str, n_rows: int) -> None:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(start(name, n_rows))
    first = study.ask()
    assert space(name, first, n_rows) == pytest.approx(start(name, n_rows))
    for low, high in ((d.low, d.high) for d in first.distributions.values()):  # type: ignore[attr-defined]
        assert low <= high
    drawn = space(name, study.ask(), n_rows)
    clone(candidates.build(name, drawn, n_classes=2))


def test_slow_candidates_get_half_the_budget_rounded_up() -> None:
    assert [budget(name, 5) for name in ("lightgbm", "random_forest")] == [5, 3]
    assert budget("mlp", 1) == 1
