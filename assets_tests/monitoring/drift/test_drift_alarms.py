import numpy as np
import polars as pl

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.statistics.uncertainty.intervals import wilson_interval

LIMITS = Monitoring()
FEATURES = [f"x{i}" for i in range(12)]


def simulate(n: int, rng: np.random.Generator, *, shift: float = 0.0, missing: float = 0.0) -> pl.DataFrame:
    """Synthetic: six correlated numbers, two skewed ones, two booleans (one rare), a count, a text."""
    numbers = rng.multivariate_normal(np.zeros(6), 0.5 + 0.5 * np.eye(6), size=n)
    numbers[:, 0] += shift
    numbers[rng.random(n) < 0.05 + missing, 0] = np.nan
    numbers[rng.random(n) < 0.3, 1] = np.nan
    columns: list[object] = [*numbers.T, *np.exp(rng.normal(size=(2, n)))]
    columns += [rng.random(n) < 0.3, rng.random(n) < 0.01, rng.poisson(1, n), rng.choice(list("abcdee"), n)]
    return pl.DataFrame(dict(zip(FEATURES, columns, strict=True)))


def share_of_alarms(n: int, *, batches: int, shift: float = 0.0, missing: float = 0.0) -> tuple[float, float]:
    """Share of batches called drift: all of them, and those in which only the first feature was called."""
    rng = np.random.default_rng([7, n])
    drifted = [
        drift_report(
            simulate(2_000, rng),
            simulate(n, rng, shift=shift, missing=missing),
            features=FEATURES,
            importance=None,
            limits=LIMITS,
            risk=None,
        ).drifted
        for _ in range(batches)
    ]
    return sum(map(bool, drifted)) / batches, sum(each == ("x0",) for each in drifted) / batches


def test_without_drift_a_report_cries_wolf_no_more_often_than_it_may() -> None:
    for n in (200, 1_000):
        alarms, _ = share_of_alarms(n, batches=100)
        low, _ = wilson_interval(alarms * 100, 100)
        assert low <= LIMITS.false_alarm_rate


def test_a_shift_of_half_a_standard_deviation_and_fifteen_points_more_missing_are_seen_and_named() -> None:
    for change in ({"shift": 0.5}, {"missing": 0.15}):
        assert share_of_alarms(200, batches=30, **change)[1] >= 0.7
        assert share_of_alarms(1_000, batches=30, **change)[1] >= 0.95
