"""Experiments in simulation: false verdicts under peeking, power, how soon a harmful arm ends, and who was exposed.

    python benchmarks/experiments.py [--trials 10000] [--seed 0]

Each trial draws patients one after the other, assigns half of them to the challenger, and is looked at 50 times, at
equal distances up to twice the planned size; one without effect is wrong when a verdict is given at any look. The
planned size and the sequence are those that ``experiments`` uses. Harm is given as the loss of net benefit in units of
the planned gain. Between arms no test at this level can see a loss much sooner: what is printed beside it is the bet
that knows the loss (Waudby-Smith & Ramdas 2024, doi 10.1093/jrsssb/qkad009), which nobody does. The silent stage has
both models on each patient, and sees the same loss before anybody is exposed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.types import BoolArray, FloatArray, IntArray
from clinical_assets.statistics.trials.bounded_difference import (
    RunningDifference,
    running_difference,
    running_mean,
    tuned_rho,
)
from clinical_assets.statistics.trials.looks import obrien_fleming_boundaries
from clinical_assets.statistics.trials.planned_size import PlannedSize, net_benefit_variance, planned_size

PREVALENCE, THRESHOLD, FALSE_POSITIVES, SENSITIVITY, GAIN = 0.3, 0.25, 0.3, 0.6, 0.06
ODDS = THRESHOLD / (1 - THRESHOLD)
ALPHA, POWER, LOOKS, AT_ONCE = 0.05, 0.8, 50, 250
#: Level of the silent pairs: the draft's guardrail error, shared with five guardrails.
PAIRS_ALPHA = 0.05 / 6


@dataclass(frozen=True)
class Outcomes:
    """Patients that each trial had seen at its first verdict; 0 is never.

    In favour, against, by a plain z test, at scheduled looks, and against by a bet that knows the loss.
    """

    promoted: IntArray
    rolled_back: IntArray
    plain: IntArray
    scheduled: IntArray
    knowing: IntArray


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
                _first(_knowing(trial, loss=max(-gain, 0.0))[:, looks] >= goal, looks),
            )
        )
    return Outcomes(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _knowing(trial: RunningDifference, *, loss: float) -> FloatArray:
    """Log wealth of the fixed bet that grows fastest under exactly this loss; the variance is taken as known, too."""
    steps = -np.diff(trial.total, axis=1, prepend=0.0)
    bet = loss / (float(trial.variation[:, -1].mean()) / trial.total.shape[1] + loss**2)
    wealth: FloatArray = np.cumsum(np.log1p(bet * steps), axis=1)
    return wealth


def silent_stage(*, gain: float, trials: int, n: int, seed: int, agree: bool) -> IntArray:
    """Patients of the silent stage at which its pairs end an experiment; 0 is never.

    With `agree` the challenger alerts where the champion does but for the hits that it misses; otherwise the alerts of
    the two have nothing in common but the outcome.
    """
    rng = np.random.default_rng(seed)
    event = rng.random((trials, n)) < PREVALENCE
    champion = rng.random((trials, n)) < np.where(event, SENSITIVITY, FALSE_POSITIVES)
    hits = SENSITIVITY + gain / PREVALENCE
    if agree:
        challenger = champion & (~event | (rng.random((trials, n)) < hits / SENSITIVITY))
    else:
        challenger = rng.random((trials, n)) < np.where(event, hits, FALSE_POSITIVES)
    values = (challenger.astype(float) - champion) * np.where(event, 1.0, -ODDS)
    pairs = running_mean(values, lower=-1 - ODDS, upper=1 + ODDS)
    evidence = pairs.log_evidence_below(below=0.0, rho=tuned_rho(100.0, alpha=PAIRS_ALPHA))
    return _first(evidence >= -np.log(PAIRS_ALPHA), np.arange(n))


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
            f"{np.median(stopped) / 2:.0f} of them exposed; 95 % within {np.quantile(stopped, 0.95) / size.n:.0%}; "
            f"a bet that knows the loss: {np.median(harm.knowing[harm.knowing > 0]) / size.n:.0%}"
        )
    for agree, words in (
        (True, "models that differ by the missed alone"),
        (False, "models without anything in common"),
    ):
        for factor in (0, -1, -2):
            ended = silent_stage(
                gain=factor * GAIN, trials=asked.trials // 10, n=size.n, seed=asked.seed + 3, agree=agree
            )
            found = ended[ended > 0]
            after = f", median {np.median(found) / size.n:.1%} of the planned" if factor and found.size else ""
            print(
                f"silent stage, {words}, loss {-factor} x: ended in {found.size / ended.size:.1%}{after}, none exposed"
            )
    print(f"{time.process_time() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
