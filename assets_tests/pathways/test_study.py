"""A study runs every design both ways, reproducibly, and says what it found in words."""

from __future__ import annotations

import pytest

from clinical_assets.pathways.designs import StudyData
from clinical_assets.pathways.study import Budget, StudyError, StudyResult, full_budget, micro_cohort_study
from clinical_assets.pathways.sweep import Booster, Forest, Logistic

SMALL = Budget(
    families=(
        Forest(n_estimators=(5,), max_features=("sqrt",), criterion=("gini",)),
        Logistic(c=(0.1, 1.0)),
        Booster(n_estimators=(5,), max_depth=(1,)),
    ),
    permutations=3,
    permuted=(("pathways", "logistic regression"),),
)


@pytest.fixture(scope="module")
def result(data: StudyData) -> StudyResult:
    return micro_cohort_study(data, budget=SMALL, seed=1)


def test_every_design_meets_every_family(result: StudyResult) -> None:
    designs = ("one transcriptome", "log2 fold change", "pathways", "combination")
    assert [(r.design, r.family) for r in result.rows] == [(d, f.name) for d in designs for f in SMALL.families]
    assert result.n == 16
    assert result.events == 8
    assert result.n_features["combination"] == sum(result.n_features[d] for d in designs[:3])


def test_optimism_is_what_the_study_reports_minus_what_holds(result: StudyResult) -> None:
    for row in result.rows:
        told, true = row.study.cross_validated, row.honest.performance
        assert row.optimism == told.balanced_accuracy.value - true.balanced_accuracy.value
        assert row.optimism_recall == told.recall.value - true.recall.value
        if told.precision is None or true.precision is None:
            assert row.optimism_precision is None
        else:
            assert row.optimism_precision == told.precision.value - true.precision.value


def test_planted_pathways_are_found_by_the_pathway_design(result: StudyResult) -> None:
    best = [r.honest.performance.balanced_accuracy.value for r in result.rows if r.design == "pathways"]
    assert max(best) >= 0.9


def test_the_null_observes_what_the_row_reports(result: StudyResult) -> None:
    (null,) = result.nulls
    row = next(r for r in result.rows if (r.design, r.family) == (null.design, null.family))
    assert null.study.observed == row.study.cross_validated.balanced_accuracy.value
    assert null.honest.observed == row.honest.performance.balanced_accuracy.value
    assert null.study.permuted.shape == (3,)


def test_the_same_seed_gives_the_same_study(data: StudyData, result: StudyResult) -> None:
    again = micro_cohort_study(data, budget=SMALL, seed=1)
    assert again.headline() == result.headline()
    assert [r.honest.chosen for r in again.rows] == [r.honest.chosen for r in result.rows]


def test_the_headline_says_synthetic_small_and_both_protocols(result: StudyResult) -> None:
    text = result.headline()
    assert text.startswith("SYNTHETIC data. 16 subjects, 8 symptomatic: a small cohort")
    assert "optimism" in text
    assert "permuted labels" in text


def test_progress_is_told_from_beginning_to_end(data: StudyData) -> None:
    seen: list[tuple[str, int, int]] = []
    quick = Budget(families=(Logistic(c=(1.0,)),), permutations=2, permuted=(("pathways", "logistic regression"),))
    micro_cohort_study(data, budget=quick, progress=lambda *step: seen.append(step))
    assert seen[0] == ("one transcriptome, logistic regression", 0, 4)
    assert ("designs", 4, 4) in seen
    assert seen[-1] == ("permuted labels, honest protocol: pathways, logistic regression", 2, 2)


def test_a_null_for_a_family_that_is_not_there_is_refused_before_anything_runs(data: StudyData) -> None:
    with pytest.raises(StudyError, match="no family 'random forest'"):
        micro_cohort_study(data, budget=Budget(families=(Logistic(),)))


def test_without_permutations_nothing_is_permuted(data: StudyData) -> None:
    quick = Budget(families=(Logistic(c=(1.0,)),), permutations=0)
    assert micro_cohort_study(data, budget=quick).nulls == ()
    assert full_budget().permutations == 199
