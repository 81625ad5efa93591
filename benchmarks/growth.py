"""How seconds grow with size: the slope of log seconds over log size, at three sizes.

1 is in proportion; less means that a fixed part still weighs. Each measure is production's, as in ``table.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import batch_scoring
import drift_speed
import features_speed
import ingest_validate
import numpy as np


@dataclass(frozen=True)
class Growth:
    """Seconds of one measure at three sizes."""

    name: str
    of: str
    unit: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Slope of log seconds over log size."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


def ingest(rows: int, folder: Path) -> float:
    """Ingestion and validation of 20 columns, seconds."""
    file = folder / f"records-{rows}.csv"
    ingest_validate.make_file(file, rows=rows, columns=20)
    (folder / str(rows)).mkdir()
    way = "clinical_assets, ingest + validate"
    return sum(ingest_validate.measure(way, file, folder / str(rows), "4GB", 20)["steps"].values())


def features(rows: int, _: Path) -> float:
    """The feature model of 20 columns, seconds."""
    return float(features_speed.measure(rows, 20)["ours"])


def scoring(rows: int, folder: Path) -> float:
    """Batch scoring by LightGBM, 20 features, seconds."""
    here = folder / str(rows)
    here.mkdir()
    options = argparse.Namespace(rows=rows, features=20, repeats=2, memory="1GB", folder=here, part=None, model=None)
    batch_scoring.measure("prepare", here, options)
    return float(batch_scoring.measure("production", here, options, "lightgbm")["seconds"])


def drift(rows: int, folder: Path) -> float:
    """The drift report of 20 columns, CPU seconds of its process."""
    here = folder / str(rows)
    here.mkdir()
    shared = ("--rows", str(rows), "--folder", str(here), "--columns", "20", "--workers", "1")
    for part in ("write", "fill"):
        drift_speed.in_process("--part", part, *shared)
    return float(drift_speed.in_process("--part", "native", *shared)["cpu"])


def signed_rank(sets_wanted: int, _: Path) -> float:
    """Exact signed-rank tests of 10 subjects, CPU seconds."""
    import signed_rank_speed as speed

    sets = speed.synthetic_sets(17_000, sets_wanted, seed=1)
    differences = np.random.default_rng(1).normal(size=(10, 17_000))
    speed.signed_rank(differences, sets)
    return float(speed.cpu_seconds(lambda: speed.signed_rank(differences, sets), 3))


def thresholds(rows: int, _: Path) -> float:
    """The cost curve with 200 resamples, seconds."""
    import statistics_speed as speed

    y, p, _columns = speed.simulate(rows, seed=1)
    spent, _curve = speed.timed(lambda: speed.cost_curve(y, p, c_fp=speed.C_FP, c_fn=speed.C_FN, n_resamples=200))
    return float(spent)


#: Name, what grows, unit of the figure, smallest size, measure; the other sizes are 4 and 16 times that.
MEASURES: Sequence[tuple[str, str, str, int, Callable[[int, Path], float]]] = (
    ("ingest and validate", "rows", "s", 50_000, ingest),
    ("SQL features", "rows", "s", 25_000, features),
    ("batch scoring, lightgbm", "rows", "s", 50_000, scoring),
    ("drift", "rows", "CPU s", 30_000, drift),
    ("signed rank", "gene sets", "CPU s", 1_000, signed_rank),
    ("thresholds", "rows", "s", 5_000, thresholds),
)


def measure_growth(quick: bool, folder: Path, only: Sequence[str] = ()) -> list[Growth]:
    """Every measure at three sizes; with `quick` sizes a tenth of these."""
    found = []
    for name, of, unit, smallest, measure in MEASURES:
        if only and name not in only:
            continue
        sizes = tuple(smallest * factor // (10 if quick else 1) for factor in (1, 4, 16))
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True)
        found.append(Growth(name, of, unit, sizes, tuple(measure(size, place) for size in sizes)))
    return found
