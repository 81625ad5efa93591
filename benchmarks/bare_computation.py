"""What Dagster, MLflow, ledger and checks of events cost: some cohorts as runs, and by the same functions in a script.

One side runs the job ``train_cohort`` as a worker of ``clinical-assets materialize`` does. The other calls what its
assets call: ingestion, validation, features, the pictures of tables, the overview, SQL tests, training, card. Each in a
process of its own, warm: the first cohort is run once more before. CPU seconds of the process.

Usage: python benchmarks/bare_computation.py [--cohorts heart_disease stroke ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COHORTS = ("heart_disease", "breast_cancer_diagnosis", "heart_failure_mortality", "lung_cancer_survival")
SIDES = ("bare", "runs")


def bare(cohort: str) -> None:
    """From records to the card, in plain calls."""
    from clinical_assets.modelling.trainings import trainings
    from clinical_assets.modelling.trainings.card_files import write_card
    from clinical_assets.modelling.trainings.make_bundle import train_and_keep
    from clinical_assets.warehouse.features.feature_plots import (
        distributions_picture,
        missing_shares,
        missingness_picture,
    )
    from clinical_assets.warehouse.features.features import build_features
    from clinical_assets.warehouse.features.truncation import truncation_invariance
    from clinical_assets.warehouse.intake.ingestion import ingest
    from clinical_assets.warehouse.sql.tests import run_tests_on
    from clinical_assets.warehouse.validation.validation import validate_cohort
    from clinical_assets.workspace import Workspace

    opened = Workspace.from_environment().cohort(cohort)
    spec, warehouse, sql = opened.spec, opened.warehouse, opened.sql
    ingest(spec, settings=opened.settings, folder=opened.entry.folder)
    validate_cohort(spec, warehouse)
    built = build_features(spec, sql, warehouse)
    sql.run(warehouse, "cohort_overview")
    with warehouse.reader() as connection:
        tables = {f'validated."{name}"': list(table.columns) for name, table in spec.tables.items()}
        for relation, columns in {**tables, "model.features": list(built.feature_columns)}.items():
            missingness_picture(missing_shares(connection, relation, columns))
            distributions_picture(connection, relation, columns)
        for model in (sql.feature_model, sql.outcome_model):
            run_tests_on(connection, sql, model)
        truncation_invariance(connection, spec, sql.compile(sql.feature_model))
    train_and_keep(spec, warehouse=warehouse, sql=sql, run_id="a script", afresh=True)
    write_card(spec, trainings.latest(opened.settings, cohort))


def run(cohort: str) -> None:
    """The same as an ordinary run of Dagster."""
    from clinical_assets.dagster_private import new_run_id
    from clinical_assets.launch.worker import run_cohort

    done = run_cohort(cohort, "train_cohort", new_run_id(), (), afresh=True)
    if not done.success:
        raise SystemExit(f"{cohort}: {done.error}")


def measure(side: str, cohorts: list[str]) -> dict[str, float]:
    """CPU seconds of each cohort in this process, after one run that is not counted."""
    from clinical_assets.launch.worker import collect_seldom

    collect_seldom()
    make: Callable[[str], None] = bare if side == "bare" else run
    make(cohorts[0])
    found = {}
    for cohort in cohorts:
        begun = time.process_time()
        make(cohort)
        found[cohort] = time.process_time() - begun
    return found


def in_process(side: str, cohorts: list[str], folder: Path) -> dict[str, float]:
    """The same in a process and data folder of its own."""
    environment = {**os.environ, "CLINICAL_ASSETS_DATA": str(folder / side), "OMP_NUM_THREADS": "1"}
    environment.pop("DAGSTER_HOME", None)
    words = [sys.executable, __file__, "--side", side, "--cohorts", *cohorts]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", nargs="+", default=list(COHORTS))
    parser.add_argument("--side", choices=SIDES, help="measure one side in this process")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.cohorts)))
        return
    with tempfile.TemporaryDirectory(prefix="bench_") as folder:
        plain, runs = (in_process(side, options.cohorts, Path(folder)) for side in SIDES)
    for cohort in options.cohorts:
        ratio = runs[cohort] / plain[cohort]
        print(f"{cohort:32s} {plain[cohort]:6.2f} s bare, {runs[cohort]:6.2f} s as a run: {ratio:.2f}")
    ours, peer = sum(runs.values()), sum(plain.values())
    print(f"all: {ours:.2f} s as runs, {peer:.2f} s bare, {ours / peer:.2f} times (goal at most 1.15)")


if __name__ == "__main__":
    main()
