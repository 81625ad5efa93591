"""How often a drift report cries wolf, and how often it sees a real shift. All data is synthetic.

    python benchmarks/drift_alarms.py [--batches 300] [--reference 10000] [--sizes 200 1000 10000]

Twenty features: eight correlated numbers, four skewed ones, four booleans (one rare), two counts and two texts; some
with missing values; and a predicted risk that follows from them. Each row of the output is one scenario at one batch
size: the share of batches with any alarm, with its 95 % interval, and the share in which the changed feature itself was
called. Without drift the first must stay below `false_alarm_rate`.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.statistics.uncertainty.intervals import proportion

FEATURES = tuple(f"f{i:02d}" for i in range(20))
SHIFTED = "f03"
SCENARIOS: dict[str, tuple[float, float]] = {
    "no drift": (0.0, 0.0),
    "mean +0.2 SD": (0.2, 0.0),
    "mean +0.3 SD": (0.3, 0.0),
    "mean +0.5 SD": (0.5, 0.0),
    "missing +15 points": (0.0, 0.15),
}


def simulate(n: int, rng: np.random.Generator, *, shift: float, missing: float) -> pl.DataFrame:
    """Records with twenty features and a risk; ``shift`` in SD and ``missing`` in share change one feature."""
    numbers = rng.multivariate_normal(np.zeros(8), 0.5 + 0.5 * np.eye(8), size=n)
    risk = 1 / (1 + np.exp(2 - numbers.mean(axis=1)))
    columns: list[object] = list(numbers.T)
    columns += [np.exp(rng.normal(size=n)) for _ in range(4)]
    columns += [(rng.random(n) < share).astype(float) for share in (0.5, 0.3, 0.1, 0.01)]
    columns += [rng.poisson(mean, n).astype(float) for mean in (0.5, 8.0)]
    columns += [rng.choice(names, n, p=shares) for names, shares in TEXTS]
    columns[3] = numbers[:, 3] + shift
    for i, share in ((3, 0.05 + missing), (5, 0.3), (9, 0.02), (13, 0.1)):
        column = np.asarray(columns[i], dtype=np.float64)
        column[rng.random(n) < share] = np.nan
        columns[i] = column
    return pl.DataFrame({**dict(zip(FEATURES, columns, strict=True)), "risk": risk})


TEXTS = ((["a", "b", "c"], [0.6, 0.3, 0.1]), (["p", "q", "r", "s", "t", "u"], [0.4, 0.3, 0.2, 0.08, 0.015, 0.005]))


def main() -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--reference", type=int, default=10_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1_000, 10_000])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    limits = Monitoring()
    print(
        f"synthetic; {options.batches} batches each, a new reference of {options.reference:,} records for each; "
        f"limits {limits.model_dump(include={'psi_limit', 'ks_limit', 'missing_change_limit', 'false_alarm_rate'})}"
    )
    print(f"{'scenario':20s} {'n':>7s} {'any alarm':>10s} {'95 % interval':>17s} {'the feature':>12s} {'others':>7s}")
    for name, (shift, missing) in SCENARIOS.items():
        for n in options.sizes:
            rng = np.random.default_rng([options.seed, n])
            alarms = hits = others = 0
            for _ in range(options.batches):
                report = drift_report(
                    simulate(options.reference, rng, shift=0, missing=0),
                    simulate(n, rng, shift=shift, missing=missing),
                    features=FEATURES,
                    importance=None,
                    limits=limits,
                )
                alarms += report.verdict == "drift"
                hits += SHIFTED in report.drifted
                others += bool(set(report.drifted) - {SHIFTED})
            share = proportion(alarms, options.batches)
            print(
                f"{name:20s} {n:7,d} {share.value:10.1%} {share.ci_low:8.1%} - {share.ci_high:6.1%} "
                f"{hits / options.batches:12.1%} {others / options.batches:7.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
