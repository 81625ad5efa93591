import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from assets_tests.worlds.tables.outcomes import Sample, risks, samples, weighted_risks
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.discrimination.discrimination import auprc, auroc, auroc_statistic, compare_auroc
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap

Z = 1.959963984540054


def naive_placements(y: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Structural components of DeLong over all pairs: for each event, and for each non-event."""
    events, others = score[y == 1][:, None], score[y == 0][None, :]
    wins = (events > others) + 0.5 * (events == others)
    return wins.mean(axis=1), wins.mean(axis=0)


def naive_standard_error(y: FloatArray, score: FloatArray) -> float:
    by_event, by_other = naive_placements(y, score)
    return float(np.sqrt(by_event.var(ddof=1) / by_event.size + by_other.var(ddof=1) / by_other.size))


@given(samples())
def test_auroc_is_that_of_scikit_learn_with_ties(sample: Sample) -> None:
    y, p = sample
    assert auroc(y, p).value == pytest.approx(roc_auc_score(y, p), abs=1e-12)


def test_auroc_and_average_precision_are_those_of_scikit_learn_with_weights() -> None:
    y, p, weights = weighted_risks(500)
    assert auroc(y, p, weights=weights).value == pytest.approx(roc_auc_score(y, p, sample_weight=weights))
    assert auprc(y, p, weights=weights, interval="logit").value == pytest.approx(
        average_precision_score(y, p, sample_weight=weights)
    )


@given(samples())
def test_average_precision_is_that_of_scikit_learn_with_ties(sample: Sample) -> None:
    y, p = sample
    expected = average_precision_score(y, p)
    if expected < 1:
        assert auprc(y, p, interval="logit").value == pytest.approx(expected, abs=1e-12)


@given(samples())
def test_delongs_interval_is_that_of_all_pairs(sample: Sample) -> None:
    y, p = sample
    estimate = auroc(y, p, scale="identity")
    if 0 < estimate.value < 1:
        half = Z * naive_standard_error(y, p)
        expected = (max(0, estimate.value - half), min(1, estimate.value + half))
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(expected, abs=1e-12)


@given(samples())
def test_auroc_depends_on_ranks_alone_and_turns_with_the_score(sample: Sample) -> None:
    y, p = sample
    estimate = auroc(y, p)
    assert auroc(y, np.exp(5 * p)) == estimate
    assert auroc(y, -p).value == pytest.approx(1 - estimate.value)
    assert auroc(1 - y, -p).value == pytest.approx(estimate.value)


@given(samples(), st.integers(0, 2**32 - 1))
def test_paired_comparison_is_that_of_all_pairs(sample: Sample, seed: int) -> None:
    y, first = sample
    second = np.random.default_rng(seed).random(y.size).round(1)
    (a_event, a_other), (b_event, b_other) = naive_placements(y, first), naive_placements(y, second)
    d_event, d_other = a_event - b_event, a_other - b_other
    error = np.sqrt(d_event.var(ddof=1) / d_event.size + d_other.var(ddof=1) / d_other.size)
    difference = a_event.mean() - b_event.mean()
    if error > 1e-6:
        result = compare_auroc(y, first, second)
        assert result.difference.value == pytest.approx(difference, abs=1e-12)
        assert result.z == pytest.approx(difference / error, rel=1e-9)
        back = compare_auroc(y, second, first)
        assert back.p_value == pytest.approx(result.p_value)


def test_a_score_compared_with_itself_has_no_difference() -> None:
    y, p = risks(100)
    result = compare_auroc(y, p, p)
    assert (result.difference.value, result.p_value) == (0, 1)


def test_a_difference_without_variance_is_insufficient() -> None:
    y = np.array([0.0, 0, 0, 1, 1, 1])
    with pytest.raises(InsufficientData, match="no estimable variance"):
        compare_auroc(y, y, np.zeros(6))


def test_the_paired_test_keeps_its_level_and_its_interval_covers() -> None:
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        y = (rng.random(150) < 0.4).astype(float)
        shared = rng.normal(size=150) + y
        result = compare_auroc(y, shared + rng.normal(size=150), shared + rng.normal(size=150))
        rejected += result.p_value < 0.05
    assert 0.02 <= rejected / 400 <= 0.085


def test_the_interval_of_auroc_covers_its_truth_and_does_so_better_on_the_logit_scale() -> None:
    truth = 0.9213504  # two normals two standard deviations apart: Phi(2 / sqrt 2)
    hits = {"logit": 0, "identity": 0}
    for seed in range(600):
        rng = np.random.default_rng(seed)
        y = np.repeat([0.0, 1.0], [60, 25])
        score = rng.normal(size=85) + 2 * y
        for scale in hits:
            estimate = auroc(y, score, scale=scale)  # type: ignore[arg-type]
            hits[scale] += estimate.ci_low <= truth <= estimate.ci_high
    assert 0.86 <= hits["identity"] / 600 < hits["logit"] / 600
    assert 0.925 <= hits["logit"] / 600 <= 0.975


def test_a_perfect_ranking_of_few_records_is_not_claimed_to_be_certain() -> None:
    y = np.array([0.0, 0, 0, 0, 1, 1, 1])
    perfect, reversed_ = auroc(y, np.arange(7.0)), auroc(y, -np.arange(7.0))
    assert (perfect.value, perfect.ci_high) == (1, 1)
    assert perfect.ci_low == pytest.approx(0.025 ** (1 / 3))
    assert (reversed_.ci_low, reversed_.ci_high) == pytest.approx((0, 1 - perfect.ci_low))


def test_one_event_is_too_few_for_delong() -> None:
    with pytest.raises(InsufficientData, match="1 events among 5"):
        auroc([0, 0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5])


def test_delong_and_bootstrap_agree_on_a_moderate_sample() -> None:
    y, p = risks(800, seed=4)
    delong = auroc(y, p)
    boot = bootstrap(auroc_statistic(y, p), 800, events=y.sum(), n_resamples=2000)
    assert (boot.ci_low, boot.ci_high) == pytest.approx((delong.ci_low, delong.ci_high), abs=0.006)
    assert boot.value == pytest.approx(delong.value)


def test_the_intervals_of_average_precision_hold_the_value_and_agree_roughly() -> None:
    y, p = risks(1500, seed=4)
    boot, logit = auprc(y, p), auprc(y, p, interval="logit")
    assert boot.ci_low < boot.value < boot.ci_high
    assert (boot.ci_low, boot.ci_high) == pytest.approx((logit.ci_low, logit.ci_high), abs=0.03)


def test_average_precision_resamples_subjects_when_asked_and_refuses_to_ignore_them() -> None:
    y, p = risks(300, seed=4)
    subject = np.arange(300) // 30
    wide, narrow = auprc(y, p, groups=subject), auprc(y, p)
    assert wide.method == "group bootstrap percentile"
    assert wide.value == pytest.approx(narrow.value)
    with pytest.raises(InvalidArray, match="independent"):
        auprc(y, p, groups=subject, interval="logit")


@settings(max_examples=20)
@given(samples(max_size=30), st.integers(0, 1000))
def test_the_order_of_records_does_not_matter(sample: Sample, seed: int) -> None:
    y, p = sample
    order = np.random.default_rng(seed).permutation(y.size)
    assert auroc(y[order], p[order]).value == pytest.approx(auroc(y, p).value)
    weights = np.random.default_rng(seed).integers(0, 3, (2, y.size)).astype(float) + 1
    np.testing.assert_allclose(auroc_statistic(y[order], p[order])(weights[:, order]), auroc_statistic(y, p)(weights))


def test_students_interval_is_wider_where_the_rarer_outcome_is_rare_and_the_same_where_it_is_not() -> None:
    rng = np.random.default_rng(4)
    for events, wider in ((5, 4.604 / 2.576), (400, 2.588 / 2.576)):
        y = np.repeat([1, 0], [events, 800])
        first, second = y + rng.normal(size=y.size), y + rng.normal(size=y.size)
        normal = compare_auroc(y, first, second, level=0.99)
        student = compare_auroc(y, first, second, level=0.99, reference="t")
        half = [each.difference.ci_high - each.difference.value for each in (student, normal)]
        assert half[0] / half[1] == pytest.approx(wider, rel=1e-3)
        assert student.p_value >= normal.p_value
