"""A study runs every design both ways, reproducibly, and says what it found in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clinical_assets.foundation.canonical import plain
from clinical_assets.pathways.study.ablation import AblationError, ablation
from clinical_assets.pathways.study.designs import Design, StudyData
from clinical_assets.pathways.study.study import Budget, StudyError, full_budget, micro_cohort_study
from clinical_assets.pathways.study.study_results import Removal, StudyResult
from clinical_assets.pathways.study.sweep import Booster, Forest, Logistic

SMALL = Budget(
    families=(
        Forest(n_estimators=(5,), max_features=("sqrt",), criterion=("gini",)),
        Logistic(c=(0.1, 1.0)),
        Booster(n_estimators=(5,), max_depth=(1,)),
    ),
    permutations=3,
    level=0.25,
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
    assert [(n.design, n.family) for n in result.nulls] == [(r.design, r.family) for r in result.rows]
    for null, row in zip(result.nulls, result.rows, strict=True):
        assert null.study.observed == row.study.cross_validated.balanced_accuracy.value
        assert null.honest.observed == row.honest.performance.balanced_accuracy.value
        assert null.study.permuted.shape == (3,)


def test_the_null_of_the_best_row_is_the_best_of_every_permutation(result: StudyResult) -> None:
    assert result.choice is not None
    for name in ("study", "honest"):
        rows = [getattr(null, name) for null in result.nulls]
        best = getattr(result.choice, name)
        assert best.observed == max(row.observed for row in rows)
        np.testing.assert_array_equal(best.permuted, np.max([row.permuted for row in rows], axis=0))
        assert best.p_value >= max(rows, key=lambda row: row.observed).p_value
    assert "the choice among rows included" in result.headline()


def test_ablations_are_among_what_the_best_is_chosen_from(data: StudyData) -> None:
    removal = Removal("pathways", "logistic regression", 4)
    plan = replace(SMALL, families=(Logistic(c=(0.1, 1.0)),), removals=(removal,))
    result = micro_cohort_study(data, budget=plan, seed=1)
    (ablated,) = result.ablated
    row = next(r for r in result.rows if r.design == "pathways")
    reference = ablation(data, design="pathways", family=plan.families[0], n_removed=4, n_random=3, budget=plan, seed=1)
    honest, study = reference.honest, reference.study
    assert ablated.same_configuration == honest.same_configuration.balanced_accuracy.value
    assert ablated.new_sweep == honest.new_sweep.balanced_accuracy.value
    assert ablated.study == study.cross_validated.balanced_accuracy.value
    assert ablated.fall == row.honest.performance.balanced_accuracy.value - ablated.same_configuration
    assert result.choice is not None
    assert result.falls is not None
    rows = [null.honest for null in result.nulls]
    assert (result.choice.honest.permuted >= np.max([one.permuted for one in rows], axis=0)).all()
    assert result.choice.honest.observed == max(*(one.observed for one in rows), ablated.new_sweep)
    assert result.falls.study.observed == ablated.study_fall
    assert "4 rows and 1 without their top features" in result.headline()
    with pytest.raises(AblationError, match="cannot be removed"):
        micro_cohort_study(data, budget=replace(plan, removals=(replace(removal, n_removed=999),)))


def test_a_row_named_beforehand_is_the_headline_and_alone_permuted(data: StudyData) -> None:
    plan = replace(SMALL, primary=("pathways", "logistic regression"))
    result = micro_cohort_study(data, budget=plan, seed=1)
    assert [(n.design, n.family) for n in result.nulls] == [plan.primary]
    assert result.choice is None
    assert "(pathways, logistic regression; named beforehand)" in result.headline()


def test_the_choice_among_rows_of_noise_is_inside_the_null() -> None:
    """Five studies of noise: the best row looks good, its own p says so, the null with the choice does not."""
    naive, honest = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = np.arange(16) % 2
        designs = tuple(
            Design(f"noise {k}", rng.normal(size=(16, 12)).astype(np.float32), tuple(f"f{i}" for i in range(12)))
            for k in range(4)
        )
        noise = StudyData(tuple(map(str, range(16))), y, "a", "b", designs, (), True)
        plan = Budget(families=(Logistic(c=(1.0,), l1_ratio=(0.0,)),), permutations=9, level=0.1)
        result = micro_cohort_study(noise, budget=plan, seed=seed)
        assert result.choice is not None
        naive.append(min(null.honest.p_value for null in result.nulls))
        honest.append(result.choice.honest.p_value)
    assert np.mean(naive) < 0.4
    assert np.mean(honest) > 0.5


def test_too_few_permutations_for_the_level_are_refused_with_the_number_needed(data: StudyData) -> None:
    with pytest.raises(StudyError, match=r"9 permutations can give no p below 0\.1[\s\S]*at least 19"):
        micro_cohort_study(data, budget=Budget(permutations=9))


def test_a_study_that_was_stopped_goes_on_and_ends_the_same(data: StudyData, result: StudyResult) -> None:
    done: dict[str, Any] = {}
    computed: list[str] = []

    def until(limit: int) -> Callable[[str, Callable[[], Any]], Any]:
        def pieces(key: str, compute: Callable[[], Any]) -> Any:
            if key not in done:
                if len(computed) == limit:
                    raise KeyboardInterrupt
                computed.append(key)
                done[key] = compute()
            return done[key]

        return pieces

    with pytest.raises(KeyboardInterrupt):
        micro_cohort_study(data, budget=SMALL, seed=1, pieces=until(7))
    again = micro_cohort_study(data, budget=SMALL, seed=1, pieces=until(999))
    assert len(computed) == len(set(computed)) == 2 * 12 + 3
    assert plain(again) == plain(result)


def test_every_fit_runs_on_one_thread(data: StudyData) -> None:
    from threadpoolctl import threadpool_info

    seen: list[int] = []

    def look(_key: str, compute: Callable[[], Any]) -> Any:
        seen.append(max(library["num_threads"] for library in threadpool_info()))
        return compute()

    micro_cohort_study(data, budget=Budget(families=(Logistic(c=(1.0,)),), permutations=0), pieces=look)
    assert set(seen) == {1}


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
    quick = Budget(families=(Logistic(c=(1.0,)),), permutations=2, level=0.34)
    micro_cohort_study(data, budget=quick, progress=lambda *step: seen.append(step))
    assert seen[:2] == [
        ("study's protocol: one transcriptome, logistic regression", 0, 8),
        ("honest protocol: one transcriptome, logistic regression", 1, 8),
    ]
    assert ("protocols", 8, 8) in seen
    assert seen[-1] == ("permuted labels, whole study", 2, 2)


def test_a_primary_row_that_is_not_there_is_refused_before_anything_runs(data: StudyData) -> None:
    with pytest.raises(StudyError, match="no family 'random forest'"):
        micro_cohort_study(data, budget=Budget(families=(Logistic(),), primary=("pathways", "random forest")))


def test_without_permutations_nothing_is_permuted(data: StudyData) -> None:
    quick = Budget(families=(Logistic(c=(1.0,)),), permutations=0)
    assert micro_cohort_study(data, budget=quick).nulls == ()
    assert full_budget().permutations == 199
