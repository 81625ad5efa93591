"""A plan's whole life: looks at one holdout are counted, losses against what was authorised add up, error is spent."""

from __future__ import annotations

import pytest

from assets_tests.governance.gates.performance.test_gate import _height_alone
from assets_tests.worlds.descriptions import small_search
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT, train_again
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.comparison import differences_from
from clinical_assets.governance.candidate.plan_history import (
    HoldoutLooks,
    authorised_version,
    holdout_looks,
    plan_life,
)
from clinical_assets.governance.gates.performance.plan_life import judge_looks, judge_plan_life
from clinical_assets.governance.verdicts.verdict import Outcome, Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.records.ledger.facts.models import ChampionFacts
from clinical_assets.records.ledger.ledger import Ledger


def _judged(candidate: ReleaseCandidate) -> dict[str, Verdict]:
    return {each.criterion: each for each in judge_plan_life(candidate)}


def _test_before(made: Releasable, digest: str, outcome: Outcome, *, against: str) -> None:
    """An earlier update that the gate held against a version."""
    verdicts = [
        Verdict("performance", name, outcome, "For tests.", evidence={"authorised": against})
        for name in ("authorised_auroc", "authorised_net_benefit")
    ]
    store_verdicts(
        made.records,
        cohort=COHORT,
        bundle_digest=digest,
        gate="performance",
        verdicts=verdicts,
        actor="automation:gates",
        run_id=None,
    )


def _authorised(candidate: ReleaseCandidate) -> str:
    found = authorised_version(candidate)
    assert found is not None
    return found.digest


def test_before_the_first_release_nothing_is_authorised_and_the_holdout_is_new(made: Releasable) -> None:
    found = _judged(made.candidate)
    assert {each.verdict for each in found.values()} == {"pass"}
    assert found["holdout_looks"].value == 1.0
    assert "No model was released" in found["authorised_auroc"].reason


def test_an_update_is_held_against_what_people_released_with_the_interval_that_the_plan_leaves(
    second: Releasable,
) -> None:
    candidate = second.candidate
    assert candidate.champion is not None
    second.trained.describe(limits={"non_inferiority_margin_auroc": 0.3})
    found = _judged(second.candidate)
    for name in ("authorised_auroc", "authorised_net_benefit"):
        verdict = found[name]
        assert (verdict.verdict, verdict.limit) == ("pass", ">= -0.3"), verdict.reason
        assert verdict.evidence["authorised"] == candidate.champion.digest
        assert verdict.evidence["level"] == pytest.approx(0.005)
        assert "99.000% interval" in verdict.reason
    level, usual = (
        differences_from(second.candidate, candidate.champion.digest, level=level, measures=("net_benefit",))
        for level in (0.99, 0.95)
    )
    wide, narrow = level.measures[0].difference, usual.measures[0].difference
    assert wide is not None
    assert narrow is not None
    assert (found["authorised_net_benefit"].ci_low, found["authorised_net_benefit"].ci_high) == pytest.approx(
        (wide.ci_low, wide.ci_high)
    )
    assert wide.ci_low < narrow.ci_low


def test_every_model_that_was_trained_on_the_cohort_looked_at_its_holdout(second: Releasable) -> None:
    assert holdout_looks(second.candidate) == HoldoutLooks(2.0, 1, 0, holdout_looks(second.candidate).n)
    third = second.next_generation()
    assert holdout_looks(third.candidate).mean == 3.0


def test_new_rows_were_looked_at_by_nobody_and_lost_ones_by_everybody(second: Releasable) -> None:
    candidate = second.candidate
    first = _authorised(candidate)
    with candidate.warehouse.writer() as connection:
        connection.execute(f"DELETE FROM {relation_of(first)} WHERE part = 'holdout' AND hash(patient_id) % 2 = 0")
    half = holdout_looks(candidate)
    assert 1.2 < half.mean < 1.8
    with candidate.warehouse.writer() as connection:
        connection.execute(f"DROP TABLE {relation_of(first)}")
    assert (holdout_looks(candidate).mean, holdout_looks(candidate).unknown) == (2.0, 1)


def test_beyond_the_budget_of_looks_the_cure_is_new_data() -> None:
    assert judge_looks(HoldoutLooks(20.0, 19, 0, 100), most=20).verdict == "pass"
    found = judge_looks(HoldoutLooks(20.1, 20, 0, 100), most=20)
    assert found.verdict == "insufficient"
    assert "new holdout data" in found.reason


def test_a_candidate_keeps_its_place_when_it_is_judged_again_and_when_it_is_promoted(second: Releasable) -> None:
    before = _judged(second.candidate)
    _test_before(second, second.candidate.digest, "fail", against=_authorised(second.candidate))
    second.judge()
    second.approve()
    second.promote()
    _test_before(second, "sha256:" + "7" * 64, "fail", against=_authorised(second.candidate))
    assert _judged(second.candidate) == before


def test_a_model_that_lost_against_the_authorised_one_fails_though_the_champion_is_no_better(
    second: Releasable,
) -> None:
    second.trained.describe(tables=_height_alone(), limits={"non_inferiority_margin_auroc": 0.02})
    worse = Releasable(train_again(second.settings))
    found = _judged(worse.candidate)["authorised_auroc"]
    assert found.verdict == "fail"
    assert "added up" in found.reason


def test_who_changes_the_plan_must_waive_the_loss_knowingly(second: Releasable) -> None:
    second.trained.describe(tables=_height_alone(), pccp={"reference": "QM-17, version 4"})
    found = _judged(Releasable(train_again(second.settings)).candidate)["authorised_auroc"]
    assert found.verdict == "insufficient"
    assert "waives this knowingly" in found.reason


def test_the_level_follows_from_what_was_tested_before(second: Releasable) -> None:
    authorised = _authorised(second.candidate)
    second.trained.describe(modelling=small_search(seed=3))
    third = Releasable(train_again(second.settings)).candidate
    assert plan_life(third).level == pytest.approx(0.005)
    _test_before(second, "sha256:" + "e" * 64, "fail", against="sha256:" + "f" * 64)  # under another plan
    outcomes: list[tuple[Outcome, float]] = [("pass", 0.01), ("pass", 0.015), ("insufficient", 0.005), ("pass", 0.01)]
    for number, (outcome, level) in enumerate([*outcomes, *[("fail", 0.005)] * 5]):
        _test_before(second, f"sha256:{number:064x}", outcome, against=authorised)
        assert plan_life(third).level == pytest.approx(level)
    _test_before(second, "sha256:" + "d" * 64, "fail", against=authorised)
    assert plan_life(third).level == 0
    found = _judged(third)["authorised_auroc"]
    assert found.verdict == "insufficient"
    assert "is spent on 10 updates" in found.reason


def test_a_promotion_that_took_effect_by_itself_authorises_nothing(second: Releasable) -> None:
    plan = authorised_version(second.candidate)
    assert plan is not None
    facts = ChampionFacts(plan_digest="sha256:another", unattended=True)
    Ledger(second.records).append("promotion", actor="automation", cohort=COHORT, digest="sha256:new", facts=facts)
    assert authorised_version(second.candidate) == plan
    signed = facts.model_copy(update={"unattended": False})
    Ledger(second.records).append("promotion", actor="bob", cohort=COHORT, digest="sha256:signed", facts=signed)
    assert _authorised(second.candidate) == "sha256:signed"
    assert plan_life(second.candidate).tests == ()
