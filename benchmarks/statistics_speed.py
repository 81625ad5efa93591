"""How fast the statistics are, as ratios against plain peers in the same run. All data is synthetic.

    python benchmarks/statistics_speed.py [--rows 100000] [--resamples 1000] [--ici-rows 1000000]

Three questions: the bootstrap of the cost curve over candidate thresholds and that of the AUROC against
loops over resampled rows, and the integrated calibration index against loess. Loops are timed on a few
resamples and multiplied up, which is fair for a loop whose passes are alike; the output says so. Ratios carry
over to other machines, seconds do not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clinical_assets.statistics.calibration.smooth_calibration import calibration_indices, calibration_plot
from clinical_assets.statistics.decisions.cost_curve import CostCurve, cost_curve
from clinical_assets.statistics.discrimination.discrimination import auroc, auroc_statistic
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap

FloatArray = NDArray[np.float64]
T = TypeVar("T")
C_FP, C_FN = 500.0, 5000.0


def simulate(n: int, *, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Outcomes, somewhat overconfident risks, and true risks (synthetic)."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-2, 1.3, n)
    truth = 1 / (1 + np.exp(-(0.2 + 0.8 * log_odds)))
    return (rng.random(n) < truth).astype(float), 1 / (1 + np.exp(-log_odds)), truth


def timed(call: Callable[[], T], *, repeats: int = 3) -> tuple[float, T]:
    """Best wall time of a few runs, in seconds, and the last result."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return best, result


def loop_over_thresholds(y: FloatArray, p: FloatArray, thresholds: FloatArray, *, resamples: int) -> FloatArray:
    """The loop one writes first: resample rows, then count misses and false alarms at each threshold."""
    rng = np.random.default_rng(1)
    costs = np.empty((resamples, thresholds.size))
    for b in range(resamples):
        rows = rng.integers(0, y.size, y.size)
        outcome, risk = y[rows], p[rows]
        for i, t in enumerate(thresholds):
            alert = risk >= t
            false_alarms = np.count_nonzero(alert & (outcome == 0))
            missed = np.count_nonzero(~alert & (outcome == 1))
            costs[b, i] = (C_FP * false_alarms + C_FN * missed) / y.size
    return costs


def loop_with_sorting(y: FloatArray, p: FloatArray, thresholds: FloatArray, *, resamples: int) -> FloatArray:
    """The loop a careful person writes: resample rows, sort them once, cumulate."""
    rng = np.random.default_rng(1)
    costs = np.empty((resamples, thresholds.size))
    for b in range(resamples):
        rows = rng.integers(0, y.size, y.size)
        order = np.argsort(p[rows])
        outcome, risk = y[rows][order], p[rows][order]
        events = np.concatenate([[0.0], np.cumsum(outcome)])
        silent = np.searchsorted(risk, thresholds, side="left")
        missed = events[silent]
        false_alarms = (y.size - silent) - (events[-1] - missed)
        costs[b] = (C_FP * false_alarms + C_FN * missed) / y.size
    return costs


def compare_threshold_bootstrap(rows: int, resamples: int, naive_resamples: int, seed: int) -> None:
    y, p, _ = simulate(rows, seed=seed)

    def ours() -> CostCurve:
        return cost_curve(y, p, c_fp=C_FP, c_fn=C_FN, n_resamples=resamples)

    seconds, curve = timed(ours)
    print(f"Cost curve, {resamples} resamples x {rows} rows x {curve.thresholds.size} candidate thresholds")
    print(f"  cost_curve                          {seconds:8.2f} s measured")
    for name, loop, count in (
        ("loop over resamples and thresholds", loop_over_thresholds, max(1, naive_resamples // 10)),
        ("loop over resamples, sorted", loop_with_sorting, naive_resamples),
    ):

        def run(loop: Callable[..., FloatArray] = loop, count: int = count) -> FloatArray:
            return loop(y, p, curve.thresholds, resamples=count)

        spent, _ = timed(run, repeats=1)
        whole = spent / count * resamples
        print(
            f"  {name:34s}  {whole:8.2f} s extrapolated from {count} resamples in {spent:.2f} s"
            f" -> {whole / seconds:.0f} times as long"
        )
    slow = loop_with_sorting(y, p, curve.thresholds, resamples=200)
    gap = np.abs(np.quantile(slow, 0.975, axis=0) - curve.high) / (curve.high - curve.cost).clip(1e-12)
    print(f"  same band: median gap of the upper bound {np.median(gap):.1%} of its distance (200 resamples)")


def compare_auroc(rows: int, resamples: int, naive_resamples: int, seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    y, p, _ = simulate(rows, seed=seed)
    delong, _ = timed(lambda: auroc(y, p))
    order = np.argsort(p)
    y, p = y[order], p[order]
    ours, _ = timed(
        lambda: bootstrap(auroc_statistic(y, p), rows, events=float(y.sum()), n_resamples=resamples),
        repeats=1,
    )
    rng = np.random.default_rng(1)

    def loop() -> list[float]:
        drawn = (rng.integers(0, rows, rows) for _ in range(naive_resamples))
        return [float(roc_auc_score(y[i], p[i])) for i in drawn]

    spent, _ = timed(loop, repeats=1)
    naive = spent / naive_resamples * resamples
    print(f"AUROC with interval, {rows} rows (sorted by score for both bootstraps)")
    print(f"  auroc (DeLong)                      {delong:8.3f} s measured")
    print(f"  bootstrap by weights, {resamples} resamples  {ours:8.2f} s measured")
    print(
        f"  loop over roc_auc_score, {resamples}       {naive:8.2f} s extrapolated from {naive_resamples}"
        f" -> {naive / ours:.1f} times the bootstrap, {naive / delong:.0f} times DeLong"
    )


def compare_calibration(rows: int, sample_rows: int, seed: int) -> None:
    from statsmodels.nonparametric.smoothers_lowess import lowess

    y, p, truth = simulate(rows, seed=seed)
    curve_seconds, _ = timed(lambda: calibration_plot(y, p))
    seconds, indices = timed(lambda: calibration_indices(y, p))
    print(f"Integrated calibration index, {rows} rows; the truth is {np.abs(truth - p).mean():.4f}")
    print(f"  calibration_plot, with its band     {curve_seconds:8.2f} s measured")
    print(f"  calibration_indices, 200 resamples  {seconds:8.2f} s measured, ICI {indices.ici.value:.4f}")
    ys, ps = y[:sample_rows], p[:sample_rows]
    small, _ = timed(lambda: calibration_plot(ys, ps))
    print(f"  on a subsample of {sample_rows} rows, curves only:")
    print(f"    spline                            {small:8.4f} s, ICI {calibration_indices(ys, ps).ici.value:.4f}")
    for name, delta in (("exact", 0.0), ("delta 1 % of the range", 0.01 * float(np.ptp(ps)))):

        def smooth(delta: float = delta) -> FloatArray:
            return np.asarray(lowess(ys, ps, frac=0.75, it=0, delta=delta, return_sorted=False))

        spent, fitted = timed(smooth, repeats=1)
        print(
            f"    statsmodels lowess, {name:22s} {spent:8.4f} s, ICI {np.abs(fitted - ps).mean():.4f}"
            f" -> {spent / small:.0f} times as long"
        )
    print("  lowess without delta grows with the square of the rows; it was not run on all of them.")
    whole, fitted = timed(
        lambda: np.asarray(lowess(y, p, frac=0.75, it=0, delta=0.01 * float(np.ptp(p)), return_sorted=False)),
        repeats=1,
    )
    print(
        f"  lowess with delta on all {rows} rows   {whole:8.2f} s, ICI {np.abs(fitted - p).mean():.4f}"
        f" -> {whole / curve_seconds:.0f} times calibration_plot, without a band"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the bootstraps")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--naive-resamples", type=int, default=50, help="resamples the loops are timed on")
    parser.add_argument("--ici-rows", type=int, default=1_000_000)
    parser.add_argument("--lowess-rows", type=int, default=10_000, help="rows of the exact lowess")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("Synthetic data. One process; set OMP_NUM_THREADS=1 for one thread.")
    compare_threshold_bootstrap(options.rows, options.resamples, options.naive_resamples, options.seed)
    compare_auroc(options.rows, options.resamples, options.naive_resamples, options.seed)
    compare_calibration(options.ici_rows, options.lowess_rows, options.seed)


if __name__ == "__main__":
    main()
