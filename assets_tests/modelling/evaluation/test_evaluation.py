"""The report repeats what the statistics say, by subject where subjects repeat, and never invents a number."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sklearn_metrics

from assets_tests.worlds.tables.training import make_spec
from clinical_assets.cohorts.decisions import Decisions
from clinical_assets.modelling.evaluation.evaluation import RATES, evaluate, threshold_grid
from clinical_assets.modelling.evaluation.subgroups import SHOWN, UNKNOWN, subgroup_rows
from clinical_assets.modelling.table.resampled import rate_parts
from clinical_assets.modelling.table.sample_size import people_of, state_sample_size
from clinical_assets.statistics.sample_size import development_sample_size, r2_from_auroc

DECISIONS = make_spec().decisions
T = DECISIONS.costs.threshold


def _world(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=n) * 1.3 - 0.8
    p = 1 / (1 + np.exp(-log_odds))
    return (rng.random(n) < p).astype(int), p


def test_values_equal_scikit_learn_and_lie_inside_their_intervals() -> None:
    y, p = _world()
    report = evaluate(y, p, decisions=DECISIONS, n_resamples=200)
    alert = p >= T
    expected = {
        "auroc": sklearn_metrics.roc_auc_score(y, p),
        "auprc": sklearn_metrics.average_precision_score(y, p),
        "brier": sklearn_metrics.brier_score_loss(y, p),
        "sensitivity": sklearn_metrics.recall_score(y, alert),
        "specificity": sklearn_metrics.recall_score(y, alert, pos_label=0),
        "ppv": sklearn_metrics.precision_score(y, alert),
        "f1": sklearn_metrics.f1_score(y, alert),
        "number_needed_to_evaluate": 1 / sklearn_metrics.precision_score(y, alert),
    }
    for name, value in expected.items():
        assert report.metrics[name].value == pytest.approx(value), name
    assert not report.insufficient
    for name, estimate in report.metrics.items():
        assert estimate.ci_low <= estimate.value <= estimate.ci_high, name
        assert (estimate.n, estimate.level) == (400, 0.95) or name in RATES, name
    assert report.decision_curve is not None
    assert report.calibration is not None


def test_expected_cost_is_the_cost_identity_of_net_benefit() -> None:
    y, p = _world()
    found = evaluate(y, p, decisions=DECISIONS, n_resamples=50).metrics
    c_fn = DECISIONS.costs.false_negative
    assert found["expected_cost"].value == pytest.approx(c_fn * (y.mean() - found["net_benefit"].value))
    better = max(found["net_benefit_treat_all"].value, 0)
    assert found["net_benefit_advantage"].value == pytest.approx(found["net_benefit"].value - better)


def test_repeated_rows_of_a_subject_keep_the_values_and_do_not_narrow_the_intervals() -> None:
    y, p = _world(200)
    once = evaluate(y, p, decisions=DECISIONS, n_resamples=300)
    subjects = np.repeat(np.arange(200), 3)
    thrice = evaluate(np.repeat(y, 3), np.repeat(p, 3), decisions=DECISIONS, groups=subjects, n_resamples=300)
    naive = evaluate(np.repeat(y, 3), np.repeat(p, 3), decisions=DECISIONS, n_resamples=300)
    assert set(once.metrics) == set(thrice.metrics)
    for name, estimate in once.metrics.items():
        # More records give the calibration curve more knots, so its indices may move.
        if name not in ("ici", "e50", "e90"):
            assert thrice.metrics[name].value == pytest.approx(estimate.value, abs=1e-9), name
    for name in ("auroc", "brier", "calibration_slope", "sensitivity", "net_benefit", "expected_cost"):
        widths = [found.metrics[name].ci_high - found.metrics[name].ci_low for found in (once, thrice, naive)]
        assert widths[1] > 0.75 * widths[0] > 1.2 * widths[2] * 0.75, name


def test_rates_of_several_subjects_are_the_rates_of_rows() -> None:
    y, p = _world(150)
    rates = evaluate(y, p, decisions=DECISIONS, leave_out=frozenset({"auprc", "ici", "curves"}), n_resamples=20)
    for name, (top, bottom) in rate_parts(y, p, threshold=T).items():
        assert rates.metrics[name].value == pytest.approx(top.sum() / bottom.sum()), name


def test_a_holdout_of_one_class_gives_reasons_and_no_numbers() -> None:
    report = evaluate(np.zeros(30, dtype=int), np.full(30, 0.2), decisions=DECISIONS)
    assert report.metrics == {}
    assert {"auroc", "brier", "ici", "net_benefit", "sensitivity", "decision_curve"} <= set(report.insufficient)
    assert all(report.insufficient.values())
    assert (report.decision_curve, report.calibration) == (None, None)


def test_a_rate_without_a_denominator_is_insufficient() -> None:
    y, p = _world(100)
    report = evaluate(y, p * 0.9 * T, decisions=DECISIONS, n_resamples=50)
    assert "ppv" not in report.metrics
    assert "threshold" in report.insufficient["ppv"]
    assert report.metrics["sensitivity"].value == 0


def test_several_classes_have_their_own_measures_beside_those_of_the_action_risk() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([3, 2, 1], 300)
    y = (p.cumsum(axis=1) < rng.random((300, 1))).sum(axis=1)
    report = evaluate(y, p, decisions=DECISIONS, action_from=2, n_resamples=100)
    found = report.metrics
    ovr = [sklearn_metrics.roc_auc_score(y == k, p[:, k]) for k in range(3)]
    assert [found[f"auroc_class_{k}"].value for k in range(3)] == pytest.approx(ovr)
    assert found["macro_auroc"].value == pytest.approx(np.mean(ovr))
    kappa = sklearn_metrics.cohen_kappa_score(y, p.argmax(axis=1), weights="quadratic")
    assert found["quadratic_kappa"].value == pytest.approx(kappa)
    assert found["auroc"].value == pytest.approx(sklearn_metrics.roc_auc_score(y == 2, p[:, 2]))
    assert 0 < found["ranked_probability_score"].value < 1
    grouped = evaluate(y, p, decisions=DECISIONS, action_from=2, groups=np.arange(300) // 2, n_resamples=100).metrics
    for name, estimate in found.items():
        assert grouped[name].value == pytest.approx(estimate.value, abs=1e-9), name


def test_many_rows_get_the_closed_form_interval_of_the_precision_recall_area() -> None:
    y, p = _world(51_000)
    leave_out = frozenset({"ici", "curves"})
    found = evaluate(y, p, decisions=DECISIONS, leave_out=leave_out, n_resamples=20).metrics["auprc"]
    assert found.method == "logit"
    assert found.value == pytest.approx(sklearn_metrics.average_precision_score(y, p))


def _thresholds(**changes: object) -> np.ndarray:
    plain = DECISIONS.model_dump(mode="json", exclude={"threshold_range"})
    return threshold_grid(Decisions.model_validate({**plain, **changes}))


def test_a_described_threshold_range_is_walked_in_hundredths_with_its_ends() -> None:
    assert _thresholds(threshold_range=[0.123, 0.2]).tolist() == pytest.approx([0.123, *np.arange(0.13, 0.201, 0.01)])


@pytest.mark.parametrize(("c_fn", "t"), [(1, 0.5), (4, 0.2), (99, 0.01), (0.25, 0.8)])
def test_without_a_range_the_curve_reaches_around_the_operating_threshold(c_fn: float, t: float) -> None:
    grid = _thresholds(costs={"false_positive": 1, "false_negative": c_fn, "rationale": "For tests."})
    assert np.isclose(grid, t).any()
    assert grid[0] <= t / 4 + 1e-9
    assert grid[-1] >= min(4 * t, 0.99) - 1e-9
    assert (np.diff(grid) > 0).all()
    assert np.diff(grid).max() <= 0.0101


def test_subgroups_are_estimated_alone_and_small_ones_are_insufficient() -> None:
    y, p = _world(400)
    sex = np.array(["f", "m", None], dtype=object)[np.random.default_rng(1).choice(3, 400, p=[0.6, 0.35, 0.05])]
    frame = pl.DataFrame({"sex": pl.Series(sex.tolist(), dtype=pl.String)})
    rows = {row.group: row for row in subgroup_rows(y, p, frame, sample="holdout", decisions=DECISIONS)}
    assert set(rows) == {"f", "m", UNKNOWN}
    assert sum(row.n for row in rows.values()) == 400
    assert sum(row.events for row in rows.values()) == y.sum()
    small = rows[UNKNOWN]
    assert (small.status, small.metrics) == ("insufficient", {})
    assert "at least 50" in small.reason
    mine = sex == "f"
    assert rows["f"].status == "ok"
    assert rows["f"].metrics["auroc"].value == pytest.approx(sklearn_metrics.roc_auc_score(y[mine], p[mine]))
    assert set(rows["f"].metrics) == set(SHOWN)


def test_a_subgroup_without_events_is_insufficient_however_large() -> None:
    y, p = _world(200)
    group = pl.DataFrame({"site": np.where(y == 1, "a", "b")})
    rows = subgroup_rows(y, p, group, sample="holdout", decisions=DECISIONS)
    assert {row.status for row in rows if row.n >= 50} == {"insufficient"}
    assert any("both outcomes" in row.reason for row in rows)


def test_people_are_counted_once_and_have_an_event_if_any_of_their_rows_has() -> None:
    assert people_of(["a", "a", "b", "c", "c"], [False, True, False, True, True]) == (3, 2)
    assert people_of(range(5), [True, False, False, False, True]) == (5, 2)


def test_the_sample_size_statement_follows_riley() -> None:
    found = state_sample_size(n=500, events=100, n_parameters=20, auroc=0.75)
    needed = development_sample_size(n_parameters=20, prevalence=0.2, r2_cox_snell=r2_from_auroc(0.75, prevalence=0.2))
    assert (found.required, found.is_met) == (needed.required, needed.is_met_by(500))
    assert found.events_per_parameter == 5
    assert "NOT met" in found.statement
    for auroc in (None, 0.45, 0.5000001, 0.9999999):
        assert state_sample_size(n=500, events=100, n_parameters=20, auroc=auroc).required > 0
    assert "assumed" in state_sample_size(n=500, events=100, n_parameters=20, auroc=0.4).r2_source
