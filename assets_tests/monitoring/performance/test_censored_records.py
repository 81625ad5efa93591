"""Monitoring of outcomes that take time: heavy censoring leaves O/E and AUROC unbiased, leaving people out does not."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.sql_cohorts import with_visits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.evaluation.evaluation import Evaluation
from clinical_assets.modelling.evaluation.followed import with_the_censored
from clinical_assets.monitoring.performance.followed_records import followed_risks, known_records, weights_of
from clinical_assets.monitoring.performance.performance import performance_report
from clinical_assets.monitoring.updates.closed_tests import smallest_adequate
from clinical_assets.statistics.discrimination.discrimination import auroc, auroc_statistic
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap

HORIZON = 365
BUNDLE = cast("Bundle", SimpleNamespace(description=SimpleNamespace(action_from=1)))


@pytest.fixture(scope="module")
def spec() -> CohortSpec:
    """A cohort whose outcome is death within a year, where transplantation competes."""
    variables = {
        "time_column": "followed_days",
        "event_column": "status",
        "event_values": ["event"],
        "competing_values": ["other death"],
        "horizon_days": HORIZON,
    }
    return with_visits(landmark_days=0, vars=variables)


def watched(n: int, *, seed: int, ends: float = 500.0) -> pl.DataFrame:
    """Records of a model whose risks are right, of people who are lost at any day up to `ends` (synthetic)."""
    rng = np.random.default_rng(seed)
    hazard, other = np.exp(rng.normal(-6.6, 0.9, n)), np.full(n, 3e-4)
    time, death, end = rng.exponential(1 / hazard), rng.exponential(1 / other), rng.uniform(1, ends, n)
    first = np.minimum(time, death)
    days, code = np.minimum(first, end), np.where(end < first, 0, np.where(time < death, 1, 2))
    outcome = np.where((code == 0) & (days < HORIZON), np.nan, (code == 1) & (days <= HORIZON))
    total = hazard + other
    return pl.DataFrame(
        {
            "subject_id": [f"p{number}" for number in range(n)],
            "risk": hazard / total * -np.expm1(-total * HORIZON),
            "outcome": pl.Series(outcome, nan_to_null=True).cast(pl.Int32),
            "follow_up_days": days,
            "event_code": code.astype(np.int32),
            "scored_at": [f"2025-01-01T00:00:00.{number:06d}+00:00" for number in range(n)],
            "known_at": "2026-06-01T00:00:00.000000+00:00",
            "acted": pl.Series([None] * n, dtype=pl.Boolean),
        }
    )


def test_with_heavy_censoring_intervals_hold_the_truth_where_leaving_out_is_biased(spec: CohortSpec) -> None:
    everybody = watched(40_000, seed=999, ends=1e9)
    true_auroc = auroc(everybody["outcome"], everybody["risk"]).value
    held: dict[str, list[bool]] = {"auroc": [], "ratio": [], "left out": []}
    ratios, censored = [], []
    for seed in range(100):
        rows = watched(500, seed=seed)
        known, followed = known_records(rows, spec), followed_risks(rows, spec)
        assert followed is not None
        y, risk = known["outcome"].to_numpy(), known["risk"].to_numpy()
        area = bootstrap(
            auroc_statistic(y, risk),
            y.size,
            events=y.sum(),
            weights=weights_of(known),
            groups=range(y.size),
            n_resamples=200,
            seed=seed,
        )
        held["auroc"].append(area.ci_low <= true_auroc <= area.ci_high)
        ratio = with_the_censored(Evaluation(0, 0, {}, {}, None, None), followed).metrics["observed_expected_ratio"]
        held["ratio"].append(ratio.ci_low <= 1 <= ratio.ci_high)
        ratios.append(ratio.value)
        held["left out"].append(ratio.ci_low <= y.mean() / risk.mean() <= ratio.ci_high)
        censored.append(rows["outcome"].null_count() / rows.height)
    assert np.mean(censored) > 0.45
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert np.mean(held["auroc"]) >= 0.9
    assert np.mean(held["ratio"]) >= 0.9
    # What was left out before: the share of events among those whose outcome is known.
    assert np.mean(held["left out"]) < 0.5


def test_the_report_counts_the_known_and_weighs_them_for_the_censored(spec: CohortSpec) -> None:
    rows = watched(800, seed=3)
    card: dict[str, Any] = {"metrics": {}}
    found = performance_report(rows, spec, BUNDLE, card=card, unlabelled=None)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.verdict == "as promised"
    assert found.n == rows["outcome"].count()
    assert f"{800 - found.n} more were censored before the horizon" in found.summary
    assert "observed_risk" in {row["measure"] for row in found.rows()}
    metrics = found.arms["all"].metrics
    assert metrics["observed_expected_ratio"].n == metrics["observed_risk"].n == 800
    assert metrics["observed_expected_ratio"].value == pytest.approx(1, abs=0.2)
    assert metrics["calibration_intercept"].ci_low < 0 < metrics["calibration_intercept"].ci_high
    # As before, without them: risks that look far too low.
    left_out = performance_report(rows.drop_nulls("outcome"), spec, BUNDLE, card=card, unlabelled=None)
    assert left_out.verdict == "worse"
    assert "observed_risk" not in left_out.arms["all"].metrics


def test_few_events_among_the_censored_are_no_sign_of_a_wrong_model(spec: CohortSpec) -> None:
    limits = spec.monitoring.model_copy(update={"minimum_events": 10_000})
    rare = spec.model_copy(update={"monitoring": limits})
    card: dict[str, Any] = {"metrics": {}}
    assert performance_report(watched(800, seed=3), rare, BUNDLE, card=card, unlabelled=None).verdict == "insufficient"
    none = watched(800, seed=3).filter((pl.col("event_code") != 1) | (pl.col("follow_up_days") > HORIZON))
    assert performance_report(none, rare, BUNDLE, card=card, unlabelled=None).verdict == "worse"


def test_an_update_is_not_due_because_some_were_censored(spec: CohortSpec) -> None:
    known = known_records(watched(3000, seed=5), spec)
    given = (known["outcome"].to_numpy(), known["risk"].to_numpy(), np.zeros((known.height, 0)))
    limits: dict[str, Any] = {"importance": np.zeros(0), "limits": spec.monitoring, "seed": 0}
    assert smallest_adequate(*given, **limits)[0] == "intercept"
    assert smallest_adequate(*given, **limits, weights=weights_of(known))[0] == "none"


def test_records_without_follow_up_count_once(spec: CohortSpec) -> None:
    rows = watched(300, seed=1)
    nothing = [
        pl.lit(None, kind).alias(name) for name, kind in (("follow_up_days", pl.Float64), ("event_code", pl.Int32))
    ]
    by_api = watched(50, seed=2, ends=1e9).with_columns(nothing)
    both = pl.concat([rows, by_api])
    known = known_records(both, spec)
    assert known["case_weight"].to_list() == known_records(rows, spec)["case_weight"].to_list() + [1.0] * 50
    assert followed_risks(both, spec) is None
    assert "case_weight" not in known_records(by_api, spec).columns
