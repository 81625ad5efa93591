"""Matured outcomes are held against the card's promise, with intervals, and arms are kept apart."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served
from clinical_assets.foundation.canonical import plain
from clinical_assets.monitoring.performance.label_free import expected_performance
from clinical_assets.monitoring.performance.performance import PerformanceReport, performance_report


def simulated(n: int, *, seed: int = 1, shift: float = 0.0, acted: Any = None, risk: Any = None) -> pl.DataFrame:
    """Records (synthetic) of a model whose risks are right, but for a shift of the log-odds."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-0.7, 1.3, n)
    p = 1 / (1 + np.exp(-log_odds)) if risk is None else np.full(n, risk)
    event = rng.random(n) < 1 / (1 + np.exp(-(log_odds + shift)))
    return pl.DataFrame(
        {
            "patient_id": [f"P{number}" for number in range(n)],
            "risk": p,
            "outcome": event.astype(np.int32),
            "scored_at": [f"2025-01-01T00:00:00.{number:06d}+00:00" for number in range(n)],
            "known_at": "2025-06-01T00:00:00.000000+00:00",
            "acted": pl.Series([acted] * n, dtype=pl.Boolean),
        }
    )


def judged(served: Served, rows: pl.DataFrame | None, *, card: Any = None, **given: Any) -> PerformanceReport:
    promised = card or served.trained.training.results.plain()
    found = performance_report(rows, served.spec, served.bundle, card=promised, unlabelled=given.get("unlabelled"))
    json.dumps(found.to_json(), allow_nan=False)
    assert all(np.isfinite(value) for value in found.metrics().values())
    return found


def card_of(served: Served, rows: pl.DataFrame) -> dict[str, Any]:
    found = judged(served, rows)
    return {"metrics": {name: plain(value) for name, value in found.arms["all"].metrics.items()}}


def test_a_model_that_keeps_its_promise_is_rarely_called_worse(served: Served) -> None:
    card = card_of(served, simulated(1_000, seed=99))
    verdicts = [judged(served, simulated(600, seed=seed), card=card).verdict for seed in range(12)]
    assert verdicts.count("as promised") >= 10


def test_risks_that_became_too_low_are_worse(served: Served) -> None:
    found = judged(served, simulated(800, shift=0.8), card=card_of(served, simulated(1_000, seed=99)))
    assert found.verdict == "worse"
    assert "calibration_intercept" in found.worse
    assert "calibration intercept" in found.summary


def test_on_real_records_of_the_cohort_it_agrees_with_the_bundle(served: Served, matured: pl.DataFrame) -> None:
    from sklearn.metrics import roc_auc_score

    found = judged(served, matured)
    assert (found.n, found.events) == (400, int(matured["outcome"].sum()))
    assert found.arms["all"].metrics["auroc"].value == pytest.approx(roc_auc_score(matured["outcome"], matured["risk"]))
    assert found.until == matured["known_at"].max()
    measures = {row["measure"] for row in found.rows()}
    assert {"auroc", "calibration_slope", "net_benefit", "alert_rate"} <= measures


@pytest.mark.parametrize("rows", [None, 0, 1, 5, 60])
def test_few_outcomes_are_insufficient_and_never_a_zero(served: Served, rows: int | None) -> None:
    found = judged(served, None if rows is None else simulated(400).head(rows))
    assert found.verdict == "insufficient"
    if not rows:
        assert "auroc" not in found.metrics()


@pytest.mark.parametrize("outcome", [0, 1])
def test_outcomes_of_one_kind_are_judged_by_their_number_alone(served: Served, outcome: int) -> None:
    rows = simulated(400).with_columns(pl.lit(outcome, dtype=pl.Int32).alias("outcome"))
    found = judged(served, rows)
    assert (found.verdict, found.worse) == ("worse", ("observed_expected_ratio",))
    assert f"{400 * outcome} events where {rows['risk'].sum():.1f} were expected" in found.summary
    assert "auroc" in found.arms["all"].insufficient
    # As few as were foretold, and what treatment prevented, decide nothing.
    for other in (
        rows.with_columns(risk=pl.lit(0.001 + 0.998 * outcome)),
        rows.with_columns(acted=pl.lit(True)),
    ):
        assert judged(served, other).verdict == "insufficient"


def test_equal_risks_for_everybody_are_judged_without_an_error(served: Served) -> None:
    assert judged(served, simulated(400, risk=0.3)).n == 400


def test_both_arms_are_shown_and_a_reader_is_warned(served: Served) -> None:
    rows = pl.concat([simulated(300, acted=True), simulated(300, seed=2, acted=False), simulated(100, seed=3)])
    rows = rows.with_columns(pl.Series("patient_id", [f"P{number}" for number in range(700)]))
    found = judged(served, rows)
    assert {arm: judged.n for arm, judged in found.arms.items()} == {
        "all": 700,
        "acted upon": 300,
        "not acted upon": 400,
    }
    assert "acted on 300" in found.summary
    assert {row["arm"] for row in found.rows()} == set(found.arms)


def test_an_arm_of_a_handful_is_left_out(served: Served) -> None:
    rows = pl.concat([simulated(300), simulated(5, seed=2, acted=True)])
    rows = rows.with_columns(pl.Series("patient_id", [f"P{number}" for number in range(305)]))
    assert "acted upon" not in judged(served, rows).arms


def test_calibration_rolls_over_consecutive_parts_in_the_order_of_scoring(served: Served) -> None:
    rows = pl.concat([simulated(300), simulated(300, seed=2, shift=1.5)])
    rows = rows.with_columns(
        pl.Series("patient_id", [f"P{number}" for number in range(600)]),
        pl.Series("scored_at", [f"2025-01-01T00:00:00.{number:06d}+00:00" for number in range(600)]),
    )
    found = judged(served, rows.sample(fraction=1.0, shuffle=True, seed=1)).rolling
    assert sum(part["n"] for part in found) == 600
    intercepts = [part["intercept"]["value"] for part in found]
    assert max(intercepts[:3]) < min(intercepts[3:])


def test_a_subject_with_several_records_is_not_counted_as_several_people(served: Served) -> None:
    rows = simulated(400)
    alone = judged(served, rows).arms["all"].metrics["auroc"]
    fourfold = judged(served, pl.concat([rows] * 4)).arms["all"].metrics["auroc"]
    assert fourfold.value == pytest.approx(alone.value)
    width = (fourfold.ci_high - fourfold.ci_low) / (alone.ci_high - alone.ci_low)
    assert 0.8 < width < 1.25


def test_before_any_outcome_there_is_an_estimate_by_that_name(served: Served) -> None:
    unlabelled = expected_performance(np.array([0.1, 0.6, 0.8]), threshold=0.2)
    found = judged(served, None, unlabelled=unlabelled)
    assert "without labels" in found.summary
    assert all("without labels" in name for name in found.metrics() if name not in ("outcomes", "events"))
    assert found.to_json()["without_labels"]["estimated_without_labels"] is True
