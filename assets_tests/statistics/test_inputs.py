import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clinical_assets.statistics as room
from assets_tests.worlds.tables.outcomes import risks
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.statistics.calibration import calibration, smooth_calibration, updating
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.decisions import cost_curve, net_benefit
from clinical_assets.statistics.discrimination import classification, discrimination
from clinical_assets.statistics.inputs import InvalidArray, as_codes, as_vector, binary_sample

Y, P = risks(60, seed=3)

MEASURES: dict[str, Callable[[Any, Any], object]] = {
    "auroc": discrimination.auroc,
    "auprc": discrimination.auprc,
    "auroc_statistic": discrimination.auroc_statistic,
    "threshold_metrics": lambda y, p: classification.threshold_metrics(y, p, threshold=0.3),
    "brier": calibration.brier,
    "scaled_brier": calibration.scaled_brier,
    "calibration_intercept": calibration.calibration_intercept,
    "calibration_slope": calibration.calibration_slope,
    "observed_expected_ratio": calibration.observed_expected_ratio,
    "calibration_indices": smooth_calibration.calibration_indices,
    "calibration_plot": smooth_calibration.calibration_plot,
    "net_benefit": lambda y, p: net_benefit.net_benefit(y, p, threshold=0.3),
    "decision_curve": net_benefit.decision_curve,
    "expected_cost": lambda y, p: net_benefit.expected_cost(y, p, threshold=0.3, c_fp=1, c_fn=2),
    "cost_curve": lambda y, p: cost_curve.cost_curve(y, p, c_fp=1, c_fn=2),
    "business_table": lambda y, p: cost_curve.business_table(y, p, c_fp=1, c_fn=2),
    "fit_recalibration": updating.fit_recalibration,
    "choose_update": updating.choose_update,
}
PROBABILITY_ONLY = sorted(set(MEASURES) - {"auroc", "auprc", "auroc_statistic", "fit_recalibration", "choose_update"})


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_every_measure_refuses_a_score_that_is_not_a_finite_number(name: str, bad: float) -> None:
    p = P.copy()
    p[7] = bad
    with pytest.raises(InvalidArray, match="position 7"):
        MEASURES[name](Y, p)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_refuses_outcomes_other_than_0_and_1(name: str) -> None:
    y = Y.copy()
    y[5] = 2
    with pytest.raises(InvalidArray, match="position 5"):
        MEASURES[name](y, P)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("only", [0.0, 1.0])
def test_every_measure_says_that_a_missing_class_is_insufficient_and_how_to_cure_it(name: str, only: float) -> None:
    with pytest.raises(InsufficientData) as caught:
        MEASURES[name](np.full(P.size, only), P)
    assert caught.value.cure


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_refuses_arrays_of_different_length(name: str) -> None:
    with pytest.raises(InvalidArray, match="60"):
        MEASURES[name](Y, P[:-1])


@pytest.mark.parametrize("name", PROBABILITY_ONLY)
@pytest.mark.parametrize("bad", [0.0, 1.0, -0.2, 1.3])
def test_risks_must_lie_strictly_between_0_and_1(name: str, bad: float) -> None:
    p = P.copy()
    p[0] = bad
    with pytest.raises(InvalidArray, match="strictly between 0 and 1"):
        MEASURES[name](Y, p)


def test_a_ranking_needs_no_probabilities() -> None:
    assert discrimination.auroc(Y, logit(P)) == discrimination.auroc(Y, P)


@pytest.mark.parametrize("weights", [np.full(59, 1.0), np.full(60, -1.0), np.full(60, np.nan)])
def test_weights_must_fit_and_not_be_negative(weights: np.ndarray) -> None:
    with pytest.raises(InvalidArray, match="weights"):
        binary_sample(Y, P, weights)


def test_weights_that_hide_a_class_leave_it_missing() -> None:
    with pytest.raises(InsufficientData, match="0 events"):
        binary_sample(Y, P, 1 - Y)


def test_a_refusal_is_both_a_project_error_and_a_value_error() -> None:
    with pytest.raises(ValueError, match="not numeric") as caught:
        as_vector(["high", "low"], name="p")
    assert isinstance(caught.value, ClinicalAssetsError)


def test_group_labels_may_be_text_and_none_may_be_missing() -> None:
    codes, count = as_codes(np.array(["b", "a", "b"]), n=3, name="groups")
    assert codes.tolist() == [1, 0, 1]
    assert count == 2
    with pytest.raises(InvalidArray, match="position 1"):
        as_codes(np.array([0.0, np.nan, 1.0]), n=3, name="groups")


def test_the_room_loads_without_heavy_libraries() -> None:
    modules = [f"clinical_assets.statistics.{p.stem}" for p in Path(room.__path__[0]).glob("*.py")]
    heavy = {"scipy", "sklearn", "pandas", "statsmodels", "matplotlib", "dagster", "duckdb", "mlflow"}
    script = f"import {', '.join(modules)}, sys; print(sorted({heavy!r} & set(sys.modules)))"
    root = Path(room.__path__[0]).parents[1]
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert loaded.stdout.strip() == "[]"
