"""From raw records to a model card: 1,000 synthetic rows, 20 features, three candidates, the default search.

The run is an ordinary Dagster run of the job ``train_cohort`` in this process, started warm: definitions are loaded and
one small run was made. Prints wall time, the share that is not model fitting, and the profile by stage.

Usage: python benchmarks/raw_to_card.py [--rows 1000] [--features 20]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

COHORT = "benchmark_cohort"
FITTING = ("nested search", "final model")


def describe(rows: int, features: int) -> dict[str, Any]:
    """A description of the synthetic table with every default left alone."""
    kinds = {"number": "number", "count": "integer", "flag": "boolean", "grade": "string"}
    columns: dict[str, Any] = {
        "record_id": {"type": "integer", "role": "identifier", "nullable": False, "description": "Record."},
        "site": {"type": "string", "role": "protected", "description": "Site."},
        "outcome": {"type": "integer", "role": "target", "nullable": False, "description": "Outcome."},
    }
    width = len(str(features - 1))
    for j in range(features):
        kind = list(kinds)[j % 4]
        grades = {"categories": ["none", "mild", "severe"]} if kind == "grade" else {}
        columns[f"x{j:0{width}d}_{kind}"] = {"type": kinds[kind], "description": f"Feature {j}.", **grades}
    return {
        "name": COHORT,
        "title": "Synthetic cohort of the benchmark",
        "disease": {"name": "None", "icd10": ["Z00"]},
        "intended_use": "Measure speed.",
        "not_for": "Patients.",
        "owner": {"team": "Benchmarks"},
        "data": {"kind": "synthetic", "source": "tabular_risk", "licence": "CC0", "limits": ["Made up."]},
        "prediction": {"moment": "Now."},
        "subject": "record_id",
        "subject_table": "records",
        "tables": {
            "records": {
                "description": "One row per record.",
                "source": {
                    "kind": "synthetic",
                    "generator": "tabular_risk",
                    "seed": 11,
                    "parameters": {"table": "records", "rows": rows, "features": features},
                },
                "key": ["record_id"],
                "columns": columns,
            }
        },
        "features": "declared_columns",
        "outcome": "target_class",
        "vars": {"target_column": "outcome", "positive_values": [1]},
        "target": {"description": "Outcome.", "classes": ["no", "yes"]},
        "decisions": {
            "costs": {"false_positive": 1, "false_negative": 4, "rationale": "Benchmark."},
            "tiers": [{"name": "Low", "lower": 0, "action": "-"}, {"name": "High", "lower": 0.5, "action": "-"}],
        },
    }


def main() -> None:
    """Run it cold for a small cohort, then warm for the measured one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--features", type=int, default=20)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder) / "catalogue"
        catalogue.mkdir()
        path = catalogue / f"{COHORT}.yaml"
        os.environ["CLINICAL_ASSETS_CATALOGUE"] = str(catalogue)
        os.environ["CLINICAL_ASSETS_DATA"] = f"{folder}/data"
        os.environ.pop("DAGSTER_HOME", None)
        path.write_text(yaml.safe_dump(describe(300, 4), sort_keys=False))

        from clinical_assets.definitions import load
        from clinical_assets.launch.instance import open_instance

        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        job = load().resolve_job_def("train_cohort")
        with open_instance() as instance:
            warm = job.execute_in_process(partition_key=COHORT, instance=instance, run_config=quiet)
            path.write_text(yaml.safe_dump(describe(options.rows, options.features), sort_keys=False))
            begun, cpu = time.perf_counter(), time.process_time()
            result = job.execute_in_process(partition_key=COHORT, instance=instance, run_config=quiet)
            wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert warm.success
        assert result.success
        steps = {
            event.step_key: event.step_success_data.duration_ms / 1000
            for event in result.all_events
            if event.is_step_success
        }
        (shown,) = [
            event
            for event in result.asset_materializations_for_node("risk_modelling")
            if event.asset_key.to_user_string() == "candidate_models"
        ]
        stages = json.loads(shown.metadata["seconds by stage"].text)
    fitting = sum(stages[name] for name in FITTING)
    print(f"synthetic rows {options.rows:,} x {options.features}, three candidates, default search, two cores")
    print(f"raw_records to model_card: {wall:.1f} s wall, {cpu:.1f} s CPU (goal 25 s wall)")
    print(f"not model fitting: {wall - fitting:.1f} s, {(wall - fitting) / wall:.0%} of wall (goal below 20 %)")
    for name, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  training, {name:22s} {seconds:6.2f} s")
    for name, seconds in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"  step {name:44s} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
