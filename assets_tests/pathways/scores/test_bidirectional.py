"""The bidirectional score sees what the signed ranks cancel, keeps its level, and looks at one subject alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from clinical_assets.pathways.expression.pairing import subject_rows
from clinical_assets.pathways.expression.synthetic import SyntheticCohort, synthetic_paired_cohort
from clinical_assets.pathways.results.subject_page import subject_page
from clinical_assets.pathways.scores.bidirectional import (
    BidirectionalScoring,
    absolute_correlation,
    rank_sum_variance,
)
from clinical_assets.pathways.scores.scores import score_subjects


@pytest.fixture(scope="module")
def apart() -> SyntheticCohort:
    """40 subjects, nothing planted but the first set: half of its genes up, half down."""
    made = synthetic_paired_cohort(
        n_subjects=40, n_genes=400, n_sets=10, n_planted=0, set_size=(20, 40), layout="disjoint", seed=5
    )
    affected = made.paired.affected.copy()
    genes = made.sets.positions[0]
    affected[:, genes[::2]] += 2.0
    affected[:, genes[1::2]] -= 2.0
    return replace(made, paired=replace(made.paired, affected=affected))


def test_half_up_half_down_is_seen_by_this_score_alone(apart: SyntheticCohort) -> None:
    both = score_subjects(apart.paired, apart.sets, method=BidirectionalScoring())
    signed = score_subjects(apart.paired, apart.sets)
    assert (both.score[:, 0] == 1).mean() > 0.9
    assert (signed.score[:, 0] != 0).mean() < 0.3
    assert set(np.unique(both.score)) == {0, 1}


def test_the_score_is_scipys_rank_sum_of_absolute_differences(apart: SyntheticCohort) -> None:
    both = score_subjects(apart.paired, apart.sets, method=BidirectionalScoring())
    sizes = np.abs(apart.paired.differences)
    for i, s in ((0, 0), (3, 4), (7, 9)):
        within = np.zeros(sizes.shape[1], dtype=bool)
        within[apart.sets.positions[s]] = True
        expected = mannwhitneyu(sizes[i, within], sizes[i, ~within], alternative="greater", method="asymptotic")
        assert both.p_value[i, s] == pytest.approx(expected.pvalue, rel=1e-9) or both.statistic[i, s] < 0


@pytest.mark.parametrize(("correlation", "stated"), [(0.0, None), (0.2, 0.2)])
def test_without_a_truth_the_level_is_kept(correlation: float, stated: float | None) -> None:
    made = synthetic_paired_cohort(
        n_subjects=150,
        n_genes=400,
        n_sets=20,
        n_planted=0,
        set_size=(20, 20),
        layout="disjoint",
        correlation=correlation,
        seed=8,
    )
    scores = score_subjects(made.paired, made.sets, method=BidirectionalScoring(correlation=stated))
    assert (scores.score != 0).mean() == pytest.approx(0.05, abs=0.012)


def test_the_variance_without_correlation_is_wilcoxons() -> None:
    n, m = np.array([5.0, 60.0]), np.array([95.0, 9.0])
    np.testing.assert_allclose(rank_sum_variance(n, m, 0.0), n * m * (n + m + 1) / 12)
    rng = np.random.default_rng(1)
    x = rng.normal(size=200_000)
    y = 0.6 * x + 0.8 * rng.normal(size=200_000)
    assert absolute_correlation(0.6) == pytest.approx(np.corrcoef(np.abs(x), np.abs(y))[0, 1], abs=0.01)


def test_a_subject_alone_has_the_same_scores(apart: SyntheticCohort) -> None:
    method = BidirectionalScoring(correlation=0.05)
    whole = score_subjects(apart.paired, apart.sets, method=method)
    one = subject_rows(apart.paired, [apart.paired.subjects[4]])
    np.testing.assert_array_equal(score_subjects(one, apart.sets, method=method).statistic[0], whole.statistic[4])


def test_the_page_names_no_direction(apart: SyntheticCohort) -> None:
    both = score_subjects(apart.paired, apart.sets, method=BidirectionalScoring())
    page = subject_page(apart.paired, both, apart.sets, both.subjects[0])
    assert "◆ either way" in page
    assert "▲ up" not in page
    assert "change more than all other genes" in page
