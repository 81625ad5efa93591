"""The bias gate: does the model serve people of every group alike, on the locked holdout?

Every value of every protected attribute, and every pair of values of two attributes, is compared with the rest of the
holdout (``group_differences`` says with whom, at what, and how intervals are made; ``groups`` says which groups there
are). Six measures each: true and false alert rate at the deployed threshold, ratio of alert rates and net benefit at
equal need, calibration slope and intercept.

Groups come from the description and from all rows. One without rows on the holdout, or with fewer than
``limits.subgroup_minimum``, or without two events and two non-events, is ``insufficient``: groups of one attribute are
listed in ``group_size[attribute]``, small intersections in ``group_size[intersections]``. How a comparison is judged
stands in ``comparisons``. Intersections at which a measure comes to no decision share one verdict per measure.

Without a described protected attribute nothing can be said, which is insufficient, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.gates.bias.comparisons import (
    GATE,
    WORDS,
    Compared,
    EventCounts,
    criterion,
    limit_text,
    one_for_all,
)
from clinical_assets.governance.gates.bias.group_differences import MEASURES, differences
from clinical_assets.governance.gates.bias.groups import Group, groups_of, known_groups, labels_of
from clinical_assets.governance.gates.holdout import holdout_of
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.statistics.comparison.homogeneity import holm


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
        known=known_groups(spec, holdout.frame),
        limits=spec.decisions.limits,
        threshold=candidate.bundle.description.threshold,
        subjects=holdout.subjects,
        weights=holdout.weights,
        seed=spec.modelling.search.seed,
    )


def judge_groups(
    y: IntArray,
    risk: FloatArray,
    groups: Sequence[Group],
    *,
    known: Mapping[str, Sequence[str]],
    limits: GateLimits,
    threshold: float,
    subjects: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> tuple[Verdict, ...]:
    """Verdicts on every group.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes on the holdout.
    risk : array of shape (n,), in (0, 1)
        Served risks of the same rows.
    groups : sequence of Group
        Of these rows, of one attribute and of two.
    known : mapping of attribute to labels
        All groups there are, with rows or without; each attribute gets a verdict on whether its groups can be compared.
    limits : GateLimits
        Largest differences that pass, and the smallest groups that are judged.
    threshold : float in (0, 1)
        At or above it a row raises an alert.
    subjects : array of shape (n,), optional
        Subjects, resampled as a whole, where they have several rows.
    weights : array of shape (n,), optional
        Case weights; the least numbers of rows and events count records.
    seed : int
        Of the bootstrap.
    n_resamples : int
        Bootstrap resamples per group and measure.
    """
    reasons = {group.label: _too_small(y, group, limits) for group in groups}
    verdicts = [_attribute(name, labels, groups, reasons, limits) for name, labels in known.items()]
    verdicts += _intersections(groups, reasons, limits)
    compared: list[Compared] = []
    seen: set[bytes] = set()
    for group in groups:
        # With two groups the one against the rest is the other against the rest, with the sign changed.
        mirror = np.packbits(~group.members).tobytes()
        if reasons[group.label] or mirror in seen:
            continue
        seen.add(np.packbits(group.members).tobytes())
        counts = _counts(y, group)
        found = differences(
            y,
            risk,
            group.members,
            threshold=threshold,
            subjects=subjects,
            weights=weights,
            seed=seed,
            n_resamples=n_resamples,
        )
        for measure in MEASURES:
            one, limit = found[measure], float(getattr(limits, measure))
            if isinstance(one, InsufficientData):
                verdicts.append(_not_estimable(group, measure, counts, one, limit))
            else:
                compared.append(Compared(group, counts, one, limit, limits.subgroup_events))
    return (*verdicts, *_judged(compared))


def _judged(compared: Sequence[Compared]) -> list[Verdict]:
    """Verdicts of both families; intersections without a decision share one per measure."""
    families = [[each for each in compared if each.group.attributes == size] for size in (1, 2)]
    single, paired = (_adjusted(family) for family in families)
    verdicts = [each.verdict() for each in single]
    for measure in MEASURES:
        mine = [each for each in paired if each.found.measure == measure]
        open_ones = [each for each in mine if each.outcome == "insufficient"]
        verdicts += [each.verdict() for each in mine if each.outcome != "insufficient"]
        if open_ones:
            verdicts.append(one_for_all(open_ones, comparisons=len(mine)))
    return verdicts


def _adjusted(family: Sequence[Compared]) -> list[Compared]:
    """A family of comparisons with Holm's p; those that rest on too few rows are not judged and do not count."""
    enough = {number: each.found.p_value(each.limit) for number, each in enumerate(family) if each.enough}
    p = holm(enough)
    return [replace(each, adjusted=p.get(number, 1.0), comparisons=len(enough)) for number, each in enumerate(family)]


def _counts(y: IntArray, group: Group) -> EventCounts:
    n, events = int(group.members.sum()), int(y[group.members].sum())
    return EventCounts(n, events, int(y.size) - n, int(y.sum()) - events)


def _too_small(y: IntArray, group: Group, limits: GateLimits) -> str:
    """Why a group, or the rest beside it, cannot be judged; empty when it can."""
    for name, part in (("it", group.members), ("the rest", ~group.members)):
        n, events = int(part.sum()), int(y[part].sum())
        if n < limits.subgroup_minimum:
            return f"{name} has {n} rows"
        if min(events, n - events) < 2:
            return f"{name} has {events} events among {n} rows"
    return ""


def _attribute(
    name: str, labels: Sequence[str], groups: Sequence[Group], reasons: Mapping[str, str], limits: GateLimits
) -> Verdict:
    mine = {group.label: int(group.members.sum()) for group in groups if group.attributes == 1}
    sizes = {f"{name}={label}": mine.get(f"{name}={label}", 0) for label in labels}
    if sum(size > 0 for size in sizes.values()) < 2:
        reason = f"All holdout rows have the same {name}: there is nobody to compare with."
        return Verdict(GATE, f"group_size[{name}]", "insufficient", reason, limit=f">= {limits.subgroup_minimum}")
    small = {label: reasons.get(label, "it has no rows on the holdout") for label in sizes}
    return _sizes(name, sizes, small, limits, noun=f"groups of {name}")


def _intersections(groups: Sequence[Group], reasons: Mapping[str, str], limits: GateLimits) -> list[Verdict]:
    sizes = {group.label: int(group.members.sum()) for group in groups if group.attributes == 2}
    small = {label: reasons[label] for label in sizes}
    return [_sizes("intersections", sizes, small, limits, noun="groups of two attributes")] if sizes else []


def _sizes(
    name: str, sizes: Mapping[str, int], reasons: Mapping[str, str], limits: GateLimits, *, noun: str
) -> Verdict:
    small = {label: why for label, why in reasons.items() if why}
    shown = "; ".join(f"{label}: {why}" for label, why in list(small.items())[:5])
    more = f"; and {len(small) - 5} more" if len(small) > 5 else ""
    return Verdict(
        GATE,
        f"group_size[{name}]",
        "insufficient" if small else "pass",
        f"{len(small)} of {len(sizes)} {noun} are too small to be judged: {shown}{more}. At least "
        f"{limits.subgroup_minimum} rows with both outcomes are needed."
        if small
        else f"All {len(sizes)} {noun} are large enough to be compared.",
        value=float(min(sizes.values())),
        limit=f">= {limits.subgroup_minimum}",
        n=sum(sizes.values()) if name != "intersections" else None,
        evidence={"rows": dict(sizes), "not judged": small},
    )


def _not_estimable(group: Group, measure: str, counts: EventCounts, why: InsufficientData, limit: float) -> Verdict:
    return Verdict(
        GATE,
        criterion(group.label, measure),
        "insufficient",
        f"{WORDS[measure]} of {group.label} cannot be compared: {why.message}.",
        limit=limit_text(measure, limit),
        n=counts.n,
        events=counts.events,
    )
