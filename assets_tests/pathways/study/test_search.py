"""Random and Bayesian search stay in their ranges, repeat themselves, and choose by scikit-learn's own measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score

from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.protocols import folds, honest_protocol, study_protocol, sweep
from clinical_assets.pathways.study.search import (
    Adaptive,
    Configuration,
    Range,
    SweepCriterion,
    SweepSelection,
    criterion_values,
    proposed_points,
    random_points,
)
from clinical_assets.pathways.study.sweep import Forest, Logistic

Y = np.arange(24) % 2


def design() -> Design:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(24, 12)).astype(np.float32)
    x[:, 0] += 1.5 * Y
    return Design("made", x, tuple(f"f{i}" for i in range(12)))


@given(st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_random_points_lie_in_their_ranges_and_follow_from_the_seed(seed: int) -> None:
    space = (
        ("depth", Range(2, 9, whole=True)),
        ("rate", Range(0.01, 1.0, log=True)),
        ("share", Range(0.25, 1.0, step=0.25)),
        ("kind", ("a", None)),
    )
    points = random_points("any", space, budget=20, seed=seed)
    assert points == random_points("any", space, budget=20, seed=seed)
    assert {one["share"] for one in points} <= {0.25, 0.5, 0.75, 1.0}
    assert {one["kind"] for one in points} <= {"a", None}
    assert all(2 <= one["depth"] <= 9 and 0.01 <= one["rate"] <= 1 for one in points)


def test_both_ends_of_a_whole_range_are_as_likely_as_the_others() -> None:
    points = random_points("any", (("d", Range(1, 4, whole=True)), ("u", Range(0.0, 1.0))), budget=4000, seed=1)
    counts = np.bincount([one["d"] for one in points])[1:]
    assert counts.min() > 900


def test_a_bayesian_search_spends_its_budget_near_the_best() -> None:
    early, late = [], []
    for seed in range(3):
        tried: list[float] = []

        def evaluate(point: Configuration, tried: list[float] = tried) -> float:
            tried.append(point["x"])
            return -((tried[-1] - 3) ** 2)

        points = proposed_points("any", Adaptive((("x", Range(-10.0, 10.0)),), 40, seed), evaluate)
        assert [one["x"] for one in points] == tried
        assert len(tried) == 40
        early += [abs(x - 3) for x in tried[:10]]
        late += [abs(x - 3) for x in tried[20:]]
    assert np.median(late) < 0.6 * np.median(early)


@pytest.mark.parametrize("criterion", ["accuracy", "precision_macro"])
def test_criteria_are_the_means_of_scikit_learn_over_the_folds(criterion: SweepCriterion) -> None:
    rng = np.random.default_rng(4)
    called = rng.random((6, 24)) < np.array([0.0, 0.1, 0.4, 0.6, 0.9, 1.0])[:, None]
    tests = [test for _, test in folds(Y, 5, seed=1)]

    def judge(row: np.ndarray, test: np.ndarray) -> float:
        if criterion == "accuracy":
            return float(accuracy_score(Y[test], row[test]))
        return float(precision_score(Y[test], row[test], average="macro", zero_division=0))

    expected = [np.mean([judge(row, test) for test in tests]) for row in called]
    np.testing.assert_allclose(criterion_values(criterion, Y, called, tests), expected)


def test_the_studys_criterion_chooses_and_is_reported_beside_the_left_out_subjects() -> None:
    family = Forest(n_estimators=(3, 9), max_depth=(2,), selection=SweepSelection("precision_macro"))
    study = study_protocol(design(), Y, family, seed=1)
    assert study.chosen_by is not None
    swept = sweep(design().rows(study.train), Y[study.train], family, n_folds=5, seed=1)
    assert study.chosen_by.value == swept.values.max() == swept.values[swept.best]
    assert study.best == swept.configurations[swept.best]
    assert study_protocol(design(), Y, Forest(n_estimators=(3,)), seed=1).chosen_by is None


def test_a_bayesian_search_is_repeated_inside_every_training_fold() -> None:
    adaptive = Adaptive((("c", Range(0.001, 10.0, log=True)),), 4)
    family = Logistic(points=(), selection=SweepSelection(adaptive=adaptive))
    first, again = (honest_protocol(design(), Y, family, seed=2) for _ in range(2))
    assert first.chosen == again.chosen
    assert len(set(first.chosen)) > 1
    assert study_protocol(design(), Y, family, seed=2).n_configurations == 4
