"""A whole sweep predicted at once is the sweep of separate fits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from clinical_assets.pathways.study.sweep import Booster, Family, Forest, Logistic, families, full_families


def table(seed: int, n: int = 24, p: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, p)).astype(np.float32)
    x[:, :3] += 0.6 * y[:, None]
    return x, y, rng.normal(size=(7, p)).astype(np.float32)


@pytest.mark.parametrize(
    "family",
    [
        Forest(n_estimators=(1, 4, 9), max_depth=(1, 2, 50)),  # a depth of 1 and 2 really limits the trees
        Logistic(c=(0.01, 1.0)),
        Booster(n_estimators=(2, 7)),
    ],
    ids=lambda f: f.name,
)
def test_shared_fits_give_the_predictions_of_separate_fits(family: Family) -> None:
    x, y, new = table(1)
    together = family.predict(x, y, new, seed=5)
    assert together.shape == (len(family.configurations), 7)
    for row, configuration in zip(together, family.configurations, strict=True):
        np.testing.assert_allclose(row, family.predict_one(configuration, x, y, new, seed=5), atol=1e-12)


def test_a_forest_configuration_is_scikit_learns_forest() -> None:
    x, y, new = table(2)
    family = Forest(n_estimators=(6,), max_depth=(3,), max_features=("log2",), criterion=("entropy",))
    reference = RandomForestClassifier(6, criterion="entropy", max_depth=3, max_features="log2", random_state=4)
    np.testing.assert_allclose(family.predict(x, y, new, seed=4)[0], reference.fit(x, y).predict_proba(new)[:, 1])


@pytest.mark.parametrize("family", families(), ids=lambda f: f.name)
def test_the_same_seed_gives_the_same_predictions_and_importances_find_the_signal(family: Family) -> None:
    x, y, new = table(3, n=60)
    np.testing.assert_array_equal(family.predict(x, y, new, seed=1), family.predict(x, y, new, seed=1))
    x[:, 0] += 4 * y
    best = family.importances(family.configurations[-1], x, y, seed=0)
    assert best.shape == (40,)
    assert int(np.argmax(best)) == 0


def test_the_full_sweep_spans_the_ranges_of_the_study() -> None:
    forest = full_families()[0]
    assert len(forest.configurations) == 324
    trees = [c["n_estimators"] for c in forest.configurations]
    depths = [c["max_depth"] for c in forest.configurations]
    assert (min(trees), max(trees), min(depths), max(depths)) == (5, 150, 5, 200)
    assert {c["max_features"] for c in forest.configurations} == {"sqrt", "log2", None}
    assert {c["criterion"] for c in forest.configurations} == {"gini", "entropy"}
    assert "n_estimators=5" in str(forest.configurations[0])
