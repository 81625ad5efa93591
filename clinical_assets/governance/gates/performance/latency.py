"""How long does one patient wait? Records to features, risk and tier on the path that serves, one at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.modelling.bundle.batch_scoring import with_scores
from clinical_assets.modelling.bundle.record_scoring import RecordScorer
from clinical_assets.statistics.uncertainty.intervals import Estimate
from clinical_assets.warehouse.sql.schema import table_types
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import polars as pl


BLOCKS, CALLS, WARM_UP = 12, 25, 20
# The calmer half of five blocks: 75 calls. A 95th percentile of fewer than 72 has no upper end, however fast they are.
LEAST_BLOCKS = 5
# Of processor time, so that a busy machine does not cut the measurement short; of passed time once there are enough.
PATIENCE_S, LONGEST_S = 10.0, 60.0
# Some 15 ms: longer than the slices in which a scheduler gives the processor away.
CALIBRATION_STEPS = 250_000
# Above this ratio of passed time to processor time others took the processor, or the machine was throttled.
BUSY = 1.25


@dataclass(frozen=True)
class Latency:
    """How long one patient waits, by the processor's clock.

    Attributes
    ----------
    slow : Estimate
        95th percentile of milliseconds of processor time per call, over the calmer half of the blocks, with the
        interval of an order statistic, which takes no distribution for granted.
    medians : dict
        ``median_ms``, ``features_median_ms`` and ``score_median_ms`` of processor time, ``passed_median_ms`` by the
        wall clock, ``calibration_ms`` of a fixed piece of work on this machine.
    busy : float
        Passed time over processor time of the calibrations of all blocks together; 1 is an idle machine.
    """

    slow: Estimate
    medians: dict[str, float]
    busy: float

    @property
    def is_busy(self) -> bool:
        """Whether the machine did other work meanwhile."""
        return self.busy > BUSY


def measure_latency(candidate: ReleaseCandidate) -> Latency:
    """Milliseconds from the validated records of one patient to risk, alert and tier, on one thread.

    Up to 12 blocks of 25 calls after 20 calls that do not count; 5 when 10 seconds of processor time, or a minute, are
    over. Each block begins with a fixed piece of work, which tells how much of the machine there was for it. Processor
    time does not grow while others have the processor, only where they crowd it out of its caches; the calmer half of
    the blocks counts.
    """
    records = _one_patient(candidate)
    with RecordScorer(candidate.spec, candidate.bundle) as scorer:

        def call() -> tuple[float, float, float]:
            begun, on_wall = time.process_time(), time.perf_counter()
            row = scorer.features(records)
            made = time.process_time()
            with_scores(candidate.bundle, row)
            return made - begun, time.process_time() - made, time.perf_counter() - on_wall

        for _ in range(WARM_UP):
            call()
        blocks: list[FloatArray] = []
        calibrations: list[tuple[float, float]] = []
        until, latest = time.process_time() + PATIENCE_S, time.perf_counter() + LONGEST_S
        while len(blocks) < LEAST_BLOCKS or (
            len(blocks) < BLOCKS and time.process_time() < until and time.perf_counter() < latest
        ):
            calibrations.append(_calibration())
            blocks.append(1000 * np.asarray([call() for _ in range(CALLS)]))
    return latency_of(np.asarray(blocks), np.asarray(calibrations))


def latency_of(blocks: FloatArray, calibrations: FloatArray) -> Latency:
    """What blocks of calls (b, calls, 3) and their calibrations (b, 2) come to.

    Parameters
    ----------
    blocks : array of shape (b, calls, 3)
        Milliseconds of processor time for features and for scores, and of passed time.
    calibrations : array of shape (b, 2)
        Milliseconds of processor time and of passed time of the fixed work before each block.
    """
    work = blocks[:, :, 0] + blocks[:, :, 1]
    calm = np.argsort(np.median(work, axis=1), kind="stable")[: (len(blocks) + 1) // 2]
    mine = blocks[calm]
    medians = {
        "median_ms": float(np.median(work[calm])),
        "features_median_ms": float(np.median(mine[:, :, 0])),
        "score_median_ms": float(np.median(mine[:, :, 1])),
        "passed_median_ms": float(np.median(mine[:, :, 2])),
        "calibration_ms": float(calibrations[:, 0].min()),
    }
    busy = float(calibrations[:, 1].sum() / calibrations[:, 0].sum())
    return Latency(percentile_of(work[calm].reshape(-1), 0.95), medians, busy)


def _calibration() -> tuple[float, float]:
    """Milliseconds of processor time and of passed time for a fixed piece of work."""
    begun, on_wall = time.process_time(), time.perf_counter()
    total = 0
    for step in range(CALIBRATION_STEPS):
        total += step * step
    return 1000 * (time.process_time() - begun), 1000 * (time.perf_counter() - on_wall)


def percentile_of(values: FloatArray, share: float) -> Estimate:
    """A percentile of values (n,) with its distribution-free 95 % interval; open above where n is too small for one.

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2 (binomial order statistics).
    """
    from scipy.stats import binom

    ordered, n = np.sort(values), values.size
    low = int(binom.ppf(0.025, n, share))
    high = int(binom.ppf(0.975, n, share))
    return Estimate(
        float(np.quantile(ordered, share)),
        float(ordered[max(low - 1, 0)]),
        float(ordered[high]) if high < n else float("inf"),
        n,
        n,
        f"{share:.0%} percentile, order statistics",
    )


def _one_patient(candidate: ReleaseCandidate) -> dict[str, pl.DataFrame]:
    """The records of the subject with the smallest identifier that every table knows, if there is such a one."""
    spec, records = candidate.spec, {}
    with candidate.warehouse.reader() as source:
        subject = f"SELECT {quoted(spec.subject_of(spec.subject_table))} FROM validated.{quoted(spec.subject_table)}"
        for name in spec.tables:
            if name != spec.subject_table:
                subject += f" INTERSECT SELECT {quoted(spec.subject_of(name))} FROM validated.{quoted(name)}"
        (one,) = source.execute(f"SELECT min(#1) FROM ({subject})").fetchone() or (None,)
        for name in spec.tables:
            columns = ", ".join(map(quoted, table_types(spec, name)))
            mine = quoted(spec.subject_of(name))
            wanted = "LIMIT 1" if one is None else f"WHERE {mine} = {literal(one)}"
            records[name] = source.execute(f"SELECT {columns} FROM validated.{quoted(name)} {wanted}").pl()
    return records
