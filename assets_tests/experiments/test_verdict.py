"""Verdicts from exposures and outcomes: only final ones, both arms alike, however often one looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.descriptions import minimal
from assets_tests.worlds.ward.trial import PLAN, protocol_of
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.assignment import arm_of, place_of
from clinical_assets.experiments.evaluation import evaluate_experiment
from clinical_assets.experiments.exposures import ExperimentLog, Exposure, KnownOutcome, ShadowScore
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.register import Experiment, RaisedShare
from clinical_assets.experiments.verdict import Judgement, bounds, judge_experiment

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = START + dt.timedelta(days=300)
SALT = "5a" * 16


@pytest.fixture(scope="module")
def spec() -> CohortSpec:
    return CohortSpec.model_validate(minimal())


def protocol(**changes: Any) -> ExperimentProtocol:
    content = protocol_of("sha256:" + "a" * 64, "sha256:" + "b" * 64, **changes)
    return ExperimentProtocol.model_validate(content)


def experiment(signed: ExperimentProtocol, share: float = 0.5) -> Experiment:
    stages = (RaisedShare(0.0, START.isoformat()), RaisedShare(share, START.isoformat()))
    return Experiment(signed, stages=stages if share else stages[:1], salt=SALT)


def trial(
    n: int,
    *,
    challenger: float,
    champion: float = 0.6,
    share: float = 0.5,
    seed: int = 0,
    known_after: float = 0.0,
    arms: Sequence[str] | None = None,
) -> ExperimentLog:
    """Patients of whom three in ten have the event, one per hour; each model finds a part of the events."""
    rng = np.random.default_rng(seed)
    exposures, outcomes = [], {}
    for number in range(n):
        name = f"s{seed}_{number}"
        arm = arms[number] if arms else arm_of(name, salt=SALT, share=share)
        event, chance = bool(rng.random() < 0.3), rng.random()
        alerts = {
            "challenger": bool(chance < (challenger if event else 0.3)),
            "champion": bool(chance < (champion if event else 0.3)),
        }
        at = START + dt.timedelta(hours=number)
        other = "champion" if arm == "challenger" else "challenger"
        exposures.append(
            Exposure(
                seq=number + 1,
                at=at,
                record=f"u{name}",
                subject=name,
                unit=name,
                arm=arm,  # type: ignore[arg-type]
                share=share,
                failed=False,
                risk=0.5,
                is_alert=alerts[arm],
                tier="High",
                groups={},
                latency_ms=3.0,
                shadow=ShadowScore(0.5, alerts[other], "High"),
            )
        )
        outcomes[f"u{name}"] = KnownOutcome(event, at + dt.timedelta(days=known_after))
    return ExperimentLog(tuple(exposures), outcomes, n)


def judged(signed: ExperimentProtocol, spec: CohortSpec, log: ExperimentLog, now: dt.datetime = LATER) -> Judgement:
    share = log.exposures[0].share
    return judge_experiment(experiment(signed, share), evaluate_experiment(signed, spec, log, now=now))


def test_a_unit_stays_in_its_arm_and_raising_the_share_takes_nobody_back() -> None:
    units = [f"s1_{number}" for number in range(5000)]
    treated: set[str] = set()
    for share in (0.01, 0.05, 0.1, 0.25, 0.5):
        now = {unit for unit in units if arm_of(unit, salt=SALT, share=share) == "challenger"}
        assert treated <= now
        assert len(now) / len(units) == pytest.approx(share, abs=0.02)
        treated = now
    other = {unit for unit in units if arm_of(unit, salt="00", share=0.5) == "challenger"}
    assert len(treated & other) / len(treated) == pytest.approx(0.5, abs=0.05)
    assert min(place_of(unit, SALT) for unit in units) >= 0


def test_a_better_challenger_is_promoted_and_a_worse_one_rolled_back_long_before_the_planned_size(
    spec: CohortSpec,
) -> None:
    signed = protocol()
    better = judged(signed, spec, trial(3500, challenger=1.0))
    assert (better.verdict, better.rule) == ("promote", "net_benefit")
    assert "signatures" in better.reason
    worse = judged(signed, spec, trial(900, challenger=0.05))
    assert worse.verdict == "roll_back"
    assert judged(signed, spec, trial(900, challenger=0.6)).verdict is None


def test_only_outcomes_whose_horizon_has_passed_count_and_in_both_arms_alike(spec: CohortSpec) -> None:
    signed = protocol(outcome={"description": "Death.", "horizon_days": 30})
    log = trial(1500, challenger=0.6)
    found = evaluate_experiment(signed, spec, log, now=START + dt.timedelta(days=40))
    passed = 10 * 24 + 1
    assert len(found.observations) == passed == sum(each.final for each in found.arms.values())
    late = replace(log, outcomes={name: log.outcomes[name] for name in list(log.outcomes)[100:]})
    found = evaluate_experiment(signed, spec, late, now=START + dt.timedelta(days=40))
    assert len(found.observations) == passed - 100
    assert sum(each.late for each in found.arms.values()) == 100


def test_what_is_known_later_comes_behind_what_was_looked_at(spec: CohortSpec) -> None:
    signed = protocol(outcome={"description": "Death.", "horizon_days": 1})
    log = trial(400, challenger=0.6)
    slow = {
        name: replace(known, at=known.at + dt.timedelta(days=20)) if number % 3 == 0 else known
        for number, (name, known) in enumerate(log.outcomes.items())
    }
    log = replace(log, outcomes=slow)
    early = evaluate_experiment(signed, spec, log, now=START + dt.timedelta(days=10)).observations
    whole = evaluate_experiment(signed, spec, log, now=LATER).observations
    now, day = START + dt.timedelta(days=10), dt.timedelta(days=1)
    assert 0 < len(early) < len(whole)
    assert len(early) == sum(max(each.at + day, slow[each.record].at) <= now for each in log.exposures)
    assert whole[: len(early)] == early


def test_a_drifted_assignment_halts_and_says_how_many_were_expected(spec: CohortSpec) -> None:
    rng = np.random.default_rng(1)
    arms = ["challenger" if rng.random() < 0.62 else "champion" for _ in range(1500)]
    found = judged(protocol(), spec, trial(1500, challenger=0.6, arms=arms))
    assert (found.verdict, found.rule) == ("halted", "allocation")
    assert "750.0 were expected" in found.reason


def test_a_guardrail_ends_what_net_benefit_does_not_yet(spec: CohortSpec) -> None:
    log = trial(600, challenger=0.6)
    slow = [replace(e, failed=True) if e.arm == "challenger" and e.seq % 15 == 0 else e for e in log.exposures]
    found = judged(protocol(), spec, replace(log, exposures=tuple(slow)))
    assert (found.verdict, found.rule) == ("roll_back", "errors")


def test_the_same_patients_show_a_harmful_challenger_before_anybody_is_exposed(spec: CohortSpec) -> None:
    signed = protocol()
    harmful = trial(600, challenger=0.1, share=0.0)
    found = judged(signed, spec, harmful)
    assert (found.verdict, found.rule) == ("roll_back", "silent_net_benefit")
    assert judged(signed, spec, trial(600, challenger=0.6, share=0.0)).verdict is None


def test_without_a_verdict_at_the_planned_size_or_the_longest_time_it_pauses(spec: CohortSpec) -> None:
    log = trial(4200, challenger=0.6)
    assert judged(protocol(), spec, log).rule == "planned_size"
    short = protocol(plan={**PLAN, "longest_days": 100})
    assert judged(short, spec, trial(100, challenger=0.6)).rule == "longest_time"
    assert judged(short, spec, trial(100, challenger=0.6), now=START + dt.timedelta(days=99)).verdict is None


def test_scheduled_looks_give_no_verdict_between_them(spec: CohortSpec) -> None:
    signed = protocol(
        stopping={"kind": "looks", "fractions": [0.5, 1.0]}, guardrails=[{"kind": "errors", "limit": 0.01}]
    )
    assert judged(signed, spec, trial(1990, challenger=1.0)).verdict is None
    assert judged(signed, spec, trial(2010, challenger=1.0)).verdict == "promote"


def test_a_clinician_counts_once_by_the_mean_of_the_first_patients(spec: CohortSpec) -> None:
    log = trial(400, challenger=0.9)
    units = [f"key{number % 40}" for number in range(400)]
    arms = [arm_of(unit, salt=SALT, share=0.5) for unit in units]
    log = trial(400, challenger=0.9, arms=arms)
    clustered = tuple(replace(e, unit=unit) for e, unit in zip(log.exposures, units, strict=True))
    signed = protocol(unit={"of": "clinician", "patients": 5})
    found = evaluate_experiment(signed, spec, replace(log, exposures=clustered), now=LATER)
    assert len(found.observations) == 40
    assert found.allocation is not None
    assert found.allocation.n == 40


def test_bounds_hold_the_difference_that_is_plotted(spec: CohortSpec) -> None:
    signed = protocol()
    found = evaluate_experiment(signed, spec, trial(800, challenger=0.6), now=LATER)
    now = bounds(signed, found)
    assert now is not None
    assert now[1] < now[0] < now[2]
    assert now[1] < 0 < now[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"ramp": [{"share": 0.5}, {"share": 0.1}]},
        {"ramp": [{"share": 0}, {"share": 0.33}]},
        {"plan": {**PLAN, "units": 500}},
        {"plan": {**PLAN, "effect": 0.3}},
        {"guardrails": [{"kind": "latency", "limit": 0.1}]},
        {"guardrails": [{"kind": "errors", "limit": 0.1}] * 2},
        {"unit": {"of": "site"}},
        {"stopping": {"kind": "looks"}},
        {"name": "Not a name"},
        {"benefit": {"threshold": 0.2, "promote_above": -0.1}},
    ],
)
def test_a_protocol_that_cannot_be_followed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        protocol(**changes)
