"""A received batch scored as the asset ``scored_records`` scores it, against bare boosters, in the same run.

Synthetic rows stand in a cohort's warehouse as a validated batch. Timed are, each in a process of its own:

1. ``score_batch``: what production calls; the bundle's statement, risk, alert and tier, both tables written and
   committed. Its peak memory is printed, and that of its process before the call.
2. The floor under it: the bare booster on a matrix that is ready, and DuckDB writing tables of the same columns.
3. ``score_relation``: the same without the writing, the part of it that the booster's speed is the measure of.

Usage: python benchmarks/batch_scoring.py [--rows 1000000] [--features 20] [--repeats 3] [--memory 1GB]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthetic_cohort import COHORT, THREADS, TIERS, describe, names_of, open_warehouse

if TYPE_CHECKING:
    import numpy as np

    from clinical_assets.modelling.bundle.bundle import Bundle
    from clinical_assets.modelling.search.recalibration import Recalibration
    from clinical_assets.modelling.search.uncertainty import RiskUncertainty

BATCH = "sha256:benchmark"
MODELS = ("logistic_ridge", "lightgbm", "xgboost")
TRAINED_ROWS = 5_000
BLOCK = 1_000_000
RECEIVED = "received_valid.subjects"
GOAL = 0.6


@dataclass(frozen=True)
class Model:
    """A fitted candidate as a bundle takes it."""

    name: str
    pipeline: Any
    feature_columns: tuple[str, ...]
    parameters: dict[str, Any]
    recalibration: Recalibration
    classes: tuple[str, ...] = ("no", "yes")
    imbalance: str = "none"
    floor: float = 1e-6

    @property
    def uncertainty(self) -> RiskUncertainty:
        """Of its risks nothing is known."""
        from clinical_assets.modelling.search.uncertainty import RiskUncertainty

        return RiskUncertainty(None, "None is known of a made-up model.")


def open_bundle(folder: Path, name: str) -> Bundle:
    """A bundle that `prepare` wrote."""
    from clinical_assets.modelling.bundle.bundle import Bundle

    return Bundle.load(folder / name)


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Put the batch where intake puts it, and fit and seal the models."""
    import numpy as np
    import pyarrow as pa

    from clinical_assets.modelling.bundle.bundle import Bundle
    from clinical_assets.modelling.bundle.bundle_description import BundleFacts
    from clinical_assets.modelling.search import candidates
    from clinical_assets.modelling.search.recalibration import Recalibration
    from clinical_assets.modelling.search.spaces import start
    from clinical_assets.warehouse.outcomes.received_tables import append

    names = names_of(options.features)
    generator = np.random.default_rng(1)
    with open_warehouse(folder, options.memory).writer() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS received_valid")
        for start_row in range(0, options.rows, BLOCK):
            ids = np.arange(start_row, min(start_row + BLOCK, options.rows))
            block: dict[str, Any] = {"patient_id": ids, "sex": np.where(ids % 2, "f", "m")}
            rows = pa.table(block | {name: generator.normal(size=len(ids)) for name in names})
            append(connection, RECEIVED, rows, constants={"batch": BATCH})
    X = matrix(folder, options, TRAINED_ROWS)
    y = (X[:, :4].sum(axis=1) + np.random.default_rng(2).logistic(size=len(X)) > 0).astype(np.int64)
    features = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in names)
    for name in MODELS:
        pipeline = candidates.build(name, start(name, TRAINED_ROWS), n_classes=2, seed=1)
        candidates.fit(pipeline, X, y, imbalance="none")
        parameters = dict(start(name, TRAINED_ROWS))
        Bundle.write(
            folder / name,
            Model(name, pipeline, names, parameters, Recalibration((0.1,), (0.9,))),
            X=X,
            statement=f"SELECT patient_id, {features} FROM validated.subjects",
            facts=BundleFacts.model_validate(
                {"cohort": COHORT, "synthetic": True, "action_from": 1, "threshold": 0.5, "tiers": TIERS}
            ),
        )
    return {}


def matrix(folder: Path, options: argparse.Namespace, rows: int) -> np.ndarray:
    """Features of the first rows."""
    import numpy as np

    sql = f"SELECT {', '.join(names_of(options.features))} FROM {RECEIVED} LIMIT {rows}"
    frame = open_warehouse(folder, options.memory).query(sql)
    return np.ascontiguousarray(frame.to_numpy())


def timed(work: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Median seconds of wall and of processor time, which a busy machine disturbs less; ``before`` is not timed."""
    seconds, processor = [], []
    for _ in range(repeats):
        before()
        begun, used = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    return {"seconds": statistics.median(seconds), "processor": statistics.median(processor)}


def production(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """``score_batch`` as the asset calls it."""
    from clinical_assets.modelling.bundle.batch_scoring import score_batch

    warehouse, bundle = open_warehouse(folder, options.memory), open_bundle(folder, options.model)
    spec = describe(options.features)
    before = peak_mb()

    def forget() -> None:
        with warehouse.writer() as connection:
            connection.execute("DROP SCHEMA IF EXISTS monitoring CASCADE")

    def work() -> None:
        done = score_batch(warehouse, spec, bundle, BATCH)
        assert (done.new, done.rows) == (True, options.rows)

    found = timed(work, options.repeats, before=forget)
    peak = peak_mb()
    forget()
    return found | {"peak_mb": peak, "before_mb": before}


def without_writing(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """``score_relation``, which ``score_batch`` writes from, over the batch in memory."""
    import duckdb

    from clinical_assets.modelling.bundle.batch_scoring import score_relation
    from clinical_assets.warehouse.sql.schema import create_validated_tables

    bundle = open_bundle(folder, options.model)
    rows = open_warehouse(folder, options.memory).query(f"SELECT * EXCLUDE batch FROM {RECEIVED}")
    with duckdb.connect(config={"threads": THREADS}) as connection:
        create_validated_tables(connection, describe(options.features))
        connection.register("_rows", rows.to_arrow())
        connection.execute("INSERT INTO validated.subjects BY NAME FROM _rows")

        def work() -> None:
            assert sum(each.height for each in score_relation(connection, bundle, workers=THREADS)) == options.rows

        work()
        return timed(work, options.repeats)


def bare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The library's own predictor on the ready matrix with all threads."""
    from sklearn.linear_model import LogisticRegression

    bundle, X = open_bundle(folder, options.model), matrix(folder, options, options.rows)
    stored = bundle.description.explanation
    if options.model == "lightgbm":
        import lightgbm

        booster = lightgbm.Booster(model_file=folder / options.model / stored.file)

        def predict() -> object:
            return booster.predict(X, num_threads=THREADS)
    elif options.model == "xgboost":
        import xgboost

        trees = xgboost.Booster({"nthread": THREADS}, model_file=folder / options.model / stored.file)

        def predict() -> object:
            return trees.inplace_predict(X)
    else:
        import numpy as np

        linear = LogisticRegression()
        linear.classes_ = np.array([0, 1])
        linear.coef_, linear.intercept_ = np.array([stored.coefficients]), np.array([stored.intercept])

        def predict() -> object:
            return linear.predict_proba(X)

    predict()
    return timed(predict, options.repeats)


def writing(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """DuckDB alone writes tables with the columns of ``scored_records`` and ``batch_features``."""
    warehouse = open_warehouse(folder, options.memory)
    features = ", ".join(names_of(options.features))
    same = f"'{BATCH}' AS batch, 'sha256:0000' AS bundle_digest"

    def forget() -> None:
        with warehouse.writer() as connection:
            connection.execute("DROP SCHEMA IF EXISTS floor CASCADE")

    def work() -> None:
        with warehouse.writer() as connection:
            connection.execute("CREATE SCHEMA floor")
            connection.execute(
                f"CREATE TABLE floor.scored AS SELECT patient_id, 1 / (1 + exp(-f00)) AS risk, f00 > 0 AS is_alert, "
                f"CASE WHEN f00 > 0 THEN 'High' ELSE 'Low' END AS tier, NULL::DATE AS index_date, {same}, "
                f"'2026-01-01T00:00:00.000000+00:00' AS scored_at FROM {RECEIVED}"
            )
            connection.execute(
                f"CREATE TABLE floor.features AS SELECT patient_id, {features}, sex AS protected_sex, {same} "
                f"FROM {RECEIVED}"
            )

    return timed(work, options.repeats, before=forget)


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


PARTS = {
    "prepare": prepare,
    "production": production,
    "without_writing": without_writing,
    "bare": bare,
    "writing": writing,
}


def measure(part: str, folder: Path, options: argparse.Namespace, model: str = "-") -> dict[str, Any]:
    """Run a part in a process of its own, whose peak memory is its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--part", part, "--folder", str(folder), "--model", model]
    command += [f"--{name}={getattr(options, name)}" for name in ("rows", "features", "repeats", "memory")]
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(each for each in (root, os.environ.get("PYTHONPATH")) if each)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Prepare, run every part, and print throughputs and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", default="1GB", help="DuckDB's memory limit")
    parser.add_argument("--folder", type=Path, help="where the temporary folder goes")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.folder, options)))
        return
    print(
        f"synthetic rows {options.rows:,} x {options.features}, {THREADS} threads, memory limit {options.memory}, "
        f"median of {options.repeats}"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        measure("prepare", folder, options)
        floor = measure("writing", folder, options)
        print(f"DuckDB alone writes tables of the same columns at {speed(options.rows, floor)}")
        for model in MODELS:
            ours, scoring, peer = (
                measure(part, folder, options, model) for part in ("production", "without_writing", "bare")
            )
            both = {name: peer[name] + floor[name] for name in peer}
            print(f"{model}")
            print(
                f"  score_batch, production {speed(options.rows, ours)}; share of bare predict and DuckDB's writing "
                f"{shares(both, ours)}; peak {ours['peak_mb']:,.0f} MB, {ours['before_mb']:,.0f} of them before"
            )
            print(f"  its scoring alone       {speed(options.rows, scoring)}")
            print(
                f"  bare predict            {speed(options.rows, peer)}; share of scoring alone "
                f"{shares(peer, scoring)} (goal {GOAL:.2f})",
                flush=True,
            )


def speed(rows: int, found: dict[str, Any]) -> str:
    """Rows a second of wall time."""
    return f"{rows / found['seconds']:>10,.0f} rows/s"


def shares(peer: dict[str, Any], ours: dict[str, Any]) -> str:
    """The peer's time as a share of ours, by wall and by processor time."""
    return f"{peer['seconds'] / ours['seconds']:.2f} wall, {peer['processor'] / ours['processor']:.2f} processor"


if __name__ == "__main__":
    main()
