"""The bias gate: does the model serve people of every group alike, on the locked holdout?

Every value of every protected attribute, and every pair of values of two attributes, is compared with the rest of the
holdout (``group_differences`` says with whom, at what, and how intervals are made; ``groups`` says which groups there
are). Six measures each: true and false alert rate at the deployed threshold, ratio of alert rates and net benefit at
equal need, calibration slope and intercept.

How a comparison is judged
--------------------------
- A group below ``limits.subgroup_minimum`` rows, or without two events and two non-events, is ``insufficient``: small
  groups of one attribute are listed in ``group_size[attribute]``, small intersections in ``group_size[intersections]``.
- A comparison fails when its whole 95 % interval lies beyond the limit and this still stands when the number of
  comparisons is counted in: Holm's adjusted p-value, over all comparisons of this evaluation, of the hypothesis that
  the limit is kept, is below .05. Of sixty comparisons of a fair model three would lie outside a 95 % interval by
  chance; the adjustment keeps the chance that a fair model fails anywhere below one in twenty.
- A comparison whose interval lies beyond the limit, but which does not stand after Holm, is ``insufficient``: it is
  not shown, and not to be passed over.
- Otherwise it passes, and the interval is there to be read: a wide one shows neither harm nor its absence.

Without a described protected attribute nothing can be said, which is insufficient, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.errors import InsufficientData
from clinical_assets.governance.gates.group_differences import MEASURES, Difference, differences
from clinical_assets.governance.gates.groups import Group, groups_of, labels_of
from clinical_assets.governance.gates.holdout import holdout_of
from clinical_assets.governance.verdicts import Gate, Verdict
from clinical_assets.modelling.inputs import FloatArray, IntArray
from clinical_assets.statistics.homogeneity import holm

if TYPE_CHECKING:
    from clinical_assets.cohorts.decisions import GateLimits
    from clinical_assets.governance.candidate import ReleaseCandidate

GATE: Gate = "bias"
ALPHA = 0.05
_WORDS = {
    "tpr_difference": "Share of events alerted",
    "fpr_difference": "Share of non-events alerted",
    "selection_rate_ratio": "Alert rate at equal need",
    "calibration_slope_difference": "Calibration slope",
    "calibration_intercept_difference": "Calibration intercept",
    "net_benefit_difference": "Net benefit at equal need",
}


@dataclass(frozen=True)
class _Compared:
    """One measure of one group, with its adjusted p-value once all are known."""

    group: Group
    n: int
    events: int
    found: Difference
    limit: float


def evaluate(candidate: ReleaseCandidate) -> tuple[Verdict, ...]:
    """Compare every group of a release candidate's holdout with the rest.

    Raises
    ------
    ReferenceMissing
        The candidate was trained elsewhere: its rows are not in this warehouse.
    """
    spec = candidate.spec
    if not spec.protected:
        reason = (
            "No column of the subject table is described as protected, so nobody can tell whom the model serves less "
            "well. Describe sex, age, origin or site with role `protected`."
        )
        return (Verdict(GATE, "protected_attributes", "insufficient", reason, limit=">= 1", value=0.0),)
    holdout = holdout_of(candidate)
    labels = labels_of(holdout.rows, spec, everyone=holdout.frame)
    return judge_groups(
        holdout.y,
        holdout.risk,
        tuple(groups_of(labels)),
        attributes=spec.protected,
        limits=spec.decisions.limits,
        threshold=float(candidate.bundle.description["threshold"]),
        subjects=holdout.subjects,
        seed=spec.modelling.search.seed,
    )


def judge_groups(
    y: IntArray,
    risk: FloatArray,
    groups: Sequence[Group],
    *,
    attributes: Sequence[str],
    limits: GateLimits,
    threshold: float,
    subjects: IntArray | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> tuple[Verdict, ...]:
    """Verdicts on every group; parameters as in ``group_differences.differences``.

    Parameters
    ----------
    groups : sequence of Group
        Of `attributes` and their intersections.
    """
    reasons = {group.label: _too_small(y, group, limits) for group in groups}
    verdicts = [_attribute(name, groups, reasons, limits) for name in attributes]
    verdicts += _intersections(groups, reasons, limits)
    compared: list[_Compared] = []
    seen: set[bytes] = set()
    for group in groups:
        # With two groups the one against the rest is the other against the rest, with the sign changed.
        mirror = np.packbits(~group.members).tobytes()
        if reasons[group.label] or mirror in seen:
            continue
        seen.add(np.packbits(group.members).tobytes())
        n, events = int(group.members.sum()), int(y[group.members].sum())
        found = differences(
            y, risk, group.members, threshold=threshold, subjects=subjects, seed=seed, n_resamples=n_resamples
        )
        for measure in MEASURES:
            one, limit = found[measure], float(getattr(limits, measure))
            if isinstance(one, InsufficientData):
                verdicts.append(_not_estimable(group, measure, n, events, one, limit))
            else:
                compared.append(_Compared(group, n, events, one, limit))
    adjusted = holm({number: each.found.p_value(each.limit) for number, each in enumerate(compared)})
    verdicts += [_judged(each, adjusted[number], len(compared)) for number, each in enumerate(compared)]
    return tuple(verdicts)


def _too_small(y: IntArray, group: Group, limits: GateLimits) -> str:
    """Why a group, or the rest beside it, cannot be judged; empty when it can."""
    for name, part in (("it", group.members), ("the rest", ~group.members)):
        n, events = int(part.sum()), int(y[part].sum())
        if n < limits.subgroup_minimum:
            return f"{name} has {n} rows"
        if min(events, n - events) < 2:
            return f"{name} has {events} events among {n} rows"
    return ""


def _attribute(name: str, groups: Sequence[Group], reasons: dict[str, str], limits: GateLimits) -> Verdict:
    mine = [group for group in groups if group.attributes == 1 and group.label.startswith(f"{name}=")]
    small = {group.label: reasons[group.label] for group in mine if reasons[group.label]}
    if not mine:
        reason = f"All holdout rows have the same {name}: there is nobody to compare with."
        return Verdict(GATE, f"group_size[{name}]", "insufficient", reason, limit=f">= {limits.subgroup_minimum}")
    return _sizes(name, mine, small, limits, noun=f"groups of {name}")


def _intersections(groups: Sequence[Group], reasons: dict[str, str], limits: GateLimits) -> list[Verdict]:
    mine = [group for group in groups if group.attributes == 2]
    if not mine:
        return []
    small = {group.label: reasons[group.label] for group in mine if reasons[group.label]}
    return [_sizes("intersections", mine, small, limits, noun="groups of two attributes")]


def _sizes(name: str, mine: Sequence[Group], small: dict[str, str], limits: GateLimits, *, noun: str) -> Verdict:
    sizes = {group.label: int(group.members.sum()) for group in mine}
    least = min(sizes.values())
    shown = "; ".join(f"{label}: {why}" for label, why in list(small.items())[:5])
    more = f"; and {len(small) - 5} more" if len(small) > 5 else ""
    return Verdict(
        GATE,
        f"group_size[{name}]",
        "insufficient" if small else "pass",
        f"{len(small)} of {len(mine)} {noun} are too small to be judged: {shown}{more}. At least "
        f"{limits.subgroup_minimum} rows with both outcomes are needed."
        if small
        else f"All {len(mine)} {noun} are large enough to be judged.",
        value=float(least),
        limit=f">= {limits.subgroup_minimum}",
        n=sum(sizes.values()) if name != "intersections" else None,
        evidence={"rows": sizes, "not judged": small},
    )


def _criterion(group: Group, measure: str) -> str:
    return f"{measure}[{group.label}]"[:200]


def _limit_text(measure: str, limit: float) -> str:
    return f"{limit:g}..{1 / limit:g}" if measure == "selection_rate_ratio" else f"{-limit:g}..{limit:g}"


def _not_estimable(group: Group, measure: str, n: int, events: int, why: InsufficientData, limit: float) -> Verdict:
    return Verdict(
        GATE,
        _criterion(group, measure),
        "insufficient",
        f"{_WORDS[measure]} of {group.label} cannot be compared: {why.message}.",
        limit=_limit_text(measure, limit),
        n=n,
        events=events,
    )


def _judged(each: _Compared, adjusted: float, comparisons: int) -> Verdict:
    found, label = each.found, each.group.label
    ratio = found.measure == "selection_rate_ratio"
    how = "over that of the rest" if ratio else "minus that of the rest"
    limit = _limit_text(found.measure, each.limit)
    told = f"{_WORDS[found.measure]} of {label} {how} is {found.value:.3g} ({found.ci_low:.3g} to {found.ci_high:.3g})"
    beyond = found.breaks(each.limit)
    shown = beyond and adjusted < ALPHA
    inside = (each.limit <= found.value <= 1 / each.limit) if ratio else abs(found.value) <= each.limit
    if shown:
        reason = (
            f"{told}; the whole interval lies beyond {limit}, also when all {comparisons} comparisons are counted in. "
            "Look for features that mean something else in this group, or for too few of it among the training rows."
        )
    elif beyond:
        reason = (
            f"{told}; the interval lies beyond {limit}, but among {comparisons} comparisons that may be chance. "
            "More rows of this group would tell."
        )
    elif inside:
        reason = f"{told}; no breach of {limit} is shown."
    else:
        reason = f"{told}; the value lies beyond {limit}, but the interval does not show it."
    evidence: dict[str, Any] = {
        "group": found.group,
        "rest": found.rest,
        "comparisons": comparisons,
        "adjusted p": adjusted,
        "method": "percentile bootstrap within group and rest; Holm",
    }
    return Verdict(
        GATE,
        _criterion(each.group, found.measure),
        "fail" if shown else "insufficient" if beyond else "pass",
        reason,
        value=found.value,
        limit=limit,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        n=each.n,
        events=each.events,
        evidence=evidence,
    )
