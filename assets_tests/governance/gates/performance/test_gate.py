"""The performance gate passes what the holdout shows, fails what it rules out, and calls the rest insufficient."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.worlds.ward.trained import COHORT, DESCRIPTION, Trained, train_again
from clinical_assets.governance.gates.performance import gate as performance
from clinical_assets.governance.gates.performance import latency
from clinical_assets.governance.gates.performance.latency import (
    BUSY,
    Latency,
    latency_of,
    measure_latency,
    percentile_of,
)
from clinical_assets.governance.verdicts.interval_verdicts import judged, rows_needed, three_way
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.records.clock import utc_now
from clinical_assets.statistics.uncertainty.intervals import Estimate

# What differs from run to run although nothing has changed.
TIMED = "latency"


def _judged(trained: Trained, digest: str | None = None) -> dict[str, Verdict]:
    return {verdict.criterion: verdict for verdict in performance.evaluate(trained.candidate(digest))}


def _rewrite(trained: Trained, change: str) -> None:
    """Change the rows that were kept with the model."""
    with trained.candidate().warehouse.writer() as connection:
        connection.execute(f"UPDATE {relation_of(trained.digest)} SET {change}")


def _promote(trained: Trained, digest: str) -> None:
    candidate = trained.candidate(digest)
    champion_pointer.keep_warm(trained.settings, candidate.bundle)
    champion_pointer.switch(
        trained.settings,
        champion_pointer.Champion(
            cohort=COHORT, digest=digest, since=utc_now(), by="ann", previous=(), promotion="a test"
        ),
    )


def test_a_good_model_passes_and_twice_with_the_same_verdicts(trained: Trained) -> None:
    once, again = _judged(trained), _judged(trained)
    assert {name: v.reason for name, v in once.items() if v.verdict != "pass" and name != TIMED} == {}
    assert {n: v for n, v in once.items() if n != TIMED} == {n: v for n, v in again.items() if n != TIMED}
    assert "no champion yet" in once["non_inferiority_auroc"].reason
    late = once[TIMED]
    assert late.value is not None
    assert late.value > 0
    assert late.evidence["median_ms"] <= late.value


def test_measures_equal_those_that_the_training_reported(trained: Trained) -> None:
    told, found = trained.training.results.metrics, _judged(trained)
    for name in ("auroc", "calibration_slope", "calibration_intercept"):
        verdict = found[name]
        assert [verdict.value, verdict.ci_low, verdict.ci_high] == pytest.approx(
            [told[name].value, told[name].ci_low, told[name].ci_high]
        )
    all_over_none = told["net_benefit"].value - told["net_benefit_treat_all"].value
    assert found["net_benefit_over_treat_all"].value == pytest.approx(all_over_none)
    assert found["net_benefit_over_treat_none"].value == pytest.approx(told["net_benefit"].value)


@pytest.mark.parametrize(
    ("criterion", "limits", "verdict"),
    [
        ("auroc", {"auroc_lower": 0.95}, "fail"),
        ("auroc", {"auroc_lower": 0.8}, "insufficient"),
        ("calibration_slope", {"calibration_slope": [2.0, 3.0]}, "fail"),
        ("calibration_slope", {"calibration_slope": [0.95, 1.2]}, "insufficient"),
        ("calibration_intercept", {"calibration_intercept": [-3.0, -2.0]}, "fail"),
        ("calibration_intercept", {"calibration_intercept": [-0.2, 0.2]}, "insufficient"),
    ],
)
def test_a_limit_that_the_interval_breaks_fails_and_one_inside_it_cannot_be_judged(
    trained: Trained, criterion: str, limits: dict[str, object], verdict: str
) -> None:
    trained.describe(limits=limits)
    assert _judged(trained)[criterion].verdict == verdict


def test_a_model_that_ranks_nobody_fails(trained: Trained) -> None:
    _rewrite(trained, "outcome = 1 - outcome")
    found = _judged(trained)
    assert {name for name, verdict in found.items() if verdict.verdict == "fail"} >= {
        "auroc",
        "calibration_slope",
        "calibration_intercept",
    }


def test_acting_on_everybody_is_no_advantage_over_doing_so(trained: Trained) -> None:
    _rewrite(trained, "risk = 0.9 + risk / 20")
    found = _judged(trained)["net_benefit_over_treat_all"]
    assert (found.verdict, found.value, found.ci_low, found.ci_high) == ("fail", 0.0, 0.0, 0.0)


def test_acting_where_nobody_is_ill_fails_against_acting_on_nobody(trained: Trained) -> None:
    # One event in twenty-five is left, and all are alerted: acting does more harm than good.
    _rewrite(trained, "risk = 0.9 + risk / 20, outcome = CASE WHEN hash(patient_id) % 8 = 0 THEN outcome ELSE 0 END")
    trained.describe(limits={"minimum_events": 2})
    assert _judged(trained)["net_benefit_over_treat_none"].verdict == "fail"


def test_with_too_few_events_nothing_passes_or_fails_on_an_interval(trained: Trained) -> None:
    trained.describe(limits={"minimum_events": 100, "auroc_lower": 0.95})
    found = _judged(trained)
    for name in ("holdout_events", "auroc", "net_benefit_over_treat_all", "calibration_slope"):
        assert found[name].verdict == "insufficient"
        assert found[name].value is not None


def test_risks_that_cannot_be_estimated_from_are_insufficient_and_never_zero(trained: Trained) -> None:
    _rewrite(trained, "risk = 0.3")
    found = _judged(trained)["calibration_slope"]
    assert (found.verdict, found.value) == ("insufficient", None)


@pytest.mark.parametrize(("moved", "said"), [(2.1e-6, "pass"), (9e-6, "pass"), (2e-5, "fail")])
def test_risks_kept_in_single_precision_accuse_nobody(trained: Trained, moved: float, said: str) -> None:
    """Earlier versions kept the fitted pipeline's risks, two millionths from those of the graph."""
    _rewrite(trained, f"risk = risk + {moved} WHERE part = 'holdout'")
    found = _judged(trained)["scores_reproduced"]
    assert (found.verdict, found.value) == (said, pytest.approx(moved, rel=1e-6))


def test_moved_rows_and_changed_risks_are_noticed(trained: Trained) -> None:
    _rewrite(trained, "risk = risk * 0.99 WHERE part = 'holdout'")
    assert _judged(trained)["scores_reproduced"].verdict == "fail"
    with trained.candidate().warehouse.reader() as connection:
        (moved,) = connection.execute(
            f"SELECT count(*) FROM {relation_of(trained.digest)} WHERE part = 'train' AND patient_id < 'W00020'"
        ).fetchone() or (0,)
    _rewrite(trained, "part = 'holdout' WHERE patient_id < 'W00020'")
    found = _judged(trained)["holdout_locked"]
    assert (found.verdict, found.value) == ("fail", moved)
    assert moved > 0


def test_too_few_rows_for_development_need_a_waiver(trained: Trained) -> None:
    with trained.candidate().warehouse.writer() as connection:
        connection.execute(f"DELETE FROM {relation_of(trained.digest)} WHERE part = 'train' AND patient_id > 'W00150'")
    found = _judged(trained)["development_sample_size"]
    assert found.verdict == "insufficient"
    assert found.limit is not None
    assert found.value is not None
    assert found.value < float(found.limit.removeprefix(">= "))


def _height_alone() -> dict[str, object]:
    tables = copy.deepcopy(DESCRIPTION["tables"])
    for name in ("marker_a", "marker_b", "frail", "age_years"):
        tables["subjects"]["columns"][name]["role"] = "ignored"
    return dict(tables)


def test_a_model_of_height_alone_is_inferior_to_the_champion_that_has_the_predictors(trained: Trained) -> None:
    champion = trained.digest
    _promote(trained, champion)
    trained.describe(tables=_height_alone())
    worse = train_again(trained.settings)
    found = {verdict.criterion: verdict for verdict in performance.evaluate(worse.candidate())}
    compared = found["non_inferiority_auroc"]
    assert (compared.verdict, compared.n) == ("fail", found["auroc"].n), compared.reason
    assert compared.evidence["champion"] == champion
    assert compared.evidence["rows left out"] == 0
    told = compared.evidence["candidate's"] - compared.evidence["champion's"]
    assert compared.value == pytest.approx(told)
    assert found["non_inferiority_net_benefit"].evidence["champion"] == champion


def test_a_model_as_good_as_the_champion_passes_where_the_margin_is_wider_than_the_interval(trained: Trained) -> None:
    _promote(trained, trained.digest)
    trained.describe(
        modelling={"candidates": ["logistic_ridge"], "search": {"trials": 1, "outer_folds": 4, "seed": 3}},
        limits={"non_inferiority_margin_auroc": 0.3},
    )
    other = train_again(trained.settings)
    assert other.digest != trained.digest
    found = {verdict.criterion: verdict for verdict in performance.evaluate(other.candidate())}
    for name in ("auroc", "net_benefit"):
        verdict = found[f"non_inferiority_{name}"]
        assert (verdict.verdict, verdict.limit) == ("pass", ">= -0.3")
        assert verdict.value is not None
        assert abs(verdict.value) < 0.1


intervals = st.tuples(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0.01, 3))


@given(interval=intervals, least=st.floats(-5, 5), width=st.floats(0.01, 5))
def test_a_verdict_passes_inside_fails_outside_and_is_insufficient_across(
    interval: tuple[float, float, float], least: float, width: float
) -> None:
    value, below, above = interval
    low, high, most = value - below, value + above, least + width
    verdict = three_way(low, high, least=least, most=most)
    assert (verdict == "pass") == (low >= least and high <= most)
    assert (verdict == "fail") == (high < least or low > most)


@given(interval=intervals, least=st.floats(-5, 5))
def test_the_rows_that_are_said_to_settle_it_do(interval: tuple[float, float, float], least: float) -> None:
    value, below, above = interval
    estimate = Estimate(value, value - below, value + above, 500, 50, "made up")
    needed = rows_needed(estimate, least=least)
    verdict = judged("performance", "c", estimate, what="It", cure="Mend it.", least=least)
    if needed is None:
        assert value - least <= below / math.sqrt(10)
        assert verdict.verdict != "pass"
    else:
        shrunk = value - below * math.sqrt(500 / needed)
        assert shrunk >= least - 1e-9
        assert (needed <= 500) == (verdict.verdict == "pass") or math.isclose(value - below, least, abs_tol=1e-6)


def test_the_interval_of_a_percentile_covers_it_and_is_open_when_there_are_too_few() -> None:
    rng = np.random.default_rng(2)
    covered = [
        (found.ci_low <= -math.log(0.05) <= found.ci_high)
        for found in (percentile_of(rng.exponential(size=200), 0.95) for _ in range(400))
    ]
    assert 0.93 <= np.mean(covered) <= 1
    assert percentile_of(rng.exponential(size=10), 0.95).ci_high == math.inf


def _measured(milliseconds: float, *, busy: float) -> Latency:
    return Latency(Estimate(milliseconds, 0.9 * milliseconds, 1.1 * milliseconds, 300, 300, "made up"), {}, busy)


@pytest.mark.parametrize(
    ("milliseconds", "busy", "verdict"),
    [
        (5.0, 1.0, "pass"),
        # What keeps the limit on a busy machine keeps it on a free one.
        (5.0, 3.0, "pass"),
        (500.0, 1.0, "fail"),
        (500.0, 3.0, "insufficient"),
        (48.0, 1.0, "insufficient"),
    ],
)
def test_a_busy_machine_never_fails_a_model(milliseconds: float, busy: float, verdict: str) -> None:
    found = performance.judge_latency(_measured(milliseconds, busy=busy), most=50)
    assert found.verdict == verdict
    assert ("machine is free" in found.reason) == (busy > BUSY and verdict != "pass")
    assert "simplify" not in found.reason.lower() or verdict == "fail"


def test_a_limit_that_no_model_keeps_is_not_passed(trained: Trained) -> None:
    trained.describe(limits={"latency_ms": 1e-6})
    assert _judged(trained)["latency"].verdict != "pass"


def test_a_machine_that_gives_no_time_does_not_cut_the_measurement_below_what_has_an_interval(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = itertools.count()
    monkeypatch.setattr(latency.time, "perf_counter", lambda: 3600.0 * next(hours))
    found = measure_latency(trained.candidate())
    assert found.is_busy
    assert found.slow.n >= 72
    assert found.slow.ci_high < math.inf
    assert performance.judge_latency(found, most=10_000).verdict == "pass"


def test_two_measurements_of_one_latency_leave_the_same_verdict_to_sign() -> None:
    one, two = (performance.judge_latency(_measured(each, busy=busy), most=50) for each, busy in ((5.1, 1.0), (9.7, 2)))
    assert one != two
    assert one.lasting() == two.lasting()
    assert (one.lasting().value, one.lasting().verdict) == (None, "pass")
    slow = performance.judge_latency(_measured(500, busy=1.0), most=50)
    assert slow.lasting() != one.lasting()


def test_blocks_that_others_disturbed_do_not_count() -> None:
    rng = np.random.default_rng(3)
    calm = rng.normal([3.0, 2.0, 5.2], 0.1, (12, 25, 3))
    disturbed = calm.copy()
    disturbed[::2] *= 8
    free = np.full((12, 2), 2.0)
    one, two = latency_of(calm, free), latency_of(disturbed, free)
    assert two.slow.value == pytest.approx(one.slow.value, rel=0.05)
    assert (one.is_busy, latency_of(calm, free * [1.0, 2.0]).is_busy) == (False, True)
    assert one.medians["median_ms"] == pytest.approx(5.0, abs=0.1)


def test_what_more_rows_would_settle_is_said_only_where_it_can_be_foreseen() -> None:
    near = Estimate(0.61, 0.5, 0.7, 500, 50, "made up")
    far = judged("performance", "c", near, what="It", cure="Mend it.", least=0.6).reason
    assert "More than 10 times the rows" in far
    close = replace(near, value=0.68, ci_low=0.58, ci_high=0.78)
    assert "About 782 rows" in judged("performance", "c", close, what="It", cure="Mend it.", least=0.6).reason
    silent = judged("performance", "c", close, what="It", cure="Mend it.", least=0.6, foresee=False).reason
    assert "would" not in silent
