"""Measures of censored outcomes are those of R's riskRegression and survival, on two sets of records.

``survival_figures.json`` holds what ``benchmarks/survival_measures.R`` printed. GBSG-2 comes with lifelines;
``synthetic.csv`` was drawn by that script and has competing events.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration import calibration
from clinical_assets.statistics.calibration.smooth_calibration import calibration_indices
from clinical_assets.statistics.decisions.net_benefit import net_benefit
from clinical_assets.statistics.discrimination.discrimination import auroc_statistic
from clinical_assets.statistics.survival.censored_outcomes import CensoredOutcomes, censored_outcomes
from clinical_assets.statistics.survival.censoring_weights import censoring_weights
from clinical_assets.statistics.survival.incidence import risk_at_horizon
from clinical_assets.statistics.survival.observed_expected import observed_expected_at_horizon, observed_groups
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap

HERE = Path(__file__).parent
FIGURES = json.loads((HERE / "survival_figures.json").read_text(encoding="utf-8"))["data"]
Judged = tuple[dict[str, Any], CensoredOutcomes, FloatArray]


def gbsg2() -> pl.DataFrame:
    from lifelines.datasets import load_gbsg2

    women = pl.DataFrame({name: column.to_numpy() for name, column in load_gbsg2().items()})
    nodes, grade, receptors = women["pnodes"].clip(0, 15), women["tgrade"] == "III", women["progrec"].clip(0, 1000)
    log_odds = -1.7 + 0.1 * nodes + 0.3 * grade.cast(int) - 0.001 * receptors
    return women.select("time", pl.col("cens").alias("event"), (1 / (1 + (-log_odds).exp())).alias("risk"))


@pytest.fixture(scope="module", params=[figures["name"] for figures in FIGURES])
def judged(request: pytest.FixtureRequest) -> Judged:
    figures = next(each for each in FIGURES if each["name"] == request.param)
    rows = gbsg2() if request.param == "gbsg2" else pl.read_csv(HERE / "synthetic.csv")
    outcomes = censored_outcomes(rows["time"], rows["event"], horizon=figures["horizon"])
    assert int((~outcomes.known).sum()) == figures["censored_before"]
    return figures, outcomes, rows["risk"].to_numpy()


def test_weighted_auroc_brier_score_and_prediction_accuracy_are_those_of_riskregression(judged: Judged) -> None:
    figures, outcomes, risk = judged
    y, weights = outcomes.outcome, censoring_weights(outcomes)
    area = bootstrap(
        auroc_statistic(y, risk), y.size, events=y.sum(), weights=weights, groups=range(y.size), n_resamples=400
    )
    # The last digit of a risk decides on ties.
    assert area.value == pytest.approx(figures["auroc"], abs=1e-6)
    # The resampled interval is about as wide as that of the influence function.
    assert area.ci_low == pytest.approx(figures["auroc_low"], abs=0.012)
    assert area.ci_high == pytest.approx(figures["auroc_high"], abs=0.012)
    assert calibration.brier(y, risk, weights=weights).value == pytest.approx(figures["brier"], abs=1e-9)
    assert calibration.scaled_brier(y, risk, weights=weights).value == pytest.approx(figures["scaled_brier"], abs=1e-9)


def test_observed_risk_and_its_ratio_to_the_expected_are_those_of_survfit(judged: Judged) -> None:
    figures, outcomes, risk = judged
    found = risk_at_horizon(outcomes)
    assert found.value == pytest.approx(figures["observed_risk"], abs=1e-9)
    hazards = -np.log1p(-np.array([found.ci_low, found.ci_high]))
    error = np.log(hazards[1] / hazards[0]) / (2 * 1.959964) * -np.log1p(-found.value) * (1 - found.value)
    assert error == pytest.approx(figures["observed_risk_se"], rel=1e-6)
    ratio = observed_expected_at_horizon(outcomes, risk)
    assert ratio.value == pytest.approx(figures["observed_expected_ratio"], abs=1e-9)
    groups = observed_groups(outcomes, risk, n_bins=5)
    assert groups.predicted == pytest.approx(figures["group_predicted"], abs=1e-9)
    assert groups.observed == pytest.approx(figures["group_observed"], abs=1e-9)


def test_net_benefit_and_the_smooth_curve_are_near_those_of_other_estimators(judged: Judged) -> None:
    figures, outcomes, risk = judged
    y, weights = outcomes.outcome, censoring_weights(outcomes)
    # Vickers 2008 takes a Kaplan-Meier risk within the alerts, here the censoring of all counts.
    benefit = net_benefit(y, risk, threshold=figures["threshold"], weights=weights)
    assert benefit.value == pytest.approx(figures["net_benefit_km"], abs=0.01)
    # Austin et al. 2020 fit a Cox model on a spline of log(-log(1 - risk)).
    indices = calibration_indices(y, risk, weights=weights, n_resamples=20)
    assert indices.ici.value == pytest.approx(figures["ici_cox"], abs=0.4 / np.sqrt(y.size))
