import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.comparison.homogeneity import (
    categories_p,
    counts_p,
    detectable_kolmogorov_smirnov,
    holm,
    kolmogorov_smirnov_p,
    share_p,
)
from clinical_assets.statistics.inputs import InvalidArray


def test_the_p_of_a_distance_is_close_to_scipys_for_samples_of_hundreds() -> None:
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.1, 0.2):
        x, y = rng.normal(size=900), rng.normal(shift, 1, 700)
        theirs = stats.ks_2samp(x, y)
        assert kolmogorov_smirnov_p(theirs.statistic, 900, 700) == pytest.approx(theirs.pvalue, rel=0.1)


def test_the_detectable_distance_has_exactly_the_p_of_its_level() -> None:
    distance = detectable_kolmogorov_smirnov(10_000, 300, level=0.002)
    assert kolmogorov_smirnov_p(distance, 10_000, 300) == pytest.approx(0.002)
    assert detectable_kolmogorov_smirnov(1, 1, level=0.001) == 1.0


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_shares_are_tested_by_chi_square_where_five_are_expected_and_exactly_elsewhere(
    k: int, n: int, j: int, m: int
) -> None:
    k, j = min(k, n), min(j, m)
    table = np.array([[k, n - k], [j, m - j]])
    if (table.sum(axis=0) == 0).any():
        assert share_p(k, n, j, m) == 1.0
        return
    if stats.contingency.expected_freq(table).min() >= 5:
        expected = stats.chi2_contingency(table, correction=False).pvalue
    else:
        expected = stats.fisher_exact(table).pvalue
    assert share_p(k, n, j, m) == pytest.approx(expected, abs=1e-12)


def test_counts_with_enough_expected_records_are_tested_by_plain_chi_square() -> None:
    table = [[120, 300, 80, 0], [90, 350, 100, 0]]
    expected = stats.chi2_contingency(np.array(table)[:, :3], correction=False).pvalue
    assert counts_p(*table) == pytest.approx(expected)


def test_rare_cells_are_pooled_before_they_are_tested() -> None:
    x, y = [5000, 4000, 6, 3, 1], [100, 80, 0, 1, 0]
    assert counts_p(x, y) == pytest.approx(counts_p([5000, 4010], [100, 81]))
    assert counts_p([10, 0], [7, 0]) == 1.0


def test_a_few_records_of_a_category_never_seen_before_are_noticed() -> None:
    reference, batch = [500_000, 300_000, 200_000], [490, 290, 190]
    assert categories_p(reference, batch, unseen=0) > 0.9
    assert categories_p(reference, batch, unseen=30) < 1e-12
    assert categories_p(reference, [0, 0, 0], unseen=300) < 1e-12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_calls_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(dict(enumerate(p_values)))
    rate, going = 0.05, True
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        # The comparison in the form of the adjustment, so that rounding cannot decide.
        going = going and p_values[i] * (len(p_values) - rank) <= rate
        assert (adjusted[i] <= rate) == going


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InvalidArray, match="no shares"):
        share_p(5, 4, 1, 2)
    with pytest.raises(InvalidArray, match="2 and 3 cells"):
        counts_p([1, 2], [1, 2, 3])
    with pytest.raises(InsufficientData):
        counts_p([1, 2], [0, 0])
    with pytest.raises(InsufficientData):
        kolmogorov_smirnov_p(0.1, 0, 5)
