"""From one measured difference to a verdict: when a comparison passes, fails, or says nothing.

1. With fewer than ``limits.subgroup_events`` of the rows that a measure rests on, in the group or in the rest, it is
   ``insufficient``: the true alert rate rests on events, the false one on non-events, everything else on both. A slope
   needs twice as many as a rate or an intercept.
2. It fails when the whole 95 % interval lies beyond the limit and this still stands when the number of comparisons of
   its family is counted in (Holm's adjusted p of the hypothesis that the limit is kept is below .05). Groups of one
   attribute are one family, groups of two attributes another: looking at many small intersections must not hide a gap
   between women and men.
3. A value beyond its limit that is not shown to be beyond it is ``insufficient``, never a pass.
4. A value within the limit passes only if the interval rules out a gap of 1.5 limits, on either side, and if the rows
   were enough for a fair model to pass more often than not. Otherwise the comparison could not have seen such a gap,
   and is ``insufficient``.

What comes of it, by simulation: ``benchmarks/bias_gate.py``, table in ``docs/governance.md``. Source of the fourth
rule: equivalence by confidence interval, Schuirmann 1987, doi 10.1007/BF01068419.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clinical_assets.governance.gates.bias.group_differences import WORTH_FINDING, Difference
from clinical_assets.governance.gates.bias.groups import Group
from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict

GATE: Gate = "bias"
ALPHA = 0.05
LEAST_CHANCE_TO_PASS = 0.5
SHOWN = 5
METHOD = "percentile bootstrap within group and rest, rates never surer than with one success and failure added; Holm"
WORDS = {
    "tpr_difference": "Share of events alerted",
    "fpr_difference": "Share of non-events alerted",
    "selection_rate_ratio": "Alert rate at equal need",
    "calibration_slope_difference": "Calibration slope",
    "calibration_intercept_difference": "Calibration intercept",
    "net_benefit_difference": "Net benefit at equal need",
}
ComparisonFinding = Literal["shown", "among many", "beyond", "few", "not excluded", "kept"]
_OUTCOMES: dict[ComparisonFinding, Outcome] = {
    "shown": "fail",
    "among many": "insufficient",
    "beyond": "insufficient",
    "few": "insufficient",
    "not excluded": "insufficient",
    "kept": "pass",
}


@dataclass(frozen=True)
class EventCounts:
    """Rows and events of a group and of the rest."""

    n: int
    events: int
    rest_n: int
    rest_events: int

    def least(self, measure: str) -> tuple[int, str]:
        """The smallest number of rows that a measure rests on, and which they are."""
        events = [(self.events, "events in the group"), (self.rest_events, "events in the rest")]
        others = [
            (self.n - self.events, "non-events in the group"),
            (self.rest_n - self.rest_events, "non-events in the rest"),
        ]
        resting = {"tpr_difference": events, "fpr_difference": others}.get(measure, events + others)
        return min(resting)


@dataclass(frozen=True)
class Compared:
    """One measure of one group, its limit, and what it came to once all of its family are known.

    Attributes
    ----------
    group : Group
    counts : EventCounts
    found : Difference
    limit : float
    least_events : int
        ``limits.subgroup_events``.
    adjusted : float
        Holm's p in its family; 1 before it is known.
    comparisons : int
        Size of the family.
    """

    group: Group
    counts: EventCounts
    found: Difference
    limit: float
    least_events: int
    adjusted: float = 1.0
    comparisons: int = 1

    @property
    def enough(self) -> bool:
        """Whether the measure rests on enough rows to be judged at all."""
        return self.counts.least(self.found.measure)[0] >= self.needed

    @property
    def needed(self) -> int:
        """Rows that the measure must rest on."""
        return self.least_events * (2 if self.found.measure == "calibration_slope_difference" else 1)

    @property
    def finding(self) -> ComparisonFinding:
        """Which of the rules decides."""
        found, limit = self.found, self.limit
        if not self.enough:
            return "few"
        if found.breaks(limit):
            return "shown" if self.adjusted < ALPHA else "among many"
        if not found.keeps(limit):
            return "beyond"
        seen = found.excludes(limit) and found.chance_to_pass(limit) >= LEAST_CHANCE_TO_PASS
        return "kept" if seen else "not excluded"

    @property
    def outcome(self) -> Outcome:
        """The verdict."""
        return _OUTCOMES[self.finding]

    def verdict(self) -> Verdict:
        """The verdict in words."""
        found = self.found
        return Verdict(
            GATE,
            criterion(self.group.label, found.measure),
            self.outcome,
            f"{self._value()}; {self._why()}",
            value=found.value,
            limit=limit_text(found.measure, self.limit),
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            n=self.counts.n,
            events=self.counts.events,
            evidence=self.evidence(),
        )

    def evidence(self) -> dict[str, Any]:
        """Plain values behind the verdict."""
        found = self.found
        rows, which = self.counts.least(found.measure)
        return {
            "group": found.group,
            "rest": found.rest,
            "fewest": f"{rows} {which}",
            "comparisons": self.comparisons,
            "adjusted p": self.adjusted,
            "power": round(found.power(self.limit), 3),
            "chance to pass without a gap": round(found.chance_to_pass(self.limit), 3),
            "method": METHOD,
        }

    def _value(self) -> str:
        found = self.found
        how = "over that of the rest" if found.measure == "selection_rate_ratio" else "minus that of the rest"
        return (
            f"{WORDS[found.measure]} of {self.group.label} {how} is {found.value:.3g} "
            f"({found.ci_low:.3g} to {found.ci_high:.3g})"
        )

    def _why(self) -> str:
        found, limit = self.found, limit_text(self.found.measure, self.limit)
        rows, which = self.counts.least(found.measure)
        power = (
            f"power {found.power(self.limit):.2f} to show a gap of {WORTH_FINDING:g} limits, "
            f"chance {found.chance_to_pass(self.limit):.2f} to pass if there is none"
        )
        said: dict[ComparisonFinding, str] = {
            "shown": f"the whole interval lies beyond {limit}, also when all {self.comparisons} comparisons of this "
            "kind are counted in. Look for features that mean something else in this group, or for too few of it among "
            "the training rows.",
            "among many": f"the interval lies beyond {limit}, but among {self.comparisons} comparisons that may be "
            f"chance ({power}). More rows of this group would tell.",
            "beyond": f"the value lies beyond {limit}, and the interval does not decide ({power}). More rows of this "
            "group would tell.",
            "few": f"it rests on {rows} {which}, at least {self.needed} are needed to judge it. More rows of "
            "this group would tell.",
            "not excluded": f"within {limit}, but so few rows do not rule out a gap of {WORTH_FINDING:g} limits "
            f"({power}). More rows of this group would tell.",
            "kept": f"within {limit}, and a gap of {WORTH_FINDING:g} limits is excluded ({power}).",
        }
        return said[self.finding]


def one_for_all(open_ones: Sequence[Compared], *, comparisons: int) -> Verdict:
    """One verdict, ``insufficient``, for every intersection at which a measure did not come to a decision.

    Parameters
    ----------
    open_ones : sequence of Compared
        Of one measure, at least one; the value beyond the limit, or nearest to it, stands in the verdict.
    comparisons : int
        Intersections at which the measure was compared.
    """
    measure, limit = open_ones[0].found.measure, open_ones[0].limit
    ranked = sorted(open_ones, key=lambda each: -each.found.size)
    beyond = sum(not each.found.keeps(limit) for each in ranked)
    first = ranked[0]
    shown = "; ".join(
        f"{each.group.label} {each.found.value:.3g} ({each.found.ci_low:.3g} to {each.found.ci_high:.3g}, "
        f"{each.counts.events} events, power {each.found.power(limit):.2f})"
        for each in ranked[:SHOWN]
    )
    more = f"; and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
    return Verdict(
        GATE,
        f"{measure}[intersections]",
        "insufficient",
        f"{WORDS[measure]} is not decided for {len(ranked)} of {comparisons} groups of two attributes, of which "
        f"{beyond} have a value beyond {limit_text(measure, limit)}: {shown}{more}. More rows of these groups would "
        "tell.",
        value=first.found.value,
        limit=limit_text(measure, limit),
        ci_low=first.found.ci_low,
        ci_high=first.found.ci_high,
        n=first.counts.n,
        events=first.counts.events,
        evidence={
            each.group.label: {
                "value": each.found.value,
                "ci_low": each.found.ci_low,
                "ci_high": each.found.ci_high,
                "n": each.counts.n,
                "events": each.counts.events,
                **each.evidence(),
            }
            for each in ranked
        },
    )


def criterion(label: str, measure: str) -> str:
    """Name of a comparison's criterion."""
    return f"{measure}[{label}]"[:200]


def limit_text(measure: str, limit: float) -> str:
    """The limit as people read it."""
    return f"{limit:g}..{1 / limit:g}" if measure == "selection_rate_ratio" else f"{-limit:g}..{limit:g}"
