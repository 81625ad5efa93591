"""Batch scoring through a bundle, SQL included, against the bare booster on the ready matrix, in the same run.

Synthetic rows. Usage: python benchmarks/batch_scoring.py [--rows 1000000] [--features 20] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from clinical_assets.modelling import candidates
from clinical_assets.modelling.batch import score_rows
from clinical_assets.modelling.bundle import Bundle
from clinical_assets.modelling.recalibration import Recalibration
from clinical_assets.modelling.spaces import start

RECALIBRATION = Recalibration((0.1,), (0.9,))


@dataclass(frozen=True)
class Model:
    """A fitted candidate as a bundle takes it."""

    name: str
    pipeline: Any
    feature_columns: tuple[str, ...]
    classes: tuple[str, ...] = ("no", "yes")
    recalibration: Recalibration = RECALIBRATION
    imbalance: str = "none"

    @property
    def parameters(self) -> dict[str, Any]:
        """Setting of the model."""
        return start(self.name, 5000)


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of wall time."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def main() -> None:
    """Fit small models, fill a table, and print throughputs and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    os.environ["OMP_NUM_THREADS"] = str(threads)
    names = tuple(f"f{i:02d}" for i in range(options.features))
    generator = np.random.default_rng(1)
    X = generator.normal(size=(options.rows, options.features))
    y = (X[:, :4].sum(axis=1) + generator.logistic(size=options.rows) > 0).astype(np.int64)
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("CREATE SCHEMA validated")
    connection.register("_x", {name: X[:, i] for i, name in enumerate(names)})
    connection.execute("CREATE TABLE validated.subjects AS SELECT row_number() OVER () AS id, * FROM _x")
    features = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in names)
    print(f"synthetic rows {options.rows:,} x {options.features}, {threads} threads, median of {options.repeats}")
    for name in ("lightgbm", "xgboost"):
        pipeline = candidates.build(name, start(name, 5000), n_classes=2, seed=1)
        candidates.fit(pipeline, X[:5000], y[:5000], imbalance="none")
        booster = pipeline[-1]
        if name == "lightgbm":
            native = booster.booster_

            def bare(native: Any = native) -> object:
                return native.predict(X, num_threads=threads)
        else:
            native = booster.get_booster()
            native.set_param({"nthread": threads})

            def bare(native: Any = native) -> object:
                return native.inplace_predict(X)

        with tempfile.TemporaryDirectory() as folder:
            bundle = Bundle.write(
                Path(folder) / "bundle",
                Model(name, pipeline, names),
                X=X[:5000],
                statement=f"SELECT id, {features} FROM validated.subjects",
                facts={"cohort": "benchmark"},
            )

            def whole(bundle: Bundle = bundle) -> object:
                return sum(frame.height for frame in score_rows(connection, bundle, key=["id"]))

            assert whole() == options.rows
            ours, theirs = timed(whole, options.repeats), timed(bare, options.repeats)
        print(
            f"{name:9s} bundle with SQL {options.rows / ours:>12,.0f} rows/s   bare predict "
            f"{options.rows / theirs:>12,.0f} rows/s   share {theirs / ours:.2f} (goal 0.60)"
        )


if __name__ == "__main__":
    main()
