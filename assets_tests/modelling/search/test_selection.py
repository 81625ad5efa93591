"""The criterion decides where it can tell candidates apart, the proper score next, simplicity last."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_assets.cohorts.decisions import Costs
from clinical_assets.modelling.search.selection import _paired_error, select
from clinical_assets.modelling.table.row_losses import action_risk, as_matrix, cost_losses, mean_auroc, proper_losses
from clinical_assets.statistics.decisions.net_benefit import expected_cost
from clinical_assets.statistics.discrimination.discrimination import auroc
from clinical_assets.statistics.discrimination.multiclass import one_vs_rest_auroc, ranked_probability_score

COSTS = Costs(false_positive=1, false_negative=4, rationale="test")


def _world(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=n) * 1.5 - 1
    p = 1 / (1 + np.exp(-log_odds))
    return (rng.random(n) < p).astype(int), p


def _noisy(p: np.ndarray, amount: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=p.size) * amount
    return 1 / (1 + np.exp(-(np.log(p / (1 - p)) + noise)))


@pytest.mark.parametrize("criterion", ["expected_cost", "brier", "auroc", "ranked_probability_score"])
def test_a_clearly_better_candidate_wins_though_it_is_complex(criterion: str) -> None:
    y, p = _world()
    choice = select({"logistic_ridge": _noisy(p, 2.5), "mlp": p}, y, criterion=criterion, costs=COSTS)
    assert choice.selected == "mlp"
    ridge = choice.standings[0]
    assert not ridge.tied
    assert ridge.lead > 1.96 * ridge.lead_error > 0


def test_the_simplest_of_equal_candidates_wins() -> None:
    y, p = _world()
    risks = {"xgboost": _noisy(p, 0.02, 3), "lightgbm": p, "logistic_ridge": _noisy(p, 0.02, 2)}
    choice = select(risks, y, criterion="expected_cost", costs=COSTS)
    assert choice.selected == "logistic_ridge"
    assert "simpler" in choice.reason or "least proper score" in choice.reason
    assert [standing.candidate for standing in choice.standings] == list(risks)


def test_of_candidates_with_tied_costs_the_better_calibrated_wins() -> None:
    y, p = _world()
    # The same side of the threshold everywhere, hence the same cost, but risks pushed away from the truth.
    far = np.where(p >= COSTS.threshold, 0.5 + p / 2, p / 4)
    choice = select({"logistic_ridge": far, "random_forest": p}, y, criterion="expected_cost", costs=COSTS)
    assert [standing.lead for standing in choice.standings] == [0, 0]
    assert choice.selected == "random_forest"


def test_a_single_candidate_is_chosen_with_that_reason() -> None:
    y, p = _world(100)
    choice = select({"mlp": p}, y, criterion="expected_cost", costs=COSTS)
    assert (choice.selected, choice.reason) == ("mlp", "mlp is the only candidate.")


def test_the_paired_error_is_that_of_a_mean_and_counts_subjects_once() -> None:
    d = np.random.default_rng(0).normal(size=300)
    assert _paired_error(d, None) == pytest.approx(d.std(ddof=1) / np.sqrt(300))
    assert _paired_error(np.repeat(d, 4), np.repeat(np.arange(300), 4)) == pytest.approx(_paired_error(d, None))
    assert _paired_error(d, np.zeros(300, dtype=int)) == np.inf


def test_losses_have_the_means_that_the_statistics_give() -> None:
    y, p = _world(500)
    assert proper_losses(y, p).mean() == pytest.approx(((y - p) ** 2).mean())
    cost = expected_cost(y, p, threshold=COSTS.threshold, c_fp=1, c_fn=4).value
    assert cost_losses(y, p, costs=COSTS, action_from=1).mean() == pytest.approx(cost)
    assert mean_auroc(y, p) == pytest.approx(auroc(y, p).value)
    rng = np.random.default_rng(0)
    classes, matrix = rng.integers(0, 4, 500), rng.dirichlet(np.ones(4), 500)
    assert proper_losses(classes, matrix).mean() == pytest.approx(ranked_probability_score(classes, matrix).value)
    macro = np.mean([estimate.value for estimate in one_vs_rest_auroc(classes, matrix)])
    assert mean_auroc(classes, matrix) == pytest.approx(macro)


def test_the_risk_that_costs_speak_of_is_that_of_the_action_class_or_worse() -> None:
    matrix = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    np.testing.assert_allclose(action_risk(matrix, action_from=2), matrix[:, 2] + matrix[:, 3])
    y = np.random.default_rng(1).integers(0, 4, 50)
    expected = cost_losses((y >= 2).astype(int), matrix[:, 2:].sum(axis=1), costs=COSTS, action_from=1)
    np.testing.assert_array_equal(cost_losses(y, matrix, costs=COSTS, action_from=2), expected)
    np.testing.assert_array_equal(as_matrix(matrix), matrix)
    np.testing.assert_allclose(as_matrix(matrix[:, 0]).sum(axis=1), 1)
