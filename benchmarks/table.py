"""One table of what the platform costs: our figure, a peer's in the same run, and the ratio of the two.

Each row runs both sides one after the other on this machine, so that the ratio holds where the seconds do not.
Writes ``table.md`` and ``table.json`` with machine, versions and commit. A size that says *quick* is for a look in
minutes; only figures of the full size are quoted: ``--docs`` puts the table of ``benchmarks/table.json`` into
``docs/performance.md``, and a test holds the page to it.

    python benchmarks/table.py --quick --into build/bench
    python benchmarks/table.py --into benchmarks && python benchmarks/table.py --docs
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bare_computation
import batch_scoring
import drift_speed
import features_speed
import ingest_validate
from growth import Growth, measure_growth
from table_page import PAGE, QUOTED, markdown, page_with_table

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("dagster", "duckdb", "polars", "pandas", "scikit-learn", "lightgbm", "onnxruntime", "pydantic", "numba")


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is the peer's figure over ours, so that more than 1 is quicker than the peer."""

    name: str
    size: str
    unit: str
    ours: float
    peer_name: str
    peer: float

    @property
    def ratio(self) -> float:
        """The peer's figure over ours."""
        return self.peer / self.ours


def processor_seconds(*words: str, repeats: int = 3, environment: dict[str, str] | None = None) -> float:
    """Median CPU seconds of a command as a whole process, after one run that is not counted."""
    found = []
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, cwd=ROOT, env=environment or in_repository()
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(found[1:])


def in_repository(**more: str) -> dict[str, str]:
    """The environment of a process that runs this checkout."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def python(code: str) -> tuple[str, ...]:
    """A command that runs a line of Python."""
    return (sys.executable, "-c", code)


def command(*words: str) -> tuple[str, ...]:
    """A command of ours."""
    return (sys.executable, "-c", "from clinical_assets.cli.main import main; main()", *words)


def definitions_load(_: bool, __: Path) -> list[Row]:
    """All definitions against importing Dagster alone."""
    ours = processor_seconds(*python("from clinical_assets.definitions import load; load()"))
    return [
        Row("definitions load", "all", "CPU s", ours, "import dagster", processor_seconds(*python("import dagster")))
    ]


def cli_start(_: bool, folder: Path) -> list[Row]:
    """Commands as processes against importing the libraries of any such command line."""
    there = in_repository(CLINICAL_ASSETS_DATA=str(folder / "cli"))
    bare = processor_seconds(*python("import typer, rich.console, rich.table, pydantic, yaml"))
    named = "import typer, rich, pydantic, yaml"
    return [
        Row("CLI start", words, "CPU s", processor_seconds(*command(*words.split()), environment=there), named, bare)
        for words in ("--help", "cohorts list")
    ]


def catalogue(_: bool, folder: Path) -> list[Row]:
    """A cohort of which nothing changed against making it anew."""
    there = in_repository(CLINICAL_ASSETS_DATA=str(folder / "catalogue"))
    there.pop("DAGSTER_HOME", None)
    words = ("materialize", "heart_disease", "--json")
    peer = processor_seconds(*command(*words, "--force"), environment=there, repeats=1)
    ours = processor_seconds(*command(*words), environment=there, repeats=1)
    return [Row("catalogue, unchanged", "heart_disease, records to features", "CPU s", ours, "--force", peer)]


def ingest(quick: bool, folder: Path) -> list[Row]:
    """Ingestion and validation against DuckDB's bare reading and pandas with pandera."""
    rows, columns = (200_000 if quick else 1_000_000), 20
    file = folder / "records.csv"
    ingest_validate.make_file(file, rows=rows, columns=columns)
    found = [
        sum(ingest_validate.measure(way, file, folder, "4GB", columns)["steps"].values())
        for way in ingest_validate.WAYS
    ]
    bare, ours, pandas = found
    size = f"{rows:,} x {columns}"
    return [
        Row("ingest and validate", size, "s", ours, "pandas + pandera, nothing stored", pandas),
        Row("ingest and validate", size, "s", ours, "DuckDB read_csv, nothing checked (floor)", bare),
    ]


def scoring(quick: bool, folder: Path) -> list[Row]:
    """Batch scoring, as production does it, against the bare booster with DuckDB's writing."""
    options = argparse.Namespace(
        rows=100_000 if quick else 1_000_000, features=20, repeats=3, memory="1GB", folder=folder, part=None, model=None
    )
    batch_scoring.measure("prepare", folder, options)
    floor = batch_scoring.measure("writing", folder, options)
    found = []
    for model in batch_scoring.MODELS:
        ours, peer = (batch_scoring.measure(part, folder, options, model) for part in ("production", "bare"))
        found.append(
            Row(
                f"batch scoring, {model}",
                f"{options.rows:,} x {options.features}",
                "s",
                ours["seconds"],
                "bare predict + DuckDB's writing",
                peer["seconds"] + floor["seconds"],
            )
        )
    return found


def drift(quick: bool, folder: Path) -> list[Row]:
    """The drift report against Evidently's."""
    rows, columns = (30_000, 10) if quick else (300_000, 50)
    shared = ("--rows", str(rows), "--folder", str(folder), "--columns", str(columns), "--workers", "2")
    for part in ("write", "fill"):
        drift_speed.in_process("--part", part, *shared)
    ours, peer = (drift_speed.in_process("--part", part, *shared) for part in ("native", "evidently"))
    return [Row("drift", f"{rows:,} x {columns}", "CPU s", ours["cpu"], "Evidently DataDriftPreset", peer["cpu"])]


def signed_rank(quick: bool, _: Path) -> list[Row]:
    """Exact signed-rank tests of gene sets against a loop over scipy, extrapolated from some of its tests."""
    import numpy as np
    import signed_rank_speed as speed

    subjects, genes, sets_wanted = (5, 17_000, 1_000) if quick else (20, 17_000, 5_000)
    sets = speed.synthetic_sets(genes, sets_wanted, seed=1)
    differences = np.random.default_rng(1).normal(size=(subjects, genes))
    speed.signed_rank(differences, sets)
    ours = speed.cpu_seconds(lambda: speed.signed_rank(differences, sets), 3)
    peer, equal = speed.scipy_loop(differences, sets)
    if equal != speed.SCIPY_CELLS:
        raise SystemExit("signed_rank and scipy give other p-values; their times cannot be compared.")
    size = f"{subjects} subjects x {sets_wanted:,} sets"
    return [Row("signed rank", size, "CPU s", ours, "scipy in a loop (extrapolated)", peer)]


def thresholds(quick: bool, _: Path) -> list[Row]:
    """The cost curve with its band against the loop that a careful person writes, extrapolated."""
    import statistics_speed as speed

    rows, resamples, counted = (20_000, 200, 20) if quick else (100_000, 1000, 50)
    y, p, _ = speed.simulate(rows, seed=1)
    ours, curve = speed.timed(lambda: speed.cost_curve(y, p, c_fp=speed.C_FP, c_fn=speed.C_FN, n_resamples=resamples))
    spent, _ = speed.timed(lambda: speed.loop_with_sorting(y, p, curve.thresholds, resamples=counted), repeats=1)
    size = f"{rows:,} rows, {resamples} resamples"
    return [Row("thresholds", size, "s", ours, "numpy loop, sorted (extrapolated)", spent / counted * resamples)]


def features(quick: bool, _: Path) -> list[Row]:
    """The feature model with all its checks against its bare statement."""
    rows = 50_000 if quick else 1_000_000
    found = features_speed.measure(rows, 20)
    return [Row("SQL features", f"{rows:,} x 20", "s", found["ours"], "the bare statement (floor)", found["bare"])]


def api(quick: bool, folder: Path) -> list[Row]:
    """One record per request, one worker: ours with reasons and a log on disk, MLflow's server with neither."""
    import asyncio

    import mlflow.sklearn
    import numpy as np
    import serving

    pipeline = serving.fitted(folder)
    serving.platform(folder)
    mlflow.sklearn.save_model(pipeline, folder / "model", pip_requirements=[], serialization_format="cloudpickle")
    seconds, took = (2.0 if quick else 10.0), {}
    for kind in ("clinical_assets", "mlflow"):
        with serving.server(kind, folder) as (address, body):
            asyncio.run(serving.load(address, body, clients=4, seconds=2.0))
            took[kind] = {
                clients: asyncio.run(serving.load(address, body, clients=clients, seconds=seconds))
                for clients in (1, 8)
            }
    medians = [1000 * float(np.median(took[kind][1][1])) for kind in took]
    per_thousand = [1000 * seconds / took[kind][8][0] for kind in took]
    peer = "mlflow models serve, no reasons, no log"
    return [
        Row("API, one client", "20 features", "ms (median)", medians[0], peer, medians[1]),
        Row("API, eight clients", "20 features", "s per 1,000", per_thousand[0], peer, per_thousand[1]),
    ]


def experiments(quick: bool, _: Path) -> list[Row]:
    """False verdicts under peeking, without an effect: ours against a plain z test at the same looks."""
    import experiments as trials

    from clinical_assets.statistics.trials.planned_size import planned_size

    control, treated = (
        trials.net_benefit_variance(
            prevalence=trials.PREVALENCE,
            sensitivity=sensitivity,
            false_positive_rate=trials.FALSE_POSITIVES,
            threshold=trials.THRESHOLD,
        )
        for sensitivity in (trials.SENSITIVITY, trials.SENSITIVITY + trials.GAIN / trials.PREVALENCE)
    )
    size = planned_size(
        effect=trials.GAIN,
        variance=control,
        variance_treated=treated,
        lower=-trials.ODDS,
        upper=1.0,
        alpha=trials.ALPHA,
        power=trials.POWER,
    )
    count = 500 if quick else 5_000
    null = trials.simulate(gain=0.0, trials=count, size=size, seed=0)
    wrong = 100 * float(((null.promoted > 0) | (null.rolled_back > 0)).mean())
    plain = 100 * float((null.plain > 0).mean())
    sized = f"{count:,} trials, {trials.LOOKS} looks"
    return [Row("experiments, false verdicts", sized, "%", wrong, "z test at the same looks", plain)]


def training(quick: bool, _: Path) -> list[Row]:
    """From records to the card against the fits and searches inside it."""
    rows, features = (300, 8) if quick else (1000, 20)
    script = ROOT / "benchmarks" / "raw_to_card.py"
    words = [sys.executable, str(script), "--rows", str(rows), "--features", str(features)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT, env=in_repository())
    whole = re.search(r"model_card: ([\d.]+) s CPU", done.stdout)
    rest = re.search(r"not model fitting: ([\d.]+) s", done.stdout)
    if done.returncode or whole is None or rest is None:
        raise SystemExit(f"{script.name} failed:\n{done.stderr}")
    seconds = float(whole[1])
    return [Row("training", f"{rows:,} x {features}", "CPU s", seconds, "its fits alone", seconds - float(rest[1]))]


def bare(quick: bool, folder: Path) -> list[Row]:
    """Cohorts as runs of Dagster against the same functions in a script."""
    cohorts = list(bare_computation.COHORTS[: 1 if quick else None])
    peer, ours = (sum(bare_computation.in_process(side, cohorts, folder).values()) for side in bare_computation.SIDES)
    return [Row("catalogue as runs", f"{len(cohorts)} cohorts, warm", "CPU s", ours, "plain calls in a script", peer)]


def ui_backfill(quick: bool, folder: Path) -> list[Row]:
    """A backfill from the UI over a trivial asset, from the first start to the last, against Dagster's own launcher."""
    cohorts, counted = (50, 10) if quick else (1000, 30)
    found = {}
    for launcher, number in (("warm", cohorts), ("ordinary", counted)):
        # In a process of its own: it opens an instance by the environment.
        words = [
            "--cohorts",
            str(number),
            "--launcher",
            launcher,
            "--patience",
            "600",
            "--keep",
            str(folder / launcher),
        ]
        script = [sys.executable, str(ROOT / "benchmarks" / "ui_backfill.py"), *words, "--json"]
        done = subprocess.run(script, check=False, capture_output=True, text=True, cwd=ROOT, env=in_repository())
        if done.returncode:
            raise SystemExit(f"ui_backfill.py failed:\n{done.stderr}")
        found[launcher] = 1 / json.loads(done.stdout)["starts_per_second"]
    named = f"Dagster's launcher and queue, of {counted}"
    return [Row("UI backfill", f"{cohorts} cohorts", "s per run", found["warm"], named, found["ordinary"])]


ROWS: Sequence[Callable[[bool, Path], list[Row]]] = (
    definitions_load,
    cli_start,
    catalogue,
    ingest,
    features,
    training,
    bare,
    thresholds,
    scoring,
    drift,
    signed_rank,
    api,
    experiments,
    ui_backfill,
)


def facts(quick: bool) -> dict[str, Any]:
    """Machine, versions and commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    return {
        "size": "quick" if quick else "full",
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load at the start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def main() -> None:
    """Measure every row, write both files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, some minutes; labelled so")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "bench", help="folder of the two files")
    parser.add_argument(
        "--only", choices=[*(row.__name__ for row in ROWS), "growth"], action="append", help="only this row"
    )
    parser.add_argument("--docs", action="store_true", help="measure nothing; put benchmarks/table.json into the page")
    asked = parser.parse_args()
    if asked.docs:
        content = json.loads(QUOTED.read_text(encoding="utf-8"))
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")
        return
    said, rows, grown = facts(asked.quick), list[Row](), list[Growth]()
    for measured in ROWS:
        if asked.only and measured.__name__ not in asked.only:
            continue
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="bench_") as folder:
            rows += measured(asked.quick, Path(folder))
        print(f"{measured.__name__}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    if not asked.only or "growth" in asked.only:
        with tempfile.TemporaryDirectory(prefix="bench_") as folder:
            grown = measure_growth(asked.quick, Path(folder))
    content = {
        **said,
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "growth": [{**asdict(each), "exponent": each.exponent} for each in grown],
    }
    asked.into.mkdir(parents=True, exist_ok=True)
    table = markdown(content)
    (asked.into / "table.md").write_text(table, encoding="utf-8")
    (asked.into / "table.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
