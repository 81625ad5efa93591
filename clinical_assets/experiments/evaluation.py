"""What is known of an experiment now: both arms alike, only final outcomes, in the order in which they became final.

What belongs here: observations, the difference of net benefit, guardrails, the allocation. What does not: what follows
(``verdict``).

A patient counts once, by the first exposure, in the arm of that exposure. It becomes an observation when the horizon
has passed and the outcome is entered, whichever is later: a patient whose event is known early waits like one without.
This order never changes afterwards, so that a sequence over it may be looked at at any time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.assignment import CHALLENGER_ARM, TrialArm
from clinical_assets.experiments.exposures import ExperimentLog, Exposure
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.planning.protocol_files import UNKNOWN, groups_of
from clinical_assets.statistics.comparison.sequential import GuardrailEvidence, guardrail_evidence
from clinical_assets.statistics.trials.allocation import AllocationEvidence, allocation_evidence
from clinical_assets.statistics.trials.bounded_difference import (
    RunningDifference,
    running_difference,
    running_mean,
    tuned_rho,
)


@dataclass(frozen=True)
class TrialObservation:
    """One unit with final outcomes.

    Attributes
    ----------
    at : datetime
        When it became one.
    arm, share
        Of its first exposure.
    value : float
        Net benefit: 1 for a true alert, minus the odds for a false one, 0 without; of several patients the mean.
    """

    at: dt.datetime
    arm: TrialArm
    share: float
    value: float


@dataclass(frozen=True)
class ArmCounts:
    """What an arm saw.

    Attributes
    ----------
    units, patients, answers : int
        Exposed; a patient by the first exposure.
    alerts : int
        Patients with an alert at it.
    final, events, missed : int
        Patients with a final outcome, with the event, and of these without an alert.
    late : int
        Patients whose horizon has passed and whose outcome nobody entered.
    failed : int
        Answers that the challenger could not give.
    """

    units: int
    patients: int
    answers: int
    alerts: int
    final: int
    events: int
    missed: int
    late: int
    failed: int


@dataclass(frozen=True)
class GuardrailResult:
    """A guardrail and its evidence; None while there is nothing to judge."""

    name: str
    limit: float
    n: int
    hits: int
    evidence: GuardrailEvidence | None


@dataclass(frozen=True)
class TrialEvaluation:
    """An experiment as it stands.

    Attributes
    ----------
    at : datetime
        UTC.
    arms : dict
        Arm to its counts, of the live stages.
    silent : int
        Patients of the silent stage.
    crossed : int
        Patients who were first answered by the champion and later, after the share was raised, by the challenger.
    unpaired : int
        Answers without a score of the other model.
    observations : tuple of TrialObservation
        In their order.
    difference : RunningDifference or None
        Challenger minus champion over the observations.
    silent_pairs : RunningDifference or None
        The same for the same patients of the silent stage, pair by pair.
    allocation : AllocationEvidence or None
        Over first exposures.
    guardrails : tuple of GuardrailResult
    guardrail_alpha : float
        Error of each.
    """

    at: dt.datetime
    arms: dict[TrialArm, ArmCounts]
    silent: int
    crossed: int
    unpaired: int
    observations: tuple[TrialObservation, ...]
    difference: RunningDifference | None
    silent_pairs: RunningDifference | None
    allocation: AllocationEvidence | None
    guardrails: tuple[GuardrailResult, ...]
    guardrail_alpha: float


def evaluate_experiment(
    protocol: ExperimentProtocol, spec: CohortSpec, log: ExperimentLog, *, now: dt.datetime
) -> TrialEvaluation:
    """Evaluate an experiment at a moment.

    Parameters
    ----------
    protocol : ExperimentProtocol
        As it was signed.
    spec : CohortSpec
        The cohort's description.
    log : ExperimentLog
        What the prediction log says.
    now : datetime
        Later exposures and outcomes are not looked at.
    """
    seen = [each for each in log.exposures if each.at <= now]
    live = [each for each in seen if each.share > 0]
    final = _final(protocol, log, now)
    first = _first(live, key=lambda each: each.subject)
    arms: dict[TrialArm, ArmCounts] = {
        arm: _counts(arm, live, first, final, protocol, now) for arm in ("champion", "challenger")
    }
    observations = tuple(sorted(_observations(protocol, first, final), key=lambda each: each.at))
    silent = _first([each for each in seen if each.share == 0], key=lambda each: each.subject)
    guardrails, alpha = _guardrails(protocol, spec, live, first, final)
    treated = {each.subject for each in live if each.arm == CHALLENGER_ARM}
    by_unit = _first(live, key=lambda each: each.unit)
    return TrialEvaluation(
        at=now,
        arms=arms,
        silent=len(silent),
        crossed=sum(each.arm != CHALLENGER_ARM and each.subject in treated for each in first),
        unpaired=sum(each.shadow is None for each in seen),
        observations=observations,
        difference=_difference(protocol, observations),
        silent_pairs=paired_difference(protocol, silent, final),
        allocation=allocation_evidence(
            [each.arm == CHALLENGER_ARM for each in by_unit],
            share_treated=np.array([each.share for each in by_unit]),
            alpha=protocol.mismatch_alpha,
        )
        if by_unit
        else None,
        guardrails=guardrails,
        guardrail_alpha=alpha,
    )


#: The outcome of an exposure and when it was final; None where it is not.
FinalOutcome = Callable[[Exposure], "tuple[bool, dt.datetime] | None"]


def _final(protocol: ExperimentProtocol, log: ExperimentLog, now: dt.datetime) -> FinalOutcome:
    horizon = dt.timedelta(days=protocol.outcome.horizon_days)

    def of(exposure: Exposure) -> tuple[bool, dt.datetime] | None:
        known = log.outcomes.get(exposure.record)
        if known is None:
            return None
        at = max(exposure.at + horizon, known.at)
        return (known.event, at) if at <= now else None

    return of


def final_outcomes(protocol: ExperimentProtocol, log: ExperimentLog, *, now: dt.datetime) -> FinalOutcome:
    """What `evaluate_experiment` takes for final at a moment."""
    return _final(protocol, log, now)


def paired_difference(
    protocol: ExperimentProtocol, exposures: Sequence[Exposure], final: FinalOutcome
) -> RunningDifference | None:
    """Net benefit of the challenger minus that of the champion on the same patients, in the order of final outcomes."""
    pairs = []
    for each in exposures:
        known = final(each)
        if known is not None and each.shadow is not None and each.shadow.risk is not None:
            answered, other = (
                _value(protocol, each.is_alert, known[0]),
                _value(protocol, each.shadow.is_alert, known[0]),
            )
            by_challenger = each.arm == CHALLENGER_ARM and not each.failed
            pairs.append((known[1], answered - other if by_challenger else other - answered))
    if not pairs:
        return None
    span = 1.0 + protocol.benefit.odds
    return running_mean([value for _, value in sorted(pairs)], lower=-span, upper=span)


def tuning(protocol: ExperimentProtocol) -> float:
    """Tuning of the sequence over arms: tightest at the planned size."""
    return tuned_rho(protocol.size().variation, alpha=protocol.plan.alpha / 2)


def _value(protocol: ExperimentProtocol, is_alert: bool, event: bool) -> float:
    if not is_alert:
        return 0.0
    return 1.0 if event else -protocol.benefit.odds


def _first(exposures: Sequence[Exposure], *, key: Callable[[Exposure], str]) -> list[Exposure]:
    found: dict[str, Exposure] = {}
    for each in exposures:
        found.setdefault(key(each), each)
    return list(found.values())


def _observations(
    protocol: ExperimentProtocol, first: Sequence[Exposure], final: FinalOutcome
) -> list[TrialObservation]:
    """One for each unit that has as many patients with a final outcome as make one."""
    units: dict[str, list[Exposure]] = {}
    for each in first:
        mine = units.setdefault(each.unit, [])
        # A unit that crossed over counts by what came before.
        if not mine or mine[0].arm == each.arm:
            mine.append(each)
    found = []
    for exposures in units.values():
        known = [
            (outcome[1], _value(protocol, each.is_alert, outcome[0]))
            for each in exposures
            if (outcome := final(each)) is not None
        ]
        if len(known) >= protocol.unit.patients:
            counted = sorted(known)[: protocol.unit.patients]
            value = float(np.mean([value for _, value in counted]))
            found.append(TrialObservation(counted[-1][0], exposures[0].arm, exposures[0].share, value))
    return found


def _difference(protocol: ExperimentProtocol, observations: Sequence[TrialObservation]) -> RunningDifference | None:
    if not observations:
        return None
    return running_difference(
        [each.value for each in observations],
        [each.arm == CHALLENGER_ARM for each in observations],
        share_treated=np.array([each.share for each in observations]),
        lower=-protocol.benefit.odds,
        upper=1.0,
    )


def _counts(
    arm: TrialArm,
    live: Sequence[Exposure],
    first: Sequence[Exposure],
    final: FinalOutcome,
    protocol: ExperimentProtocol,
    now: dt.datetime,
) -> ArmCounts:
    answers = [each for each in live if each.arm == arm]
    mine = [each for each in first if each.arm == arm]
    known = [(each, outcome[0]) for each in mine if (outcome := final(each)) is not None]
    horizon = dt.timedelta(days=protocol.outcome.horizon_days)
    return ArmCounts(
        units=len({each.unit for each in answers}),
        patients=len(mine),
        answers=len(answers),
        alerts=sum(each.is_alert for each in mine),
        final=len(known),
        events=sum(event for _, event in known),
        missed=sum(event and not each.is_alert for each, event in known),
        late=sum(final(each) is None and each.at + horizon <= now for each in mine),
        failed=sum(each.failed for each in answers),
    )


def _guardrails(
    protocol: ExperimentProtocol,
    spec: CohortSpec,
    live: Sequence[Exposure],
    first: Sequence[Exposure],
    final: FinalOutcome,
) -> tuple[tuple[GuardrailResult, ...], float]:
    """Rates of the challenger's arm against their limits, each with an equal part of the error."""
    answers = [each for each in live if each.arm == CHALLENGER_ARM]
    mine = [each for each in first if each.arm == CHALLENGER_ARM]
    events = sorted(
        ((outcome[1], each) for each in mine if (outcome := final(each)) is not None and outcome[0]),
        key=lambda pair: pair[0],
    )
    rates: list[tuple[str, float, list[bool]]] = []
    for guardrail in protocol.guardrails:
        if guardrail.kind == "errors":
            rates.append((guardrail.name, guardrail.limit, [each.failed for each in answers]))
        elif guardrail.kind == "latency":
            rates.append(
                (
                    guardrail.name,
                    guardrail.limit,
                    [each.latency_ms > float(guardrail.above_ms or 0) for each in answers],
                )
            )
        elif guardrail.kind == "alerts":
            rates.append((guardrail.name, guardrail.limit, [each.is_alert for each in mine]))
        elif guardrail.kind == "missed_events":
            rates.append((guardrail.name, guardrail.limit, [not each.is_alert for _, each in events]))
        else:
            attribute = str(guardrail.attribute)
            for group in groups_of(spec, attribute):
                of_group = [not each.is_alert for _, each in events if (each.groups.get(attribute) or UNKNOWN) == group]
                rates.append((f"missed_events[{attribute}={group}]", guardrail.limit, of_group))
    # One part is that of the pairs of the silent stage.
    alpha = protocol.guardrail_alpha / (len(rates) + 1)
    return tuple(
        GuardrailResult(
            name, limit, len(hits), sum(hits), guardrail_evidence(hits, limit=limit, alpha=alpha) if hits else None
        )
        for name, limit, hits in rates
    ), alpha
