"""What a change control plan asks over its whole life: fresh holdout rows, no slow loss against what was authorised.

``holdout_looks`` models that were judged on the same holdout rows, on average over the rows, against
``pccp.holdout_looks``. Whoever looks long enough at one holdout finds a model that fits it; beyond the budget nothing
that these rows say counts without a waiver, and new records cure it. ``authorised_auroc``,
``authorised_net_benefit`` candidate minus the version that people authorised under the plan, on the same rows, paired;
the lower end must lie above minus ``limits.non_inferiority_margin_auroc``. The champion may have lost a little against
the one before it, and that one too: here the losses add up. The interval's level is what ``pccp.error_rate`` leaves for
this update (``statistics.trials.error_spending``), so that all updates under the plan together pass one that is worse
with at most this probability.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.approved_terms import plan_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.comparison import Comparison, differences_from
from clinical_assets.governance.candidate.plan_history import (
    AUTHORISED,
    AUTHORISED_CRITERIA,
    HoldoutLooks,
    PlanLife,
    holdout_looks,
    plan_life,
)
from clinical_assets.governance.verdicts.interval_verdicts import judged, limit_text
from clinical_assets.governance.verdicts.verdict import Gate, Verdict

GATE: Gate = "performance"
_MEASURES = {"auroc": "AUROC", "net_benefit": "Net benefit"}
_NEW_PLAN = "Agree on a new plan, have it signed with a release, and judge later updates on new holdout data."


def judge_plan_life(candidate: ReleaseCandidate) -> list[Verdict]:
    """``holdout_looks``, ``authorised_auroc`` and ``authorised_net_benefit`` of a candidate."""
    looks = judge_looks(holdout_looks(candidate), most=candidate.spec.pccp.holdout_looks)
    return [looks, *_against_authorised(candidate, plan_life(candidate))]


def judge_looks(looks: HoldoutLooks, *, most: int) -> Verdict:
    """The verdict on a count of looks; beyond the budget it is insufficient."""
    within = looks.mean <= most
    said = (
        f"A row of the holdout was judged by {looks.mean:.3g} models on average, this one included; the plan allows "
        f"{most}."
    )
    if looks.unknown:
        said += f" {looks.unknown} of them left no rows here, and count as if they had been judged on all of these."
    cure = " Bring new holdout data: of new records, a share is held out and was looked at by nobody."
    return Verdict(
        GATE,
        "holdout_looks",
        "pass" if within else "insufficient",
        said if within else said + cure,
        value=float(looks.mean),
        limit=f"<= {most}",
        n=looks.n,
        evidence={"models before": looks.models, "without rows": looks.unknown},
    )


def _against_authorised(candidate: ReleaseCandidate, life: PlanLife) -> list[Verdict]:
    margin = candidate.spec.decisions.limits.non_inferiority_margin_auroc
    limit, authorised = limit_text(least=-margin), life.authorised
    if authorised is None:
        said = "No model was released with signatures yet: the first that is will be the authorised version."
        return [Verdict(GATE, name, "pass", said, limit=limit) for name in AUTHORISED_CRITERIA.values()]
    evidence = {
        AUTHORISED: authorised.digest,
        "authorised at": authorised.at,
        "plan": authorised.plan,
        "updates tested before": len(life.tests),
        "level": life.level,
    }
    if not life.level:
        said = (
            f"The error rate of the plan, {candidate.spec.pccp.error_rate:g}, is spent on {len(life.tests)} updates: "
            f"there is no level left at which this one could be shown to be no worse. {_NEW_PLAN}"
        )
        return [
            Verdict(GATE, name, "insufficient", said, limit=limit, evidence=evidence)
            for name in AUTHORISED_CRITERIA.values()
        ]
    try:
        compared = differences_from(candidate, authorised.digest, level=1 - 2 * life.level)
    except ClinicalAssetsError as error:
        compared = Comparison(authorised.digest, "insufficient", error.message)
    verdicts = [_measured(name, compared, life, margin=margin, evidence=evidence) for name in AUTHORISED_CRITERIA]
    if authorised.plan == plan_digest(candidate.spec):
        return verdicts
    return [_under_a_new_plan(each) for each in verdicts]


def _measured(name: str, compared: Comparison, life: PlanLife, *, margin: float, evidence: dict[str, Any]) -> Verdict:
    assert life.authorised is not None
    pair = next((each for each in compared.measures if each.name == name), None)
    criterion = AUTHORISED_CRITERIA[name]
    if pair is None or pair.difference is None:
        why = compared.statement if pair is None else str(pair.reason)
        said = f"The candidate cannot be compared with the authorised version: {why} {_NEW_PLAN}"
        limit = limit_text(least=-margin)
        return Verdict(GATE, criterion, "insufficient", said, limit=limit, n=compared.n, evidence=evidence)
    return judged(
        GATE,
        criterion,
        replace(pair.difference, n=compared.n, events=compared.events),
        what=f"{_MEASURES[name]} of the candidate minus that of the version authorised on {life.authorised.at[:10]}, "
        f"in update {len(life.tests) + 1} under the plan, so with a {1 - 2 * life.level:.3%} interval,",
        cure="Small losses have added up: go back to the authorised version, or train on what it learned from.",
        least=-margin,
        evidence={**evidence, "rows left out": compared.left_out, "notes": list(compared.notes)},
    )


def _under_a_new_plan(verdict: Verdict) -> Verdict:
    """Whoever signs another plan may agree to a loss, but not without having seen it."""
    if verdict.verdict != "fail":
        return verdict
    said = " The plan was changed since: whoever signs it authorises this model anew, and waives this knowingly."
    return replace(verdict, verdict="insufficient", reason=verdict.reason + said)
