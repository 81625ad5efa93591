"""Groups that share strength: learned from other rows, the same in pipeline, plain arrays and graph."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from clinical_assets.modelling.bundle.graph.onnx_graph import FEATURES, build_graph
from clinical_assets.modelling.bundle.scorer import session_of
from clinical_assets.modelling.search.candidates import build, fit, raw_risk, without_sampler
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.recalibration import IDENTITY
from clinical_assets.modelling.table.pooling import PooledFeature, learn, pooling_step
from clinical_assets.modelling.table.preparation import Preparation


def rows(n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two measurements round a group's number; groups differ, and a tenth of rows has none."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 25, n).astype(float)
    effect = random.normal(0, 1.5, 25)[group.astype(int)]
    X = np.column_stack([random.normal(size=n), 100000 + 7 * group, random.normal(size=n)])
    y = (random.random(n) < 1 / (1 + np.exp(-effect - X[:, 0]))).astype(np.int64)
    X[random.random(n) < 0.1, 1] = np.nan
    X[random.random(n) < 0.1, 2] = np.nan
    return X, y


@pytest.mark.parametrize("name", ["logistic_ridge", "lightgbm", "xgboost"])
@pytest.mark.parametrize("imbalance", ["none", "smote"])
def test_pipeline_stored_steps_and_graph_give_one_risk_for_known_unseen_and_missing_groups(
    name: str, imbalance: str
) -> None:
    X, y = rows()
    kind = replace(kind_of(name), pooled=(1,))
    pipeline = fit(build(kind, kind.start(len(y)), n_classes=2, imbalance=imbalance), X, y, imbalance=imbalance)
    pipeline = without_sampler(pipeline)
    new = np.vstack([X[:40], [[0.1, 3.0, 0.2]], [[0.1, np.nan, np.nan]]])
    expected = raw_risk(pipeline.predict_proba(new), floor=kind.floor)
    preparation = Preparation.from_json(json.loads(json.dumps(Preparation.of(pipeline, n_features=3).to_json())))
    stored = pipeline[-1].predict_proba(preparation.apply(new).astype(np.float32 if kind.single else np.float64))
    assert raw_risk(stored, floor=kind.floor) == pytest.approx(expected, abs=1e-6)
    graph = build_graph(pipeline[-1], preparation, IDENTITY, floor=kind.floor, n_classes=2)
    (risk,) = session_of(graph.SerializeToString()).run(None, {FEATURES: new})
    assert risk == pytest.approx(expected, abs=1e-6)
    assert expected[-2] != pytest.approx(expected[0])


def test_a_row_is_valued_by_the_outcomes_of_others() -> None:
    random = np.random.default_rng(2)
    group = np.repeat(np.arange(150.0), 2)
    y = random.integers(0, 2, 300)
    step = pooling_step((0,), seed=3)
    trained = step.fit_transform(group[:, None], y)[:, 0]
    # With outcomes that groups do not share, whatever a row's own outcome lent to its group would show here.
    assert abs(np.corrcoef(trained, y)[0, 1]) < 0.2
    assert step.transform(group[:, None])[:, 0].std() <= trained.std() + 0.5


def test_a_group_that_was_never_seen_or_is_missing_gets_the_mean_of_all() -> None:
    feature = learn(np.array([[1.0], [1], [2], [2], [np.nan]]), [0, 0, 3, 3, 1], 0)
    low, high, unseen, missing = feature.apply(np.array([1.0, 2.0, 9.0, np.nan]))
    assert low < unseen < high
    assert unseen == missing == feature.otherwise


def test_a_column_without_any_group_says_the_mean() -> None:
    feature = learn(np.full((3, 1), np.nan), [0, 1, 2], 0)
    assert feature == PooledFeature(0, (), (), 1.0)
    assert feature.apply(np.array([5.0, np.nan])).tolist() == [1.0, 1.0]


def test_steps_of_bundles_without_groups_are_stored_as_they_were() -> None:
    X, y = rows()
    kind = kind_of("logistic_ridge")
    pipeline = fit(build(kind, kind.start(len(y)), n_classes=2), X, y, imbalance="none")
    assert "pooled" not in Preparation.of(pipeline, n_features=3).to_json()
