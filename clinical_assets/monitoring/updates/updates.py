"""What to do about an ageing model: the smallest adequate update, or a reason to keep one's hands off.

What belongs here: the rules, in the order in which they are asked, each with the evidence it saw. What does not:
carrying a recommendation out.

1. ``data_quality``: values and outcomes that look broken are repaired, not learned from.
2. ``too_few``: nothing is decided on few outcomes, or on outcomes that the risks separate. Where enough outcomes hold
   too few events, or hardly anything else, their number is judged all the same (``in_the_large``): a person is asked.
3. ``feedback``: where many alerts lead to treatment, the outcomes of treated patients hide the risk they had, and a
   person is asked. Where few do, only those on whom nobody acted are judged by; when too few of them are left, a person
   is asked as well.
4. ``closed_test``: original, intercept, intercept and slope, refit; the first that is adequate (Vergouwe et al. 2017,
   doi 10.1002/sim.7179). A refit is tested by a logistic regression on the served log-odds and the features that matter
   most, which nests recalibration. Significance alone moves nothing: the change must also be large enough to matter.
5. ``subgroup``: the whole looks well, but a group does not: a person is asked.
6. ``plan``, ``budget``, ``cool_down``: what the cohort's change control plan does not permit, or what comes too often
   or too soon, is put to a person or waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.cohorts.governance import ChangeControlPlan, Monitoring
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.monitoring.updates.closed_tests import ALPHA, smallest_adequate
from clinical_assets.statistics.calibration.in_the_large import in_the_large_p

if TYPE_CHECKING:
    from numpy.typing import NDArray


UpdateAction = Literal["none", "wait", "repair_data", "ask", "intercept", "intercept_and_slope", "refit"]
UpdateRule = Literal[
    "data_quality",
    "too_few",
    "in_the_large",
    "feedback",
    "adequate",
    "closed_test",
    "immaterial",
    "subgroup",
    "plan",
    "cool_down",
    "budget",
]
_LEAST_ANSWERS = 20


@dataclass(frozen=True)
class UpdateHistory:
    """What was done to the model before.

    Attributes
    ----------
    updates : tuple of datetime
        When updates of any kind were carried out, UTC.
    now : datetime
        The moment of the report, UTC.
    kinds : tuple of str
        Kind of each update, as far as it is known; a plan may allow some kinds less often than others.
    """

    updates: tuple[datetime, ...]
    now: datetime
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recommendation:
    """What should happen, by which rule, on which evidence.

    Attributes
    ----------
    action : str
        ``none`` (the model is adequate), ``wait``, ``repair_data``, ``ask`` (a person decides), or an update that the
        plan permits.
    wanted : str or None
        The update that the tests ask for, also where a rule holds it back.
    rule : str
        The rule that decided.
    reason : str
        One sentence for a person.
    n, events : int
        Outcomes that were judged by.
    evidence : mapping
        Plain values.
    """

    action: UpdateAction
    rule: UpdateRule
    reason: str
    n: int
    events: int
    wanted: UpdateAction | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def recommend(
    event: NDArray[np.integer],
    risk: FloatArray,
    features: FloatArray,
    *,
    importance: Sequence[float],
    limits: Monitoring,
    plan: ChangeControlPlan,
    history: UpdateHistory,
    alert: NDArray[np.bool_],
    acted: NDArray[np.object_] | None = None,
    weights: FloatArray | None = None,
    quality_alarms: Sequence[str] = (),
    failing_groups: Sequence[str] = (),
    seed: int = 0,
) -> Recommendation:
    """The smallest adequate update of a model, or why there is none.

    Parameters
    ----------
    event : array of shape (n,), 0 or 1
        Outcomes of records that the model scored.
    risk : array of shape (n,), in (0, 1)
        Served risks.
    features : array of shape (n, p)
        Features in the model's order; NaN is missing.
    importance : sequence of p floats
        Mean absolute contribution of each feature.
    limits : Monitoring
        Monitoring limits of the cohort, such as the fewest events for an update.
    plan : ChangeControlPlan
        Which updates may be made without a new approval, and how often.
    history : UpdateHistory
        Updates made so far and when the last one was.
    alert : array of shape (n,)
        Whether the risk was at or above the threshold.
    acted : array of shape (n,), optional
        True, False or None (nobody said) for each record.
    weights : array of shape (n,), optional
        For how many each record stands where some were censored before the horizon.
    quality_alarms, failing_groups : sequences of str
        What the data-quality and fairness reports found, in words.
    seed : int
        Everything random follows from it.
    """
    n, events = int(event.size), int(event.sum())
    if quality_alarms:
        return Recommendation(
            "repair_data",
            "data_quality",
            "Values or outcomes look broken; a model must not learn from them: " + "; ".join(quality_alarms),
            n,
            events,
            evidence={"alarms": list(quality_alarms)},
        )
    usable = np.ones(n, dtype=bool)
    told: dict[str, Any] = {}
    if _too_few(event, limits):
        return _few(event, risk, limits, alert=alert, acted=acted, weights=weights)
    if acted is not None:
        known = np.array([value is not None for value in acted])
        treated = np.array([value is True for value in acted])
        share = _acted_share(alert, known, treated)
        told = {"acted_share_of_alerts": share, "alerts_with_answer": int((alert & known).sum())}
        if share >= limits.acted_share_limit:
            return Recommendation(
                "ask",
                "feedback",
                f"{share:.0%} of the alerts led to action. What was prevented looks like a false alarm, and who was "
                "not treated was chosen: neither arm shows the untreated risk. Withhold the score from a random share, "
                "or let a person judge.",
                n,
                events,
                evidence=told,
            )
        usable &= ~treated
    event, risk, features = event[usable], risk[usable], features[usable]
    weights = None if weights is None else weights[usable]
    n, events = int(event.size), int(event.sum())
    if _too_few(event, limits):
        return Recommendation(
            "ask",
            "feedback",
            f"Without those on whom somebody acted, {n} outcomes with {events} events are left: too few to judge by.",
            n,
            events,
            evidence=told,
        )
    try:
        wanted, evidence = smallest_adequate(
            event, risk, features, importance=np.asarray(importance), limits=limits, weights=weights, seed=seed
        )
    except InsufficientData as error:
        return _wait(event, limits, {**told, "insufficient": error.message}, why=error.message)
    evidence = {**told, **evidence, **({"groups": list(failing_groups)} if failing_groups else {})}
    if wanted == "none":
        if failing_groups:
            return Recommendation(
                "ask",
                "subgroup",
                "The whole looks well, but a group does not: " + "; ".join(failing_groups),
                n,
                events,
                evidence=evidence,
            )
        rule: UpdateRule = "immaterial" if evidence["closed_test"]["kind"] != "original" else "adequate"
        return Recommendation("none", rule, _calm(rule, evidence), n, events, evidence=evidence)
    held = _held_back(wanted, plan=plan, limits=limits, history=history)
    action, by, reason = held if held is not None else (wanted, "closed_test", _due(wanted, evidence))
    return Recommendation(action, by, reason, n, events, wanted=wanted, evidence=evidence)


def _few(
    event: NDArray[np.integer],
    risk: FloatArray,
    limits: Monitoring,
    *,
    alert: NDArray[np.bool_],
    acted: NDArray[np.object_] | None,
    weights: FloatArray | None,
) -> Recommendation:
    """Few events or few of anything else: too few for an update, but perhaps not as many as foretold."""
    usable = np.ones(event.size, dtype=bool)
    if acted is not None:
        known, treated = np.array([each is not None for each in acted]), np.array([each is True for each in acted])
        if _acted_share(alert, known, treated) >= limits.acted_share_limit:
            return _wait(event, limits, {})  # what was prevented is no error of the model
        usable = ~treated
    n, events, expected = int(usable.sum()), int(event[usable].sum()), float(risk[usable].sum())
    # Where some were censored, those with an event are seen more often: only none at all can be judged by.
    if n < limits.minimum_outcomes or (weights is not None and events):
        return _wait(event, limits, {})
    p = in_the_large_p(event[usable], risk[usable])
    evidence = {"expected_events": expected, "in_the_large_p": p}
    if p >= ALPHA:
        return _wait(event, limits, evidence)
    return Recommendation(
        "ask",
        "in_the_large",
        f"{n} outcomes hold {events} events where {expected:.1f} were expected: the risks are wrong in the large, or "
        f"the outcomes are. An update needs {limits.minimum_events} events and non-events; find out first whether "
        "outcomes are complete.",
        n,
        events,
        evidence=evidence,
    )


def _acted_share(alert: NDArray[np.bool_], known: NDArray[np.bool_], treated: NDArray[np.bool_]) -> float:
    """Share of the alerts that were acted upon: of those with an answer, or of all where only a few have one."""
    answered = int((alert & known).sum())
    asked = alert & known if answered >= _LEAST_ANSWERS else alert
    return float(treated[asked].mean()) if asked.any() else 0.0


def _too_few(event: NDArray[np.integer], limits: Monitoring) -> bool:
    events = int(event.sum())
    return event.size < limits.minimum_outcomes or min(events, event.size - events) < limits.minimum_events


def _wait(
    event: NDArray[np.integer], limits: Monitoring, told: Mapping[str, Any], *, why: str | None = None
) -> Recommendation:
    n, events = int(event.size), int(event.sum())
    words = (
        f"{n} outcomes with {events} events are too few to judge by; {limits.minimum_outcomes} with "
        f"{limits.minimum_events} events and non-events are needed."
    )
    return Recommendation("wait", "too_few", why or words, n, events, evidence=told)


def _held_back(
    wanted: UpdateAction, *, plan: ChangeControlPlan, limits: Monitoring, history: UpdateHistory
) -> tuple[UpdateAction, UpdateRule, str] | None:
    permitted = plan.permits(wanted)  # type: ignore[arg-type]
    words = wanted.replace("_", " ")
    if permitted is None:
        return "ask", "plan", f"An update ({words}) is due, but the change control plan does not permit it beforehand."
    year = [each for each in history.updates if history.now - each < timedelta(days=365)]
    if len(year) >= limits.updates_per_year:
        return (
            "ask",
            "budget",
            f"An update ({words}) is due, but {len(year)} were made within a year and {limits.updates_per_year} are "
            "allowed.",
        )
    kinds = dict(zip(history.updates, history.kinds, strict=False))
    alike = sum(kinds.get(each) == wanted for each in year)
    if alike >= permitted.at_most_per_year:
        return (
            "ask",
            "budget",
            f"An update ({words}) is due, but {alike} of this kind were made within a year and the plan permits "
            f"{permitted.at_most_per_year}.",
        )
    if year and history.now - max(year) < timedelta(days=limits.cool_down_days):
        until = max(year) + timedelta(days=limits.cool_down_days)
        return (
            "wait",
            "cool_down",
            f"An update ({words}) is due, but the last one is too recent: wait until {until:%Y-%m-%d}.",
        )
    return None


def _calm(rule: UpdateRule, evidence: Mapping[str, Any]) -> str:
    if rule == "adequate":
        return "No update is due: the closed test does not reject the model as it is."
    change = evidence.get("mean_change_of_risk")
    words = f"recalibration would move risks by {change:.3f} on average" if change is not None else "the gain is small"
    return f"The model is not exactly right, but {words}: less than matters."


def _due(wanted: UpdateAction, evidence: Mapping[str, Any]) -> str:
    if evidence.get("ranking_lost"):
        return "Recalibration is not enough: higher risks no longer go with more events, so that only a refit is left."
    if wanted == "refit":
        return (
            f"Recalibration is not enough: a refit would gain {evidence['auroc_gain_cross_validated']:.3f} in AUROC, "
            "cross-validated."
        )
    words = wanted.replace("_", " ")
    return (
        f"The smallest adequate update is {words}; it moves risks by {evidence['mean_change_of_risk']:.3f} on average."
    )
