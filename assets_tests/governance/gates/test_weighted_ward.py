"""A cohort with case weights from file to verdict: kept with the rows, used by every gate, asked of no new record."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.descriptions import case_weight
from assets_tests.worlds.ward.trained import DESCRIPTION, Trained, train
from clinical_assets.cohorts.tables import CASE_WEIGHT
from clinical_assets.governance.gates.bias import gate as bias
from clinical_assets.governance.gates.bias.group_differences import differences
from clinical_assets.governance.gates.holdout import holdout_of
from clinical_assets.governance.gates.performance import gate as performance
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.trainings.reference import case_weights, read_reference
from clinical_assets.warehouse.outcomes.batch_spec import batch_spec


def _with_weights(subjects: list[dict[str, Any]], _visits: list[dict[str, Any]]) -> None:
    for number, row in enumerate(subjects):
        row["stands_for"] = 1 if row["died"] == "yes" else 2 + number % 5


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    tables = copy.deepcopy(DESCRIPTION["tables"])
    tables["subjects"]["columns"]["stands_for"] = case_weight()
    return train(tmp_path_factory.mktemp("weighted"), change=_with_weights, description={"tables": tables})


def test_weights_are_kept_with_the_rows_of_the_training_and_no_feature_sees_them(weighted: Trained) -> None:
    candidate = weighted.candidate()
    with candidate.warehouse.reader() as connection:
        rows = read_reference(connection, weighted.digest)
    assert rows.filter(pl.col("outcome") == 1)[CASE_WEIGHT].unique().to_list() == [1.0]
    assert rows.filter(pl.col("outcome") == 0)[CASE_WEIGHT].min() == 2.0
    assert CASE_WEIGHT not in candidate.bundle.feature_columns
    assert "stands_for" not in candidate.bundle.statement
    assert "stands_for" not in batch_spec(candidate.spec, {"subjects": "subjects.csv"}).subjects.columns


def test_the_performance_gate_judges_the_weighted_holdout(weighted: Trained) -> None:
    candidate = weighted.candidate()
    holdout = holdout_of(candidate)
    found = {verdict.criterion: verdict for verdict in performance.evaluate(candidate)}
    alone = evaluate(
        holdout.y, holdout.risk, decisions=candidate.spec.decisions, weights=holdout.weights, n_resamples=20
    )
    plain = evaluate(holdout.y, holdout.risk, decisions=candidate.spec.decisions, n_resamples=20)
    for name in ("auroc", "calibration_slope", "calibration_intercept"):
        assert found[name].value == pytest.approx(alone.metrics[name].value)
        assert (found[name].n, found[name].events) == (holdout.n, holdout.events)
    assert found["calibration_intercept"].value != pytest.approx(plain.metrics["calibration_intercept"].value, abs=0.3)
    benefit = alone.metrics["net_benefit"].value
    assert found["net_benefit_over_treat_none"].value == pytest.approx(benefit)
    assert found["net_benefit_over_treat_all"].value == pytest.approx(
        benefit - alone.metrics["net_benefit_treat_all"].value
    )
    assert found["scores_reproduced"].verdict == "pass"
    assert found["outcomes_recomputed"].verdict == "pass"


def test_the_bias_gate_compares_weighted_rates_and_counts_records(weighted: Trained) -> None:
    candidate = weighted.candidate()
    holdout = holdout_of(candidate)
    north = holdout.rows["protected_region"].to_numpy() == "north"
    threshold = candidate.bundle.description.threshold
    assert holdout.weights is not None
    alert, event = holdout.risk >= threshold, holdout.y == 1
    expected = [np.average(alert[~event & part], weights=holdout.weights[~event & part]) for part in (north, ~north)]
    found = differences(holdout.y, holdout.risk, north, threshold=threshold, weights=holdout.weights, n_resamples=50)[
        "fpr_difference"
    ]
    assert not isinstance(found, Exception)
    assert found.value == pytest.approx(expected[0] - expected[1])
    verdicts = {verdict.criterion: verdict for verdict in bias.evaluate(candidate)}
    rates = [verdict for name, verdict in verdicts.items() if name.startswith("fpr_difference[region=")]
    assert abs(rates[0].value or 0) == pytest.approx(abs(found.value))
    sizes = verdicts["group_size[region]"].evidence["rows"]
    assert sum(sizes.values()) == holdout.n


def test_a_feature_of_that_name_is_no_case_weight() -> None:
    rows = pl.DataFrame({CASE_WEIGHT: [1.0, 2.0]})
    assert case_weights(rows, (CASE_WEIGHT,)) is None
    np.testing.assert_allclose(case_weights(rows, ("age_years",)), [2 / 3, 4 / 3])  # type: ignore[arg-type]
    assert case_weights(pl.DataFrame({CASE_WEIGHT: [3.0, 3.0]}), ()) is None


def test_the_results_say_that_figures_are_weighted(weighted: Trained) -> None:
    results = weighted.training.results
    (said,) = [warning for warning in results.warnings if warning.code == "case_weights"]
    assert "of equal weight" in said.message
    assert results.rates
