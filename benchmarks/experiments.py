"""Experiments in simulation: false verdicts under peeking, power, how soon a harmful arm ends, and who was exposed.

    python benchmarks/experiments.py [--trials 10000] [--seed 0]

Each trial draws patients one after the other, assigns half of them to the challenger, and is looked at 50 times, at
equal distances up to twice the planned size; one without effect is wrong when a verdict is given at any look. The
planned size and the sequence are those that ``experiments`` uses. Harm is given as the loss of net benefit in units of
the planned gain.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.types import BoolArray, IntArray
from clinical_assets.statistics.trials.bounded_difference import running_difference, tuned_rho
from clinical_assets.statistics.trials.looks import obrien_fleming_boundaries
from clinical_assets.statistics.trials.planned_size import PlannedSize, net_benefit_variance, planned_size

PREVALENCE, THRESHOLD, FALSE_POSITIVES, SENSITIVITY, GAIN = 0.3, 0.25, 0.3, 0.6, 0.06
ODDS = THRESHOLD / (1 - THRESHOLD)
ALPHA, POWER, LOOKS, AT_ONCE = 0.05, 0.8, 50, 250


@dataclass(frozen=True)
class Outcomes:
    """Of each trial: patients seen at the first verdict in favour, against, and by a plain z test; 0 is never."""

    promoted: IntArray
    rolled_back: IntArray
    plain: IntArray
    scheduled: IntArray


def simulate(*, gain: float, trials: int, size: PlannedSize, seed: int, longest: float = 2.0) -> Outcomes:
    """Trials in which the challenger's net benefit per patient is higher by `gain`."""
    rng = np.random.default_rng(seed)
    n = round(longest * size.n)
    looks = np.linspace(n / LOOKS, n, LOOKS).round().astype(int) - 1
    rho = tuned_rho(size.variation, alpha=ALPHA / 2)
    found: list[tuple[IntArray, ...]] = []
    edges = np.array(obrien_fleming_boundaries([0.25, 0.5, 0.75, 1.0], alpha=ALPHA))
    scheduled = np.array([size.n // 4, size.n // 2, 3 * size.n // 4, size.n]) - 1
    for begin in range(0, trials, AT_ONCE):
        shape = (min(AT_ONCE, trials - begin), n)
        arm = (rng.random(shape, dtype=np.float32) < 0.5).astype(np.float64)
        event = rng.random(shape, dtype=np.float32) < PREVALENCE
        hits = np.where(arm == 1, SENSITIVITY + gain / PREVALENCE, SENSITIVITY)
        alert = rng.random(shape, dtype=np.float32) < np.where(event, hits, FALSE_POSITIVES)
        values = np.where(alert, np.where(event, 1.0, -ODDS), 0.0)
        trial = running_difference(values, arm, share_treated=0.5, lower=-ODDS, upper=1.0)
        z = trial.total / np.sqrt(np.maximum(trial.variation, 1e-12))
        seen = type(trial)(trial.total[:, looks], trial.weight[:, looks], trial.variation[:, looks], trial.bound)
        goal = np.log(2 / ALPHA)
        found.append(
            (
                _first(seen.log_evidence(above=0.0, rho=rho) >= goal, looks),
                _first(seen.log_evidence_below(below=0.0, rho=rho) >= goal, looks),
                _first(np.abs(z[:, looks]) >= 1.96, looks),
                _first(np.abs(z[:, scheduled]) >= edges, scheduled),
            )
        )
    return Outcomes(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _first(crossed: BoolArray, looks: IntArray) -> IntArray:
    return np.where(crossed.any(axis=1), looks[crossed.argmax(axis=1)] + 1, 0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    control, treated = (
        net_benefit_variance(
            prevalence=PREVALENCE, sensitivity=sensitivity, false_positive_rate=FALSE_POSITIVES, threshold=THRESHOLD
        )
        for sensitivity in (SENSITIVITY, SENSITIVITY + GAIN / PREVALENCE)
    )
    size = planned_size(
        effect=GAIN, variance=control, variance_treated=treated, lower=-ODDS, upper=1.0, alpha=ALPHA, power=POWER
    )
    print(f"planned: {size.n} patients for a gain of {GAIN} in net benefit (one look at the end: {size.n_fixed})")
    began = time.process_time()
    null = simulate(gain=0.0, trials=asked.trials, size=size, seed=asked.seed)
    wrong = (null.promoted > 0) | (null.rolled_back > 0)
    print(f"no effect, {asked.trials} trials, {LOOKS} looks up to twice the planned size:")
    print(f"  false verdicts {wrong.mean():.2%} (false promotions {(null.promoted > 0).mean():.2%})")
    print(f"  a plain z test at the same looks {(null.plain > 0).mean():.1%}")
    print(f"  O'Brien-Fleming at its four looks {(null.scheduled > 0).mean():.2%}")
    gain = simulate(gain=GAIN, trials=asked.trials // 10, size=size, seed=asked.seed + 1, longest=1.0)
    print(f"the planned gain: promoted by the planned size {(gain.promoted > 0).mean():.1%} (planned {POWER:.0%}),")
    print(f"  median {np.median(gain.promoted[gain.promoted > 0]):.0f} patients, ", end="")
    print(f"O'Brien-Fleming {(gain.scheduled > 0).mean():.1%}")
    for factor in (-1, -2, -3):
        harm = simulate(gain=factor * GAIN, trials=asked.trials // 10, size=size, seed=asked.seed + 2, longest=1.0)
        stopped = harm.rolled_back[harm.rolled_back > 0]
        print(
            f"a loss of {-factor} x the planned gain: ended in {stopped.size / harm.rolled_back.size:.1%}, after a "
            f"median of {np.median(stopped):.0f} patients = {np.median(stopped) / size.n:.0%} of the planned, "
            f"{np.median(stopped) / 2:.0f} of them exposed; 95 % within {np.quantile(stopped, 0.95) / size.n:.0%}"
        )
    print(f"{time.process_time() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
