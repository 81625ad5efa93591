import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from assets_tests.worlds.tables.outcomes import repeated, risks
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.calibration.calibration import brier
from clinical_assets.statistics.discrimination.multiclass import (
    macro_auroc,
    macro_mean_absolute_error,
    one_vs_rest_auroc,
    quadratic_kappa,
    ranked_probability_score,
)
from clinical_assets.statistics.inputs import InvalidArray


def classes(n: int, *, seed: int = 0) -> tuple[IntArray, FloatArray]:
    """Four ordered classes and probabilities that know something about them."""
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=[0.5, 0.25, 0.15, 0.1])
    scores = rng.normal(size=(n, 4)) - 0.8 * np.abs(np.arange(4) - y[:, None])
    p = np.exp(scores)
    return y, p / p.sum(axis=1, keepdims=True)


def test_one_versus_rest_and_macro_are_those_of_scikit_learn() -> None:
    y, p = classes(400)
    single = [e.value for e in one_vs_rest_auroc(y, p)]
    assert single == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average=None))
    macro = macro_auroc(y, p, n_resamples=100)
    assert macro.value == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert macro.ci_low < macro.value < macro.ci_high
    assert macro.events == np.bincount(y).min()


def test_two_classes_have_the_interval_of_one_auroc() -> None:
    y, p = risks(500)
    both = np.column_stack([1 - p, p])
    single = one_vs_rest_auroc(y, both)[1]
    macro = macro_auroc(y, both, n_resamples=2000)
    assert macro.value == pytest.approx(single.value)
    assert (macro.ci_low, macro.ci_high) == pytest.approx((single.ci_low, single.ci_high), abs=0.01)


def test_macro_auroc_resamples_subjects_when_asked() -> None:
    y, p = classes(600)
    assert macro_auroc(y, p, groups=np.arange(600) // 3, n_resamples=50).method.startswith("group")


@pytest.mark.parametrize("weighted", [False, True])
def test_quadratic_kappa_is_that_of_scikit_learn(weighted: bool) -> None:
    y, p = classes(300)
    w = np.random.default_rng(0).integers(0, 3, 300).astype(float) if weighted else np.ones(300)
    estimate = quadratic_kappa(y, p.argmax(axis=1), n_classes=4, weights=w, n_resamples=500)
    expected = cohen_kappa_score(y, p.argmax(axis=1), weights="quadratic", sample_weight=w)
    assert estimate.value == pytest.approx(expected)
    assert estimate.ci_low < estimate.value < estimate.ci_high


def test_kappa_is_1_for_agreement_and_undefined_when_there_is_one_class_only() -> None:
    y, _ = classes(50)
    assert quadratic_kappa(y, y, n_classes=4, n_resamples=50).value == 1
    with pytest.raises(InsufficientData, match="undefined"):
        quadratic_kappa(np.ones(9), np.ones(9), n_classes=4)


def test_the_interval_of_kappa_is_that_of_resampled_rows() -> None:
    y, p = classes(200, seed=1)
    guess = p.argmax(axis=1)
    fast = quadratic_kappa(y, guess, n_classes=4, n_resamples=4000)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 200, 200) for _ in range(600)]
    slow = [cohen_kappa_score(y[i], guess[i], weights="quadratic") for i in rows]
    assert (fast.ci_low, fast.ci_high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.02)


def test_the_ranked_probability_score_is_its_definition() -> None:
    y, p = classes(40)
    naive = [sum((p[i, : k + 1].sum() - (y[i] <= k)) ** 2 for k in range(3)) / 3 for i in range(40)]
    assert ranked_probability_score(y, p).value == pytest.approx(np.mean(naive))


def test_the_ranked_probability_score_of_two_classes_is_the_brier_score() -> None:
    y, p = risks(200)
    score, expected = ranked_probability_score(y, np.column_stack([1 - p, p])), brier(y, p)
    assert score.as_dict() == pytest.approx(expected.as_dict())


def test_a_certain_and_right_forecast_scores_0_and_a_near_miss_less_than_a_far_one() -> None:
    y = np.array([0, 1, 2, 3])
    right = np.eye(4)
    assert ranked_probability_score(y, right).value == 0
    near, far = right[[1, 0, 3, 2]], right[[3, 3, 0, 0]]
    assert ranked_probability_score(y, near).value < ranked_probability_score(y, far).value


def test_weights_are_repeated_rows() -> None:
    y, p = classes(120)
    w = np.random.default_rng(0).integers(0, 3, 120).astype(float)
    index = repeated(w, np.arange(120.0))[0].astype(int)
    for a, b in zip(one_vs_rest_auroc(y, p, weights=w), one_vs_rest_auroc(y[index], p[index]), strict=True):
        assert a.as_dict() == pytest.approx(b.as_dict())


def test_unusable_arrays_are_refused() -> None:
    y, p = classes(30)
    with pytest.raises(InvalidArray, match="add up to 1"):
        macro_auroc(y, p * 0.9)
    with pytest.raises(InvalidArray, match="outside 0 to 1"):
        macro_auroc(y, p - 0.5)
    with pytest.raises(InvalidArray, match="30 rows but y has 29"):
        macro_auroc(y[:-1], p)
    with pytest.raises(InvalidArray, match="not a class from 0 to 3"):
        macro_auroc(y + 0.5, p)
    with pytest.raises(InsufficientData, match="class 3 does not occur"):
        macro_auroc(np.minimum(y, 2), p)


def test_the_macro_error_is_the_mean_of_each_classs_mean_error() -> None:
    random = np.random.default_rng(8)
    y, guess = random.choice(4, 300, p=[0.6, 0.2, 0.15, 0.05]), random.integers(0, 4, 300)
    found = macro_mean_absolute_error(y, guess, n_classes=4, n_resamples=200)
    assert found.value == pytest.approx(np.mean([np.abs(guess - y)[y == k].mean() for k in range(4)]))
    assert found.ci_low < found.value < found.ci_high
    weighted = macro_mean_absolute_error(y, guess, n_classes=4, weights=np.where(y == 2, 2, 1), n_resamples=50)
    assert weighted.value == pytest.approx(found.value)  # a class counts alike, however many records it has


def test_the_macro_error_of_a_class_without_records_is_unknown() -> None:
    with pytest.raises(InsufficientData, match="class 1 does not occur"):
        macro_mean_absolute_error([0, 2], [0, 2], n_classes=3)
