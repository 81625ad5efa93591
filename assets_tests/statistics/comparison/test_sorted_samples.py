import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.comparison.distances import numeric_bins
from clinical_assets.statistics.comparison.sorted_samples import compare_sorted, count_between, distinct, quantile_edges

SORTED = hnp.arrays(np.float64, st.integers(1, 80), elements=st.integers(-20, 20).map(lambda i: i / 4)).map(np.sort)


@given(SORTED, SORTED, st.integers(2, 12))
def test_edges_and_counts_of_a_sorted_sample_are_those_of_the_quantile_bins(
    x: FloatArray, y: FloatArray, n_bins: int
) -> None:
    bins = numeric_bins(x, n_bins=n_bins)
    edges = quantile_edges(x, n_bins=n_bins)
    assert edges == bins.edges
    assert count_between(x, edges).tolist() == list(bins.counts[:-1])
    assert count_between(y, edges).tolist() == bins.count(y)[:-1].tolist()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the p-value of scipy, which is not used
@given(SORTED, SORTED, st.sampled_from([1, 2, 7, 1000]))
def test_distances_are_those_of_scipy_wherever_the_samples_are_cut_into_pieces(
    x: FloatArray, y: FloatArray, piece: int
) -> None:
    ks, area = compare_sorted(x, y, piece=piece)
    assert ks == pytest.approx(stats.ks_2samp(x, y, method="asymp").statistic, abs=1e-12)
    assert area == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-12)


@given(SORTED, st.integers(1, 8))
def test_the_different_values_are_found_when_they_are_few(x: FloatArray, at_most: int) -> None:
    values = np.unique(x)
    found = distinct(x, at_most=at_most)
    if values.size > at_most:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() == values.tolist()
