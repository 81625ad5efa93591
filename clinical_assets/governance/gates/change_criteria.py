"""Whether a change that the plan permits keeps what the plan asks for, and has not happened too often.

The candidate and the champion are held against each other on the candidate's holdout, which neither learned from.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import sqlalchemy as sa

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.change import Change
from clinical_assets.governance.candidate.comparison import Comparison, MeasurePair, compare_with_champion
from clinical_assets.governance.verdicts.interval_verdicts import judged
from clinical_assets.governance.verdicts.verdict import Gate, Verdict
from clinical_assets.records import schema

_GATE: Gate = "regulatory"
YEAR_DAYS = 365
_CURE = "Release it as a new model: gates, signatures, and a waiver of this criterion with its reason."


def judge_change(candidate: ReleaseCandidate, change: Change, *, now: dt.datetime | None = None) -> tuple[Verdict, ...]:
    """``change_control``, and for a permitted change one verdict for each thing that the plan asks for.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that is judged, with its cohort, training and records.
    change : Change
        What differs from the champion, and the plan's terms for it.
    now : datetime, optional
        End of the year in which changes are counted.
    """
    evidence = {
        "kind": change.kind,
        "details": list(change.details[:20]),
        "against": change.against,
        "plan": candidate.spec.pccp.reference,
    }
    if change.kind == "first":
        said = "No model serves this cohort yet: a first release is decided by signatures, not by the plan."
        return (Verdict(_GATE, "change_control", "pass", said, evidence=evidence),)
    named = change.kind.replace("_", " ")
    shown = "; ".join(change.details[:3])
    if change.permitted is None:
        said = f"This is a change of kind '{named}' ({shown}), which the change control plan does not permit. {_CURE}"
        return (Verdict(_GATE, "change_control", "insufficient", said, limit="in the plan", evidence=evidence),)
    terms = change.permitted.model_dump(mode="json")
    said = f"This is a change of kind '{named}' ({shown}), which the change control plan permits on terms."
    return (
        Verdict(_GATE, "change_control", "pass", said, limit="in the plan", evidence={**evidence, "terms": terms}),
        changes_this_year(candidate, change, now=now),
        *_measured(candidate, change),
    )


def changes_this_year(candidate: ReleaseCandidate, change: Change, *, now: dt.datetime | None = None) -> Verdict:
    """Promotions that replaced a model within a year, this one counted, against the plan's number."""
    assert change.permitted is not None
    end = now or dt.datetime.now(dt.UTC)
    since = (end - dt.timedelta(days=YEAR_DAYS)).astimezone(dt.UTC).isoformat(timespec="microseconds")
    table = schema.promotions
    with candidate.records.read() as connection:
        found = connection.execute(
            sa.select(sa.func.count())
            .select_from(table)
            .where(
                table.c.cohort == candidate.cohort,
                table.c.kind == "promotion",
                # The first, and one that people signed once more under another plan, changed nothing that served.
                table.c.previous_digest.is_not(None),
                table.c.previous_digest != table.c.bundle_digest,
                table.c.bundle_digest != candidate.digest,
                table.c.at >= since,
            )
        ).scalar_one()
    count, most = int(found) + 1, change.permitted.at_most_per_year
    said = (
        f"With this one, models of the cohort were changed {count} times in {YEAR_DAYS} days; the plan allows {most}."
    )
    return Verdict(
        _GATE,
        "change_frequency",
        "pass" if count <= most else "fail",
        said if count <= most else f"{said} Wait, or release it as a new model after revising the plan.",
        value=float(count),
        limit=f"<= {most}",
        n=count,
    )


def _measured(candidate: ReleaseCandidate, change: Change) -> tuple[Verdict, ...]:
    assert change.permitted is not None
    criteria = change.permitted.criteria
    compared = compare_with_champion(candidate)
    losses = {
        "change_auroc_loss": ("auroc", criteria.auroc_loss_at_most),
        "change_net_benefit_loss": ("net_benefit", criteria.net_benefit_loss_at_most),
    }
    ranges = {
        "change_calibration_slope": ("calibration_slope", criteria.calibration_slope),
        "change_calibration_intercept": ("calibration_intercept", criteria.calibration_intercept),
    }
    pairs = {pair.name: pair for pair in compared.measures}
    return (
        *(_loss(name, pairs.get(measure), compared, most=most) for name, (measure, most) in losses.items()),
        *(_within(name, pairs.get(measure), compared, limits=limits) for name, (measure, limits) in ranges.items()),
    )


def _loss(name: str, pair: MeasurePair | None, compared: Comparison, *, most: float) -> Verdict:
    if pair is None or pair.difference is None:
        return _unknown(name, pair, compared, limit=f"<= {most:g}")
    gain = pair.difference
    loss = replace(gain, value=0.0 - gain.value, ci_low=0.0 - gain.ci_high, ci_high=0.0 - gain.ci_low)
    what = f"Loss of {pair.name.replace('_', ' ')} against the champion on the same rows"
    return judged(_GATE, name, loss, what=what, cure=_CURE, most=most, evidence={"against": compared.champion})


def _within(name: str, pair: MeasurePair | None, compared: Comparison, *, limits: tuple[float, float]) -> Verdict:
    if pair is None or pair.candidate is None:
        return _unknown(name, pair, compared, limit=f"{limits[0]:g}..{limits[1]:g}")
    what = f"The candidate's {pair.name.replace('_', ' ')} on the holdout"
    return judged(_GATE, name, pair.candidate, what=what, cure=_CURE, least=limits[0], most=limits[1])


def _unknown(name: str, pair: MeasurePair | None, compared: Comparison, *, limit: str) -> Verdict:
    reason = pair.reason if pair is not None and pair.reason else compared.statement
    said = f"What the plan asks for cannot be measured: {reason} {_CURE}"
    return Verdict(_GATE, name, "insufficient", said, limit=limit, n=compared.n, events=compared.events)
