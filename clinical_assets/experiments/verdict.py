"""What follows from an evaluation: promote, roll back, pause, halt, or go on. Each holds however often one looks.

What belongs here: the rules, in order. What does not: acting on them (``watching``).
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field

import numpy as np

from clinical_assets.experiments.evaluation import GuardrailResult, TrialEvaluation, tuning
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.register import Experiment
from clinical_assets.records.clock import parse
from clinical_assets.records.ledger.facts.experiments import Evidence, ExperimentVerdict
from clinical_assets.statistics.trials.bounded_difference import tuned_rho
from clinical_assets.statistics.trials.looks import obrien_fleming_boundaries


@dataclass(frozen=True)
class Judgement:
    """What is to be done with an experiment.

    Attributes
    ----------
    verdict : str or None
        None: it goes on.
    rule : str
        What led to it.
    reason : str
        In a sentence, for the ledger and for people.
    evidence : dict
        Numbers.
    """

    verdict: ExperimentVerdict | None
    rule: str
    reason: str
    evidence: Evidence = field(default_factory=dict)


def judge_experiment(experiment: Experiment, found: TrialEvaluation) -> Judgement:
    """Judge an experiment that goes on by what is known now.

    In order: an allocation that is not as planned halts; a guardrail rolls back; net benefit promotes or rolls back;
    the planned size, or the longest time, without either pauses.
    """
    protocol = experiment.protocol
    allocation = found.allocation
    if allocation is not None and allocation.mismatch_at is not None:
        return Judgement(
            "halted",
            "allocation",
            f"The allocation is not as planned: the challenger has {allocation.treated} of {allocation.n} "
            f"units, {allocation.expected:.1f} were expected "
            f"(p = {allocation.p_value:.1g}, at unit {allocation.mismatch_at}).",
            {
                "treated": allocation.treated,
                "n": allocation.n,
                "expected": allocation.expected,
                "p": allocation.p_value,
            },
        )
    broken = next((each for each in found.guardrails if _is_crossed(each)), None)
    if broken is not None:
        return _by_guardrail(broken)
    for judged in (_by_silent_pairs(protocol, found), _by_net_benefit(protocol, found), _by_time(experiment, found)):
        if judged is not None:
            return judged
    return Judgement(None, "none", _progress(protocol, found))


def bounds(protocol: ExperimentProtocol, found: TrialEvaluation) -> tuple[float, float, float] | None:
    """Difference of net benefit now, with bounds that hold at every look; None before the first observation."""
    if found.difference is None:
        return None
    sequence = found.difference.sequence(rho=tuning(protocol), alpha=protocol.plan.alpha)
    return float(sequence.estimate[-1]), float(sequence.low[-1]), float(sequence.high[-1])


def _is_crossed(result: GuardrailResult) -> bool:
    return result.evidence is not None and result.evidence.crossed_at is not None


def _by_guardrail(broken: GuardrailResult) -> Judgement:
    assert broken.evidence is not None
    return Judgement(
        "roll_back",
        broken.name,
        f"{broken.name}: {broken.hits} of {broken.n} in the challenger's arm, at most {broken.limit:g} is allowed "
        f"(p = {broken.evidence.p_value:.1g}, holding at every look).",
        {"hits": broken.hits, "n": broken.n, "limit": broken.limit, "p": broken.evidence.p_value},
    )


def _by_silent_pairs(protocol: ExperimentProtocol, found: TrialEvaluation) -> Judgement | None:
    """The challenger is worse on the same patients, before anybody was exposed."""
    pairs = found.silent_pairs
    if pairs is None or pairs.variation[-1] == 0:
        return None
    alpha = found.guardrail_alpha
    # Tuned to a hundred patients on whom the models differ by a missed event.
    evidence = pairs.log_evidence_below(below=protocol.benefit.roll_back_below, rho=tuned_rho(100.0, alpha=alpha))
    if float(evidence.max()) < -math.log(alpha):
        return None
    n, value = pairs.total.size, float(pairs.estimate[-1])
    return Judgement(
        "roll_back",
        "silent_net_benefit",
        f"On the same {n} patients of the silent stage the challenger's net benefit is lower by {-value:.4f} per "
        f"patient (p = {math.exp(-float(evidence.max())):.1g}, holding at every look).",
        {"n": n, "difference": value},
    )


def _by_net_benefit(protocol: ExperimentProtocol, found: TrialEvaluation) -> Judgement | None:
    if found.difference is None:
        return None
    above, below = protocol.benefit.promote_above, protocol.benefit.roll_back_below
    n = found.difference.total.size
    if protocol.stopping.kind == "looks":
        gained, lost, low, high = _at_looks(protocol, found)
    else:
        rho, goal = tuning(protocol), math.log(2 / protocol.plan.alpha)
        gained = bool((found.difference.log_evidence(above=above, rho=rho) >= goal).any())
        lost = bool((found.difference.log_evidence_below(below=below, rho=rho) >= goal).any())
        _, low, high = bounds(protocol, found) or (0.0, -math.inf, math.inf)
    value = float(found.difference.estimate[-1])
    told: Evidence = {"n": n, "difference": value}
    if math.isfinite(low) and math.isfinite(high):
        told |= {"low": low, "high": high}
    words = f"challenger minus champion {value:+.4f} per patient ({low:+.4f} to {high:+.4f}) after {n} observations"
    if lost:
        return Judgement("roll_back", "net_benefit", f"Net benefit is below {below:g}: {words}.", told)
    if gained:
        return Judgement(
            "promote",
            "net_benefit",
            f"Net benefit is above {above:g}: {words}. The release still needs its signatures.",
            told,
        )
    if n >= protocol.plan.units:
        return Judgement(
            "inconclusive", "planned_size", f"The planned size is reached without a verdict: {words}.", told
        )
    return None


def _at_looks(protocol: ExperimentProtocol, found: TrialEvaluation) -> tuple[bool, bool, float, float]:
    """Whether a look that was reached crossed above or below, and the interval at the last of them."""
    difference = found.difference
    assert difference is not None
    looks = [math.ceil(fraction * protocol.plan.units) for fraction in protocol.stopping.fractions]
    edges = obrien_fleming_boundaries(protocol.stopping.fractions, alpha=protocol.plan.alpha)
    gained = lost = False
    low, high = -math.inf, math.inf
    for look, edge in zip(looks, edges, strict=True):
        if look > difference.total.size:
            break
        place = look - 1
        error = float(np.sqrt(difference.variation[place]) / difference.weight[place])
        value = float(difference.estimate[place])
        low, high = value - edge * error, value + edge * error
        gained = gained or low > protocol.benefit.promote_above
        lost = lost or high < protocol.benefit.roll_back_below
    return gained, lost, low, high


def _by_time(experiment: Experiment, found: TrialEvaluation) -> Judgement | None:
    longest = dt.timedelta(days=experiment.protocol.plan.longest_days)
    if found.at - parse(experiment.stages[0].since) < longest:
        return None
    return Judgement(
        "inconclusive", "longest_time", f"{longest.days} days have passed without a verdict.", {"days": longest.days}
    )


def _progress(protocol: ExperimentProtocol, found: TrialEvaluation) -> str:
    n = 0 if found.difference is None else found.difference.total.size
    now = bounds(protocol, found)
    words = "" if now is None else f" Challenger minus champion {now[0]:+.4f} ({now[1]:+.4f} to {now[2]:+.4f})."
    return f"{n} of {protocol.plan.units} planned observations have a final outcome.{words}"
