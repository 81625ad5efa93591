"""The feature model of a cohort, built as the asset builds it, against its bare statement in DuckDB.

What the build adds: every unit once, no text, no infinite number, no identifier, a sample of rows compared with their
features alone, the digest of content and the lineage of columns.

    python benchmarks/features_speed.py [--rows 1000000] [--columns 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ingest_validate
import synthetic_cohort

ROOT = Path(__file__).resolve().parents[1]


def measure(rows: int, columns: int, memory: str = "4GB") -> dict[str, Any]:
    """Seconds of both sides, in a process of its own."""
    words = [sys.executable, __file__, "--rows", str(rows), "--columns", str(columns), "--memory", memory, "--here"]
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        raise SystemExit(f"{Path(__file__).name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def build(folder: Path, rows: int, columns: int, memory: str) -> dict[str, Any]:
    """Ingest and validate records, then build their features both ways."""
    file = folder / "records.csv"
    ingest_validate.make_file(file, rows=rows, columns=columns)
    ingest_validate.run_ours(file, folder, memory, columns)

    from clinical_assets.cohorts.registry import shipped_sql
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.foundation.settings import Settings
    from clinical_assets.warehouse.features.features import build_features
    from clinical_assets.warehouse.sql.project import SqlProject
    from clinical_assets.warehouse.store.warehouse import Warehouse

    kinds = ingest_validate.column_kinds(columns)
    target = next(name for name, kind in kinds.items() if kind == "boolean")
    described = {**ingest_validate.description(columns, file.name), "vars": {"target_column": target}}
    spec = CohortSpec.model_validate(described)
    project = SqlProject((shipped_sql(),), spec)
    warehouse = Warehouse(synthetic_cohort.COHORT, Settings.from_environment())
    started = time.perf_counter()
    built = build_features(spec, project, warehouse)
    ours = time.perf_counter() - started
    bare = project.compile(project.feature_model).sql
    with warehouse.writer() as connection:
        started = time.perf_counter()
        connection.execute(f"CREATE TABLE model.bare AS {bare}")
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
        connection.execute("BEGIN")
        peer = time.perf_counter() - started
    return {"ours": ours, "bare": peer, "rows": built.rows}


def main() -> None:
    """Print seconds and ratio, or, asked from within, a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--memory", default="4GB", help="DuckDB's memory limit")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        with tempfile.TemporaryDirectory(prefix="features_") as folder:
            print(json.dumps(build(Path(folder), asked.rows, asked.columns, asked.memory)))
        return
    found = measure(asked.rows, asked.columns, asked.memory)
    print(f"{asked.rows:,} rows: {found['ours']:.2f} s, the bare statement {found['bare']:.2f} s")


if __name__ == "__main__":
    main()
