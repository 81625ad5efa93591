import numpy as np
import pytest
from scipy import stats

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty import bootstrap as module
from clinical_assets.statistics.uncertainty.bootstrap import (
    WeightedStatistic,
    bootstrap,
    bootstrap_distribution,
    percentile_interval,
)
from clinical_assets.statistics.uncertainty.intervals import mean_estimate


def mean_of(x: FloatArray) -> WeightedStatistic:
    return lambda weights: (weights @ x) / weights.sum(axis=1)


@pytest.mark.parametrize(("ours", "scipys"), [("percentile", "percentile"), ("bca", "BCa")])
def test_intervals_equal_those_of_scipy_up_to_resampling_noise(ours: str, scipys: str) -> None:
    x = np.random.default_rng(0).exponential(size=60)
    mine = bootstrap(mean_of(x), 60, events=0, n_resamples=20_000, interval=ours)  # type: ignore[arg-type]
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, method=scipys, vectorized=True, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (mine.ci_low, mine.ci_high) == pytest.approx(theirs, abs=0.012)
    assert mine.value == pytest.approx(x.mean())


def test_bca_by_blocks_agrees_with_bca_by_records(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).exponential(size=400) ** 1.5
    exact = bootstrap(mean_of(x), 400, events=0, n_resamples=4000, interval="bca")
    monkeypatch.setattr(module, "MAX_JACKKNIFE_BLOCKS", 100)
    blocks = bootstrap(mean_of(x), 400, events=0, n_resamples=4000, interval="bca")
    width = exact.ci_high - exact.ci_low
    assert abs(exact.ci_low - blocks.ci_low) < 0.05 * width
    assert abs(exact.ci_high - blocks.ci_high) < 0.05 * width


def test_bca_covers_a_skewed_mean_better_than_percentile_does() -> None:
    hits = {"percentile": 0, "bca": 0}
    for seed in range(300):
        x = np.random.default_rng(seed).exponential(size=25)
        for kind in hits:
            e = bootstrap(mean_of(x), 25, events=0, n_resamples=400, interval=kind)  # type: ignore[arg-type]
            hits[kind] += e.ci_low <= 1 <= e.ci_high
    assert 0.86 < hits["percentile"] / 300 <= hits["bca"] / 300 < 0.98


def test_resampling_subjects_widens_the_interval_when_their_records_agree() -> None:
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(40), 10)
    x = rng.normal(size=40)[subject] + 0.3 * rng.normal(size=400)
    rows = bootstrap(mean_of(x), 400, events=0)
    subjects = bootstrap(mean_of(x), 400, events=0, groups=subject)
    ratio = (subjects.ci_high - subjects.ci_low) / (rows.ci_high - rows.ci_low)
    assert 2.2 < ratio < 4
    assert subjects.method == "group bootstrap percentile"


def test_each_record_as_its_own_group_gives_sampling_weights_their_variance() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=300), rng.choice([0.2, 5.0], 300)
    spread = bootstrap_distribution(mean_of(x), 300, weights=w, groups=np.arange(300), n_resamples=3000).std()
    mean = (w @ x) / w.sum()
    assert spread == pytest.approx(np.sqrt((w**2) @ (x - mean) ** 2) / w.sum(), rel=0.08)


def test_the_percentile_interval_of_a_mean_is_near_wald() -> None:
    x = np.random.default_rng(1).normal(size=2000)
    wald = mean_estimate(x, np.ones(2000), events=0)
    boot = bootstrap(mean_of(x), 2000, events=0, n_resamples=4000)
    assert (boot.ci_low, boot.ci_high) == pytest.approx((wald.ci_low, wald.ci_high), abs=0.004)


def test_a_statistic_that_is_often_undefined_is_insufficient() -> None:
    def sometimes(weights: FloatArray) -> FloatArray:
        return np.where(weights[:, 0] == 0, np.nan, 1.0)

    with pytest.raises(InsufficientData, match="undefined in 3"):
        bootstrap(sometimes, 50, events=0)
    with pytest.raises(InsufficientData):
        percentile_interval(np.array([[1.0, np.nan], [2.0, 1.0]]))


def test_a_statistic_undefined_on_the_data_is_insufficient() -> None:
    with pytest.raises(InsufficientData, match="undefined on these records"):
        bootstrap(lambda w: np.full(w.shape[0], np.nan), 10, events=0)


def test_bca_is_refused_where_it_has_no_meaning() -> None:
    with pytest.raises(InsufficientData, match="varies"):
        bootstrap(lambda w: np.ones(w.shape[0]), 10, events=0, interval="bca")
    with pytest.raises(InvalidArray, match="strata"):
        bootstrap(mean_of(np.arange(4.0)), 4, events=0, strata=[0, 0, 1, 1], interval="bca")


def test_vector_statistics_are_resampled_together() -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    values = bootstrap_distribution(lambda w: (w @ x) / w.sum(axis=1, keepdims=True), 100, n_resamples=200)
    low, high = percentile_interval(values)
    assert values.shape == (200, 2)
    assert ((low < x.mean(axis=0)) & (x.mean(axis=0) < high)).all()
