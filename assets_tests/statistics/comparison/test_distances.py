import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import jensenshannon

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.comparison.distances import (
    MISSING,
    UNSEEN,
    categorical_drift,
    category_bins,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    numeric_bins,
    numeric_drift,
    population_stability_index,
    psi_noise,
    total_variation,
    wasserstein_distance,
)
from clinical_assets.statistics.inputs import InvalidArray

VALUES = hnp.arrays(np.float64, st.integers(1, 60), elements=st.integers(-20, 20).map(lambda i: i / 4))
WITH_MISSING = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.one_of(st.just(np.nan), st.integers(0, 5).map(float))
)
COUNTS = st.integers(2, 8).flatmap(
    lambda k: st.tuples(*[hnp.arrays(np.int64, k, elements=st.integers(0, 40)) for _ in range(2)])
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the p-value of scipy, which is not used
@given(VALUES, VALUES)
def test_kolmogorov_smirnov_and_wasserstein_are_those_of_scipy(x: FloatArray, y: FloatArray) -> None:
    assert kolmogorov_smirnov(x, y) == pytest.approx(stats.ks_2samp(x, y, method="asymp").statistic, abs=1e-12)
    assert wasserstein_distance(x, y) == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-12)


@given(COUNTS)
def test_jensen_shannon_is_that_of_scipy_and_all_distances_of_counts_are_symmetric(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = pair[0] + (pair[0].sum() == 0), pair[1] + (pair[1].sum() == 0)
    assert jensen_shannon_distance(x, y) == pytest.approx(jensenshannon(x, y, base=2), abs=1e-7)
    for distance in (jensen_shannon_distance, total_variation, population_stability_index):
        assert distance(x, y) == pytest.approx(distance(y, x), abs=1e-12)
        assert distance(x, y) >= 0
    assert total_variation(x, y) <= 1
    assert total_variation([3, 0], [0, 8]) == jensen_shannon_distance([3, 0], [0, 8]) == 1


@given(WITH_MISSING)
def test_nothing_differs_from_itself_or_from_itself_seen_twice(x: FloatArray) -> None:
    drifts = [categorical_drift(x, x), categorical_drift(x, np.tile(x, 2))]
    if not np.isnan(x).all():
        drifts += [numeric_drift(x, x), numeric_drift(x, np.tile(x, 2))]
    for drift in drifts:
        assert drift.psi == pytest.approx(0, abs=1e-12)
        assert drift.total_variation == pytest.approx(0, abs=1e-12)
        assert drift.jensen_shannon == pytest.approx(0, abs=1e-7)
        assert drift.missing_reference == drift.missing_current
        if drift.kolmogorov_smirnov is not None:
            assert drift.kolmogorov_smirnov == pytest.approx(0, abs=1e-12)
            assert drift.wasserstein == pytest.approx(0, abs=1e-12)


@given(WITH_MISSING, WITH_MISSING)
def test_every_record_falls_into_one_bin(reference: FloatArray, current: FloatArray) -> None:
    if np.isnan(reference).all():
        with pytest.raises(InsufficientData, match="missing"):
            numeric_bins(reference)
        return
    bins = numeric_bins(reference)
    assert sum(bins.counts) == reference.size
    assert bins.counts[-1] == np.isnan(reference).sum()
    assert bins.count(current).sum() == current.size
    assert len(bins.labels) == len(bins.counts)
    np.testing.assert_array_equal(bins.count(reference), bins.counts)


def test_psi_is_its_definition_and_a_shift_of_a_normal_has_its_known_divergence() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.25, 0.25, 0.5])
    expected = ((q - p) * np.log(q / p)).sum()
    assert population_stability_index(1000 * p, 200 * q) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    drift = numeric_drift(rng.normal(size=200_000), rng.normal(0.5, 1, 200_000), bins=None)
    # The symmetrised divergence of two normals is the squared shift, .25; ten bins see a little less.
    assert 0.22 < drift.psi < 0.25
    assert drift.kolmogorov_smirnov == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=0.01)
    assert drift.wasserstein == pytest.approx(0.5, abs=0.01)


def test_missing_values_are_a_bin_of_their_own_and_do_not_touch_the_values_present() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5000), rng.normal(size=5000)
    gaps = np.where(rng.random(5000) < 0.3, np.nan, y)
    drift = numeric_drift(x, gaps)
    assert drift.missing_reference == 0
    assert drift.missing_current == pytest.approx(0.3, abs=0.03)
    assert drift.total_variation == pytest.approx(0.3, abs=0.03)
    assert drift.psi > 1
    assert drift.kolmogorov_smirnov == kolmogorov_smirnov(x, gaps[~np.isnan(gaps)])
    nothing_left = numeric_drift(x, np.full(10, np.nan))
    assert nothing_left.kolmogorov_smirnov is None
    assert nothing_left.total_variation == 1


def test_binning_is_fixed_by_the_reference_and_reused() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=1000), rng.normal(2, 1, 1000)
    bins = numeric_bins(reference)
    assert numeric_drift(reference, current, bins=bins) == numeric_drift(reference, current)
    np.testing.assert_allclose(bins.counts[:-1], 100, atol=1)
    assert population_stability_index(bins.counts, bins.count(current)) == pytest.approx(
        numeric_drift(reference, current).psi
    )


def test_a_column_of_few_values_gets_a_bin_for_each() -> None:
    bins = numeric_bins([0, 0, 0, 1, 1, 2, 2, 2, 2])
    assert bins.counts[:3] == (3, 2, 4)
    assert bins.labels == ("x <= 0", "0 < x <= 1", "1 < x <= 2", "x > 2", MISSING)


def test_unseen_categories_and_missing_values_have_bins() -> None:
    bins = category_bins(np.array(["f", "m", "f", None], dtype=object))
    assert bins.labels == ("f", "m", UNSEEN, MISSING)
    assert bins.counts == (2, 1, 0, 1)
    assert bins.count(np.array(["m", "x", "y", None, np.nan], dtype=object)).tolist() == [0, 1, 2, 2]


def test_integers_stay_the_same_categories_when_a_missing_value_makes_them_floats() -> None:
    bins = category_bins(np.array([1, 2, 2, 3]))
    assert bins.count(np.array([1.0, 2.0, np.nan, 2.0])).tolist() == [1, 2, 0, 0, 1]
    assert category_bins(np.array([1.5, 2.0])).categories == ("1.5", "2")
    assert category_bins(np.array([True, False])).categories == ("False", "True")


def test_psi_of_unchanged_samples_exceeds_its_noise_as_often_as_it_should() -> None:
    rng = np.random.default_rng(0)
    exceeded = []
    for _ in range(500):
        drift = numeric_drift(rng.normal(size=800), rng.normal(size=300))
        exceeded.append(drift.psi > drift.psi_noise)
    assert 0.025 <= np.mean(exceeded) <= 0.085
    small = [numeric_drift(rng.normal(size=500), rng.normal(size=40)).psi for _ in range(100)]
    assert np.mean(np.array(small) > 0.1) > 0.8  # custom would call nearly all of these drift
    assert psi_noise(1, 10, 10) == 0
    assert psi_noise(10, 800, 300, level=0.9) == pytest.approx(stats.chi2.ppf(0.9, 9) * (1 / 800 + 1 / 300))


def test_an_empty_bin_counts_half_a_record_so_that_small_samples_are_not_punished() -> None:
    assert population_stability_index([90, 10], [20, 0]) == pytest.approx(
        (1 - 0.9) * np.log(1 / 0.9) + (0.025 - 0.1) * np.log(0.025 / 0.1)
    )


def test_unusable_arrays_are_refused() -> None:
    with pytest.raises(InvalidArray, match="infinite"):
        numeric_drift([1.0, np.inf], [1.0])
    with pytest.raises(InvalidArray, match="NaN"):
        wasserstein_distance([1.0, np.nan], [1.0])
    with pytest.raises(InvalidArray, match="bins"):
        total_variation([1, 2], [1, 2, 3])
    with pytest.raises(InvalidArray, match="negative"):
        total_variation([1, -2], [1, 2])
    with pytest.raises(InvalidArray, match="n_bins"):
        numeric_bins([1.0, 2.0], n_bins=1)
    for empty in (lambda: numeric_drift([1.0], []), lambda: categorical_drift([1.0], [])):
        with pytest.raises(InsufficientData):
            empty()
    with pytest.raises(InsufficientData, match="without records"):
        total_variation([0, 0], [1, 2])
