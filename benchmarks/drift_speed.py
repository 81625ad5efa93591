"""Drift over all rows against Evidently's default preset on the same files, each in a process of its own.

    python benchmarks/drift_speed.py [--rows 1000000] [--columns 50] [--evidently-rows 1000000] [--skip-evidently]

Synthetic rows: numbers, a few booleans and counts, some with missing values. Ours is what the asset ``drift_report``
runs: the reference and the scored batch stand in a cohort's warehouse, the window is joined there, columns are read one
by one. Evidently reads the same rows from Parquet into pandas, which is all it takes. Wall time, CPU time and peak
resident memory are those of the whole process, imports and reading included. The peer takes minutes and gigabytes.
With fewer rows for Evidently the ratio is against those rows, and the output says so. The distances are compared with
scipy's for some columns, on all rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthetic_cohort import describe, names_of, open_warehouse

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK = 1_000_000
CHECKED = ("f00", "f01", "f05")
MEMORY = "1GB"
BATCH, DIGEST = "sha256:benchmark", "sha256:" + "0" * 64
RISK = "1 / (1 + exp(-coalesce(f01, 0)))"


def write(path: Path, rows: int, columns: int, *, shift: float, seed: int) -> None:
    """A Parquet file of synthetic rows, written in blocks so that memory stays small."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        table = pa.table({f"f{i:02d}": column(i, n, rng, shift=shift) for i in range(columns)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def column(i: int, n: int, rng: np.random.Generator, *, shift: float) -> pa.Array:
    """One column: every tenth a boolean, every tenth a count, the rest normal or skewed; every fifth has gaps."""
    import numpy as np
    import pyarrow as pa

    if i % 10 == 8:
        values = (rng.random(n) < 0.1).astype(np.float64)
    elif i % 10 == 9:
        values = rng.poisson(6, n).astype(np.float64)
    else:
        values = rng.normal(size=n) + (shift if i == 0 else 0)
        values = np.exp(values) if i % 3 == 0 else values
    return pa.array(values, mask=rng.random(n) < 0.1 if i % 5 == 0 else None)


def fill(folder: Path, rows: int) -> None:
    """Put the rows where training and scoring put them."""
    from clinical_assets.modelling.trainings.reference import SCHEMA, relation_of
    from clinical_assets.warehouse.outcomes.received_tables import FEATURES, SCORED

    facts = f"file_row_number AS patient_id, '{BATCH}' AS batch, '{DIGEST}' AS bundle_digest"
    with open_warehouse(folder, MEMORY).writer() as connection:
        for schema in (SCHEMA, "monitoring"):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        source = f"read_parquet('{folder}/{{}}-{rows}.parquet', file_row_number = true)"
        connection.execute(
            f"CREATE TABLE {relation_of(DIGEST)} AS SELECT *, {RISK} AS risk FROM {source.format('reference')}"
        )
        batch = source.format("batch")
        connection.execute(f"CREATE TABLE {FEATURES} AS SELECT * EXCLUDE (file_row_number), {facts} FROM {batch}")
        connection.execute(f"CREATE TABLE {SCORED} AS SELECT {facts}, {RISK} AS risk FROM {batch}")


def native(folder: Path, rows: int, columns: int, workers: int) -> dict[str, Any]:
    """Our report, over every row, as the asset makes it."""
    from clinical_assets.cohorts.governance import Monitoring
    from clinical_assets.modelling.trainings.reference import relation_of
    from clinical_assets.monitoring.drift.drift import drift_report
    from clinical_assets.monitoring.windows import BatchWindow, drift_relation

    names = names_of(columns)
    window = BatchWindow(batches=(BATCH,), since="2026", until="2026", rows=rows)
    with open_warehouse(folder, MEMORY).reader() as connection:
        report = drift_report(
            relation_of(DIGEST),
            drift_relation(connection, describe(columns), window, bundle_digest=DIGEST, features=names),
            features=names,
            importance=dict.fromkeys(names, 1.0),
            limits=Monitoring(),
            connection=connection,
            workers=workers,
        )
    measured = {each.name: each.distances for each in report.features}
    return {
        "drifted": report.drifted,
        "distances": {n: [d.kolmogorov_smirnov, d.wasserstein, d.psi] for n, d in measured.items()},
    }


def evidently(folder: Path, rows: int) -> dict[str, Any]:
    """The default preset, as its documentation shows it."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    current = pd.read_parquet(folder / f"batch-{rows}.parquet")
    reference = pd.read_parquet(folder / f"reference-{rows}.parquet")
    run = Report([DataDriftPreset()]).run(current, reference)
    return {"metrics": len(run.dict()["metrics"])}


def check(folder: Path, rows: int, distances: dict[str, list[float]]) -> float:
    """Largest difference of our distances from scipy's, and of PSI from `numeric_drift`, over all rows."""
    import numpy as np
    import polars as pl
    from scipy import stats

    from clinical_assets.statistics.comparison.distances import numeric_drift

    worst = 0.0
    for name in CHECKED:
        x, y = (
            pl.read_parquet(folder / f"{what}-{rows}.parquet", columns=[name]).to_series()
            for what in ("reference", "batch")
        )
        a, b = (s.drop_nulls().to_numpy() for s in (x, y))
        ours = distances[name]
        # scipy's p of large samples overflows on the way; only its statistic is wanted.
        theirs = [float(stats.ks_2samp(a, b, method="asymp").statistic), float(stats.wasserstein_distance(a, b))]
        psi = numeric_drift(x.fill_null(np.nan).to_numpy(), y.fill_null(np.nan).to_numpy()).psi
        worst = max(worst, *(abs(o - t) for o, t in zip(ours, [*theirs, psi], strict=True)))
    return worst


def in_process(*arguments: str, given: str = "") -> dict[str, Any]:
    """Run this file's ``--part`` in a process of its own; seconds and peak memory of the whole process.

    This process must stay small: on Linux a child's peak starts at the size of the parent that it was forked from.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        input=given,
    )
    seconds = time.perf_counter() - begun
    return {**json.loads(done.stdout.strip().splitlines()[-1]), "seconds": seconds}


def part(options: argparse.Namespace) -> None:
    """One side, measured from within."""
    import resource

    facts: dict[str, Any] = {}
    if options.part == "write":
        for what, shift, seed in (("reference", 0.0, 1), ("batch", 0.3, 2)):
            path = options.folder / f"{what}-{options.rows}.parquet"
            write(path, options.rows, options.columns, shift=shift, seed=seed)
    elif options.part == "fill":
        fill(options.folder, options.rows)
    elif options.part == "native":
        facts = native(options.folder, options.rows, options.columns, options.workers)
    elif options.part == "check":
        facts = {"worst": check(options.folder, options.rows, json.loads(sys.stdin.read()))}
    else:
        facts = evidently(options.folder, options.rows)
    scale = 1024 if sys.platform != "darwin" else 1024**2
    usage = resource.getrusage(resource.RUSAGE_SELF)
    facts |= {"megabytes": usage.ru_maxrss / scale, "cpu": usage.ru_utime + usage.ru_stime}
    print(json.dumps(facts))


def _cost(run: dict[str, Any]) -> str:
    return f"{run['seconds']:8.1f} s {run['cpu']:8.1f} s of CPU {run['megabytes']:8.0f} MB"


def main() -> None:
    """Write the files, run both sides, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--evidently-rows", type=int, help="rows of each sample for Evidently; the same unless given")
    parser.add_argument("--skip-evidently", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median counts")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder unless given")
    parser.add_argument("--part", choices=("write", "fill", "native", "check", "evidently"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        compare(options, Path(temporary))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Both sides on files in ``folder``."""
    peer_rows = options.evidently_rows or options.rows
    shared = ("--folder", str(folder), "--columns", str(options.columns), "--workers", str(options.workers))
    for rows in {options.rows} | (set() if options.skip_evidently else {peer_rows}):
        in_process("--part", "write", "--rows", str(rows), *shared)
    print(f"synthetic; {options.rows:,} rows x {options.columns} columns against {options.rows:,}", flush=True)
    in_process("--part", "fill", "--rows", str(options.rows), *shared)
    runs = [in_process("--part", "native", "--rows", str(options.rows), *shared) for _ in range(options.repeats)]
    ours = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    print(f"drift_report      {_cost(ours)}, drifted: {ours['drifted']}")
    checked = in_process("--part", "check", "--rows", str(options.rows), *shared, given=json.dumps(ours["distances"]))
    print(
        f"largest difference from scipy (KS, Wasserstein) and numeric_drift (PSI): {checked['worst']:.1e}", flush=True
    )
    if options.skip_evidently:
        return
    theirs = in_process("--part", "evidently", "--rows", str(peer_rows), *shared)
    print(f"DataDriftPreset   {_cost(theirs)}, {peer_rows:,} rows")
    print(
        f"ratio: {theirs['seconds'] / ours['seconds']:.0f} times as fast (goal 50; "
        f"{theirs['cpu'] / ours['cpu']:.0f} in CPU time, which a busy machine disturbs less), "
        f"{ours['megabytes'] / theirs['megabytes']:.2f} of the memory (goal 0.10)"
        + ("" if peer_rows == options.rows else f"; Evidently had {peer_rows / options.rows:.0%} of the rows")
    )


if __name__ == "__main__":
    main()
