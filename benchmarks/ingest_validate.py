"""Time ingestion and validation of one large CSV file against what else there is.

Three ways, each in a process of its own, on the same file:

1. DuckDB alone: ``CREATE TABLE AS SELECT * FROM read_csv(...)``, which checks nothing. The floor.
2. This project: ``ingest`` (raw table, content digest, Parquet snapshot) and ``validate_cohort`` (types, promises,
   keys, quarantine, digest).
3. pandas.read_csv and a pandera schema with the same promises, which stores nothing.

The file is synthetic, made by DuckDB from a seed, with one faulty record in a thousand; ways 2 and 3 must refuse
equally many, or the comparison is worth nothing and the script fails. Everything is written to a temporary folder
that is removed at the end.

    python benchmarks/ingest_validate.py --rows 5000000 --columns 20 --memory 4GB
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import synthetic_cohort

KINDS = ("number", "number", "number", "integer", "category", "number", "boolean", "number", "integer", "number")
CATEGORIES = ("never", "former", "current")
FAULTS = 1000
"""One record in so many has a value out of range, an unknown category, or dates out of order."""


def column_kinds(columns: int) -> dict[str, str]:
    """Names and kinds of the columns: an identifier, two dates, and a mixture of the rest."""
    fixed = {"patient_id": "identifier", "admitted_date": "date", "discharged_date": "date"}
    return fixed | {f"{KINDS[i % len(KINDS)]}_{i}": KINDS[i % len(KINDS)] for i in range(columns - len(fixed))}


def description(columns: int, file: str) -> dict[str, Any]:
    """The cohort's description as plain values."""
    described: dict[str, dict[str, Any]] = {
        "identifier": {"type": "string", "role": "identifier", "nullable": False},
        "date": {"type": "date", "role": "date"},
        "number": {"type": "number", "range": [0, 1000], "missing": [-9]},
        "integer": {"type": "integer", "range": [0, 500]},
        "category": {"type": "string", "categories": list(CATEGORIES)},
        "boolean": {"type": "boolean", "role": "target"},
    }
    return synthetic_cohort.description(
        {
            "source": {"kind": "file", "path": file},
            "key": ["patient_id"],
            "columns": {n: {**described[kind], "description": kind} for n, kind in column_kinds(columns).items()},
            "rules": [
                {
                    "name": "dates_in_order",
                    "expression": "admitted_date <= discharged_date",
                    "cure": "Correct the dates.",
                }
            ],
        }
    )


def make_file(path: Path, *, rows: int, columns: int) -> None:
    """Write the CSV file; the same arguments give the same bytes."""
    import duckdb

    def chance(salt: str) -> str:
        return f"(hash(i, '{salt}') % 1000000 / 1000000.0)"

    faulty = {kind: f"i % {FAULTS * 3} = {FAULTS * place}" for place, kind in enumerate(("number", "category", "date"))}
    values = []
    first: dict[str, str] = {}
    for name, kind in column_kinds(columns).items():
        bad = faulty.get(kind) if first.setdefault(kind, name) == name else None
        match kind:
            case "identifier":
                value = "'P' || lpad(i::VARCHAR, 9, '0')"
            case "date":
                days = f"({chance('day')} * 3000)::INTEGER"
                later = f"+ CASE WHEN {faulty['date']} THEN -30 ELSE 5 END" if name.startswith("discharged") else ""
                value = f"DATE '2015-01-01' + {days} {later}"
            case "number":
                value = f"CASE WHEN {chance(name + '?')} < 0.02 THEN -9 ELSE round(20 + 200 * {chance(name)}, 2) END"
                value = f"CASE WHEN {bad} THEN 5000 ELSE {value} END" if bad else value
            case "integer":
                value = f"CASE WHEN {chance(name + '?')} >= 0.02 THEN (500 * {chance(name)})::INTEGER END"
            case "category":
                value = f"{list(CATEGORIES)}[1 + (2.99 * {chance(name)})::INTEGER % 3]"
                value = f"CASE WHEN {bad} THEN 'unknown' ELSE {value} END" if bad else value
            case _:
                value = f"{chance(name)} < 0.3"
        values.append(f"{value} AS {name}")
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {', '.join(values)} FROM range({rows}) r(i)) TO '{path}' (HEADER)")


def run_duckdb(file: Path, folder: Path, memory: str, columns: int) -> dict[str, Any]:
    """DuckDB's own reading, typed by its sniffer, into a table on disk."""
    del columns
    import duckdb

    with duckdb.connect(str(folder / "bare.duckdb"), config={"memory_limit": memory}) as connection:
        started = time.perf_counter()
        connection.execute(f"CREATE TABLE records AS SELECT * FROM read_csv('{file}')")
        connection.execute("CHECKPOINT")
        return {"steps": {"read_csv": time.perf_counter() - started}}


def run_ours(file: Path, folder: Path, memory: str, columns: int) -> dict[str, Any]:
    """Ingestion and validation as the assets run them."""
    os.environ["CLINICAL_ASSETS_DATA"] = str(folder / "data")
    os.environ["CLINICAL_ASSETS_MEMORY"] = memory
    import pandera.polars  # noqa: F401  (its import is not what is timed)

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.foundation.settings import Settings
    from clinical_assets.warehouse.intake.ingestion import ingest
    from clinical_assets.warehouse.store.warehouse import Warehouse
    from clinical_assets.warehouse.validation.validation import validate_cohort

    spec = CohortSpec.model_validate(description(columns, file.name))
    settings = Settings.from_environment()
    started = time.perf_counter()
    ingest(spec, settings=settings, folder=file.parent)
    middle = time.perf_counter()
    peak_of_ingest = peak_mb()
    table = validate_cohort(spec, Warehouse(synthetic_cohort.COHORT, settings)).tables["subjects"]
    return {
        "steps": {"ingest": middle - started, "validate": time.perf_counter() - middle},
        "refused": table.rows_refused,
        "peaks": {"ingest": peak_of_ingest},
    }


def run_pandas(file: Path, folder: Path, memory: str, columns: int) -> dict[str, Any]:
    """Pandas and pandera with the same promises, in memory."""
    del folder, memory
    import pandas as pd
    import pandera.pandas as pa

    kinds = column_kinds(columns)
    promised = {
        "identifier": lambda: pa.Column(str, nullable=False, unique=True),
        "date": lambda: pa.Column("datetime64[ns]", nullable=True),
        "number": lambda: pa.Column(float, pa.Check.in_range(0, 1000), nullable=True),
        "integer": lambda: pa.Column("Int64", pa.Check.in_range(0, 500), nullable=True),
        "category": lambda: pa.Column(str, pa.Check.isin(CATEGORIES), nullable=True),
        "boolean": lambda: pa.Column(bool, nullable=False),
    }
    in_order = pa.Check(lambda frame: frame["admitted_date"] <= frame["discharged_date"], name="dates_in_order")
    schema = pa.DataFrameSchema({name: promised[kind]() for name, kind in kinds.items()}, checks=[in_order])
    named = {kind: [name for name, other in kinds.items() if other == kind] for kind in promised}
    started = time.perf_counter()
    frame = pd.read_csv(
        file,
        parse_dates=named["date"],
        dtype=dict.fromkeys(named["integer"], "Int64"),
        na_values={name: ["-9"] for name in named["number"]},
    )
    middle = time.perf_counter()
    refused = 0
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as failed:
        refused = failed.failure_cases["index"].nunique()
    return {
        "steps": {"pandas.read_csv": middle - started, "pandera": time.perf_counter() - middle},
        "refused": int(refused),
    }


WAYS = {
    "DuckDB read_csv, nothing checked": run_duckdb,
    "clinical_assets, ingest + validate": run_ours,
    "pandas.read_csv + pandera, nothing stored": run_pandas,
}


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def measure(way: str, file: Path, folder: Path, memory: str, columns: int) -> dict[str, Any]:
    """Run one way in a process of its own and read what it prints."""
    command = [sys.executable, __file__, "--way", way, "--file", str(file), "--folder", str(folder)]
    command += ["--memory", memory, "--columns", str(columns)]
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Make the file, run every way, print times, ratios and peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--memory", default="4GB", help="DuckDB's memory limit")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        result = WAYS[asked.way](asked.file, asked.folder, asked.memory, asked.columns)
        used = resource.getrusage(resource.RUSAGE_SELF)
        say(json.dumps(result | {"peak_mb": peak_mb(), "processor_s": used.ru_utime + used.ru_stime}))
        return
    if asked.columns < 13:
        parser.error("--columns must be at least 13, so that every kind of column occurs")
    with tempfile.TemporaryDirectory(prefix="ingest_validate_", dir=asked.folder) as temporary:
        folder = Path(temporary)
        file = folder / "records.csv"
        make_file(file, rows=asked.rows, columns=asked.columns)
        say(
            f"synthetic, {asked.rows:,} rows x {asked.columns} columns, {file.stat().st_size / 1e6:,.0f} MB CSV, "
            f"memory limit {asked.memory}, {os.cpu_count()} cores"
        )
        results = {way: measure(way, file, folder, asked.memory, asked.columns) for way in WAYS}
    report(results, rows=asked.rows)


def report(results: dict[str, dict[str, Any]], *, rows: int) -> None:
    """Print one line per way, then the ratios; fail when the ways disagree on what to refuse."""
    totals = {way: sum(result["steps"].values()) for way, result in results.items()}
    for way, result in results.items():
        steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in result["steps"].items())
        peaks = "".join(f", {peak:,.0f} MB after {step}" for step, peak in result.get("peaks", {}).items())
        say(
            f"{way:<42} {totals[way]:7.1f} s  {rows / totals[way] / 1e6:5.2f} M rows/s  "
            f"processor {result['processor_s']:6.1f} s  peak {result['peak_mb']:6,.0f} MB  ({steps}{peaks})"
        )
    bare, ours, pandas = (totals[way] for way in WAYS)
    say(f"clinical_assets takes {ours / bare:.2f} x DuckDB's bare reading and {ours / pandas:.2f} x pandas + pandera.")
    refused = {way: result["refused"] for way, result in results.items() if "refused" in result}
    say(f"refused: {refused}")
    if len(set(refused.values())) != 1:
        raise SystemExit("The ways disagree on how many records to refuse; the times cannot be compared.")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
