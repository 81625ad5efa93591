"""With labels that mean nothing the study's protocol reports success and the honest one does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.stats import binomtest

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.protocols import (
    folds,
    honest_protocol,
    outer_splits,
    performance,
    permutation_null,
    study_protocol,
    sweep,
)
from clinical_assets.pathways.study.search import DEFAULT, Configuration, SweepSelection
from clinical_assets.pathways.study.sweep import Logistic

QUICK = Logistic(c=(0.01, 0.1, 1.0))
Y = np.arange(20) % 2


def design(x: np.ndarray) -> Design:
    return Design("made", x.astype(np.float32), tuple(f"f{i}" for i in range(x.shape[1])))


@dataclass(frozen=True)
class OneFeature:
    """Each configuration looks at one feature only: a sweep of pure luck when the features are noise."""

    width: int
    selection: SweepSelection = DEFAULT
    name: str = field(default="one feature", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return tuple(Configuration(self.name, (("feature", i),)) for i in range(self.width))

    def predict(
        self,
        x: np.ndarray,
        y: np.ndarray,
        new: np.ndarray,
        *,
        seed: int,
        configurations: Sequence[Configuration] | None = None,
    ) -> np.ndarray:
        del seed
        high, low = x[y == 1].mean(axis=0), x[y == 0].mean(axis=0)
        nearer = np.abs(new - high) < np.abs(new - low)
        wanted = self.configurations if configurations is None else configurations
        return nearer.T[[one["feature"] for one in wanted]] * 0.9

    def predict_one(
        self, configuration: Configuration, x: np.ndarray, y: np.ndarray, new: np.ndarray, *, seed: int
    ) -> np.ndarray:
        return self.predict(x, y, new, seed=seed)[configuration["feature"]]

    def importances(self, configuration: Configuration, x: np.ndarray, y: np.ndarray, *, seed: int) -> np.ndarray:
        del y, seed
        return (np.arange(x.shape[1]) == configuration["feature"]) * 1.0


def test_with_meaningless_labels_the_study_reports_success_and_the_honest_protocol_chance() -> None:
    told, true = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        made, y = design(rng.normal(size=(20, 40))), rng.permutation(Y)
        family = OneFeature(40)
        told.append(study_protocol(made, y, family, seed=seed).cross_validated.balanced_accuracy.value)
        true.append(honest_protocol(made, y, family, seed=seed).performance.balanced_accuracy.value)
    assert np.mean(told) > 0.72
    assert np.mean(true) == pytest.approx(0.5, abs=4 * 0.13 / np.sqrt(30))


def test_with_a_real_signal_both_protocols_find_it() -> None:
    x = np.random.default_rng(0).normal(size=(20, 10))
    x[:, 0] += 6 * Y
    assert study_protocol(design(x), Y, QUICK, seed=0).cross_validated.balanced_accuracy.value > 0.9
    for outer in ("folds", "leave_one_out"):
        honest = honest_protocol(design(x), Y, QUICK, seed=0, outer=outer)  # type: ignore[arg-type]
        assert honest.performance.balanced_accuracy.value > 0.9


def test_a_subjects_own_label_never_reaches_the_model_it_is_predicted_with() -> None:
    """A feature that tells one subject's label, and nothing else, is worth nothing to the honest protocol."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 5))
    base = honest_protocol(design(x), Y, QUICK, seed=1, outer="leave_one_out").called
    for i in (0, 7):
        flipped = Y.copy()
        flipped[i] = 1 - flipped[i]
        again = honest_protocol(design(x), flipped, QUICK, seed=1, outer="leave_one_out").called
        assert again[i] == base[i]


def test_every_subject_is_left_out_once_in_every_repeat_and_folds_hold_both_classes() -> None:
    for outer, repeats, count in (("folds", 3, 3), ("leave_one_out", 1, 1)):
        seen = np.zeros(20)
        for _, (train, test) in outer_splits(Y, outer=outer, n_folds=5, repeats=repeats, seed=0):  # type: ignore[arg-type]
            assert not set(train) & set(test)
            assert np.unique(Y[train]).size == 2
            seen[test] += 1
        np.testing.assert_array_equal(seen, count)
    assert len(list(folds(np.array([0] * 9 + [1] * 3), 5, seed=0))) == 3
    with pytest.raises(InsufficientData, match="smaller class has 1"):
        list(folds(np.array([0, 0, 1]), 5, seed=0))


def test_the_study_splits_eighty_to_twenty_with_both_classes_and_is_reproducible() -> None:
    made = design(np.random.default_rng(2).normal(size=(20, 6)))
    a, b = (study_protocol(made, Y, QUICK, seed=9) for _ in range(2))
    assert a.test.size == 4
    assert Y[a.test].sum() == 2
    assert sorted([*a.train, *a.test]) == list(range(20))
    assert a.cross_validated == b.cross_validated
    assert a.best == b.best
    assert a.held_out is not None
    assert a.n_configurations == 6


def test_the_best_of_a_sweep_is_the_best() -> None:
    made = design(np.random.default_rng(5).normal(size=(20, 12)))
    family = OneFeature(12)
    swept = sweep(made, Y, family, n_folds=5, seed=3)
    best, called = swept.configurations[swept.best], swept.probability[swept.best] > 0.5
    scores = []
    for i in range(12):
        one = np.zeros(20)
        for train, test in folds(Y, 5, seed=3):
            one[test] = family.predict(made.x[train], Y[train], made.x[test], seed=3)[i] > 0.5
        scores.append(performance(Y, one).balanced_accuracy.value)
    assert scores[best["feature"]] == max(scores) == performance(Y, called).balanced_accuracy.value


def test_performance_counts_and_its_exact_intervals() -> None:
    called = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0.0])
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    result = performance(y, called)
    assert result.precision is not None
    assert (result.precision.value, result.recall.value) == (0.75, 0.75)
    expected = binomtest(3, 4).proportion_ci(method="exact")
    assert (result.recall.ci_low, result.recall.ci_high) == pytest.approx((expected.low, expected.high))
    assert result.specificity.value == pytest.approx(5 / 6)
    balanced = result.balanced_accuracy
    assert balanced.value == pytest.approx((0.75 + 5 / 6) / 2)
    assert balanced.ci_low < balanced.value < balanced.ci_high


def test_a_perfect_result_of_few_subjects_keeps_a_wide_interval() -> None:
    perfect = performance(Y, Y.astype(float)).balanced_accuracy
    assert perfect.value == perfect.ci_high == 1
    assert perfect.ci_low < 0.85


def test_precision_without_any_positive_call_is_not_estimable() -> None:
    assert performance(Y, np.zeros(20)).precision is None
    with pytest.raises(InsufficientData, match="20 positive and 0 negative"):
        performance(np.ones(20, dtype=int), np.zeros(20))


def test_the_permutation_p_counts_the_observed_among_the_permuted() -> None:
    rng = np.random.default_rng(0)
    values = iter([0.8, *rng.uniform(0, 0.7, 18), 0.8])
    null = permutation_null(lambda _y: float(next(values)), Y, permutations=19, seed=0)
    assert null.p_value == 2 / 20
    seen: list[tuple[int, ...]] = []

    def collect(y: np.ndarray) -> float:
        seen.append(tuple(y))
        return 0.5

    done: list[int] = []
    assert permutation_null(collect, Y, permutations=5, seed=1, progress=done.append).p_value == 1.0
    assert done == [1, 2, 3, 4, 5]
    assert seen[0] == tuple(Y)
    assert all(sum(y) == 10 for y in seen)
    assert len(set(seen)) == 6
    with pytest.raises(InsufficientData, match="at least one permutation"):
        permutation_null(collect, Y, permutations=0, seed=0)


def test_the_permutation_test_of_the_honest_protocol_keeps_its_level() -> None:
    """P at or below .2 in about a fifth of the data sets without signal."""
    rejected = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        made = design(rng.normal(size=(20, 8)))

        def honest(y: np.ndarray, made: Design = made) -> float:
            result = honest_protocol(made, y, OneFeature(8), seed=0, n_folds=4)
            return result.performance.balanced_accuracy.value

        rejected += permutation_null(honest, rng.permutation(Y), permutations=9, seed=seed).p_value <= 0.2
    assert rejected <= 8 + 3 * np.sqrt(40 * 0.2 * 0.8)
