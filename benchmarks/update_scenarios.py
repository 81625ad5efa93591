"""How often the right thing is recommended for an ageing model. All data is synthetic.

    python benchmarks/update_scenarios.py [--seeds 50] [--sizes 1000 3000]

A model of eight features serves; then the world changes in one of seven ways, or not at all. Each row of the output is
one scenario at one number of outcomes: in how many of the simulated years the right action was recommended, with its
95 % interval, and what was recommended instead. Rules and limits are those of
``clinical_assets.monitoring.updates.updates`` with their defaults; every update is permitted by the plan.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.cohorts.governance import ChangeControlPlan, Monitoring, PermittedChange
from clinical_assets.governance.gates.bias.gate import judge_groups
from clinical_assets.governance.gates.bias.groups import Group
from clinical_assets.monitoring.quality import FALSE_ALARM, column_questions
from clinical_assets.monitoring.updates.updates import Recommendation, UpdateHistory, recommend
from clinical_assets.statistics.uncertainty.intervals import proportion

THRESHOLD = 0.2
WEIGHTS = np.array([0.9, 0.6, -0.5, 0.3, 0.0, 0.0, 0.0, 0.0])
INTERCEPT = -1.5
REFERENCE_ROWS = 3_000
PLAN = ChangeControlPlan(
    permitted=tuple(PermittedChange(kind=kind) for kind in ("intercept", "intercept_and_slope", "refit"))
)


@dataclass
class Year:
    """What became known of n patients: features as measured, served risks, outcomes, groups, treatment."""

    x: np.ndarray
    risk: np.ndarray
    event: np.ndarray
    group: np.ndarray
    acted: np.ndarray | None = None
    alarms: tuple[str, ...] = field(default=())


def expit(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def served(x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ WEIGHTS + INTERCEPT)


def _year(rng: np.random.Generator, x: np.ndarray, truth: np.ndarray, group: np.ndarray | None = None) -> Year:
    some = rng.integers(0, 2, len(x)) if group is None else group
    return Year(x, expit(served(x)), (rng.random(len(x)) < expit(truth)).astype(np.int64), some)


def unchanged(rng: np.random.Generator, n: int) -> Year:
    x = rng.normal(size=(n, 8))
    return _year(rng, x, served(x))


def other_patients(rng: np.random.Generator, n: int) -> Year:
    """Other patients come, for whom the model is as right as for those before."""
    x = rng.normal(size=(n, 8))
    x[:, 0] += 0.8
    x[:, 2] *= 1.3
    return _year(rng, x, served(x))


def prevalence(rng: np.random.Generator, n: int) -> Year:
    """Twice the odds for everybody."""
    x = rng.normal(size=(n, 8))
    return _year(rng, x, served(x) + 0.7)


def slope_decay(rng: np.random.Generator, n: int) -> Year:
    """Risks have become too extreme: the truth has half the slope."""
    x = rng.normal(size=(n, 8))
    return _year(rng, x, INTERCEPT + 0.5 * (served(x) - INTERCEPT) + 0.3)


def concept(rng: np.random.Generator, n: int) -> Year:
    """Other features matter than did."""
    x = rng.normal(size=(n, 8))
    return _year(rng, x, x @ np.array([-0.2, 0.6, 0.5, 0.3, 0.9, 0.0, 0.0, 0.0]) + INTERCEPT)


def failing_group(rng: np.random.Generator, n: int) -> Year:
    """For a fifth of the patients risks are far too low, for the others a little too high: the sum is right."""
    x = rng.normal(size=(n, 8))
    group = (rng.random(n) < 0.2).astype(np.int64)
    return _year(rng, x, served(x) + np.where(group == 1, 1.4, -0.42), group)


def broken_sensor(rng: np.random.Generator, n: int) -> Year:
    """The device that measures the first feature reports one value for everybody; patients are as ever."""
    x = rng.normal(size=(n, 8))
    truth = served(x)
    x[:, 0] = np.where(rng.random(n) < 0.98, -1.0, x[:, 0])
    year = _year(rng, x, truth)
    reference = rng.normal(size=(REFERENCE_ROWS, 8))
    level = FALSE_ALARM / (4 * 8 + 1)
    asked = [each for i in range(8) for each in column_questions(f"f{i}", reference[:, i], x[:, i], level=level)]
    year.alarms = tuple(each.reason for each in asked if each.alarm)
    return year


def feedback(rng: np.random.Generator, n: int) -> Year:
    """Half of the alerts lead to a treatment that prevents two events of three."""
    x = rng.normal(size=(n, 8))
    year = _year(rng, x, served(x))
    treated = (year.risk >= THRESHOLD) & (rng.random(n) < 0.5)
    year.event = np.where(treated & (rng.random(n) < 2 / 3), 0, year.event)
    year.acted = np.where(treated, True, False).astype(object)
    return year


#: Scenario, and the actions (or rule) that are right.
SCENARIOS: dict[str, tuple[Callable[[np.random.Generator, int], Year], tuple[str, ...]]] = {
    "nothing changed": (unchanged, ("none",)),
    "other patients, no harm": (other_patients, ("none",)),
    "prevalence shift": (prevalence, ("intercept",)),
    "slope decay": (slope_decay, ("intercept_and_slope",)),
    "concept change": (concept, ("refit",)),
    "a group fails": (failing_group, ("ask: subgroup",)),
    "broken sensor": (broken_sensor, ("repair_data",)),
    "feedback loop": (feedback, ("ask: feedback",)),
}


def failing(year: Year, *, n_resamples: int = 1000) -> tuple[str, ...]:
    """What the fairness report calls failing; it resamples 1,000 times."""
    groups = tuple(Group(f"group={value}", year.group == value, 1) for value in (0, 1))
    found = judge_groups(
        year.event,
        year.risk,
        groups,
        known={"group": ("0", "1")},
        limits=GateLimits(),
        threshold=THRESHOLD,
        n_resamples=n_resamples,
    )
    return tuple(each.criterion for each in found if each.verdict == "fail")


def recommended(year: Year, *, seed: int = 0, limits: Monitoring | None = None, **given: Any) -> Recommendation:
    """What the rules say about a year."""
    return recommend(
        year.event,
        year.risk,
        year.x,
        importance=np.abs(WEIGHTS).tolist(),
        limits=limits or Monitoring(),
        plan=given.pop("plan", PLAN),
        history=given.pop("history", UpdateHistory((), datetime(2026, 1, 1, tzinfo=UTC))),
        alert=year.risk >= THRESHOLD,
        acted=year.acted,
        quality_alarms=year.alarms,
        failing_groups=given.pop("failing_groups", ()),
        seed=seed,
    )


def outcome_of(scenario: str, *, n: int, seed: int, n_resamples: int = 1000) -> str:
    """The recommendation for one simulated year: the action, with the rule where a person is asked."""
    make, _ = SCENARIOS[scenario]
    year = make(np.random.default_rng([seed, n]), n)
    found = recommended(year, seed=seed, failing_groups=failing(year, n_resamples=n_resamples))
    return f"{found.action}: {found.rule}" if found.action == "ask" else found.action


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 3_000])
    options = parser.parse_args()
    print(f"synthetic data, {options.seeds} simulated years each")
    print(f"{'scenario':26} {'outcomes':>8}  {'right':>7}  {'95 % interval':15} instead")
    for scenario, (_, right) in SCENARIOS.items():
        for n in options.sizes:
            told = Counter(outcome_of(scenario, n=n, seed=seed) for seed in range(options.seeds))
            hits = sum(told[each] for each in right)
            found = proportion(hits, options.seeds)
            others = ", ".join(f"{name} {number}" for name, number in told.most_common() if name not in right)
            print(
                f"{scenario:26} {n:8,}  {hits:3d}/{options.seeds:<3d}  {found.ci_low:.2f} to {found.ci_high:.2f}"
                f"    {others or '-'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
