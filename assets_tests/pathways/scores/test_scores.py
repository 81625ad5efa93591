"""Scores of single subjects: planted truth is found, chance is kept at its rate, nobody else is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, wilcoxon

from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.expression.pairing import subject_rows
from clinical_assets.pathways.expression.synthetic import SyntheticCohort, synthetic_paired_cohort
from clinical_assets.pathways.scores.scores import (
    PathwayScores,
    RawScores,
    ScoreError,
    SignedRankScoring,
    false_discovery_rates,
    median_effects,
    score_subjects,
)

ARRAYS = ("statistic", "p_value", "fdr", "median_effect", "score", "n_used")


def test_every_score_is_what_its_definition_says(cohort: SyntheticCohort, scores: PathwayScores) -> None:
    d = cohort.paired.differences
    for i in (0, 7):
        for j in (0, 11):
            values = d[i, cohort.sets.positions[j]]
            assert scores.p_value[i, j] == wilcoxon(values, correction=True).pvalue
            assert scores.median_effect[i, j] == np.median(values)
        np.testing.assert_array_equal(scores.fdr[i], false_discovery_control(scores.p_value[i]))
    called = scores.p_value < 0.05
    np.testing.assert_array_equal(scores.score != 0, called)
    np.testing.assert_array_equal(scores.score[called], np.sign(scores.statistic[called]))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), rho=st.sampled_from([None, 0.05]))
def test_a_subjects_scores_never_depend_on_the_other_subjects(
    cohort: SyntheticCohort, seed: int, rho: float | None
) -> None:
    """Whoever else is in the cohort, in whatever order and with whatever values."""
    rng = np.random.default_rng(seed)
    method = SignedRankScoring(correlation=rho)
    whole = score_subjects(cohort.paired, cohort.sets, method=method)
    some = rng.permutation(len(cohort.paired.subjects))[: rng.integers(1, 9)]
    part = subject_rows(cohort.paired, [cohort.paired.subjects[i] for i in some])
    strange = part.affected.copy()
    strange[1:] = rng.normal(size=strange[1:].shape) * 50
    part = replace(part, affected=strange)
    again = score_subjects(part, cohort.sets, method=method)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name)[0], getattr(whole, name)[some[0]], err_msg=name)


def test_planted_pathways_are_found_with_the_promised_false_discovery_rate() -> None:
    found = false = planted = 0
    for seed in range(6):
        made = synthetic_paired_cohort(
            n_genes=3000, n_sets=60, n_planted=15, set_size=(20, 45), effect=0.8, layout="disjoint", seed=seed
        )
        scores = score_subjects(made.paired, made.sets, decide_on="fdr")
        hit = scores.score != 0
        found += int((hit & (made.truth == scores.score)).sum())
        false += int((hit & (made.truth == 0)).sum())
        planted += int((made.truth != 0).sum())
    assert found / planted > 0.85  # power at an effect of .8 standard deviations
    assert false / (false + found) < 0.07  # promised: .05 times the share of true nulls


def test_without_anything_planted_false_positives_come_at_the_stated_rate() -> None:
    made = synthetic_paired_cohort(n_subjects=60, n_genes=3000, n_planted=0, n_sets=60, layout="disjoint", seed=5)
    for alpha in (0.01, 0.05):
        rate = float((score_subjects(made.paired, made.sets, alpha=alpha).score != 0).mean())
        assert rate == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 3600))


def test_correlated_genes_make_the_plain_test_anticonservative_and_the_correction_restores_its_level() -> None:
    rho = 0.1
    made = synthetic_paired_cohort(
        n_subjects=120,
        n_genes=2600,
        n_planted=0,
        n_sets=40,
        set_size=(40, 60),
        correlation=rho,
        layout="disjoint",
        seed=2,
    )
    plain = score_subjects(made.paired, made.sets)
    corrected = score_subjects(made.paired, made.sets, method=SignedRankScoring(correlation=rho))
    assert float((plain.score != 0).mean()) > 0.3  # six times the level
    assert float((corrected.score != 0).mean()) == pytest.approx(0.05, abs=0.015)


def test_the_ternary_score_can_be_decided_on_the_fdr(cohort: SyntheticCohort) -> None:
    by_fdr = score_subjects(cohort.paired, cohort.sets, decide_on="fdr", alpha=0.1)
    np.testing.assert_array_equal(by_fdr.score != 0, by_fdr.fdr < 0.1)
    assert by_fdr.decided_on == "fdr"


def test_a_second_scoring_method_fits_in_by_the_protocol(cohort: SyntheticCohort) -> None:
    class MeanScoring:
        name = "mean"

        def score(self, differences: np.ndarray, sets: MeasuredGeneSets) -> RawScores:
            means = np.stack([differences[:, p].mean(axis=1) for p in sets.positions], axis=1)
            p = np.where(np.abs(means) > 0.4, 0.001, 0.9)
            return RawScores(means, p, means, np.broadcast_to(sets.sizes, means.shape).astype(np.int32))

        def statement(self) -> str:
            return "Mean difference."

    scores = score_subjects(cohort.paired, cohort.sets, method=MeanScoring())
    assert (scores.method, scores.statement) == ("mean", "Mean difference.")
    np.testing.assert_array_equal(scores.score != 0, np.abs(scores.statistic) > 0.4)


def test_what_cannot_be_tested_is_nan_outside_the_fdr_family_and_scores_zero(cohort: SyntheticCohort) -> None:
    still = cohort.paired.affected.copy()
    still[0, cohort.sets.positions[0]] = cohort.paired.control[0, cohort.sets.positions[0]]
    scores = score_subjects(replace(cohort.paired, affected=still), cohort.sets)
    assert np.isnan(scores.p_value[0, 0])
    assert np.isnan(scores.fdr[0, 0])
    assert scores.score[0, 0] == 0
    np.testing.assert_array_equal(scores.fdr[0, 1:], false_discovery_control(scores.p_value[0, 1:]))
    np.testing.assert_array_equal(false_discovery_rates(np.full((1, 3), np.nan)), np.full((1, 3), np.nan))


def test_median_effects_equal_a_plain_loop(cohort: SyntheticCohort) -> None:
    d = cohort.paired.differences
    expected = np.stack([np.median(d[:, p], axis=1) for p in cohort.sets.positions], axis=1)
    np.testing.assert_array_equal(median_effects(d, cohort.sets), expected)


def test_contradictions_are_refused(cohort: SyntheticCohort) -> None:
    with pytest.raises(ScoreError, match="fitted to other genes"):
        score_subjects(replace(cohort.paired, genes=cohort.paired.genes[::-1]), cohort.sets)
    with pytest.raises(ScoreError, match="alpha 1"):
        score_subjects(cohort.paired, cohort.sets, alpha=1.0)
    with pytest.raises(ScoreError, match="2 correlations for 24 gene sets"):
        score_subjects(cohort.paired, cohort.sets, method=SignedRankScoring(correlation=(0.1, 0.2)))
