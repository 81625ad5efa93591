"""How often the bias gate passes a gap that is there, and how often a fair model. All data is synthetic.

    python benchmarks/bias_gate.py [--worlds 400] [--events 10 20 30 50 100 200] [--markdown]
    python benchmarks/bias_gate.py --count-out      # no simulation: the rule for the true alert rate over all samples

A group with so many events, one in five of its rows, is compared with a rest of 1,000 rows whose risks are calibrated.
For each measure a gap of 1.5 times its default limit is planted in the group (`GAPS`), and no gap at all beside it.
Per measure and number of events:

- the share of worlds with the gap in which the comparison passes, with its 95 % interval, and fails;
- the share of fair worlds in which it passes;
- the chance that a gap was there when it passes, if gap and fairness were as likely before;
- the share of worlds with the gap that would pass if all passed whose interval does not lie wholly beyond the limit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.governance.gates.bias.comparisons import LEAST_CHANCE_TO_PASS, limit_text
from clinical_assets.governance.gates.bias.gate import judge_groups
from clinical_assets.governance.gates.bias.group_differences import MEASURES, Difference
from clinical_assets.governance.gates.bias.groups import Group
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.statistics.uncertainty.intervals import Estimate, clopper_pearson_interval, proportion

LIMITS = GateLimits()
THRESHOLD, PREVALENCE, REST = 0.15, 0.2, 1000
TIMES = 1.5
_SPREAD, _MIDDLE = 1.5, -1.95
HEAD = (
    "gap",
    "measure (limit)",
    "events",
    "passes with the gap",
    "fails with it",
    "passes without",
    "gap if passed",
    "not proven beyond",
)
COLUMNS = "{:24s} {:44s} {:>6} {:>22} {:>15} {:>15} {:>15} {:>18}"
ROW = "| " + " | ".join(["{}"] * len(HEAD)) + " |"
Plant = Callable[[IntArray, FloatArray, np.random.Generator], FloatArray]


def people(rows: int, events: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Outcomes and their true log-odds of so many rows with exactly so many events."""
    odds = _MIDDLE + _SPREAD * rng.normal(size=60 * rows)
    y = rng.random(odds.size) < 1 / (1 + np.exp(-odds))
    chosen = np.concatenate([np.flatnonzero(y)[:events], np.flatnonzero(~y)[: rows - events]])
    return y[chosen].astype(np.int64), odds[chosen]


def _true_rates() -> tuple[float, float]:
    y, odds = people(20_000, 4_000, np.random.default_rng(0))
    alert = odds >= np.log(THRESHOLD / (1 - THRESHOLD))
    return float(alert[y == 1].mean()), float(alert[y == 0].mean())


TPR, FPR = _true_rates()


def _silenced(share: float, *, events_only: bool) -> Plant:
    """Alerts of the group, or of its events, are lost with this chance."""

    def plant(y: IntArray, odds: FloatArray, rng: np.random.Generator) -> FloatArray:
        lost = (rng.random(y.size) < share) & ((y == 1) | (not events_only))
        return np.where(lost, np.minimum(odds, -3.0), odds)

    return plant


def _alarmed(share: float) -> Plant:
    """Non-events of the group without an alert get one with this chance."""

    def plant(y: IntArray, odds: FloatArray, rng: np.random.Generator) -> FloatArray:
        return np.where((y == 0) & (rng.random(y.size) < share), np.maximum(odds, -1.0), odds)

    return plant


def _moved(shift: float = 0.0, slope: float = 1.0) -> Plant:
    """The group's calibration intercept or slope differs from the rest's (0 and 1)."""
    return lambda _y, odds, _rng: (odds - shift) / slope


GAPS: dict[str, tuple[str, Plant]] = {
    "fewer events alerted": ("tpr_difference", _silenced(TIMES * LIMITS.tpr_difference / TPR, events_only=True)),
    "more non-events alerted": ("fpr_difference", _alarmed(TIMES * LIMITS.fpr_difference / (1 - FPR))),
    "fewer alerts": (
        "selection_rate_ratio",
        _silenced(1 - LIMITS.selection_rate_ratio**TIMES, events_only=False),
    ),
    "risks too extreme": (
        "calibration_slope_difference",
        _moved(slope=1 - TIMES * LIMITS.calibration_slope_difference),
    ),
    "risks too timid": (
        "calibration_slope_difference",
        _moved(slope=1 + TIMES * LIMITS.calibration_slope_difference),
    ),
    "risks too low": (
        "calibration_intercept_difference",
        _moved(TIMES * LIMITS.calibration_intercept_difference),
    ),
    "risks too high": (
        "calibration_intercept_difference",
        _moved(-TIMES * LIMITS.calibration_intercept_difference),
    ),
    "less net benefit": (
        "net_benefit_difference",
        _silenced(TIMES * LIMITS.net_benefit_difference / (PREVALENCE * TPR), events_only=True),
    ),
}


@dataclass
class Tally:
    """Verdicts of one comparison over all worlds."""

    passed: int = 0
    failed: int = 0
    unproven: int = 0
    worlds: int = 0

    def add(self, verdict: Verdict, limit: float) -> None:
        """Count one world."""
        self.worlds += 1
        self.passed += verdict.verdict == "pass"
        self.failed += verdict.verdict == "fail"
        low, high = verdict.ci_low, verdict.ci_high
        far = (limit, 1 / limit) if verdict.criterion.startswith("selection_rate_ratio") else (-limit, limit)
        self.unproven += low is None or high is None or (high >= far[0] and low <= far[1])

    @property
    def share(self) -> Estimate:
        """Of worlds that pass."""
        return proportion(self.passed, self.worlds)


def judged(events: int, plant: Plant | None, rng: np.random.Generator, *, n_resamples: int) -> dict[str, Verdict]:
    """The verdicts of one world on its six comparisons, by measure."""
    mine, rest = people(round(events / PREVALENCE), events, rng), people(REST, round(REST * PREVALENCE), rng)
    odds = mine[1] if plant is None else plant(*mine, rng)
    y, log_odds = np.concatenate([mine[0], rest[0]]), np.concatenate([odds, rest[1]])
    members = np.arange(y.size) < mine[0].size
    found = judge_groups(
        y,
        np.clip(1 / (1 + np.exp(-log_odds)), 1e-6, 1 - 1e-6),
        (Group("group=a", members, 1), Group("group=b", ~members, 1)),
        known={"group": ("a", "b")},
        limits=LIMITS,
        threshold=THRESHOLD,
        seed=int(rng.integers(2**31)),
        n_resamples=n_resamples,
    )
    return {each.criterion.split("[")[0]: each for each in found}


def passing(events: int, rest: int) -> NDArray[np.bool_]:
    """Which numbers of alerts, of the group's events (rows) and of the rest's (columns), pass; without the bootstrap.

    The bootstrap can only widen an interval, so that the gate passes no more than this.
    """
    limit, found = LIMITS.tpr_difference, np.zeros((events + 1, rest + 1), dtype=bool)
    (low, high), (rest_low, rest_high) = (
        clopper_pearson_interval(np.arange(n + 1), np.full(n + 1, n)) for n in (events, rest)
    )
    for mine in range(events + 1):
        for others in range(rest + 1):
            p, q = mine / events, others / rest
            variance = sum(
                (k + 1) / (n + 2) * (1 - (k + 1) / (n + 2)) / (n + 2) for k, n in ((mine, events), (others, rest))
            )
            each = Difference(
                "tpr_difference",
                p - q,
                p - q - float(np.hypot(p - low[mine], rest_high[others] - q)),
                p - q + float(np.hypot(high[mine] - p, q - rest_low[others])),
                float(np.sqrt(variance)),
                p,
                q,
            )
            seen = each.excludes(limit) and each.chance_to_pass(limit) >= LEAST_CHANCE_TO_PASS
            found[mine, others] = each.keeps(limit) and seen
    return found


def count_out() -> None:
    """Print, by number of events and true rate, how often a gap of 1.5 limits passes and how often no gap does."""
    from scipy.stats import binom

    rates = np.arange(0.35, 0.96, 0.1)
    print("events  rest  " + "  ".join(f"rate {rate:.2f}" for rate in rates) + "   percent with the gap / without")
    for rest in (50, 200):
        for events in (10, 20, 30, 50, 100):
            passes = passing(events, rest)
            cells = []
            for rate in rates:
                others = binom.pmf(np.arange(rest + 1), rest, rate)
                with_gap, without = (
                    float(binom.pmf(np.arange(events + 1), events, mine) @ passes @ others)
                    for mine in (rate - TIMES * LIMITS.tpr_difference, rate)
                )
                cells.append(f"{100 * with_gap:4.1f}/{100 * without:4.0f}")
            print(f"{events:6d}  {rest:4d}  " + "  ".join(cells))


def main() -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--events", type=int, nargs="+", default=[10, 20, 30, 50, 100, 200])
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--count-out", action="store_true")
    options = parser.parse_args()
    if options.count_out:
        count_out()
        return
    print(f"synthetic; {options.worlds} worlds each, {options.resamples} resamples, gaps of {TIMES:g} limits\n")
    form = ROW if options.markdown else COLUMNS
    print(form.format(*HEAD))
    if options.markdown:
        print("|" + "---|" * len(HEAD))
    for events in options.events:
        rng = np.random.default_rng([options.seed, events])
        fair = {measure: Tally() for measure in MEASURES}
        for _ in range(options.worlds):
            found = judged(events, None, rng, n_resamples=options.resamples)
            for measure in MEASURES:
                fair[measure].add(found[measure], getattr(LIMITS, measure))
        for name, (measure, plant) in GAPS.items():
            gap, limit = Tally(), float(getattr(LIMITS, measure))
            for _ in range(options.worlds):
                gap.add(judged(events, plant, rng, n_resamples=options.resamples)[measure], limit)
            with_gap, without = gap.share, fair[measure].share
            both = with_gap.value + without.value
            print(
                form.format(
                    name,
                    f"{measure} ({limit_text(measure, limit)})",
                    events,
                    f"{with_gap.value:.1%} ({with_gap.ci_low:.1%} to {with_gap.ci_high:.1%})",
                    f"{gap.failed / gap.worlds:.0%}",
                    f"{without.value:.0%}",
                    f"{with_gap.value / both:.1%}" if both else "never passes",
                    f"{gap.unproven / gap.worlds:.0%}",
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
